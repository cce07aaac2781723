//! `routes.toml`: the keyword table as it was written, ready to be built.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;

use crate::keyword::{ConsentSpec, DepartmentSpec, FailoverSpec, KeywordSpec, Mode, NumberSpec, Spec, TestSpec};
use crate::message::{Consent, Country, DepartmentName};

use super::document::{self, Place, Problem};
use super::file::read_regular;
use super::read::{Problems, Section};
use super::sample;

/// Characters of the content hash that name a version of the table.
const VERSION_LENGTH: usize = 12;

/// How long a department's topic stays away before its standby takes the texts, unless the routes say.
const FAILOVER_AFTER_S: i64 = 600;
/// A week: longer than any text should wait unseen.
const FAILOVER_AFTER_S_MAX: i64 = 604_800;

/// Where the routes are, so that they can be read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoutesFile {
    File(PathBuf),
    Sample,
}

/// What tells that a file has changed, following links: a swapped directory shows too. The time of
/// change is the file system's own, so an edit shows whose length and time of modification are as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl RoutesFile {
    /// How problems name it.
    pub fn name(&self) -> Arc<str> {
        match self {
            Self::File(path) => path.display().to_string().into(),
            Self::Sample => sample::ROUTES_NAME.into(),
        }
    }

    /// Changes whenever the file does; `None` when it cannot be looked at. Blocks.
    pub fn stamp(&self) -> Option<Stamp> {
        use std::os::unix::fs::MetadataExt;
        let Self::File(path) = self else { return None };
        let metadata = std::fs::metadata(path).ok()?;
        Some(Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// Reads the table. `country` is whose national numbers it is written in.
    pub fn read(&self, country: Country) -> Result<Spec, Vec<Problem>> {
        let text = self.text().map_err(|problem| vec![problem])?;
        parse(&self.name(), &text, country)
    }

    /// What is written there. Blocks for as long as the file system does.
    pub fn text(&self) -> Result<Cow<'static, str>, Problem> {
        let Self::File(path) = self else { return Ok(sample::ROUTES.into()) };
        let name = self.name();
        let bytes = read_regular(path).map_err(|error| Problem {
            place: Place { file: name.clone(), line: 0 },
            key: String::new(),
            reason: format!("cannot be read: {error}; `routes` in the settings names it"),
        })?;
        document::text(&name, bytes).map(Cow::from)
    }

    /// What `text` means.
    pub fn parse(&self, text: &str, country: Country) -> Result<Spec, Vec<Problem>> {
        parse(&self.name(), text, country)
    }

    /// A refusal of the table as a problem of this file.
    pub fn problem(&self, refusal: crate::keyword::Refusal) -> Problem {
        Problem { place: Place { file: self.name(), line: refusal.line }, key: String::new(), reason: refusal.reason }
    }
}

/// What was written, with every problem of its form at once. What it means is the table's to judge.
fn parse(name: &Arc<str>, text: &str, country: Country) -> Result<Spec, Vec<Problem>> {
    let root = document::parse(name, text).map_err(|problem| vec![problem])?;
    let problems = Problems::default();
    let section = Section::root(&root, &problems);
    let spec = Spec {
        departments: section.list("department").into_iter().filter_map(department).collect(),
        numbers: section.list("number").into_iter().filter_map(number).collect(),
        keywords: section.list("keyword").into_iter().filter_map(keyword).collect(),
        consent: section.list("consent").into_iter().flat_map(consent).collect(),
        tests: section.list("test").into_iter().filter_map(test).collect(),
        fold_accents: section.boolean("fold_accents", true),
        version: version(text),
        country,
    };
    section.finish();
    let problems = problems.into_vec();
    if problems.is_empty() { Ok(spec) } else { Err(problems) }
}

fn version(text: &str) -> Arc<str> {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let mut hexadecimal: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    hexadecimal.truncate(VERSION_LENGTH);
    hexadecimal.into()
}

