//! The life of a message: authenticate → parse → taken in → answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::header::HeaderName;
use tokio_util::task::TaskTracker;

use crate::carrier::{Account, Admission, AuthFailure, Delivery, Webhook, admit};
use crate::clock::Clock;
use crate::intake::{Intake, Reason, of_request};
use crate::message::{Flag, Open, is_traceparent};

use super::unstoppable::{Panicked, Unstoppable, Work};
use super::{Deferral, Limits, Outward, Refusal, Verdict};

/// Of W3C Trace Context.
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// How long an account's carrier waits for a text to become durable, at most `most`.
pub fn patience(account: &Account, most: Duration) -> Duration {
    account.patience().min(most)
}

/// What the door is made of.
pub struct Settings {
    pub intake: Arc<Intake>,
    pub limits: Limits,
    pub clock: Clock,
    /// Longest wait for the log, whatever the carrier allows.
    pub deadline_max: Duration,
    /// Where an account's requests name certificates or subscriptions.
    pub outward: Option<Outward>,
}

/// The door: one for the process, shared by all requests.
pub struct Door {
    pub(super) settings: Settings,
    /// Texts whose client may be gone and whose fate is not known yet.
    unfinished: TaskTracker,
}

/// What a request's bytes came to.
pub enum Step {
    Done(Verdict),
    /// What is left to do, and the verdict when it is done.
    Left(Work, Verdict),
}

