//! `verify`: a captured request held against the settings of its account.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::carrier::{Account, Capture, Diagnosis, Finding, Names, Question, diagnose};
use crate::config::{Environment, SecretsNeeded};
use crate::message::{Secret, Timestamp, iso};

use super::simulate::account;
use super::{Failure, Outcome, Output, Settings, print};

/// Largest capture that is read, in bytes: the largest body an account may be given, and a head.
const CAPTURE_MAX: u64 = 17 << 20;
/// Shortest secret that is looked for in what is printed: a shorter one is in many words.
const SECRET_LENGTH_MIN: usize = 8;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// The account it was sent to
    #[arg(long)]
    account: String,
    /// A raw HTTP/1.1 request as captured: request line, headers, blank line, body; - reads standard input
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// When it came, as RFC 3339 writes it; now if left out
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Who connected, perhaps a trusted proxy; no address is judged if left out
    #[arg(long, value_name = "ADDRESS")]
    peer: Option<IpAddr>,
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// What is said of a request. Nothing in it is a value of the request.
#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    /// As in the metric of failures.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    account: &'a str,
    carrier: &'a str,
    auth: &'static str,
    method: &'a str,
    path: String,
    body_bytes: usize,
    query: Vec<String>,
    body: Vec<String>,
    /// Parameters whose names are not shown, for they may be more than names.
    hidden_names: usize,
    headers: Vec<&'a str>,
    /// The account's first, then the other spellings that were tried.
    urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    covers_url: Option<bool>,
    secrets: usize,
    /// From 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    monitor_until: Option<String>,
    findings: Vec<Said<'a>>,
}

#[derive(Serialize)]
struct Said<'a> {
    kind: &'static str,
    said: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    /// Between the signed time and its receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<i64>,
}

pub fn verify(arguments: &Arguments, environment: &Environment) -> Outcome {
    let config = arguments.settings.load(environment, SecretsNeeded::Must)?;
    let account = account(&config, Some(&arguments.account))?;
    let proxies = config.inbound.proxies;
    let others = config.accounts.into_iter().map(|(other, _)| other).filter(|other| other.name != account.name);
    let others: Vec<Account> = others.collect();
    let input = read(&arguments.request)?;
    let capture = Capture::parse(&input).map_err(|error| Failure::of(format!("this is no HTTP request: {error}")))?;
    let at = arguments.at.unwrap_or_else(Timestamp::now);
    let peer = arguments.peer.map(|peer| proxies.client(peer, &capture.headers));
    let question = Question { account: &account, others: &others, capture: &capture, peer, at };
    let diagnosis = diagnose(&question);
    let report = Report::of(&question, &diagnosis);
    let printed = match arguments.output {
        Output::Json => serde_json::to_string(&report).map_err(Failure::of)?,
        Output::Text => report.lines().join("\n"),
    };
    let accounts = std::iter::once(&account).chain(&others);
    print(without_secrets(printed, accounts))?;
    match diagnosis.result {
        Ok(()) => Ok(()),
        Err(failure) => Err(Failure::of(format!("not believed: {}: {failure}", failure.reason()))),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut input = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(CAPTURE_MAX).read_to_end(&mut input)
    } else {
        File::open(path).and_then(|file| file.take(CAPTURE_MAX).read_to_end(&mut input))
    };
    match read {
        Ok(_) => Ok(input),
        Err(error) => Err(Failure::of(format!("{} cannot be read: {error}", path.display()))),
    }
}

/// A URL, a path or a name may hold a secret that nobody meant to be shown.
fn without_secrets<'a>(mut printed: String, accounts: impl Iterator<Item = &'a Account>) -> String {
    let secrets = accounts.flat_map(|account| &account.secrets).map(Secret::bytes);
    for secret in secrets.filter(|secret| secret.len() >= SECRET_LENGTH_MIN) {
        if let Ok(secret) = std::str::from_utf8(&secret) {
            printed = printed.replace(secret, "…");
        }
    }
    printed
}

impl<'a> Report<'a> {
    fn of(question: &Question<'a>, diagnosis: &'a Diagnosis) -> Self {
        let Question { account, capture, at, .. } = *question;
        let (Names { shown: query, hidden }, body) = (capture.query_names(), capture.body_names());
        let monitor_until = account.monitor_until.filter(|_| account.is_monitored(at)).map(iso::format);
        Self {
            ok: diagnosis.result.is_ok(),
            reason: diagnosis.result.err().map(|failure| failure.reason()),
            account: account.name.as_str(),
            carrier: account.carrier.contract().name,
            auth: account.auth.word(),
            method: capture.method.as_str(),
            path: capture.shown_path(&account.name),
            body_bytes: capture.body.len(),
            query,
            body: body.shown,
            hidden_names: hidden + body.hidden,
            headers: capture.headers.keys().map(|name| name.as_str()).collect(),
            urls: diagnosis.urls.clone(),
            covers_url: diagnosis.covers_url,
            secrets: account.secrets.len(),
            secret: diagnosis.secret,
            monitor_until,
            findings: diagnosis.findings.iter().map(Said::of).collect(),
        }
    }

    fn lines(&self) -> Vec<String> {
        let names = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let mut lines = vec![
            format!("account     {}: {}, auth = \"{}\"", self.account, self.carrier, self.auth),
            format!("request     {} {}, {} bytes of body", self.method, self.path, self.body_bytes),
            format!("query       {}", names(&self.query)),
            format!("body        {}", names(&self.body)),
        ];
        if self.hidden_names > 0 {
            lines.push(format!("            and {} whose names are not shown", self.hidden_names));
        }
        lines.push(format!("headers     {}", self.headers.join(", ")));
        let own = self.urls.first().map_or("", String::as_str);
        lines.push(match self.covers_url {
            Some(false) => format!("url         {own}, which the proof does not cover"),
            Some(true) | None => format!("url         {own}"),
        });
        // Once the right one is found, the wrong ones are of no interest.
        if !self.ok && self.secret.is_none() {
            lines.extend(self.urls.iter().skip(1).map(|url| format!("not         {url}")));
        }
        lines.push(match self.secret {
            Some(place) => format!("secret      number {place} of {} fits", self.secrets),
            None if self.secrets == 0 => "secret      none is set".to_owned(),
            None => format!("secret      none of {} fits", self.secrets),
        });
        lines.extend(self.findings.iter().map(|finding| format!("finding     {}", finding.said)));
        let until = self.monitor_until.iter().filter(|_| !self.ok);
        lines
            .extend(until.map(|until| format!("signature   let in all the same, flagged `unverified`, until {until}")));
        let result = self.reason.map_or("believed".to_owned(), |reason| format!("not believed: {reason}"));
        lines.push(format!("result      {result}"));
        lines
    }
}

impl<'a> Said<'a> {
    fn of(finding: &'a Finding) -> Self {
        Self { kind: finding.kind(), said: finding.to_string(), url: finding.url(), seconds: finding.seconds() }
    }
}
