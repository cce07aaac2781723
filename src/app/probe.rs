//! Synthetic texts: every few seconds one, from our own inbound listener to the log and the archive.
//!
//! Each run of the process numbers its texts from 1, and a number is given out again until it was
//! answered 200. So the numbers that were acknowledged have no gap, and one that the log lacks is a lost
//! text: `reconcile` looks for such. Nothing in them is personal: sender, recipient and words are the
//! word `probe` and numbers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use tokio_util::sync::CancellationToken;

use crate::carrier::{self, Account, Auth, Carrier, Draft, Signed};
use crate::clock::Clock;
use crate::config::{AccountNote, Config, Place};
use crate::message::{AccountName, EventId, PROBE_ACCOUNT, Secret, topics};
use crate::server::Certificates;
use crate::server::client::{self, ClientError};
use crate::store::Store;
use crate::telemetry::Metrics;

/// How long one synthetic text may take: the `generic` carrier's patience.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of the secret it is signed with.
const SECRET_BYTES: usize = 32;
/// Largest body it needs.
const BODY_MAX: usize = 4 * 1024;

/// Adds the account of synthetic texts to those that carriers have, if such are to be sent.
pub fn admit(config: &mut Config) -> Option<(Duration, Account)> {
    let every = config.probe?;
    let place = Place { file: config.name.clone(), line: 0 };
    let note = AccountNote { place, loss_accepted: false, names_id: true, is_open: false, api: None, rate: None };
    let account = account();
    config.accounts.push((account.clone(), note));
    Some((every, account))
}

/// Its secret is made now and known to this process only.
fn account() -> Account {
    let mut secret = [0; SECRET_BYTES];
    rand::fill(&mut secret).expect("the system gives random bytes, as it did for every TLS key before");
    let name = AccountName::parse(PROBE_ACCOUNT).expect("the word is a name");
    let secrets = vec![Secret::new(format!("whsec_{}", STANDARD.encode(secret)).into_bytes())];
    // Nothing that `generic` signs covers the URL.
    Account { body_max: BODY_MAX, ..Account::new(name, generic(), Auth::Signature, secrets, "") }
}

fn generic() -> &'static dyn Carrier {
    carrier::by_name("generic").expect("every build speaks Standard Webhooks")
}

/// Sends synthetic texts for as long as the process takes texts.
pub struct Prober {
    pub account: Account,
    pub inbound: SocketAddr,
    /// Of that listener, if it speaks TLS.
    pub certificates: Option<Certificates>,
    pub every: Duration,
    pub clock: Clock,
    pub metrics: Metrics,
    /// The embedded store, where a text that is answered for can be read back at once. In the cluster
    /// profile `archive run` sees it arrive.
    pub store: Option<Store>,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("it was answered {0}")]
    Refused(StatusCode),
    #[error("it was answered 200 and is not in the store")]
    Missing,
    #[error("the store cannot be read: {0}")]
    Store(#[from] crate::store::StoreError),
}

impl Prober {
    pub async fn run(self, stop: CancellationToken) {
        let run = EventId::now_v7().simple().to_string();
        let mut number = 1_u64;
        let mut ticks = tokio::time::interval(self.every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let sent = tokio::select! {
                () = stop.cancelled() => return,
                sent = self.probe(&run, number) => sent,
            };
            if let Err(error) = &sent {
                self.metrics.probe_failures.inc();
                tracing::warn!(%error, "a synthetic text did not come through");
            }
            if !matches!(sent, Err(Failure::Client(_) | Failure::Refused(_))) {
                number += 1;
            }
        }
    }

    /// One text under its number; `Ok` once it is durable.
    async fn probe(&self, run: &str, number: u64) -> Result<(), Failure> {
        let began = Instant::now();
        let id = format!("{run}.{number}");
        let draft = Draft {
            id: id.clone(),
            from: PROBE_ACCOUNT.to_owned(),
            to: PROBE_ACCOUNT.to_owned(),
            text: number.to_string(),
            part: None,
            now: self.clock.now(),
        };
        let signed = self.account.carrier.compose(&draft, &self.account).expect("the account has a secret of its form");
        let inbound = client::reachable(self.inbound).to_string();
        let request = request(&inbound, signed);
        let answer = client::send_to_own(&inbound, self.certificates.as_ref(), request, TIMEOUT).await?;
        let status = answer.status();
        if status != StatusCode::OK {
            return Err(Failure::Refused(status));
        }
        self.reached("published", began);
        if let Some(store) = &self.store {
            read_back(store, &id).await?;
            self.reached("archived", began);
        }
        Ok(())
    }

    fn reached(&self, stage: &str, began: Instant) {
        self.metrics.probe_duration.with_label_values(&[stage]).observe(began.elapsed().as_secs_f64());
        let now = std::time::Duration::from_millis(self.clock.now().as_millisecond().unsigned_abs());
        self.metrics.probe_last_success.with_label_values(&[stage]).set(now.as_secs_f64());
    }
}

fn request(inbound: &str, signed: Signed) -> Request<Full<Bytes>> {
    let path = format!("/inbound/{PROBE_ACCOUNT}");
    let mut request = Request::builder().method(signed.method).uri(path).header(HOST, inbound);
    for (name, value) in &signed.headers {
        request = request.header(name, value);
    }
    request.body(Full::new(Bytes::from(signed.body))).expect("a path and headers of our own making")
}

/// The newest synthetic text of the store is the one just sent: there is one sender.
async fn read_back(store: &Store, id: &str) -> Result<(), Failure> {
    let newest = store.before_last(topics::PROBE, 1).await?;
    let newest = store.read(topics::PROBE, newest, 1).await?;
    let quoted = format!("\"{id}\"");
    let is_it = newest.iter().any(|entry| entry.value.windows(quoted.len()).any(|at| at == quoted.as_bytes()));
    if is_it { Ok(()) } else { Err(Failure::Missing) }
}
