//! A JSON text as a tree to point into (RFC 6901), without building the tree.
//!
//! Comes in: a request's body. Goes out: the value a pointer leads to, borrowed, and the elements of a
//! list.
//! Always true: what is pointed into is well-formed; strings are bytes (lone surrogates in WTF-8), so a
//! text is never refused over its characters; each look costs at most linear time a step.
//! Not here: what the values mean.

use std::borrow::Cow;

use memchr::{memchr, memchr2};
use serde::de::IgnoredAny;

use super::json::Raw;
use crate::carrier::Malformed;

/// What some programs write before UTF-8, and what is no part of it.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One value of a well-formed JSON text, without the blanks around it.
#[derive(Clone, Copy)]
pub struct Document<'a>(&'a [u8]);

impl<'a> Document<'a> {
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
        serde_json::from_slice::<IgnoredAny>(body).map_err(|_| Malformed("not JSON"))?;
        Ok(Self(body.trim_ascii()))
    }

    /// The value at a pointer: `/a/0/b`, or "" for the whole. A name that does not begin with a slash is a
    /// member's. Of two equal names the first counts.
    pub fn at(self, pointer: &str, ignore_case: bool) -> Option<Self> {
        match pointer.strip_prefix('/') {
            Some(path) => path.split('/').try_fold(self, |value, token| value.child(&unescaped(token), ignore_case)),
            None if pointer.is_empty() => Some(self),
            None => self.child(pointer, ignore_case),
        }
    }

    /// A string's bytes, or a number or truth value as written. Nothing for null and for what holds others.
    pub fn scalar(self) -> Option<Cow<'a, [u8]>> {
        match self.0.first()? {
            b'"' if memchr(b'\\', self.0).is_none() => Some(Cow::Borrowed(&self.0[1..self.0.len() - 1])),
            b'"' => serde_json::from_slice::<Raw<'a>>(self.0).ok().map(|raw| raw.0),
            b'{' | b'[' | b'n' => None,
            _ => Some(Cow::Borrowed(self.0)),
        }
    }

    /// As it is written.
    pub fn json(self) -> &'a [u8] {
        self.0
    }

    /// The elements of a list; nothing for what is no list.
    pub fn elements(self) -> Option<impl Iterator<Item = Self>> {
        self.0.starts_with(b"[").then_some(Values { json: self.0, at: 1 })
    }

    /// The members of an object, names without escapes; nothing for what is no object.
    pub fn members(self) -> impl Iterator<Item = (Cow<'a, [u8]>, Self)> {
        let mut values = self.0.starts_with(b"{").then_some(Values { json: self.0, at: 1 });
        std::iter::from_fn(move || {
            let values = values.as_mut()?;
            let (name, value) = (values.next()?, values.next()?);
            Some((name.scalar()?, value))
        })
    }

    fn child(self, token: &str, ignore_case: bool) -> Option<Self> {
        if self.0.starts_with(b"[") {
            return self.elements()?.nth(token.parse().ok()?);
        }
        let is_it =
            |name: &[u8]| *name == *token.as_bytes() || (ignore_case && name.eq_ignore_ascii_case(token.as_bytes()));
        self.members().find(|(name, _)| is_it(name)).map(|(_, value)| value)
    }
}

/// A token of a pointer without its escapes.
fn unescaped(token: &str) -> Cow<'_, str> {
    if token.contains('~') { Cow::Owned(token.replace("~1", "/").replace("~0", "~")) } else { Cow::Borrowed(token) }
}

/// The values that stand in a list or an object, names among them, in order.
struct Values<'a> {
    json: &'a [u8],
    /// Behind the opening bracket, or behind a value.
    at: usize,
}

impl<'a> Iterator for Values<'a> {
    type Item = Document<'a>;

    fn next(&mut self) -> Option<Document<'a>> {
        let is_between = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b':');
        let rest = self.json.get(self.at..)?;
        let value = &rest[rest.iter().position(|byte| !is_between(byte))?..];
        if matches!(value[0], b']' | b'}') {
            return None;
        }
        let length = value_length(value);
        self.at = self.json.len() - value.len() + length;
        Some(Document(&value[..length]))
    }
}

