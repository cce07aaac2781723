//! A settings file as a tree whose every value knows where it was written, with the environment's
//! overrides laid over it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

/// Before the name of every override.
const OVERRIDE_PREFIX: &str = "SMS_ROUTER__";

/// Sections whose tables the user names.
const NAMED: [&str; 2] = ["ACCOUNTS", "DEPARTMENTS"];

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file as the user named it, "built-in sample", or "environment".
    pub file: Arc<str>,
    /// From 1; 0 for what has no line.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

/// One thing wrong with the settings: where, which key, why and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub place: Place,
    /// Dotted; empty when the whole file is meant.
    pub key: String,
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}: {}", self.place, self.reason),
            key => write!(f, "{}: {key}: {}", self.place, self.reason),
        }
    }
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    pub value: Value,
    pub place: Place,
}

#[derive(Debug, Clone)]
pub enum Value {
    String(String),
    Integer(i64),
    Boolean(bool),
    Array(Vec<Node>),
    Table(BTreeMap<String, Node>),
    /// From the environment: becomes what the key asks for.
    Override(String),
    /// A float or a date: no setting is one.
    Other(&'static str),
}

impl Value {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) => "a whole number",
            Self::Boolean(_) => "true or false",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
            Self::Override(_) => "a text from the environment (there a table is written { … }, a list [ … ])",
            Self::Other(kind) => kind,
        }
    }
}

/// The text of a settings file; bytes that are no text are told with their line.
pub fn text(file: &Arc<str>, bytes: Vec<u8>) -> Result<String, Problem> {
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        let reason = "not UTF-8: write the file anew in that encoding".to_owned();
        Problem { place: Place { file: file.clone(), line }, key: String::new(), reason }
    })
}

/// Parses TOML. Where the syntax is wrong nothing of the file is known, so that is one problem.
pub fn parse(file: &Arc<str>, text: &str) -> Result<Node, Problem> {
    parse_parts(file, text, &[])
}

/// The same where lines were left out of `text`: from which byte on, and how many up to there.
pub fn parse_parts(file: &Arc<str>, text: &str, left_out: &[(usize, usize)]) -> Result<Node, Problem> {
    let source = Source::of(file, text, left_out);
    let table = DeTable::parse(text).map_err(|error| Problem {
        place: source.place(error.span().map_or(0, |span| span.start)),
        key: String::new(),
        reason: format!("not TOML: {}", complaint(&error, text)),
    })?;
    Ok(Node { place: source.place(0), value: source.convert_table(table.get_ref()) })
}

/// What the parser says, and which key it means where it says so only by the place. Values stay untold.
fn complaint(error: &toml::de::Error, text: &str) -> String {
    let key = error.span().and_then(|span| text.get(span)).filter(|_| error.message() == "duplicate key");
    key.map_or_else(|| error.message().to_owned(), |key| format!("the key {key} is written twice"))
}

/// A file's name and where its lines begin: a table of keywords has many places to tell.
struct Source<'a> {
    file: &'a Arc<str>,
    line_starts: Vec<usize>,
    left_out: &'a [(usize, usize)],
}

impl<'a> Source<'a> {
    fn of(file: &'a Arc<str>, text: &str, left_out: &'a [(usize, usize)]) -> Self {
        let after_newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { file, line_starts: std::iter::once(0).chain(after_newlines).collect(), left_out }
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let left_out = self.left_out.partition_point(|(from, _)| *from <= offset);
        let left_out = left_out.checked_sub(1).map_or(0, |last| self.left_out[last].1);
        Place { file: self.file.clone(), line: line + left_out }
    }

    fn convert_table(&self, table: &DeTable<'_>) -> Value {
        let entries = table.iter().map(|(key, value)| {
            // A table's place is its header, which is where its key stands.
            let node = Node { place: self.place(key.span().start), value: self.convert(value.get_ref()) };
            (key.get_ref().to_string(), node)
        });
        Value::Table(entries.collect())
    }

    fn convert(&self, value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(string) => Value::String(string.to_string()),
            DeValue::Integer(integer) => i64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix())
                .map_or(Value::Other("a number out of range"), Value::Integer),
            DeValue::Boolean(boolean) => Value::Boolean(*boolean),
            DeValue::Float(_) => Value::Other("a number with a fraction"),
            DeValue::Datetime(_) => Value::Other("a date"),
            DeValue::Array(items) => {
                let node = |item: &toml::Spanned<DeValue<'_>>| Node {
                    place: self.place(item.span().start),
                    value: self.convert(item.get_ref()),
                };
                Value::Array(items.iter().map(node).collect())
            }
            DeValue::Table(table) => self.convert_table(table),
        }
    }
}

/// Lays `SMS_ROUTER__SECTION__KEY=value` over the tree; a table or a list is written as in the file. A part of a name stands for an existing key
/// that it equals in upper case with `-` as `_`; two such keys make the name ambiguous.
pub fn overlay<'a>(
    root: &mut Node,
    environment: impl Iterator<Item = (&'a str, &'a str)>,
    problems: &mut Vec<Problem>,
) {
    for (name, value) in environment {
        let Some(path) = name.strip_prefix(OVERRIDE_PREFIX) else { continue };
        if let Err(reason) = lay(root, path, name, value) {
            let place = Place { file: format!("environment {name}").into(), line: 0 };
            problems.push(Problem { place, key: String::new(), reason });
        }
    }
}