impl Door {
    pub fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self { settings, unfinished: TaskTracker::new() })
    }

    /// Waits until every text that was taken in has its fate. For shutdown, after the last request.
    pub async fn finish(&self) {
        self.unfinished.close();
        self.unfinished.wait().await;
    }

    /// The half of a request's life that needs its bytes: proven, read, understood. What it leaves to do
    /// is for `follow`; the caller lets go of the request before that.
    pub fn accept(&self, account: &Account, webhook: &Webhook<'_>) -> Result<(Admission, Step), AuthFailure> {
        let admission = admit(account, webhook)?;
        let flags = match admission {
            Admission::Proven => &[][..],
            Admission::Unverified(_) => &[Flag::Unverified],
        };
        Ok((admission, self.take(account, webhook, flags)))
    }

    fn take(&self, account: &Account, webhook: &Webhook<'_>, flags: &[Flag]) -> Step {
        let texts = match account.carrier.parse(webhook, account) {
            Ok(Delivery::Texts(texts)) => texts,
            Ok(Delivery::Nothing(kind)) => return Step::Done(Verdict::Nothing(kind)),
            Ok(Delivery::Subscription(url)) => {
                return self.answer_subscription(account, url.filter(|_| flags.is_empty()));
            }
            Err(malformed) => return self.keep_malformed(account, webhook, flags, malformed.0),
        };
        let limits = &self.settings.limits;
        let place = match limits.enter(&account.name, texts.len()) {
            Ok(place) => place,
            Err(deferral) => return Step::Done(Verdict::Deferred(deferral)),
        };
        let traceparent = webhook.header(&TRACEPARENT).filter(|value| is_traceparent(value));
        let intake = self.settings.intake.clone();
        let read = |inbound| {
            let mut text = intake.read(account, inbound, webhook.received_at, traceparent);
            text.flags.extend(flags.iter().copied().map(Open::Known));
            text
        };
        let texts: Vec<_> = texts.into_iter().map(read).collect();
        let new = || texts.iter().filter(|text| !intake.knows(text)).count();
        if let Err(deferral) = limits.spend(&account.name, new) {
            return Step::Done(Verdict::Deferred(deferral));
        }
        let work = async move {
            let fate = intake.take_all(texts).await;
            drop(place);
            fate.map_err(Deferral::from)
        };
        Step::Left(Box::pin(work), Verdict::Accepted)
    }

    /// The same for a request that names a certificate that is not here: it is fetched first, for as long as
    /// the carrier waits; `began` as for `follow`. Without it nobody can tell who sent the request, which is
    /// no reason to say that it was nobody: `AuthFailure::Certificate` is our own trouble.
    pub async fn accept_with_certificate(
        &self,
        account: &Account,
        webhook: &Webhook<'_>,
        began: Instant,
    ) -> Result<(Admission, Step), AuthFailure> {
        let deadline = began + patience(account, self.settings.deadline_max);
        let bring = async {
            let (outward, url) = (self.settings.outward.as_ref()?, account.carrier.certificate_url(webhook)?);
            outward.bring(&account.certificates, &url, webhook.received_at).await.ok()
        };
        match tokio::time::timeout_at(deadline.into(), bring).await {
            Ok(Some(())) => self.accept(account, webhook),
            _ if account.is_monitored(webhook.received_at) => {
                let admission = Admission::Unverified(AuthFailure::Certificate);
                Ok((admission, self.take(account, webhook, &[Flag::Unverified])))
            }
            _ => Err(AuthFailure::Certificate),
        }
    }

    /// The other half: sees what is left to its end, and waits for it as long as the carrier does;
    /// `began` is when the request's head came, from where its patience counts. Past the deadline, or
    /// when its connection is ended, the work goes on in a task of its own, which keeps the claims until the
    /// log reports. The verdict is `Accepted` only when every text is durable.
    pub async fn follow(&self, account: &Account, step: Step, began: Instant) -> Verdict {
        let (work, done) = match step {
            Step::Done(verdict) => return verdict,
            Step::Left(work, done) => (work, done),
        };
        let deadline = began + patience(account, self.settings.deadline_max);
        match tokio::time::timeout_at(deadline.into(), Unstoppable::new(&self.unfinished, work)).await {
            Ok(Ok(Ok(()))) => done,
            Ok(Ok(Err(deferral))) => Verdict::Deferred(deferral),
            Ok(Err(Panicked)) => Verdict::Deferred(Deferral::Panic),
            Err(_) => Verdict::Deferred(Deferral::Deadline),
        }
    }

    /// Says yes where the account wants that; else it is told how to.
    fn answer_subscription(&self, account: &Account, url: Option<String>) -> Step {
        let answered = Verdict::Nothing("subscription");
        let (Some(url), Some(outward)) = (url, self.settings.outward.clone()) else {
            tracing::warn!(
                account = %account.name,
                "a topic asks whether it may send here and is not answered: say confirm_subscriptions = true and have it ask again (\"Request confirmation\")"
            );
            return Step::Done(answered);
        };
        let account = account.name.clone();
        let work = async move {
            let confirmed = outward.confirm(&url).await;
            match &confirmed {
                Ok(()) => tracing::info!(%account, "a subscription is confirmed"),
                Err(error) => tracing::warn!(%account, %error, "a subscription could not be confirmed"),
            }
            confirmed.map_err(|_| Deferral::Confirmation)
        };
        Step::Left(Box::pin(work), answered)
    }

    fn keep_malformed(&self, account: &Account, webhook: &Webhook<'_>, flags: &[Flag], detail: &'static str) -> Step {
        let limits = &self.settings.limits;
        let entered =
            limits.enter(&account.name, 1).and_then(|place| limits.spend(&account.name, || 1).map(|()| place));
        let place = match entered {
            Ok(place) => place,
            Err(deferral) => return Step::Done(Verdict::Deferred(deferral)),
        };
        let intake = self.settings.intake.clone();
        let event = of_request(account, webhook, detail, flags, intake.sender_key());
        let patience = account.patience();
        let work = async move {
            let kept = intake.keep(event, Reason::Malformed, patience).await;
            drop(place);
            kept.map_err(Deferral::from)
        };
        Step::Left(Box::pin(work), Verdict::Refused(Refusal::Malformed))
    }
}

#[cfg(test)]
mod tests;
