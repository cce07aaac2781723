//! Strings of JSON as bytes: a reader of UTF-8 would refuse a whole request for half a character.
//!
//! Comes in: a JSON string, perhaps with lone surrogates or bytes that are not UTF-8; one object or an
//! array of them. Goes out: the string's bytes after the escapes (lone surrogates in WTF-8), borrowed
//! where nothing was escaped; the objects; and back.
//! Always true: what `write` wrote, `Raw` reads as the same bytes; an array is bounded, a text's own lists
//! (`First`) far tighter than a batch.
//! Not here: what the strings mean; making text of them (`charset`).

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Most texts, or events, in one request: what is read takes several times the memory of its JSON.
pub const BATCH_MAX: usize = 2_000;

/// The bytes of a JSON string after its escapes: UTF-8, or what could not be made so.
pub struct Raw<'a>(pub Cow<'a, [u8]>);

/// Reads a `Raw`: asked for bytes, serde_json checks neither UTF-8 nor surrogates.
struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_bytes<E: de::Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Raw(Cow::Borrowed(bytes)))
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(Raw(Cow::Owned(bytes.to_vec())))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(RawVisitor)
    }
}

/// A JSON object, or an array of them.
pub enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    pub fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// Reads a `OneOrMany`. By hand, since serde's untagged enums copy every string and refuse lone surrogates.
struct Either<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array of them")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(OneOrMany::One)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut many = Vec::new();
        while let Some(one) = sequence.next_element()? {
            if many.len() == BATCH_MAX {
                return Err(de::Error::custom("too many in one request"));
            }
            many.push(one);
        }
        Ok(OneOrMany::Many(many))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either(std::marker::PhantomData))
    }
}

/// Most elements of a list within one text: its media, its recipients. No carrier sends as many, and an
/// element takes ten times the memory of the shortest JSON for it.
pub const LIST_MAX: usize = 32;

/// The first `LIST_MAX` elements of a list, or one element alone; the others are passed over. None for null.
pub struct First<T>(pub Vec<T>);

impl<T> Default for First<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Reads a `First`.
struct FirstVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FirstVisitor<T> {
    type Value = First<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(First::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Ok(First(vec![T::deserialize(MapAccessDeserializer::new(map))?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut first = Vec::new();
        while first.len() < LIST_MAX {
            let Some(element) = sequence.next_element()? else { return Ok(First(first)) };
            first.push(element);
        }
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(First(first))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for First<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FirstVisitor(std::marker::PhantomData))
    }
}

/// Writes bytes as a JSON string; those that are not UTF-8 stand in it as they are.
pub fn write(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        let quoted = serde_json::Value::from(chunk.valid()).to_string();
        out.extend_from_slice(&quoted.as_bytes()[1..quoted.len() - 1]);
        out.extend_from_slice(chunk.invalid());
    }
    out.push(b'"');
}

/// An object of strings, in the order given.
pub fn object<'a>(fields: impl IntoIterator<Item = (&'static str, &'a [u8])>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(if out.is_empty() { b'{' } else { b',' });
        write(name.as_bytes(), &mut out);
        out.push(b':');
        write(value, &mut out);
    }
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &[u8]) -> Vec<u8> {
        serde_json::from_slice::<Raw<'_>>(json).expect("a string").0.into_owned()
    }

    #[test]
    fn what_no_text_can_hold_is_read_as_bytes() {
        for (json, bytes) in [
            (&br#""snow""#[..], &b"snow"[..]),
            (br#""a\ud83db""#, b"a\xed\xa0\xbdb"),
            (b"\"caf\xe9\"", b"caf\xe9"),
            (br#""\u00e9\n\"""#, "é\n\"".as_bytes()),
        ] {
            assert_eq!(read(json), bytes, "{}", json.escape_ascii());
        }
    }

    #[test]
    fn of_a_list_within_a_text_the_first_are_read() {
        for (json, count) in [("null", 0), ("[]", 0), ("[1]", 1), (&format!("[1{}]", ",1".repeat(99)), LIST_MAX)] {
            assert_eq!(serde_json::from_str::<First<u8>>(json).expect("a list").0.len(), count, "{json}");
        }
        // What is passed over must be JSON all the same.
        assert!(serde_json::from_str::<First<u8>>(&format!("[1{},]", ",1".repeat(99))).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_written_are_read_back(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40)) {
            let mut json = Vec::new();
            write(&bytes, &mut json);
            proptest::prop_assert_eq!(read(&json), bytes);
        }
    }
}
