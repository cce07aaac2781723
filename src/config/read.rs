//! Reading sections: every key is asked for once, every problem is kept, what nobody asked for is
//! reported as unknown.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::document::{Node, Place, Problem, Value};

pub const HOUR: Duration = Duration::from_secs(3600);
pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// Problems found so far; shared by all sections of a file.
#[derive(Default)]
pub struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub fn push(&self, place: &Place, key: impl Into<String>, reason: impl Into<String>) {
        self.0.borrow_mut().push(Problem { place: place.clone(), key: key.into(), reason: reason.into() });
    }

    pub fn extend(&self, problems: Vec<Problem>) {
        self.0.borrow_mut().extend(problems);
    }

    pub fn into_vec(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}

/// One table of a settings file, perhaps absent. Dropping it without `finish` leaves unknown keys
/// unreported, so every reader ends with it.
pub struct Section<'a> {
    path: String,
    place: Place,
    table: Option<&'a BTreeMap<String, Node>>,
    asked: RefCell<BTreeSet<&'static str>>,
    problems: &'a Problems,
}

impl<'a> Section<'a> {
    pub fn root(node: &'a Node, problems: &'a Problems) -> Self {
        Self::of(String::new(), node, problems)
    }

    fn of(path: String, node: &'a Node, problems: &'a Problems) -> Self {
        let table = match &node.value {
            Value::Table(table) => Some(table),
            other => {
                problems.push(&node.place, path.clone(), format!("must be a table, not {}", other.kind()));
                None
            }
        };
        Self { path, place: node.place.clone(), table, asked: RefCell::default(), problems }
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    pub fn is_present(&self) -> bool {
        self.table.is_some()
    }

    /// Where a key stands, or its section when it is absent.
    pub fn place_of(&self, key: &str) -> Place {
        self.table.and_then(|table| table.get(key)).map_or_else(|| self.place.clone(), |node| node.place.clone())
    }

    /// The dotted name of a key; of the section itself when that is empty.
    pub fn key(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    /// Notes a problem of one key.
    pub fn refuse(&self, key: &str, reason: impl Into<String>) {
        self.problems.push(&self.place_of(key), self.key(key), reason);
    }

    /// Notes a problem of one value within a key.
    pub fn refuse_at(&self, place: &Place, key: &str, reason: impl Into<String>) {
        self.problems.push(place, self.key(key), reason);
    }

    pub fn node(&self, key: &'static str) -> Option<&'a Node> {
        self.asked.borrow_mut().insert(key);
        self.table?.get(key)
    }

    pub fn string(&self, key: &'static str) -> Option<String> {
        let node = self.node(key)?;
        match &node.value {
            Value::String(string) | Value::Override(string) => Some(string.clone()),
            other => {
                self.refuse(key, format!("must be a string, not {}", other.kind()));
                None
            }
        }
    }

    /// A string that must be there.
    pub fn required(&self, key: &'static str) -> Option<String> {
        if self.node(key).is_none() {
            self.problems.push(&self.place, self.key(key), "is missing and has no default");
            return None;
        }
        self.string(key)
    }

    /// A string read by `parse`, whose error says what would be right.
    pub fn parsed<T>(&self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let string = self.string(key)?;
        match parse(&string) {
            Ok(value) => Some(value),
            Err(reason) => {
                self.refuse(key, reason);
                None
            }
        }
    }

    pub fn boolean(&self, key: &'static str, default: bool) -> bool {
        let Some(node) = self.node(key) else { return default };
        match &node.value {
            Value::Boolean(boolean) => *boolean,
            Value::Override(string) if string == "true" => true,
            Value::Override(string) if string == "false" => false,
            Value::Override(_) => {
                self.refuse(key, "must be true or false");
                default
            }
            other => {
                self.refuse(key, format!("must be true or false, not {}", other.kind()));
                default
            }
        }
    }

    /// A whole number within `range`.
    pub fn integer(&self, key: &'static str, default: i64, range: RangeInclusive<i64>) -> i64 {
        let Some(node) = self.node(key) else { return default };
        let integer = match &node.value {
            Value::Integer(integer) => Some(*integer),
            Value::Override(string) => string.trim().parse().ok(),
            _ => None,
        };
        match integer.filter(|integer| range.contains(integer)) {
            Some(integer) => integer,
            None => {
                self.refuse(key, format!("must be a whole number from {} to {}", range.start(), range.end()));
                default
            }
        }
    }

    pub fn count(&self, key: &'static str, default: usize, range: RangeInclusive<i64>) -> usize {
        let default_integer = i64::try_from(default).unwrap_or(i64::MAX);
        usize::try_from(self.integer(key, default_integer, range)).unwrap_or(default)
    }

    /// Milliseconds.
    pub fn milliseconds(&self, key: &'static str, default: Duration, range: RangeInclusive<i64>) -> Duration {
        let default_ms = i64::try_from(default.as_millis()).unwrap_or(i64::MAX);
        u64::try_from(self.integer(key, default_ms, range)).map_or(default, Duration::from_millis)
    }

    pub fn strings(&self, key: &'static str) -> Option<Vec<String>> {
        let node = self.node(key)?;
        match &node.value {
            Value::Override(string) => Some(string.split(',').map(|item| item.trim().to_owned()).collect()),
            Value::Array(items) => Some(items.iter().filter_map(|item| self.string_item(key, item)).collect()),
            other => {
                self.refuse(key, format!("must be a list of strings, not {}", other.kind()));
                None
            }
        }
    }

    fn string_item(&self, key: &str, item: &Node) -> Option<String> {
        match &item.value {
            Value::String(string) => Some(string.clone()),
            other => {
                self.problems.push(&item.place, self.key(key), format!("holds {}, not a string", other.kind()));
                None
            }
        }
    }

    /// The table below `key`; one that is absent reads as empty.
    pub fn section(&self, key: &'static str) -> Section<'a> {
        match self.node(key) {
            Some(node) => Section::of(self.key(key), node, self.problems),
            None => Section {
                path: self.key(key),
                place: self.place.clone(),
                table: None,
                asked: RefCell::default(),
                problems: self.problems,
            },
        }
    }

    /// The tables below `key` whose names the user chose, as `[accounts.NAME]`.
    pub fn named(&self, key: &'static str) -> Vec<(&'a str, Section<'a>)> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let Value::Table(table) = &node.value else {
            self.refuse(key, format!("must be a table of tables, not {}", node.value.kind()));
            return Vec::new();
        };
        let section = |(name, node): (&'a String, &'a Node)| {
            (name.as_str(), Section::of(format!("{}.{name}", self.key(key)), node, self.problems))
        };
        table.iter().map(section).collect()
    }

    /// The tables of `[[key]]`, or of a list of inline tables.
    pub fn list(&self, key: &'static str) -> Vec<Section<'a>> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let Value::Array(items) = &node.value else {
            self.refuse(key, format!("must be a list of tables, not {}", node.value.kind()));
            return Vec::new();
        };
        let section = |(index, item)| Section::of(format!("{}[{index}]", self.key(key)), item, self.problems);
        items.iter().enumerate().map(section).collect()
    }

    /// Key and value of every entry, all strings: for tables handed on to a library.
    pub fn properties(&self, key: &'static str) -> BTreeMap<String, String> {
        let Some(node) = self.node(key) else { return BTreeMap::new() };
        let Value::Table(table) = &node.value else {
            self.refuse(key, format!("must be a table of strings, not {}", node.value.kind()));
            return BTreeMap::new();
        };
        let text = |value: &Value| match value {
            Value::String(string) | Value::Override(string) => Some(string.clone()),
            Value::Integer(integer) => Some(integer.to_string()),
            Value::Boolean(boolean) => Some(boolean.to_string()),
            Value::Array(_) | Value::Table(_) | Value::Other(_) => None,
        };
        let mut properties = BTreeMap::new();
        for (name, node) in table {
            match text(&node.value) {
                Some(value) => drop(properties.insert(name.clone(), value)),
                None => self.problems.push(&node.place, self.key(key), format!("{name:?} must be a string")),
            }
        }
        properties
    }

    /// Reports the keys that nobody asked for.
    pub fn finish(self) {
        let Some(table) = self.table else { return };
        let asked = self.asked.borrow();
        for (key, node) in table {
            if !asked.contains(key.as_str()) {
                let known = asked.iter().copied().collect::<Vec<_>>().join(", ");
                self.problems.push(&node.place, self.key(key), format!("is not a setting; known here: {known}"));
            }
        }
    }
}