/// How far the value reaches that begins here.
fn value_length(json: &[u8]) -> usize {
    match json[0] {
        b'"' => string_length(json),
        b'{' | b'[' => nested_length(json),
        _ => json.iter().position(|byte| matches!(byte, b',' | b']' | b'}') || byte.is_ascii_whitespace()),
    }
    .unwrap_or(json.len())
}

/// The same for a string, its quotes included.
fn string_length(json: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr2(b'"', b'\\', json.get(at..)?)?;
        if json[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The same for a list or an object.
fn nested_length(json: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        match json.get(at)? {
            b'"' => at += string_length(&json[at..])?,
            b'{' | b'[' => (at, depth) = (at + 1, depth + 1),
            b'}' | b']' if depth == 1 => return Some(at + 1),
            b'}' | b']' => (at, depth) = (at + 1, depth - 1),
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = r#" {"a": {"b": [1, {"c": "x\"]}"}, [ ] ,null, true]}, "a/b~": "\ud83d", "A": -2.5e3, "a": 0,
        "\u0065": "escaped name", "": "no name"} "#;

    fn check(pointer: &str, ignore_case: bool, expected: Option<&[u8]>) {
        let found = Document::parse(TREE.as_bytes()).expect("JSON").at(pointer, ignore_case);
        assert_eq!(found.and_then(Document::scalar).as_deref(), expected, "{pointer}");
    }

    #[test]
    fn a_pointer_leads_to_its_value() {
        check("/a/b/0", false, Some(b"1"));
        check("/a/b/1/c", false, Some(b"x\"]}"));
        check("/a/b/4", false, Some(b"true"));
        check("/a~1b~0", false, Some(b"\xed\xa0\xbd"));
        check("A", false, Some(b"-2.5e3"));
        check("/e", false, Some(b"escaped name"));
        check("/E", true, Some(b"escaped name"));
        check("/", false, Some(b"no name"));
    }

    #[test]
    fn what_is_not_there_or_no_word_is_nothing() {
        for pointer in ["/a", "/a/b", "/a/b/2", "/a/b/3", "/a/b/5", "/a/b/x", "/a/b/-1", "/b", "/E", "/A/b", "/a/c", ""]
        {
            check(pointer, false, None);
        }
        for broken in ["", "{", "{\"a\":1,}", "{'a':1}", "[1] x", "\"a\nb\"", "01"] {
            assert!(Document::parse(broken.as_bytes()).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_list_has_its_elements() {
        let count = |json: &'static str| Some(Document::parse(json.as_bytes()).expect("JSON").elements()?.count());
        for (json, expected) in [("[]", Some(0)), (" [ 1 , [2,3],{\"a\":\"]\"} ]", Some(3)), ("{}", None), ("7", None)]
        {
            assert_eq!(count(json), expected, "{json}");
        }
        assert!(Document::parse(b"\xef\xbb\xbf[]").is_ok());
    }

    proptest::proptest! {
        /// The judge is serde_json, where it can hold the value at all.
        #[test]
        fn members_and_elements_are_found_as_serde_finds_them(json in "[\\[\\]{}\",:a01\\\\ e.-]{0,24}", pointer in "(/[a01]{0,1}){0,3}") {
            if let (Ok(document), Ok(value)) =
                (Document::parse(json.as_bytes()), serde_json::from_str::<serde_json::Value>(&json))
            {
                // Of equal names serde keeps the last; those are rows above.
                let ours = document.at(&pointer, false).map(|found| found.0.first() == Some(&b'"'));
                let theirs = value.pointer(&pointer).map(serde_json::Value::is_string);
                if json.matches('a').count() < 2 && !json.contains("\"\"") {
                    proptest::prop_assert_eq!(ours, theirs);
                }
            }
        }
    }
}
