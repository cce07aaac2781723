//! The routes as values: what `routes.toml` says once it is read, each part with the line it stands on.
//!
//! Not here: the file's syntax (above), and whether the parts make sense together (`build`).

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::message::{Consent, Country, DepartmentName, Several, every};

/// Everything a table is built from.
#[derive(Debug, Clone)]
pub struct Spec {
    pub departments: Vec<DepartmentSpec>,
    pub numbers: Vec<NumberSpec>,
    pub keywords: Vec<KeywordSpec>,
    /// Added to the built-in English words.
    pub consent: Vec<ConsentSpec>,
    pub tests: Vec<TestSpec>,
    /// Whether `é` and `e` are the same in a keyword; true unless the routes say otherwise.
    pub fold_accents: bool,
    /// Content hash of the routes, given by whoever read them.
    pub version: Arc<str>,
    /// For numbers written nationally.
    pub country: Country,
}

/// A department and the topic its texts go to.
#[derive(Debug, Clone)]
pub struct DepartmentSpec {
    pub name: DepartmentName,
    /// `None`: `sms.NAME`.
    pub topic: Option<String>,
    /// Said of every department that shares its topic with others on purpose.
    pub shares_topic: bool,
    /// Texts are taken and not published: the department's topic is under maintenance.
    pub hold: bool,
    pub failover: Option<FailoverSpec>,
    pub line: usize,
}

impl DepartmentSpec {
    pub fn topic(&self) -> String {
        self.topic.clone().unwrap_or_else(|| format!("sms.{}", self.name))
    }
}

/// Who takes a department's texts when its topic stays away longer than `after`.
#[derive(Debug, Clone)]
pub struct FailoverSpec {
    pub department: DepartmentName,
    pub after: Duration,
}

/// A number that residents text, and who gets what has no keyword.
#[derive(Debug, Clone)]
pub struct NumberSpec {
    /// As written, or `*` for every number not named.
    pub number: String,
    pub default: DepartmentName,
    pub line: usize,
}

/// A word, its other spellings, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeywordSpec {
    /// As written, or `*` for every number.
    pub number: Arc<str>,
    pub word: Arc<str>,
    pub aliases: Vec<String>,
    /// The first of `departments` where they are several.
    pub department: DepartmentName,
    /// Each of them gets the text.
    pub departments: Several,
    pub mode: Mode,
    pub line: usize,
}

/// Most departments that one keyword may name: so many records come of each of its texts.
pub const DEPARTMENTS_MAX: usize = 16;

impl KeywordSpec {
    /// All that it leads to.
    pub fn every_department(&self) -> &[DepartmentName] {
        every(&self.department, &self.departments)
    }
}

/// How a keyword must stand in the text: always at its start, and …
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// … as a whole word.
    #[default]
    Word,
    /// … as the whole message.
    Exact,
    /// … inside a word or not.
    Prefix,
}

/// More words of consent, for one number or `*` for all.
#[derive(Debug, Clone)]
pub struct ConsentSpec {
    pub number: String,
    pub consent: Consent,
    pub words: Vec<String>,
    pub line: usize,
}

/// What the routes promise about themselves: a table that breaks it is refused.
#[derive(Debug, Clone)]
pub struct TestSpec {
    pub to: String,
    pub text: String,
    pub expected: Expected,
    /// `None`: any keyword or none.
    pub keyword: Option<String>,
    pub line: usize,
}

/// Where a test says that its text goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// To this department, whoever else gets it.
    Among(DepartmentName),
    /// To exactly these, in whatever order.
    Exactly(Vec<DepartmentName>),
}

/// Why routes were refused, or are doubtful, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct Refusal {
    pub line: usize,
    pub reason: String,
}
