//! `authenticate` asked again, with one thing changed each time.

use std::time::Duration;

use super::capture::{self, Capture};
use super::spelling::Spelling;
use super::{Finding, Question};
use crate::carrier::reading::form;
use crate::carrier::{Account, Auth, AuthFailure, Webhook, authenticate};
use crate::message::Secret;

/// Most parameters of a form that are left out one by one.
const PARAMETERS_MAX: usize = 64;
/// Farthest that a signed time is looked for, in seconds: three centuries.
const OFF_MAX: u64 = 10_000_000_000;

/// An account and a request that fit one another, both perhaps not quite those that were asked about.
pub(super) struct Fit {
    pub finding: Finding,
    /// Set where the time is off besides.
    pub time: Option<Finding>,
    pub secret: Option<usize>,
}

impl Fit {
    /// What the two being a fit means; `None` when they are none.
    fn of(account: &Account, webhook: &Webhook<'_>, finding: impl FnOnce() -> Finding) -> Option<Self> {
        let time = match authenticate(account, webhook) {
            Ok(()) => None,
            Err(AuthFailure::Expired) => Some(time(account, webhook)),
            Err(_) => return None,
        };
        Some(Self { finding: finding(), time, secret: which(account, webhook) })
    }
}

/// Whether the proof fits; its time is another question.
pub(super) fn fits(account: &Account, webhook: &Webhook<'_>) -> bool {
    matches!(authenticate(account, webhook), Ok(()) | Err(AuthFailure::Expired))
}

/// The place of the first secret that fits.
pub(super) fn which(account: &Account, webhook: &Webhook<'_>) -> Option<usize> {
    let alone = |secret: &Secret| Account { secrets: vec![secret.clone()], ..account.clone() };
    let found = account.secrets.iter().position(|secret| fits(&alone(secret), webhook));
    found.filter(|_| account.auth != Auth::None).map(|place| place + 1)
}

/// How far the signed time is off, by trying how wide a window would have to be.
pub(super) fn time(account: &Account, webhook: &Webhook<'_>) -> Finding {
    let within = |seconds: u64, webhook: &Webhook<'_>| {
        let wide = Account { window: Some(Duration::from_secs(seconds)), ..account.clone() };
        authenticate(&wide, webhook).is_ok()
    };
    let (Some(window), true) = (account.window, within(OFF_MAX, webhook)) else { return Finding::Over };
    let (mut too_narrow, mut wide) = (window.as_secs(), OFF_MAX);
    while wide - too_narrow > 1 {
        let between = too_narrow + (wide - too_narrow) / 2;
        if within(between, webhook) { wide = between } else { too_narrow = between }
    }
    let off = Duration::from_secs(wide);
    let is_before = webhook.received_at.checked_sub(off).is_ok_and(|received_at| {
        let then = Webhook { received_at, ..*webhook };
        within(1, &then)
    });
    let seconds = wide.cast_signed();
    Finding::Time { seconds: if is_before { seconds } else { -seconds }, window }
}

/// What of the proof is not there; and whether another kind of proof is.
pub(super) fn missing(account: &Account, webhook: &Webhook<'_>, capture: &Capture) -> Vec<Finding> {
    let names = match account.auth {
        Auth::Signature => account.carrier.contract().signature_headers,
        Auth::Basic | Auth::Bearer => &["authorization"][..],
        Auth::Path | Auth::Query | Auth::None => &[],
    };
    let not_once = names.iter().map(|name| (*name, webhook.headers.get_all(*name).iter().count()));
    let not_once = not_once.filter(|(_, count)| *count != 1);
    let mut findings: Vec<_> = not_once.map(|(name, count)| Finding::Header { name, count }).collect();
    // Of several headers that may carry it, one is enough.
    if findings.is_empty() || (names.len() > 1 && findings.len() < names.len()) {
        findings = vec![Finding::Elsewhere];
    }
    findings.extend(other_auth(account, webhook, capture).map(|fit| fit.finding));
    findings
}

/// The first change that makes the proof fit.
pub(super) fn mismatch(
    question: &Question<'_>,
    account: &Account,
    webhook: &Webhook<'_>,
    urls: &[Spelling],
) -> Option<Fit> {
    respelled(account, webhook, urls)
        .or_else(|| other_query(account, webhook))
        .or_else(|| other_body(account, webhook))
        .or_else(|| one_parameter_less(account, webhook))
        .or_else(|| other_auth(account, webhook, question.capture))
        .or_else(|| other_account(question, account, webhook, urls))
}

