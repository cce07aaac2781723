//! `routes.toml`: the keyword table as it was written, ready to be built.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;

use crate::keyword::{
    ConsentSpec, DepartmentSpec, Expected, FailoverSpec, KeywordSpec, Mode, NumberSpec, Spec, TestSpec,
};
use crate::message::{Consent, Country, DepartmentName, Several};

use super::document::{self, Place, Problem};
use super::file::{Stamp, read_regular};
use super::read::{Problems, Section};
use super::sample;
use super::stanzas;

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
        let Self::File(path) = self else { return None };
        Stamp::of(path)
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
    let spec = plain(name, text, country).map_or_else(|| whole(name, text, country), Ok)?;
    Ok(Spec { version: version(text), ..spec })
}

/// A file in which every keyword is as it should be and stands in a table of its own, as is usual; a quarter of the
/// time and a tenth of the memory. `None` for any other: `whole` says the same of it, or what is wrong.
fn plain(name: &Arc<str>, text: &str, country: Country) -> Option<Spec> {
    let (keywords, rest) = stanzas::read(text)?;
    let root = document::parse_parts(name, &rest.text, &rest.left_out).ok()?;
    let problems = Problems::default();
    let section = Section::root(&root, &problems);
    if section.node(stanzas::KEYWORD).is_some() {
        return None;
    }
    let spec = read(section, country);
    problems.into_vec().is_empty().then_some(Spec { keywords, ..spec })
}

fn whole(name: &Arc<str>, text: &str, country: Country) -> Result<Spec, Vec<Problem>> {
    let root = document::parse(name, text).map_err(|problem| vec![problem])?;
    let problems = Problems::default();
    let spec = read(Section::root(&root, &problems), country);
    let problems = problems.into_vec();
    if problems.is_empty() { Ok(spec) } else { Err(problems) }
}

/// All but the version.
fn read(section: Section<'_>, country: Country) -> Spec {
    let spec = Spec {
        departments: section.list("department").into_iter().filter_map(department).collect(),
        numbers: section.list("number").into_iter().filter_map(number).collect(),
        keywords: section.list("keyword").into_iter().filter_map(keyword).collect(),
        consent: section.list("consent").into_iter().flat_map(consent).collect(),
        tests: section.list("test").into_iter().filter_map(test).collect(),
        fold_accents: section.boolean("fold_accents", true),
        version: Arc::default(),
        country,
    };
    section.finish();
    spec
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
    let named = departments(&section);
    let mode = section.parsed("match", |word| match word {
        "word" => Ok(Mode::Word),
        "exact" => Ok(Mode::Exact),
        "prefix" => Ok(Mode::Prefix),
        _ => Err(format!("{word:?} is none of word, exact, prefix")),
    });
    let line = section.place().line;
    section.finish();
    let (word, mode) = (word?.into(), mode.unwrap_or(Mode::Word));
    let (department, departments) = named?;
    Some(KeywordSpec { number: number.into(), word, aliases, department, departments, mode, line })
}

/// `department`, or the first of `departments` and all of them.
fn departments(section: &Section<'_>) -> Option<(DepartmentName, Several)> {
    if section.node("departments").is_none() {
        return Some((named_department(section, "department")?, None));
    }
    let names = several(section);
    Some((names.first()?.clone(), Some(names.into())))
}

