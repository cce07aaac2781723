//! Named values of a request, wherever it has them: pairs of a query or form, or members of JSON.
//!
//! Comes in: a query, a form, or a JSON text. Goes out: the value of a name, decoded, borrowed where
//! nothing was escaped.
//! Always true: of two equal names the first counts; of several names for one thing the first that is
//! filled; the names are decoded once, so each look is a comparison.
//! Not here: what the names mean (`declared`, each carrier's file).

use std::borrow::Cow;

use super::form::{self, PAIRS_MAX, PAIRS_USUAL};
use super::pointer::Document;

/// Where the values of one text are.
pub enum Fields<'a> {
    /// Names without escapes, values still with them.
    Pairs(Vec<(Cow<'a, [u8]>, &'a [u8])>),
    /// A document, and its members where it has some.
    Json(Document<'a>, Vec<(Cow<'a, [u8]>, Document<'a>)>),
}

/// How names are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Case {
    #[default]
    Exact,
    Ignored,
}

impl<'a> Fields<'a> {
    /// Of a query or form.
    pub fn pairs(input: &'a [u8]) -> Self {
        let mut pairs = Vec::with_capacity(PAIRS_USUAL);
        pairs.extend(form::raw_pairs(input).take(PAIRS_MAX).map(|(name, value)| (form::decode(name), value)));
        Self::Pairs(pairs)
    }

    /// Of a JSON text.
    pub fn json(document: Document<'a>) -> Self {
        let mut members = Vec::with_capacity(PAIRS_USUAL);
        members.extend(document.members().take(PAIRS_MAX));
        Self::Json(document, members)
    }

    pub fn value(&self, name: &str, case: Case) -> Option<Cow<'a, [u8]>> {
        let is_it = |given: &[u8]| match case {
            Case::Exact => given == name.as_bytes(),
            Case::Ignored => given.eq_ignore_ascii_case(name.as_bytes()),
        };
        match self {
            Self::Pairs(pairs) => pairs.iter().find(|(given, _)| is_it(given)).map(|(_, value)| form::decode(value)),
            Self::Json(_, members) if !members.is_empty() && !name.is_empty() && !name.starts_with('/') => {
                members.iter().find(|(given, _)| is_it(given))?.1.scalar()
            }
            Self::Json(document, _) => document.at(name, case == Case::Ignored)?.scalar(),
        }
    }

    /// The first that is filled of several names for one thing; else one that is there and empty.
    pub fn first<'n>(&self, names: impl IntoIterator<Item = &'n str>, case: Case) -> Option<Cow<'a, [u8]>> {
        let mut empty = None;
        for name in names {
            match self.value(name, case) {
                Some(value) if value.is_empty() => empty = Some(value),
                Some(value) => return Some(value),
                None => {}
            }
        }
        empty
    }
}

/// A phone number as the carrier meant it: a plus that was not escaped has become a blank.
pub fn number(value: Cow<'_, [u8]>) -> String {
    let mut written = form::lossy(value);
    if written.strip_prefix(' ').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit())) {
        written.replace_range(..1, "+");
    }
    written
}

/// The same for one that must be there: `None` for an absent or empty one.
pub fn filled_number(value: Option<Cow<'_, [u8]>>) -> Option<String> {
    value.filter(|bytes| !bytes.trim_ascii().is_empty()).map(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_filled_of_several_names_counts() {
        let fields = Fields::pairs(b"a=&b=1&b=2&C=3&d=%20+e");
        let first = |names: &[&str]| fields.first(names.iter().copied(), Case::Exact).map(Cow::into_owned);
        assert_eq!(first(&["a", "b"]), Some(b"1".to_vec()));
        assert_eq!(first(&["x", "a"]), Some(Vec::new()));
        assert_eq!(first(&["c"]), None);
        assert_eq!(first(&["d"]), Some(b"  e".to_vec()));
        assert_eq!(fields.value("c", Case::Ignored).as_deref(), Some(&b"3"[..]));
    }

    #[test]
    fn a_plus_that_was_not_escaped_is_a_plus() {
        for (written, meant) in
            [("+44 1", "+44 1"), (" 44", "+44"), (" MTN", " MTN"), ("( 44)7", "( 44)7"), ("  44", "  44"), ("", "")]
        {
            assert_eq!(number(Cow::Borrowed(written.as_bytes())), meant, "{written}");
        }
    }
}
