//! A raw HTTP/1.1 request as somebody captured it → its pieces, as a listener of ours would have had them.
//!
//! Captures are edited, cut and pasted: line ends may be bare, a newline may follow the body, a chunked
//! body may be decoded already. What the head says about the body's length decides, and what is missing is
//! told. `Debug` shows nothing of it.

use std::fmt;
use std::net::IpAddr;

use hyper::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::{Method, Uri};

use crate::carrier::Webhook;
use crate::carrier::reading::form;
use crate::message::{AccountName, Timestamp};

/// More header lines than any carrier and its proxies send.
const HEADERS_MAX: usize = 500;
/// Longest name of a parameter that is shown: a longer one may be a text.
const NAME_MAX: usize = 40;
/// Most names that are shown.
const NAMES_MAX: usize = 100;

/// Why a file is no request: a sentence that carries nothing of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotARequest(&'static str);

/// One request, whole or not.
pub struct Capture {
    pub method: Method,
    /// As written, without the query.
    pub path: String,
    /// After the `?`, as written.
    pub query: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// Bytes that its length announces and the capture does not have.
    pub missing: usize,
}

/// Names of parameters, without a value, and how many others look as if they might be more than names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    pub shown: Vec<String>,
    pub hidden: usize,
}

impl Capture {
    pub fn parse(input: &[u8]) -> Result<Self, NotARequest> {
        let mut rest = input;
        let mut lines = std::iter::from_fn(|| line(&mut rest));
        let first = lines.find(|line| !line.is_empty()).ok_or(NotARequest("it is empty"))?;
        let (method, target) = request_line(first)?;
        let mut headers = HeaderMap::new();
        for line in lines.by_ref().take_while(|line| !line.is_empty()) {
            if headers.len() == HEADERS_MAX {
                return Err(NotARequest("it has more than 500 headers"));
            }
            let (name, value) = header(line)?;
            headers.append(name, value);
        }
        let (path, query) = split_target(target, &mut headers)?;
        let mut capture = Self { method, path, query, headers, body: Vec::new(), missing: 0 };
        capture.take_body(rest);
        Ok(capture)
    }

    fn take_body(&mut self, rest: &[u8]) {
        let of = |name| self.headers.get(name).and_then(|value| value.to_str().ok());
        let is_chunked = of(TRANSFER_ENCODING).is_some_and(|value| value.to_ascii_lowercase().contains("chunked"));
        let announced = of(CONTENT_LENGTH).and_then(|length| length.trim().parse::<usize>().ok());
        if is_chunked && let Some(body) = unchunked(rest) {
            self.body = body;
            return;
        }
        let length = announced.unwrap_or(rest.len());
        self.missing = length.saturating_sub(rest.len());
        self.body = rest[..length.min(rest.len())].to_vec();
    }

    /// As the account's webhook.
    pub(super) fn webhook(&self, account: &AccountName, peer: IpAddr, received_at: Timestamp) -> Webhook<'_> {
        Webhook {
            method: &self.method,
            query: &self.query,
            headers: &self.headers,
            body: &self.body,
            path_secret: self.path_secret(account),
            peer,
            received_at,
        }
    }

    /// What follows the account's name in the path.
    fn path_secret(&self, account: &AccountName) -> Option<&str> {
        let (_, secret) = self.path.rsplit_once(&format!("/{account}/"))?;
        (!secret.is_empty() && !secret.contains('/')).then_some(secret)
    }

    /// The path, but for what may be a secret in it.
    pub fn shown_path(&self, account: &AccountName) -> String {
        match self.path_secret(account) {
            Some(secret) => format!("{}…", self.path.strip_suffix(secret).unwrap_or_default()),
            None => self.path.clone(),
        }
    }

    pub fn query_names(&self) -> Names {
        Names::of_form(self.query.as_bytes())
    }

    /// Of a form its parameters, of JSON the keys of its object; of other bodies nothing.
    pub fn body_names(&self) -> Names {
        let written = self.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = written.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if media_type == "application/x-www-form-urlencoded" {
            Names::of_form(&self.body)
        } else if media_type.ends_with("json") {
            Names::of_json(&self.body)
        } else {
            Names::default()
        }
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("method", &self.method).finish_non_exhaustive()
    }
}