fn respelled(account: &Account, webhook: &Webhook<'_>, urls: &[Spelling]) -> Option<Fit> {
    let configured = Spelling::of(&account.url);
    urls.iter().find_map(|spelling| {
        let account = Account { url: spelling.url(), ..account.clone() };
        let found = || Finding::Url { url: spelling.shown(), differs: spelling.differences(&configured) };
        Fit::of(&account, webhook, found)
    })
}

fn other_query(account: &Account, webhook: &Webhook<'_>) -> Option<Fit> {
    let query = webhook.query;
    let own = account.url.split_once('?').map_or("", |(_, query)| query.split('#').next().unwrap_or_default());
    let changes = [
        (String::new(), "without the query"),
        (own.to_owned(), "with the query of the account's url"),
        (query.replace('+', "%20"), "with %20 for each + in the query"),
        (query.replace("%20", "+"), "with + for each %20 in the query"),
    ];
    changes.into_iter().filter(|(changed, _)| changed != query).find_map(|(changed, how)| {
        let webhook = Webhook { query: &changed, ..*webhook };
        Fit::of(account, &webhook, || Finding::Query(how))
    })
}

fn other_body(account: &Account, webhook: &Webhook<'_>) -> Option<Fit> {
    let body = webhook.body;
    let bare: Vec<u8> = body.iter().copied().filter(|byte| *byte != b'\r').collect();
    let full = bare.iter().flat_map(|byte| if *byte == b'\n' { &b"\r\n"[..] } else { std::slice::from_ref(byte) });
    let full = full.copied().collect();
    let changes = [
        (body.trim_ascii_end().to_vec(), "without the blanks at the end of the body"),
        ([body, b"\n"].concat(), "with a line break at the end of the body"),
        (bare, "with bare line breaks in the body"),
        (full, "with CR LF for each line break in the body"),
    ];
    changes.into_iter().filter(|(changed, _)| changed != body).find_map(|(changed, how)| {
        let webhook = Webhook { body: &changed, ..*webhook };
        Fit::of(account, &webhook, || Finding::Body(how))
    })
}

/// Something on the way may have added a parameter to a form.
fn one_parameter_less(account: &Account, webhook: &Webhook<'_>) -> Option<Fit> {
    let pairs: Vec<&[u8]> = webhook.body.split(|byte| *byte == b'&').collect();
    if account.auth != Auth::Signature || !webhook.is_form() || pairs.len() > PARAMETERS_MAX {
        return None;
    }
    (0..pairs.len()).find_map(|left_out| {
        let kept = pairs.iter().enumerate().filter(|(place, _)| *place != left_out).map(|(_, pair)| *pair);
        let body = kept.collect::<Vec<_>>().join(&b'&');
        let webhook = Webhook { body: &body, ..*webhook };
        let name = || form::raw_pairs(pairs[left_out]).next().map(|(name, _)| form::lossy(form::decode(name)));
        Fit::of(account, &webhook, || Finding::Parameter(name().filter(|name| capture::is_plain(name))))
    })
}

fn other_auth(account: &Account, webhook: &Webhook<'_>, capture: &Capture) -> Option<Fit> {
    let signs = account.carrier.contract().signs;
    let others = [Auth::Signature, Auth::Basic, Auth::Bearer, Auth::Path, Auth::Query];
    let others = others.into_iter().filter(|auth| *auth != account.auth && (signs || *auth != Auth::Signature));
    let whole = capture.webhook(&account.name, webhook.peer, webhook.received_at);
    others.into_iter().find_map(|auth| {
        let account = Account { auth, ..account.clone() };
        let webhook = Webhook { path_secret: whole.path_secret.filter(|_| auth == Auth::Path), ..whole };
        Fit::of(&account, &webhook, || Finding::Auth(auth))
    })
}

fn other_account(question: &Question<'_>, account: &Account, webhook: &Webhook<'_>, urls: &[Spelling]) -> Option<Fit> {
    let name = account.carrier.contract().name;
    let others =
        question.others.iter().filter(|other| other.carrier.contract().name == name && other.auth == account.auth);
    others.into_iter().find_map(|other| {
        let theirs = Account { allow: Vec::new(), ..other.clone() };
        let with_their_secrets = Account { url: account.url.clone(), ..theirs.clone() };
        let found = fits(&with_their_secrets, webhook)
            || fits(&theirs, webhook)
            || respelled(&with_their_secrets, webhook, urls).is_some();
        found.then(|| Fit { finding: Finding::OtherAccount(other.name.clone()), time: None, secret: None })
    })
}