fn named_department(section: &Section<'_>, key: &'static str) -> Option<DepartmentName> {
    let name = section.required(key)?;
    DepartmentName::parse(&name).map_err(|error| section.refuse(key, error.to_string())).ok()
}

fn department(section: Section<'_>) -> Option<DepartmentSpec> {
    let (name, topic) = (named_department(&section, "name"), section.string("topic"));
    let shares_topic = section.boolean("shared_topic", false);
    let (hold, failover) = (section.boolean("hold", false), failover(&section));
    let line = section.place().line;
    section.finish();
    Some(DepartmentSpec { name: name?, topic, shares_topic, hold, failover, line })
}

fn failover(section: &Section<'_>) -> Option<FailoverSpec> {
    let department = section.node("failover").and_then(|_| named_department(section, "failover"));
    let after = section.integer("failover_after_s", FAILOVER_AFTER_S, 1..=FAILOVER_AFTER_S_MAX);
    if department.is_none() && section.node("failover_after_s").is_some() {
        section.refuse("failover_after_s", "needs failover = \"DEPARTMENT\" beside it");
    }
    Some(FailoverSpec { department: department?, after: Duration::from_secs(after.unsigned_abs()) })
}

fn number(section: Section<'_>) -> Option<NumberSpec> {
    let (number, default) = (section.required("number"), named_department(&section, "default"));
    let line = section.place().line;
    section.finish();
    Some(NumberSpec { number: number?, default: default?, line })
}

fn keyword(section: Section<'_>) -> Option<KeywordSpec> {
    let number = section.string("number").unwrap_or_else(|| "*".to_owned());
    let word = section.required("word");
    let aliases = section.strings("aliases").unwrap_or_default();
    let department = named_department(&section, "department");
    let mode = section.parsed("match", |word| match word {
        "word" => Ok(Mode::Word),
        "exact" => Ok(Mode::Exact),
        "prefix" => Ok(Mode::Prefix),
        _ => Err(format!("{word:?} is none of word, exact, prefix")),
    });
    let line = section.place().line;
    section.finish();
    Some(KeywordSpec { number, word: word?, aliases, department: department?, mode: mode.unwrap_or(Mode::Word), line })
}

/// `[[consent]]`: more words for a number, beside the English ones: `stop`, `start`, `help`.
fn consent(section: Section<'_>) -> Vec<ConsentSpec> {
    let number = section.string("number").unwrap_or_else(|| "*".to_owned());
    let line = section.place().line;
    let kinds = [("stop", Consent::Stop), ("start", Consent::Start), ("help", Consent::Help)];
    let specs = kinds.into_iter().filter_map(|(key, consent)| {
        let words = section.strings(key)?;
        Some(ConsentSpec { number: number.clone(), consent, words, line })
    });
    let specs = specs.collect();
    section.finish();
    specs
}

fn test(section: Section<'_>) -> Option<TestSpec> {
    let (to, text) = (section.required("to"), section.required("text"));
    let department = named_department(&section, "department");
    let keyword = section.string("keyword");
    let line = section.place().line;
    section.finish();
    Some(TestSpec { to: to?, text: text?, department: department?, keyword, line })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant, SystemTime};

    use super::*;

    #[test]
    fn an_edit_of_equal_length_and_time_changes_the_stamp() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("routes.toml");
        let edit = |content: &str| {
            std::fs::write(&path, content).expect("a file");
            let file = std::fs::File::options().write(true).open(&path).expect("the file");
            file.set_modified(SystemTime::UNIX_EPOCH).expect("its time");
        };
        edit("one");
        let routes = RoutesFile::File(path.clone());
        let before = routes.stamp();
        assert!(before.is_some() && before == routes.stamp());
        let deadline = Instant::now() + Duration::from_secs(10);
        // The file system's clock may stand still for some milliseconds.
        while routes.stamp() == before {
            assert!(Instant::now() < deadline, "the edit does not show");
            edit("two");
        }
    }
}