impl Names {
    fn of_form(pairs: &[u8]) -> Self {
        // Without an equals sign it may be a value, or a text that is no form at all.
        let pairs = pairs.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        let name = |pair: &[u8]| {
            let (name, _) = form::raw_pairs(pair).next().filter(|_| pair.contains(&b'='))?;
            String::from_utf8(form::decode(name).into_owned()).ok()
        };
        Self::of(pairs.map(name))
    }

    fn of_json(body: &[u8]) -> Self {
        let value: Option<serde_json::Value> = serde_json::from_slice(body).ok();
        let first = value.as_ref().and_then(|value| value.as_array()).map(|items| items.first());
        let object = first.unwrap_or(value.as_ref()).and_then(|value| value.as_object());
        Self::of(object.into_iter().flat_map(|object| object.keys().cloned().map(Some)))
    }

    fn of(names: impl Iterator<Item = Option<String>>) -> Self {
        let mut found = Self::default();
        for name in names {
            match name.filter(|name| is_plain(name)) {
                Some(name) if found.shown.contains(&name) => {}
                Some(name) if found.shown.len() < NAMES_MAX => found.shown.push(name),
                _ => found.hidden += 1,
            }
        }
        found.shown.sort_unstable();
        found
    }
}

/// Whether a name can be nothing else: no number, no words.
pub(super) fn is_plain(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.[]".contains(&byte);
    name.len() <= NAME_MAX
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && name.bytes().all(is_plain)
}

/// The next line without its end; none after the last.
fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    if rest.is_empty() {
        return None;
    }
    let end = memchr::memchr(b'\n', rest);
    let (line, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
    *rest = after;
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

fn request_line(line: &[u8]) -> Result<(Method, &str), NotARequest> {
    const EXPECTED: NotARequest = NotARequest("its first line is not METHOD TARGET HTTP/1.1");
    let line = std::str::from_utf8(line).map_err(|_| EXPECTED)?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(EXPECTED);
    };
    if !version.starts_with("HTTP/") || target.is_empty() {
        return Err(EXPECTED);
    }
    Ok((Method::from_bytes(method.as_bytes()).map_err(|_| EXPECTED)?, target))
}

fn header(line: &[u8]) -> Result<(HeaderName, HeaderValue), NotARequest> {
    let mut pieces = line.splitn(2, |byte| *byte == b':');
    let (Some(name), Some(value)) = (pieces.next(), pieces.next()) else {
        return Err(NotARequest("a line of its head is not NAME: VALUE; a blank line ends the head"));
    };
    let name = HeaderName::from_bytes(name).map_err(|_| NotARequest("a line of its head has no header's name"))?;
    let value = HeaderValue::from_bytes(value.trim_ascii());
    Ok((name, value.map_err(|_| NotARequest("a header of it has a value that none can have"))?))
}

/// Path and query; the host of a target in absolute form, as proxies write it, outranks `Host`.
fn split_target(target: &str, headers: &mut HeaderMap) -> Result<(String, String), NotARequest> {
    let target = target.split('#').next().unwrap_or_default();
    if target.starts_with('/') {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        return Ok((path.to_owned(), query.to_owned()));
    }
    let uri: Uri = target.parse().map_err(|_| NotARequest("its target is neither a path nor a URL"))?;
    let host = uri
        .authority()
        .filter(|_| uri.scheme().is_some())
        .and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    headers.insert(HOST, host.ok_or(NotARequest("its target is neither a path nor a URL"))?);
    Ok((uri.path().to_owned(), uri.query().unwrap_or_default().to_owned()))
}

/// The bytes of a chunked body; `None` where it is not (or no longer) chunked, or not whole.
fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = std::str::from_utf8(line(&mut rest)?).ok()?;
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let (chunk, after) = rest.split_at_checked(size)?;
        body.extend_from_slice(chunk);
        rest = after;
        line(&mut rest).filter(|end| end.is_empty())?;
    }
}
