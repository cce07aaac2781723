//! HTTP around the life of a message: path → account, bounds, the body, the answer, the counts.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use foldhash::fast::RandomState;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use prometheus::IntCounter;
use tracing::Level;

use crate::carrier::{Account, Admission, AuthFailure, Reply, Webhook, authenticate_head};
use crate::clock::jittered;
use crate::intake;
use crate::message::AccountName;
use crate::server::{Answer, Caller};
use crate::telemetry::{Metrics, Told};

use super::accept::patience;
use super::within::within;
use super::{Deferral, Door, Proxies, Refusal, Verdict};

/// Every status a verdict can have: their counters are resolved once for each account.
const STATUSES: [u16; 8] = [200, 400, 403, 404, 405, 408, 413, 503];
/// `Retry-After` in seconds: a few.
const RETRY_AFTER_SECONDS: RangeInclusive<u64> = 2..=8;
/// How long at most a request waits for room, its body unread, before it is refused; never beyond half of
/// its carrier's patience. A refusal costs a quarter of what a text does, so whoever is refused at once and
/// comes back at once takes the processor from texts that were let in.
const REFUSAL_HELD_BACK_MAX: Duration = Duration::from_secs(3);
/// How much of that time, so that not all come back at once.
const REFUSAL_HELD_BACK_PERCENT: RangeInclusive<u64> = 34..=100;
/// The label of requests to accounts that are not configured.
const UNKNOWN: &str = "unknown";

/// The inbound listener's service: accounts by name, and the door behind them.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    door: Arc<Door>,
    accounts: HashMap<AccountName, Known, RandomState>,
    unknown: [IntCounter; STATUSES.len()],
    body_timeout: Duration,
    proxies: Proxies,
    /// Once set, every answer ends its connection: whoever keeps connections open finds another. No token that can be
    /// waited for: each look at one takes a lock, which all requests would share.
    leaving: Arc<AtomicBool>,
    metrics: Metrics,
    told: Told,
}

struct Known {
    account: Arc<Account>,
    requests: [IntCounter; STATUSES.len()],
}

impl Service {
    pub fn new(
        door: Arc<Door>,
        accounts: Vec<Account>,
        body_timeout: Duration,
        proxies: Proxies,
        leaving: Arc<AtomicBool>,
        metrics: Metrics,
    ) -> Self {
        let counters = |account: &str| {
            STATUSES.map(|status| metrics.webhook_requests.with_label_values(&[account, &status.to_string()]))
        };
        let unknown = counters(UNKNOWN);
        let known = |account: Account| {
            let requests = counters(account.name.as_str());
            (account.name.clone(), Known { account: Arc::new(account), requests })
        };
        let accounts = accounts.into_iter().map(known).collect();
        Self(Arc::new(Inner { door, accounts, unknown, body_timeout, proxies, leaving, metrics, told: Told::new() }))
    }

    /// One request, from its head to its answer. The URL reaches no log: it may hold a text.
    pub async fn call(self, request: Request<Incoming>, caller: Caller) -> Answer {
        let began = Instant::now();
        let (known, verdict) = self.judge(request, &caller, began).await;
        let account = known.map(|known| &*known.account);
        self.count(known, verdict);
        self.log(account, verdict, began);
        let answer = self.answer(account, verdict);
        self.0.metrics.webhook_duration.observe(began.elapsed().as_secs_f64());
        answer
    }