fn lay(root: &mut Node, path: &str, name: &str, value: &str) -> Result<(), String> {
    let place = Place { file: format!("environment {name}").into(), line: 0 };
    let (mut node, mut below) = (root, "");
    for part in path.split("__") {
        if part.is_empty() {
            return Err("a part of the name is empty; write SMS_ROUTER__SECTION__KEY".to_owned());
        }
        let kind = node.value.kind();
        let Value::Table(table) = &mut node.value else {
            return Err(format!("{part} is below a key that holds {kind}"));
        };
        let key = match existing_key(table, part)? {
            Some(key) => key,
            // Names of accounts and departments have no underscore: one stands for their hyphen.
            None if NAMED.contains(&below) => part.to_ascii_lowercase().replace('_', "-"),
            None => part.to_ascii_lowercase(),
        };
        below = part;
        node = table.entry(key).or_insert_with(|| Node { place: place.clone(), value: Value::Table(BTreeMap::new()) });
    }
    let value = overriding(&place, value)?;
    *node = Node { place, value };
    Ok(())
}

/// What a variable says: TOML where it begins as a table or a list does, else what the key will ask for.
fn overriding(place: &Place, written: &str) -> Result<Value, String> {
    let written = written.trim();
    if !written.starts_with(['{', '[']) || is_ipv6_address(written) {
        return Ok(Value::Override(written.to_owned()));
    }
    let text = format!("value = {written}");
    let refuse = |why: &str| format!("begins as a table or a list does, and is not one as TOML writes it: {why}");
    let table = DeTable::parse(&text).map_err(|error| refuse(error.message()))?;
    // A line break within would begin a key of its own.
    match (table.get_ref().len(), table.get_ref().get("value")) {
        (1, Some(value)) => {
            Ok(Source { file: &place.file, line_starts: Vec::new(), left_out: &[] }.convert(value.get_ref()))
        }
        _ => Err(refuse("more follows it")),
    }
}

/// `[2001:db8::1]`, as it begins an address with a port.
fn is_ipv6_address(written: &str) -> bool {
    let inside = written.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    inside.is_some_and(|(address, _)| address.parse::<std::net::Ipv6Addr>().is_ok())
}

fn existing_key(table: &BTreeMap<String, Node>, part: &str) -> Result<Option<String>, String> {
    let folded = |key: &str| key.to_ascii_uppercase().replace('-', "_");
    let mut matching = table.keys().filter(|key| folded(key) == part.to_ascii_uppercase());
    match (matching.next(), matching.next()) {
        (Some(one), Some(other)) => {
            Err(format!("{part} could be {one} or {other}: ambiguous; set the key in the file instead"))
        }
        (one, _) => Ok(one.cloned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlaid(name: &str, value: &str) -> (Node, Vec<Problem>) {
        let text = "[accounts.demo]\nsecrets = [{ file = \"old\" }]\n[inbound]\nlisten = \"127.0.0.1:1\"\n";
        let mut root = parse(&"settings".into(), text).expect("TOML");
        let mut problems = Vec::new();
        overlay(&mut root, std::iter::once((name, value)), &mut problems);
        (root, problems)
    }

    fn at<'a>(mut node: &'a Node, path: &str) -> &'a Node {
        for key in path.split('.') {
            let Value::Table(table) = &node.value else { panic!("{path}: {key} is in no table") };
            node = &table[key];
        }
        node
    }

    #[test]
    fn a_variable_can_hold_a_table_or_a_list() {
        let (root, problems) =
            overlaid("SMS_ROUTER__ACCOUNTS__DEMO__SECRETS", " [{ file = \"new\" }, { env = \"X\" }] ");
        assert_eq!(problems, []);
        let secrets = at(&root, "accounts.demo.secrets");
        let Value::Array(items) = &secrets.value else { panic!("{secrets:?}") };
        assert!(matches!(&at(&items[0], "file").value, Value::String(path) if path == "new"), "{items:?}");
        assert_eq!(at(&items[1], "env").place.to_string(), "environment SMS_ROUTER__ACCOUNTS__DEMO__SECRETS");
        let (root, problems) = overlaid("SMS_ROUTER__ACCOUNTS", "{ other = { carrier = \"generic\" } }");
        assert_eq!(problems, []);
        assert!(matches!(&at(&root, "accounts.other.carrier").value, Value::String(word) if word == "generic"));
    }

    #[test]
    fn addresses_are_no_lists_and_what_is_no_toml_is_told_without_its_value() {
        for value in ["[::1]:8080", "[2001:db8::1]:9092,[2001:db8::2]:9092", "plain"] {
            let (root, problems) = overlaid("SMS_ROUTER__INBOUND__LISTEN", value);
            assert_eq!(problems, []);
            assert!(matches!(&at(&root, "inbound.listen").value, Value::Override(text) if text == value), "{value}");
        }
        for value in ["[{ file = \"hush\" }", "{ file: hush }", "[1]\nhush = 2"] {
            let (_, problems) = overlaid("SMS_ROUTER__ACCOUNTS__DEMO__SECRETS", value);
            let [problem] = problems.as_slice() else { panic!("{problems:?}") };
            let told = problem.to_string();
            assert!(told.starts_with("environment SMS_ROUTER__ACCOUNTS__DEMO__SECRETS: begins as a table"), "{told}");
            assert!(!told.contains("hush"), "{told}");
        }
    }

    #[test]
    fn what_is_no_text_or_is_written_twice_is_told_with_line_and_name() {
        let file: Arc<str> = "settings".into();
        let problem = text(&file, b"one = 1\ntwo = \"\xff\"\n".to_vec()).expect_err("not UTF-8");
        assert_eq!(problem.to_string(), "settings:2: not UTF-8: write the file anew in that encoding");
        let problem = parse(&file, "one = 1\n\none = 2\n").expect_err("twice");
        assert_eq!(problem.to_string(), "settings:3: not TOML: the key one is written twice");
    }
}
