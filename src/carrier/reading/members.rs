//! What the members of carriers' JSON have in common.
//!
//! Comes in: a body, members as they were read from it. Goes out: values, or a sentence on what is missing.
//! Always true: what is no time or no count is left out, and no reason to refuse a text; no sentence
//! carries anything of the content.
//! Not here: strings that may hold what is no text (`json`).

use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::carrier::{Account, Malformed};
use crate::message::{Text, Timestamp};

/// The JSON of a body. Says what kind of mistake it is; serde's own words could quote the content.
pub fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Malformed> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Data => Malformed("a field is not of its type, or more than 2000 texts are in one request"),
        Category::Syntax | Category::Eof | Category::Io => Malformed("not JSON"),
    })
}

/// What is there and not empty.
pub fn filled(field: Option<String>) -> Option<String> {
    field.filter(|value| !value.is_empty())
}

/// The number texted; where the carrier does not name it, the account must.
pub fn recipient(to: Option<String>, account: &Account, missing: &'static str) -> Result<Option<Text>, Malformed> {
    let to = filled(to);
    if to.is_none() && account.number.is_none() {
        return Err(Malformed(missing));
    }
    Ok(to.map(Text::from))
}

/// RFC 3339, its offset with or without a colon.
pub fn time(json: Option<&RawValue>) -> Option<Timestamp> {
    json?.get().trim_matches('"').parse().ok()
}

/// How many pieces the carrier joined: a number, or one in quotes; 1 where there is none.
pub fn segments(json: Option<&RawValue>) -> u16 {
    let written = json.and_then(|json| json.get().trim_matches('"').parse().ok());
    written.unwrap_or(1).max(1)
}
