//! Why a captured request is not believed: where it and the settings differ.
//!
//! Comes in: an account, a request as it was captured, when and from where it came. Goes out: what
//! `authenticate` says of it, and what would have to be otherwise for it to be believed.
//! Always true: every judgement is `authenticate`'s own, asked again with one thing changed; nothing that
//! is told carries a secret, a number or a text; the number of tries has a bound that no request moves
//! far.
//! Not here: files and printing (`cli`).

mod capture;
mod finding;
mod spelling;
mod trial;

pub use capture::{Capture, Names, NotARequest};
pub use finding::Finding;

use std::net::{IpAddr, Ipv4Addr};

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::{Account, Auth, AuthFailure, Draft, Signed, Webhook, authenticate};
use crate::message::Timestamp;
use spelling::{Spelling, spellings};
use trial::{fits, mismatch, missing, time, which};

/// What is asked.
pub struct Question<'a> {
    pub account: &'a Account,
    /// The other accounts of the settings, whose secrets and URLs may have been mixed up with this one's.
    pub others: &'a [Account],
    pub capture: &'a Capture,
    /// Where it came from; `None` when that is not known, and then no address is judged.
    pub peer: Option<IpAddr>,
    /// When it came.
    pub at: Timestamp,
}

/// What was found.
#[derive(Debug)]
pub struct Diagnosis {
    /// As the service would have judged it.
    pub result: Result<(), AuthFailure>,
    /// Which of the account's secrets fits, from 1, if what was found to differ is left aside.
    pub secret: Option<usize>,
    /// Whether the proof covers the account's `url`; `None` when that cannot be told.
    pub covers_url: Option<bool>,
    /// Spellings of the URL that were tried, the account's own first.
    pub urls: Vec<String>,
    pub findings: Vec<Finding>,
}

pub fn diagnose(question: &Question<'_>) -> Diagnosis {
    let Question { account, capture, peer, at, .. } = *question;
    let judged = Account { allow: if peer.is_some() { account.allow.clone() } else { Vec::new() }, ..account.clone() };
    let webhook = capture.webhook(&account.name, peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), at);
    let result = authenticate(&judged, &webhook);
    let mut findings = about_the_frame(question, &webhook);
    // From here on only the proof counts.
    let account = Account { allow: Vec::new(), ..judged };
    let stray = webhook.path_secret.filter(|_| account.auth != Auth::Path);
    let webhook = Webhook { path_secret: webhook.path_secret.filter(|_| stray.is_none()), ..webhook };
    let configured = Spelling::of(&account.url);
    let mut urls = vec![configured.shown()];
    let covers_url = covers_url(&account, at);
    let mut secret = which(&account, &webhook);
    match authenticate(&account, &webhook) {
        Ok(()) => {}
        Err(AuthFailure::Expired) => findings.push(time(&account, &webhook)),
        Err(AuthFailure::Missing | AuthFailure::Forgotten) => findings.extend(missing(&account, &webhook, capture)),
        Err(AuthFailure::Certificate) => findings.push(Finding::Certificate),
        Err(AuthFailure::Mismatch | AuthFailure::Address) => {
            let tried = if covers_url == Some(false) { Vec::new() } else { spellings(&configured, capture) };
            let fit = mismatch(question, &account, &webhook, &tried);
            urls.extend(tried.iter().map(Spelling::shown));
            secret = fit.as_ref().and_then(|fit| fit.secret);
            let (finding, time) = fit.map_or((Finding::Nothing, None), |fit| (fit.finding, fit.time));
            findings.push(finding);
            findings.extend(time);
        }
    }
    Diagnosis { result, secret, covers_url, urls, findings }
}

/// Everything but the proof: what would be refused before or after it.
fn about_the_frame(question: &Question<'_>, webhook: &Webhook<'_>) -> Vec<Finding> {
    let Question { account, others, capture, peer, .. } = question;
    let mut findings = Vec::new();
    if !account.carrier.contract().methods.contains(&capture.method) {
        findings.push(Finding::Method);
    }
    let path = format!("/inbound/{}", account.name);
    let rest = capture.path.strip_prefix(&path);
    let is_path =
        |rest: &str| rest.is_empty() || rest.strip_prefix('/').is_some_and(|rest| webhook.path_secret == Some(rest));
    if !rest.is_some_and(is_path) {
        let names = |other: &&Account| capture.path.split('/').any(|segment| segment == other.name.as_str());
        let other = others.iter().find(names).filter(|_| webhook.path_secret.is_none());
        let other = other.filter(|_| !capture.path.split('/').any(|segment| segment == account.name.as_str()));
        findings.push(Finding::Path { account: account.name.clone(), other: other.map(|other| other.name.clone()) });
    }
    if webhook.path_secret.is_some() && account.auth != Auth::Path {
        findings.push(Finding::PathSecret);
    }
    if !account.allow.is_empty() {
        let is_allowed = |peer: &IpAddr| account.allow.iter().any(|network| network.contains(&peer.to_canonical()));
        if !peer.as_ref().is_some_and(is_allowed) {
            findings.push(Finding::Address(*peer));
        }
    }
    if capture.missing > 0 {
        findings.push(Finding::Cut(capture.missing));
    }
    if capture.body.len() > account.body_max {
        findings.push(Finding::TooLarge { bytes: capture.body.len(), max: account.body_max });
    }
    findings
}

/// Whether another URL in the settings would break the proof of a request that is believed now.
fn covers_url(account: &Account, at: Timestamp) -> Option<bool> {
    if account.auth != Auth::Signature {
        return Some(false);
    }
    let word = || "probe".to_owned();
    let draft = Draft { id: word(), from: word(), to: word(), text: word(), part: None, now: at };
    let request = account.carrier.compose(&draft, account).ok()?;
    let headers = headers(&request)?;
    let webhook = Webhook {
        method: &request.method,
        query: &request.query,
        headers: &headers,
        body: &request.body,
        path_secret: None,
        peer: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        received_at: at,
    };
    let elsewhere = Account { url: "https://elsewhere.invalid/".to_owned(), ..account.clone() };
    fits(account, &webhook).then(|| !fits(&elsewhere, &webhook))
}

fn headers(request: &Signed) -> Option<HeaderMap> {
    let header = |(name, value): &(String, String)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
    };
    request.headers.iter().map(header).collect()
}
