//! What the keyword table decided about a text, and why: the same words in the record and in `explain`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::DepartmentName;

/// What a resident asked about being contacted; the whole message must be the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consent {
    Stop,
    Start,
    Help,
}

/// How a text met its department.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleKind {
    /// The keyword stood at the start as a whole word.
    Word,
    /// The keyword was the whole message.
    Exact,
    /// The message began with the keyword, inside a word or not.
    Prefix,
    /// No keyword: the number's default department.
    Default,
}

/// The rule that decided: its kind, and the word or alias as the routes write it. What has a field more is a rule of a
/// later release, and kept whole (`Open`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub kind: RuleKind,
    #[serde(rename = "match", skip_serializing_if = "Option::is_none", default)]
    pub matched: Option<Arc<str>>,
}

/// All departments that get a text where they are several, each once: at least two, in the order of the routes. `None`
/// for a text of one department, which then costs nothing more.
pub type Several = Option<Arc<[DepartmentName]>>;

/// Every department that gets a text: `first` alone, or the several.
pub fn every<'a>(first: &'a DepartmentName, several: &'a Several) -> &'a [DepartmentName] {
    several.as_deref().unwrap_or(std::slice::from_ref(first))
}

/// Where a text goes and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The first of `departments` where they are several.
    pub department: DepartmentName,
    pub departments: Several,
    /// The keyword's own word, also when an alias matched; absent when none did.
    pub keyword: Option<Arc<str>>,
    pub rule: Rule,
    pub consent: Option<Consent>,
    /// Byte offset in the text as received where the part after the keyword and its separators
    /// begins; absent without a keyword.
    pub rest: Option<usize>,
    /// Content hash of the table that decided.
    pub routes_version: Arc<str>,
}

impl Decision {
    /// All that get the text.
    pub fn every_department(&self) -> &[DepartmentName] {
        every(&self.department, &self.departments)
    }
}
