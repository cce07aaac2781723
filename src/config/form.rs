//! `[accounts.NAME]` with `carrier = "form"`: a carrier that the operator declares.
//!
//! Comes in: `format`, `fields`, and what else is said of them. Goes out: a declaration that the carrier
//! room reads requests by, or every problem with the key it is in.

use std::borrow::Cow;

use hyper::StatusCode;

use crate::carrier::{
    Case, Contract, Declaration, Escapes, FORM, Format, Reply, Words, check_time_form, is_known_charset,
};

use super::document::{Node, Value};
use super::read::Section;

/// Most names of one field, and most conditions: each is looked for in every request.
const NAMES_MAX: usize = 16;
/// Most steps of a pointer.
const STEPS_MAX: usize = 16;

/// `None` for every other carrier. What is wrong has been noted.
pub fn read(section: &Section<'_>, contract: &Contract) -> Option<Declaration> {
    if contract.name != FORM {
        return None;
    }
    let format = section
        .parsed("format", |word| Format::parse(word).ok_or_else(|| format!("{word:?} is none of query, form, json")));
    let format = format.unwrap_or(Format::Form);
    let fields = section.section("fields");
    let names = |key| words(&fields, key, |name| check_name(name, format));
    let conditions = |key| words(section, key, |condition| check_condition(condition, format));
    let declaration = Declaration {
        formats: Cow::Owned(vec![format]),
        case: if section.boolean("ignore_case", false) { Case::Ignored } else { Case::Exact },
        texts: section.parsed("texts", |pointer| check_list(pointer, format)).map(Cow::Owned),
        from: names("from"),
        to: names("to"),
        text: names("text"),
        id: names("id"),
        time: names("time"),
        text_charset: names("charset"),
        reference: names("reference"),
        total: names("total"),
        number: names("number"),
        udh: names("udh"),
        segments: names("segments"),
        media: names("media"),
        texts_have: conditions("texts_have"),
        texts_lack: conditions("texts_lack"),
        charset: section.parsed("charset", check_charset).map(Cow::Owned),
        escapes: section.parsed("escapes", escapes).unwrap_or(Escapes::None),
        probes: true,
        reply: reply(section.section("reply")),
        ..Declaration::USUAL
    };
    let times =
        words(section, "time_format", |form| check_time_form(form).map_err(|wrong| format!("{form:?} {wrong}")));
    check_fields(&fields, &declaration);
    fields.finish();
    Some(if times.is_empty() { declaration } else { Declaration { times, ..declaration } })
}

/// What no text could be delivered without, and what says nothing alone.
fn check_fields(fields: &Section<'_>, declaration: &Declaration) {
    for (key, names, what) in [("from", &declaration.from, "the sender"), ("text", &declaration.text, "the text")] {
        // A name that is wrong has been noted already.
        if names.is_empty() && fields.node(key).is_none() {
            fields.refuse(key, format!("is missing: the name of the field that holds {what}"));
        }
    }
    let parts = [&declaration.reference, &declaration.total, &declaration.number];
    if parts.iter().any(|names| names.is_empty()) && !parts.iter().all(|names| names.is_empty()) {
        fields.refuse("reference", "tells pieces of a long text only together with total and number");
    }
}

/// One word or several.
fn words(section: &Section<'_>, key: &'static str, check: impl Fn(&str) -> Result<(), String>) -> Words {
    let words = match section.node(key) {
        None => return Words::NONE,
        Some(Node { value: Value::String(_), .. }) => section.string(key).map(|word| vec![word]),
        Some(_) => section.strings(key),
    };
    let words = words.unwrap_or_default();
    if words.len() > NAMES_MAX {
        section.refuse(key, format!("has {} words; {NAMES_MAX} at most", words.len()));
    }
    for word in &words {
        if let Err(reason) = check(word) {
            section.refuse(key, reason);
        }
    }
    Words::Set(words)
}

fn check_name(name: &str, format: Format) -> Result<(), String> {
    if name.is_empty() {
        return Err("holds an empty name".to_owned());
    }
    match (name.strip_prefix('/'), format) {
        (None, _) => Ok(()),
        (Some(_), Format::Query | Format::Form) => {
            Err(format!("{name:?} is a pointer, which only format = \"json\" has"))
        }
        (Some(path), Format::Json) => check_path(name, path),
    }
}

fn check_path(pointer: &str, path: &str) -> Result<(), String> {
    let steps = path.split('/').count();
    if steps > STEPS_MAX {
        return Err(format!("{pointer:?} has {steps} steps; {STEPS_MAX} at most"));
    }
    let is_escape = |rest: &str| rest.starts_with(['0', '1']);
    if path.split('~').skip(1).all(is_escape) {
        Ok(())
    } else {
        Err(format!("{pointer:?} is no pointer: a ~ in a name is written ~0, a / in it ~1"))
    }
}

fn check_condition(condition: &str, format: Format) -> Result<(), String> {
    check_name(condition.split_once('=').map_or(condition, |(name, _)| name), format)
}

fn check_list(pointer: &str, format: Format) -> Result<String, String> {
    match (pointer.strip_prefix('/'), format) {
        (_, Format::Query | Format::Form) => Err("only format = \"json\" has lists of texts".to_owned()),
        (None, Format::Json) if !pointer.is_empty() => Err(format!(
            "{pointer:?} is no pointer: it begins with a slash, or is empty where the body itself is the list"
        )),
        (None, Format::Json) => Ok(String::new()),
        (Some(path), Format::Json) => check_path(pointer, path).map(|()| pointer.to_owned()),
    }
}

fn check_charset(label: &str) -> Result<String, String> {
    if is_known_charset(label) {
        Ok(label.to_owned())
    } else {
        Err(format!("{label:?} is no charset (\"ISO-8859-1\")"))
    }
}

fn escapes(word: &str) -> Result<Escapes, String> {
    Escapes::parse(word).ok_or_else(|| format!("{word:?} is none of none, form, backslash-form, form-if-charset, hex"))
}

/// What the carrier wants to hear of a text that was taken.
fn reply(section: Section<'_>) -> Option<Reply> {
    if !section.is_present() {
        return None;
    }
    let status = section.integer("status", 200, 200..=299);
    let reply = Reply {
        status: u16::try_from(status).unwrap_or(StatusCode::OK.as_u16()),
        content_type: section.string("content_type").unwrap_or_else(|| "text/plain".to_owned()),
        body: section.string("body").unwrap_or_default(),
    };
    if !reply.content_type.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        section.refuse("content_type", "must be printable ASCII");
    }
    if reply.status == StatusCode::NO_CONTENT.as_u16() && !reply.body.is_empty() {
        section.refuse("body", "cannot be there with status 204");
    }
    section.finish();
    Some(reply)
}
