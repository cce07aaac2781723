//! Other ways to spell an account's URL: what the carrier may call it, judging by the request.
//!
//! Always true: as many spellings for any request as a few candidates for each part make, the likeliest
//! first: those that differ from the settings in one part come before those that differ in two.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HOST};

use super::capture::Capture;

/// Headers that name the host: as we got it, and as the client of a proxy named it.
const HOSTS: [&str; 3] = ["host", "x-forwarded-host", "x-original-host"];
/// Ports that a URL may name although they go without saying.
const USUAL_PORTS: [&str; 2] = ["443", "80"];

/// A URL in pieces, as written; together they are the URL up to its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spelling {
    scheme: String,
    /// `user:password`, where it has them.
    credentials: Option<String>,
    host: String,
    port: Option<String>,
    path: String,
}

impl Spelling {
    pub fn of(url: &str) -> Self {
        let url = url.split(['?', '#']).next().unwrap_or_default();
        let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (credentials, authority) = match authority.rsplit_once('@') {
            Some((credentials, authority)) => (Some(credentials.to_owned()), authority),
            None => (None, authority),
        };
        let (host, port) = split_port(authority);
        Self { scheme: scheme.to_owned(), credentials, host, port, path: path.to_owned() }
    }

    pub fn url(&self) -> String {
        let credentials = self.credentials.as_ref().map(|credentials| format!("{credentials}@"));
        self.written(&credentials.unwrap_or_default())
    }

    /// The same without what is secret in it.
    pub fn shown(&self) -> String {
        self.written(if self.credentials.is_some() { "…@" } else { "" })
    }

    fn written(&self, credentials: &str) -> String {
        let port = self.port.as_ref().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{credentials}{}{port}{}", self.scheme, self.host, self.path)
    }

    /// The parts in which the two differ.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let only_slash = self.path.trim_end_matches('/') == other.path.trim_end_matches('/');
        [
            (self.scheme != other.scheme, "scheme"),
            (self.credentials != other.credentials, "user and password"),
            (self.host != other.host, "host"),
            (self.port != other.port, "port"),
            (self.path != other.path && !only_slash, "path"),
            (self.path != other.path && only_slash, "slash at the end"),
        ]
        .into_iter()
        .filter_map(|(differs, part)| differs.then_some(part))
        .collect()
    }
}

/// Every spelling but the configured one.
pub(super) fn spellings(configured: &Spelling, capture: &Capture) -> Vec<Spelling> {
    let seen: Vec<(String, Option<String>)> = HOSTS.iter().filter_map(|name| named_host(capture, name)).collect();
    let mut hosts = vec![configured.host.clone()];
    hosts.extend(seen.iter().map(|(host, _)| host.clone()));
    hosts.extend(hosts.clone().iter().map(|host| host.to_ascii_lowercase()));
    let mut ports = vec![configured.port.clone(), None];
    ports.extend(seen.iter().map(|(_, port)| port.clone()));
    ports.extend(USUAL_PORTS.map(|port| Some(port.to_owned())));
    let mut paths = vec![configured.path.clone(), capture.path.clone()];
    paths.extend(paths.clone().iter().map(|path| with_other_end(path)));
    let mut credentials = vec![configured.credentials.clone(), None];
    credentials.extend(basic(capture).map(Some));
    let schemes = vec![configured.scheme.clone(), "https".to_owned(), "http".to_owned()];

    let mut spellings = vec![configured.clone()];
    spellings = each(spellings, &distinct(schemes), |spelling, scheme| spelling.scheme = scheme);
    spellings = each(spellings, &distinct(credentials), |spelling, credentials| spelling.credentials = credentials);
    spellings = each(spellings, &distinct(hosts), |spelling, host| spelling.host = host);
    spellings = each(spellings, &distinct(ports), |spelling, port| spelling.port = port);
    spellings = each(spellings, &distinct(paths), |spelling, path| spelling.path = path);
    spellings.retain(|spelling| spelling != configured);
    spellings.sort_by_cached_key(|spelling| unlikelihood(spelling, configured, &seen));
    spellings
}

/// How many parts differ, host and port being one; and one more for a host with a port that nobody named
/// with it.
fn unlikelihood(spelling: &Spelling, configured: &Spelling, seen: &[(String, Option<String>)]) -> usize {
    let authority = |of: &Spelling| (of.host.clone(), of.port.clone());
    let is_odd = spelling.host != configured.host && !seen.contains(&authority(spelling));
    let differs = [
        spelling.scheme != configured.scheme,
        spelling.credentials != configured.credentials,
        authority(spelling) != authority(configured),
        spelling.path != configured.path,
        is_odd,
    ];
    differs.into_iter().filter(|differs| *differs).count()
}

/// Each spelling with each candidate for one of its parts.
fn each<T: Clone>(spellings: Vec<Spelling>, candidates: &[T], set: impl Fn(&mut Spelling, T)) -> Vec<Spelling> {
    let with = |spelling: &Spelling, candidate: &T| {
        let mut spelling = spelling.clone();
        set(&mut spelling, candidate.clone());
        spelling
    };
    let of = |spelling: Spelling| candidates.iter().map(|candidate| with(&spelling, candidate)).collect::<Vec<_>>();
    spellings.into_iter().flat_map(of).collect()
}

fn distinct<T: PartialEq>(candidates: Vec<T>) -> Vec<T> {
    let mut distinct = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        if !distinct.contains(&candidate) {
            distinct.push(candidate);
        }
    }
    distinct
}

fn named_host(capture: &Capture, header: &str) -> Option<(String, Option<String>)> {
    let name = if header == HOSTS[0] { HOST.as_str() } else { header };
    let authority = capture.headers.get(name)?.to_str().ok()?;
    // Several proxies make a list of it; the first named the client's.
    let authority = authority.split(',').next().unwrap_or_default().trim();
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    (!authority.is_empty() && authority.bytes().all(is_host)).then(|| split_port(authority))
}

/// The colons of an IPv6 address stand in brackets.
fn split_port(authority: &str) -> (String, Option<String>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host.to_owned(), Some(port.to_owned())),
        _ => (authority.to_owned(), None),
    }
}

fn with_other_end(path: &str) -> String {
    path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned)
}

/// A caller to whose URL `user:password@` belongs sends it as HTTP Basic.
fn basic(capture: &Capture) -> Option<String> {
    let written = capture.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = written.split_once(' ')?;
    let decoded = STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    String::from_utf8(decoded).ok()
}
