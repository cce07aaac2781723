//! `simulate`: a webhook as an account's carrier would send it, pushed to the running server.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use http_body_util::Full;
use hyper::header::HOST;
use hyper::{Request, StatusCode, Uri};

use crate::carrier::{Account, Draft, Signed};
use crate::config::{self, Config, Environment, SecretsNeeded};
use crate::message::{AccountName, EventId, Timestamp};
use crate::server::client;

use super::{Failure, Outcome, Output, Settings, block_on, print, text_argument};

/// A carrier's longest patience, and some.
const TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// Whose carrier to be
    #[arg(long, default_value = "demo")]
    account: String,
    /// The number texted
    #[arg(long)]
    to: String,
    /// The sender
    #[arg(long)]
    from: String,
    /// The carrier's id of the text; a new one if left out, the same again to play a retry
    #[arg(long)]
    id: Option<String>,
    /// Where to push instead of the inbound listener of the settings: http://host:port/path
    #[arg(long)]
    url: Option<String>,
    /// The carrier's private key, where it signs with one: PKCS#8 in PEM, or for Ed25519 the seed in base64
    #[arg(long, value_name = "FILE")]
    signing_key: Option<PathBuf>,
    /// The text; - reads standard input
    #[arg(allow_hyphen_values = true)]
    text: String,
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub fn simulate(arguments: &Arguments, environment: &Environment) -> Outcome {
    let config = arguments.settings.load(environment, SecretsNeeded::Must)?;
    let mut account = account(&config, &arguments.account)?;
    if let Some(file) = &arguments.signing_key {
        account.signing_key = Some(config::signing_key(file).map_err(Failure::usage)?);
    }
    let id = arguments.id.clone().unwrap_or_else(|| EventId::now_v7().to_string());
    let draft = Draft {
        id: id.clone(),
        from: arguments.from.clone(),
        to: arguments.to.clone(),
        text: text_argument(&arguments.text)?,
        part: None,
        now: Timestamp::now(),
    };
    let signed = account.carrier.compose(&draft, &account).map_err(Failure::of)?;
    let target = target(&config, &account, arguments.url.as_deref())?;
    let status = block_on(push(&target, signed))??;
    match arguments.output {
        Output::Text => print(format_args!("{} id {id}", status.as_u16()))?,
        Output::Json => print(serde_json::json!({ "status": status.as_u16(), "id": id }))?,
    }
    if status.is_success() { Ok(()) } else { Err(Failure::of(format!("the server answered {status}"))) }
}

/// Where an account's webhooks are pushed: the running server's listener, or the URL given.
pub fn target(config: &Config, account: &Account, url: Option<&str>) -> Result<String, Failure> {
    let listener = &config.inbound.listener;
    match url {
        Some(url) => Ok(url.to_owned()),
        None if listener.tls.is_some() => {
            Err(Failure::of("the inbound listener speaks TLS and this command does not: name a plain one with --url"))
        }
        None => Ok(format!("http://{}/inbound/{}", client::reachable(listener.listen), account.name)),
    }
}

/// The account of that name.
pub fn account(config: &Config, name: &str) -> Result<Account, Failure> {
    let names = || config.accounts.iter().map(|(account, _)| account.name.as_str()).collect::<Vec<_>>().join(", ");
    let wanted = AccountName::parse(name).map_err(|error| Failure::usage(error.to_string()))?;
    let found = config.accounts.iter().find(|(account, _)| account.name == wanted);
    found
        .map(|(account, _)| account.clone())
        .ok_or_else(|| Failure::usage(format!("account {name} is not in the settings; there are: {}", names())))
}

/// Pushes a webhook; the status it is answered.
pub async fn push(target: &str, signed: Signed) -> Result<StatusCode, Failure> {
    let (authority, request) = request(target, signed)?;
    let answer = client::send(&authority, request, TIMEOUT).await.map_err(Failure::of)?;
    Ok(answer.status())
}

fn request(target: &str, signed: Signed) -> anyhow::Result<(String, Request<Full<Bytes>>)> {
    let uri: Uri = target.parse().context("--url is not a URL")?;
    if uri.scheme_str() != Some("http") {
        bail!(
            "this command speaks plain HTTP only, so the number and the text would cross the network unencrypted: push to an http:// address on this machine"
        );
    }
    let host = uri.authority().context("--url names no host")?.as_str().to_owned();
    let authority = if uri.port().is_some() { host.clone() } else { format!("{host}:80") };
    let mut path = uri.path().to_owned();
    if let Some(secret) = &signed.path_secret {
        path = format!("{}/{secret}", path.trim_end_matches('/'));
    }
    if !signed.query.is_empty() {
        path = format!("{path}?{}", signed.query);
    }
    let mut request = Request::builder().method(signed.method).uri(path).header(HOST, host);
    for (name, value) in &signed.headers {
        request = request.header(name, value);
    }
    Ok((authority, request.body(Full::new(Bytes::from(signed.body)))?))
}
