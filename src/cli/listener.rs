//! Listeners as a command reaches them: the running server's own as the settings have them, or another by its URL.
//!
//! Comes in: settings, `--url`, `--ca`, a request. Goes out: its answer, or why there is none and what to look at.
//! Always true: TLS wherever the listener has it, believing the certificate that the settings name and no other; a URL of
//! https:// is believed by authorities alone; no error carries the URL's path, which may be a secret.
//! Not here: what is asked.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use http_body_util::Full;
use hyper::header::HOST;
use hyper::{Request, Response, StatusCode, Uri};

use crate::app;
use crate::carrier::{Account, Signed};
use crate::config::{self, Config, Listener};
use crate::fetch::{FetchError, Fetcher, Limits};
use crate::server::Certificates;
use crate::server::client::{self, ClientError};

use super::Failure;

/// For an answer to a webhook: a carrier's longest patience, and some; it has next to no body.
const LIMITS: Limits = Limits { timeout: Duration::from_secs(20), body_max: 1 << 20 };

/// Where webhooks are pushed.
#[derive(Args)]
pub struct Push {
    /// Where to push instead of the inbound listener of the settings: https://host/path, or http:// on this machine
    #[arg(long)]
    url: Option<String>,
    /// Authorities by which an https:// URL is believed, in PEM; else those that browsers trust
    #[arg(long, value_name = "FILE", requires = "url")]
    ca: Option<PathBuf>,
}

/// A listener of the server that runs with these settings.
pub struct Own {
    authority: String,
    certificates: Option<Certificates>,
    /// Where its address is written, for who finds nobody there.
    written: String,
}

/// Where an account's webhooks are pushed.
pub struct Target {
    path: String,
    host: String,
    to: To,
}

enum To {
    Own(Own),
    /// Without TLS.
    Plain(String),
    Web(Fetcher),
}

impl Own {
    /// `section` is the listener's in the settings.
    pub fn of(config: &Config, listener: &Listener, section: &str) -> Result<Self, Failure> {
        let certificates = app::certificates(listener).map_err(|problem| Failure::configuration(&[problem]))?;
        let authority = client::reachable(listener.listen).to_string();
        let (file, line) = (&config.name, listener.place.line);
        Ok(Self { authority, certificates, written: format!("{section}.listen, {file}:{line}") })
    }

    pub fn authority(&self) -> &str {
        &self.authority
    }

    pub async fn send(&self, request: Request<Full<Bytes>>, timeout: Duration) -> Result<Response<Bytes>, Failure> {
        let sent = client::send_to_own(&self.authority, self.certificates.as_ref(), request, timeout).await;
        sent.map_err(|error| Failure::of(format!("{error}{}", remedy(&error, &self.written))))
    }
}

/// What to look at where nobody answers, or somebody else.
fn remedy(error: &ClientError, written: &str) -> String {
    match error {
        ClientError::Unreachable { cause, .. } if cause.kind() == ErrorKind::ConnectionRefused => {
            format!("; does `sms-router serve` run? This is where it should listen ({written})")
        }
        ClientError::Unreachable { cause, .. } if cause.kind() == ErrorKind::InvalidData => {
            format!("; does the server run with these settings, and with the certificate they name ({written})?")
        }
        _ => String::new(),
    }
}

impl Push {
    /// The running server's listener, or the URL given.
    pub fn target(&self, config: &Config, account: &Account) -> Result<Target, Failure> {
        let Some(url) = &self.url else {
            let own = Own::of(config, &config.inbound.listener, "inbound")?;
            let host = own.authority().to_owned();
            return Ok(Target { path: format!("/inbound/{}", account.name), host, to: To::Own(own) });
        };
        let authorities = self.ca.as_deref().map(|file| {
            let read = config::read_small(file);
            read.map_err(|error| Failure::usage(format!("--ca {}: cannot be read: {error}", file.display())))
        });
        let authorities = authorities.transpose()?;
        Ok(elsewhere(url, authorities.as_deref())?)
    }
}

fn elsewhere(url: &str, authorities: Option<&[u8]>) -> anyhow::Result<Target> {
    let uri: Uri = url.parse().context("--url is not a URL")?;
    let host = uri.authority().context("--url names no host")?.as_str().to_owned();
    let to = match (uri.scheme_str(), authorities) {
        (Some("https"), _) => To::Web(Fetcher::new(authorities, LIMITS).context("--ca")?),
        (Some("http"), None) => To::Plain(if uri.port().is_some() { host.clone() } else { format!("{host}:80") }),
        (Some("http"), Some(_)) => bail!("--ca is for an --url of https://: over http:// nobody proves anything"),
        _ => bail!("--url must begin with https://, or with http:// for an address on this machine"),
    };
    Ok(Target { path: uri.path().to_owned(), host, to })
}

impl Target {
    /// Pushes a webhook; the status it is answered.
    pub async fn push(&self, signed: Signed) -> Result<StatusCode, Failure> {
        let request = self.request(signed)?;
        let answer = match &self.to {
            To::Own(own) => own.send(request, LIMITS.timeout).await?,
            To::Plain(authority) => client::send(authority, request, LIMITS.timeout)
                .await
                .map_err(|error| Failure::of(format!("{error}{}", remedy(&error, "--url"))))?,
            To::Web(fetcher) => fetcher.send(request).await.map_err(|error| Failure::of(self.unfetched(&error)))?,
        };
        Ok(answer.status())
    }

    fn unfetched(&self, error: &FetchError) -> String {
        let said = format!("{}: {error}", self.host);
        if said.contains("UnknownIssuer") { format!("{said}; --ca FILE names the authority to believe") } else { said }
    }

    fn request(&self, signed: Signed) -> Result<Request<Full<Bytes>>, Failure> {
        let mut path = self.path.clone();
        if let Some(secret) = &signed.path_secret {
            path = format!("{}/{secret}", path.trim_end_matches('/'));
        }
        if !signed.query.is_empty() {
            path = format!("{path}?{}", signed.query);
        }
        let uri = if matches!(self.to, To::Web(_)) { format!("https://{}{path}", self.host) } else { path };
        let mut request = Request::builder().method(signed.method).uri(uri).header(HOST, &self.host);
        for (name, value) in &signed.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(Bytes::from(signed.body))).map_err(Failure::of)
    }
}

/// What a 404 to an account's webhook means.
pub fn unknown_account(account: &Account) -> String {
    format!(
        "the server answered 404: it has no account {} there; where the settings have had it since it started, restart it",
        account.name
    )
}