/// `departments`, in place of `department`. As many as are names.
fn several(section: &Section<'_>) -> Vec<DepartmentName> {
    if section.node("department").is_some() {
        section.refuse("departments", "stands beside department: say one of them");
    }
    let written = section.strings("departments").unwrap_or_default();
    if written.is_empty() {
        section.refuse("departments", "must be a list that names a department");
    }
    let name = |name: &String| {
        let name = DepartmentName::parse(name);
        name.map_err(|error| section.refuse("departments", error.to_string())).ok()
    };
    written.iter().filter_map(name).collect()
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
    let expected = match section.node("departments") {
        Some(_) => Some(Expected::Exactly(several(&section))),
        None => named_department(&section, "department").map(Expected::Among),
    };
    let keyword = section.string("keyword");
    let line = section.place().line;
    section.finish();
    Some(TestSpec { to: to?, text: text?, expected: expected?, keyword, line })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::time::{Duration, Instant, SystemTime};

    use proptest::prelude::*;

    use super::*;

    /// How many of `PIECES` are good.
    const USUAL: usize = 8;
    /// Lines that routes may be made of, good ones first; some change what those around them mean.
    const PIECES: &[&str] = &[
        "[[keyword]]\nword = \"ice\"\ndepartment = \"d\"\n",
        "[[keyword]] # winter\nword = 'snow \u{e9}'\r\ndepartment = \"d\"\nmatch = \"exact\"\n\n",
        "[[keyword]]\nword = \"flood\"\ndepartments = [\n  \"d\", 'e', # both\n]\n",
        "[[keyword]]\ndepartment = \"d\"\naliases = [\n  \"a\", # one\n  \"\\u0062\",\n]\nword = \"b\"\nnumber = \"1\"\n",
        "[[department]]\nname = \"d\"\n",
        "[[number]]\nnumber = \"*\"\ndefault = \"d\"\n",
        "[[test]]\nto = \"1\"\ntext = \"\"\"\n[[keyword]]\n\"\"\"\ndepartment = \"d\"\n",
        "# a line\n\n",
        "[[keyword]]\n",
        "word = \"a\"\n",
        "word = \"\"\"\n[[keyword]]\"\"\"\n",
        "department = \"d\"\n",
        "department = \"D\"\n",
        "departments = [\"d\", \"e\"]\n",
        "departments = [\"D\"]\n",
        "departments = []\n",
        "departments = \"d\"\n",
        "match = \"prefix\"\n",
        "match = \"some\"\n",
        "aliases = [\"a\"]\n",
        "aliases = \"a\"\n",
        "aliases = [[\"a\"]]\n",
        "fold_accents = false\n",
        "[[ keyword ]]\n",
        "  [[keyword]]\n",
        "[keyword]\n",
        "[[keyword.more]]\n",
        "keyword = []\n",
        "x = [\n",
        "]\n",
        "[ \"c\" ]\n",
        "x = {\n",
        "}\n",
        "x =\n",
        "word = 1\n",
        "word = \"\\q\"\n",
        "word.x = \"a\"\n",
        "\"word\" = \"a\"\n",
        "word = \"a\" match = \"exact\"\n",
        "# \u{1}\n",
        "\r",
        "\u{feff}",
        "\"\"\"\n",
    ];

    fn file() -> Arc<str> {
        "routes.toml".into()
    }

    proptest! {
        #[test]
        fn what_the_short_way_reads_the_long_way_reads_alike(
            start in proptest::collection::vec(proptest::sample::select(&PIECES[..USUAL]), 0..4),
            odd in proptest::sample::select(PIECES),
            end in proptest::collection::vec(proptest::sample::select(&PIECES[..USUAL]), 0..3),
            more in proptest::collection::vec(proptest::sample::select(PIECES), 0..4),
        ) {
            let text = [start, vec![odd], end, more].concat().concat();
            if let Some(short) = plain(&file(), &text, Country::GB) {
                let long = whole(&file(), &text, Country::GB);
                prop_assert_eq!(Ok(format!("{short:?}")), long.map(|spec| format!("{spec:?}")), "{}", text);
            }
        }
    }

    #[test]
    fn usual_routes_are_read_the_short_way() {
        let text = PIECES[..USUAL].concat();
        let spec = plain(&file(), &text, Country::GB).expect("nothing is odd in it");
        let lines: Vec<_> = spec.keywords.iter().map(|keyword| (&*keyword.word, keyword.line)).collect();
        assert_eq!(lines, [("ice", 1), ("snow \u{e9}", 4), ("flood", 9), ("b", 14)]);
        let flood = spec.keywords[2].every_department().iter().map(DepartmentName::as_str).collect::<Vec<_>>();
        assert_eq!((flood, spec.keywords[2].department.as_str()), (vec!["d", "e"], "d"));
        assert!(plain(&file(), sample::ROUTES, Country::GB).is_some());
    }

    #[test]
    fn one_bad_keyword_among_many_is_told_with_its_line() {
        let mut text = "[[department]]\nname = \"d\"\n".to_owned();
        for index in 0..3_000 {
            write!(text, "[[keyword]]\nword = \"w{index}\"\ndepartment = \"d\"\n").expect("room");
        }
        let good = parse(&file(), &text, Country::GB).expect("good so far");
        assert_eq!((good.keywords.len(), good.keywords[2_999].line), (3_000, 9_000));
        for (from, to, told) in [
            (
                "word = \"w2000\"",
                "word = 7",
                "routes.toml:6004: keyword[2000].word: must be a string, not a whole number",
            ),
            ("word = \"w2000\"", "wrd = \"w\"", "routes.toml:6003: keyword[2000].word: is missing and has no default"),
            ("word = \"w2000\"", "word = \"w", "routes.toml:6004: not TOML: invalid basic string, expected `\"`"),
        ] {
            let problems = parse(&file(), &text.replace(from, to), Country::GB).expect_err("bad");
            assert_eq!(problems[0].to_string(), told);
        }
    }

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
