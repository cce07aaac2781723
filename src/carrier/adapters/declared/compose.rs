//! The request that a declared carrier would send for a text.
//!
//! Comes in: a declaration and a draft. Goes out: a request without proof.
//! Always true: what is composed is read back as the same text, by the same declaration.

use super::{Declaration, Format, Words, times};
use crate::carrier::reading::{charset, form, json, udh};
use crate::carrier::{Draft, Signed, SigningError};

/// What a text names where a name for its charset is declared: with nothing but ASCII in it, or more.
const CHARSET_OF_ASCII: &str = "ISO-8859-1";
const CHARSET_OF_ALL: &str = "UTF-16BE";

/// `carrier` is its word in the settings, for errors.
pub fn compose(declaration: &Declaration, carrier: &'static str, draft: &Draft) -> Result<Signed, SigningError> {
    let unsupported = |why| SigningError::Unsupported(carrier, why);
    let is_named = !declaration.text_charset.is_empty();
    let label = match (is_named, draft.text.is_ascii()) {
        (true, true) => Some(CHARSET_OF_ASCII),
        (true, false) => Some(CHARSET_OF_ALL),
        (false, _) => declaration.charset.as_deref(),
    };
    let bytes = charset::encode(&draft.text, label).ok_or(unsupported("a character is not in its charset"))?;
    let mut fields = Fields(Vec::new());
    fields.put(&declaration.from, draft.from.as_bytes());
    fields.put(&declaration.to, draft.to.as_bytes());
    fields.put(&declaration.text, &declaration.escapes.encode(bytes, is_named));
    fields.put(&declaration.text_charset, label.unwrap_or_default().as_bytes());
    fields.put(&declaration.id, draft.id.as_bytes());
    if let Some(time) = times::write(declaration, draft.now) {
        fields.put(&declaration.time, time.as_bytes());
    }
    fields.put_part(declaration, draft).map_err(unsupported)?;
    fields.fulfil(&declaration.texts_have);
    Ok(fields.request(declaration))
}

/// Names, or pointers, and their values.
struct Fields(Vec<(String, Vec<u8>)>);

impl Fields {
    /// Under the first of the names; nowhere if there is none.
    fn put(&mut self, names: &Words, value: &[u8]) {
        self.0.extend(names.first().map(|name| (name.to_owned(), value.to_vec())));
    }

    fn put_part(&mut self, declaration: &Declaration, draft: &Draft) -> Result<(), &'static str> {
        let Some(part) = &draft.part else { return Ok(()) };
        if !declaration.reference.is_empty() {
            self.put(&declaration.reference, part.reference.as_bytes());
            self.put(&declaration.total, part.total.to_string().as_bytes());
            self.put(&declaration.number, part.number.to_string().as_bytes());
        } else if !declaration.udh.is_empty() {
            let header = udh::to_hex(part).ok_or("its parts have a number as their reference, and 255 at most")?;
            self.put(&declaration.udh, header.as_bytes());
        } else {
            return Err("it joins long texts before it pushes them");
        }
        Ok(())
    }

    /// Adds what makes it a text, where that is not there already.
    fn fulfil(&mut self, conditions: &Words) {
        for condition in conditions.iter() {
            let (name, value) = condition.split_once('=').unwrap_or((condition, "1"));
            if !self.0.iter().any(|(known, _)| known == name) {
                self.0.push((name.to_owned(), value.as_bytes().to_vec()));
            }
        }
    }

    fn request(self, declaration: &Declaration) -> Signed {
        match declaration.formats.first().copied().unwrap_or(Format::Form) {
            Format::Query => Signed::get(form::encode(self.0)),
            Format::Form => Signed::post("application/x-www-form-urlencoded", form::encode(self.0)),
            Format::Json => Signed::post("application/json", self.into_json(declaration)),
        }
    }

    fn into_json(self, declaration: &Declaration) -> Vec<u8> {
        let list = declaration.texts.as_deref().map(|pointer| format!("{pointer}/0")).unwrap_or_default();
        let mut tree = Tree::Branches(Vec::new());
        for (name, value) in self.0 {
            let slash = if name.starts_with('/') { "" } else { "/" };
            let pointer = format!("{list}{slash}{name}");
            tree.grow(pointer.trim_start_matches('/').split('/'), value);
        }
        let mut body = Vec::new();
        tree.write(&mut body);
        body
    }
}

/// JSON as pointers describe it. Branches whose names are numbers are the elements of a list.
enum Tree {
    Leaf(Vec<u8>),
    Branches(Vec<(String, Tree)>),
}

impl Tree {
    fn grow<'a>(&mut self, mut path: impl Iterator<Item = &'a str>, value: Vec<u8>) {
        let Some(token) = path.next() else {
            *self = Self::Leaf(value);
            return;
        };
        if matches!(self, Self::Leaf(_)) {
            *self = Self::Branches(Vec::new());
        }
        let Self::Branches(branches) = self else { return };
        let name = token.replace("~1", "/").replace("~0", "~");
        let at = branches.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            branches.push((name, Self::Branches(Vec::new())));
            branches.len() - 1
        });
        // A type of its own for each step would never end.
        let path: &mut dyn Iterator<Item = &'a str> = &mut path;
        branches[at].1.grow(path, value);
    }

    fn write(&self, out: &mut Vec<u8>) {
        let branches = match self {
            Self::Leaf(value) => return json::write(value, out),
            Self::Branches(branches) => branches,
        };
        let is_list = branches.iter().enumerate().all(|(index, (name, _))| *name == index.to_string());
        let is_list = is_list && !branches.is_empty();
        out.push(if is_list { b'[' } else { b'{' });
        for (index, (name, branch)) in branches.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            if !is_list {
                json::write(name.as_bytes(), out);
                out.push(b':');
            }
            branch.write(out);
        }
        out.push(if is_list { b']' } else { b'}' });
    }
}