    async fn judge(&self, request: Request<Incoming>, caller: &Caller, began: Instant) -> (Option<&Known>, Verdict) {
        let (head, body) = request.into_parts();
        let Some((name, path_secret)) = account_path(head.uri.path()) else {
            return (None, Verdict::Refused(Refusal::NoSuchPath));
        };
        let Some(known) = self.0.accounts.get(name) else {
            return (None, Verdict::Refused(Refusal::UnknownAccount));
        };
        if !known.account.carrier.contract().methods.contains(&head.method) {
            return (Some(known), Verdict::Refused(Refusal::Method));
        }
        let limits = &self.0.door.settings.limits;
        // Kept until the texts have got in, or the request has turned out to be none.
        let turn = match limits.wait_for_room(&known.account.name, || self.held_back(&known.account)).await {
            Ok(turn) => turn,
            Err(deferral) => return (Some(known), Verdict::Deferred(deferral)),
        };
        let mut webhook = Webhook {
            method: &head.method,
            query: head.uri.query().unwrap_or_default(),
            headers: &head.headers,
            body: &[],
            path_secret,
            peer: self.0.proxies.client(caller.address.ip(), &head.headers),
            received_at: self.0.door.settings.clock.now(),
        };
        // A stranger's body is not worth reading, nor the room it takes.
        if let Err(failure) = authenticate_head(&known.account, &webhook) {
            return (Some(known), Verdict::Refused(Refusal::Unproven(failure)));
        }
        let body_max = known.account.body_max;
        if body.size_hint().lower() > body_max as u64 {
            return (Some(known), Verdict::Refused(Refusal::TooLarge));
        }
        let reading = limits.read_body(body, body_max);
        let read = within(self.0.body_timeout, reading).await;
        let body = match read.unwrap_or(Err(Verdict::Refused(Refusal::TooSlow))) {
            Ok(body) => body,
            Err(verdict) => return (Some(known), verdict),
        };
        webhook.body = body.bytes();
        webhook.received_at = self.0.door.settings.clock.now();
        let accepted = match self.0.door.accept(&known.account, &webhook) {
            Err(AuthFailure::Certificate) => {
                // Boxed: few requests come to this, and all would need room for it.
                Box::pin(self.0.door.accept_with_certificate(&known.account, &webhook, began)).await
            }
            accepted => accepted,
        };
        drop(turn);
        let (admission, step) = match accepted {
            Ok(accepted) => accepted,
            Err(AuthFailure::Certificate) => return (Some(known), Verdict::Deferred(Deferral::Certificate)),
            Err(failure) => return (Some(known), Verdict::Refused(Refusal::Unproven(failure))),
        };
        match admission {
            Admission::Proven => caller.has_proven_itself(),
            Admission::Unverified(failure) => self.note_unverified(&known.account, failure, began),
        }
        // The connection reads on in the request's buffer if nobody holds it any more; with it held, each
        // request would cost a new one. The room stays taken, for the texts need it now.
        let _room = body.into_room();
        drop(head);
        let verdict = self.0.door.follow(&known.account, step, began).await;
        // Which department a text is for, and that it has had its share, shows only now.
        if verdict == Verdict::Deferred(Deferral::Text(intake::Deferral::Department)) {
            tokio::time::sleep(self.held_back(&known.account)).await;
        }
        (Some(known), verdict)
    }

    /// Counted like one that is refused, so that nothing is left to fail when signatures are enforced.
    fn note_unverified(&self, account: &Account, failure: AuthFailure, now: Instant) {
        let (account, reason) = (account.name.as_str(), failure.reason());
        self.0.metrics.signature_failures.with_label_values(&[account, reason]).inc();
        let Some(untold) = self.0.told.is_due("unverified", now) else { return };
        tracing::warn!(account, reason, untold, "its signature failed, and it was let in: the account only watches");
    }

    /// For how long a request of the account waits before it is refused.
    fn held_back(&self, account: &Account) -> Duration {
        let longest = REFUSAL_HELD_BACK_MAX.min(patience(account, self.0.door.settings.deadline_max) / 2);
        longest.mul_f64(jittered(REFUSAL_HELD_BACK_PERCENT) as f64 / 100.0)
    }

    fn log(&self, account: Option<&Account>, verdict: Verdict, now: Instant) {
        let (account, reason) = (account.map_or(UNKNOWN, |account| account.name.as_str()), verdict.reason());
        let (status, level) = (verdict.status().as_u16(), verdict.level());
        if level == Level::DEBUG {
            return tracing::debug!(account, reason, status, "webhook answered");
        }
        let Some(untold) = self.0.told.is_due(reason, now) else { return };
        match level {
            Level::ERROR => tracing::error!(account, reason, status, untold, "webhook answered"),
            Level::WARN => tracing::warn!(account, reason, status, untold, "webhook answered"),
            _ => tracing::info!(account, reason, status, untold, "webhook answered"),
        }
    }

    fn count(&self, known: Option<&Known>, verdict: Verdict) {
        let status = verdict.status().as_u16();
        let counters = known.map_or(&self.0.unknown, |known| &known.requests);
        if let Some(index) = STATUSES.iter().position(|known| *known == status) {
            counters[index].inc();
        }
        let account = known.map_or(UNKNOWN, |known| known.account.name.as_str());
        let metrics = &self.0.metrics;
        match verdict {
            Verdict::Accepted => {}
            Verdict::Nothing(kind) => metrics.nothing_to_route.with_label_values(&[account, kind]).inc(),
            Verdict::Refused(Refusal::Unproven(failure)) => {
                metrics.signature_failures.with_label_values(&[account, failure.reason()]).inc();
            }
            Verdict::Refused(Refusal::UnknownAccount) => {
                metrics.signature_failures.with_label_values(&[account, verdict.reason()]).inc();
            }
            Verdict::Refused(_) => {}
            Verdict::Deferred(_) => metrics.shed.with_label_values(&[verdict.reason()]).inc(),
        }
    }

    fn answer(&self, account: Option<&Account>, verdict: Verdict) -> Answer {
        let mut answer = Response::new(Full::default());
        *answer.status_mut() = verdict.status();
        // The rest of a body is not waited for, so nothing can follow on its connection.
        let unread = matches!(verdict, Verdict::Refused(Refusal::TooLarge | Refusal::TooSlow | Refusal::BrokenOff));
        if unread || self.0.leaving.load(Ordering::Relaxed) {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        match verdict {
            Verdict::Accepted | Verdict::Nothing(_) => {
                if let Some(reply) = account.and_then(Account::declared_reply) {
                    declared(reply, &mut answer);
                } else if let Some((content_type, body)) = account.and_then(|account| account.carrier.contract().reply)
                {
                    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
                    *answer.body_mut() = Full::new(Bytes::from_static(body.as_bytes()));
                }
            }
            Verdict::Deferred(_) => {
                answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(jittered(RETRY_AFTER_SECONDS)));
            }
            Verdict::Refused(Refusal::Method) => {
                let methods = account.map_or(&[][..], |account| account.carrier.contract().methods);
                let allowed = methods.iter().map(hyper::Method::as_str).collect::<Vec<_>>().join(", ");
                answer.headers_mut().extend(HeaderValue::from_str(&allowed).map(|allowed| (ALLOW, allowed)));
            }
            Verdict::Refused(_) => {}
        }
        answer
    }
}

/// What the operator has declared for a carrier of their own; the settings have been checked.
fn declared(reply: &Reply, answer: &mut Answer) {
    *answer.status_mut() = StatusCode::from_u16(reply.status).unwrap_or_default();
    if let Ok(content_type) = HeaderValue::from_str(&reply.content_type)
        && !reply.body.is_empty()
    {
        answer.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    *answer.body_mut() = Full::new(Bytes::copy_from_slice(reply.body.as_bytes()));
}

/// `/inbound/{account}` or `/inbound/{account}/{secret}`.
fn account_path(path: &str) -> Option<(&str, Option<&str>)> {
    let rest = path.strip_prefix("/inbound/")?;
    match rest.split_once('/') {
        None => Some((rest, None)),
        Some((account, secret)) if !secret.is_empty() && !secret.contains('/') => Some((account, Some(secret))),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::account_path;

    #[test]
    fn only_the_two_paths_lead_to_an_account() {
        for (path, found) in [
            ("/inbound/demo", Some(("demo", None))),
            ("/inbound/demo/s3cret", Some(("demo", Some("s3cret")))),
            ("/inbound/demo/", None),
            ("/inbound/demo/a/b", None),
            ("/inbound", None),
            ("/", None),
            ("/metrics", None),
            ("//inbound/demo", None),
        ] {
            assert_eq!(account_path(path), found, "{path}");
        }
    }
}
