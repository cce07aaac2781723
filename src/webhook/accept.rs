//! The life of a message: authenticate → parse → route → claim → publish → answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use futures_util::future::join_all;
use tokio_util::task::TaskTracker;

use crate::carrier::{Account, Delivery, Webhook, authenticate};
use crate::clock::Clock;
use crate::dedup::{Claim, Claims, Recent};
use crate::keyword::{Live, Table};
use crate::message::{AccountName, Body, Decision, Event, EventId, Flag, SenderKey};
use crate::telemetry::Metrics;

use super::counters::{Counters, Fate};
use super::dead_letter::{self, Reason};
use super::encode::{InboundText, encode};
use super::log::{Addressed, Log, LogError, Logged};
use super::unstoppable::{Panicked, Unstoppable, Work};
use super::{Deferral, Limits, Refusal, Verdict};

/// Keywords in the table above which they are not counted one by one.
const COUNTED_KEYWORDS_MAX: usize = 1_000;
/// Before a carrier's deadline, so that our answer still reaches it.
const DEADLINE_RESERVE: Duration = Duration::from_millis(500);

/// What the door is made of.
pub struct Settings {
    pub routes: Live,
    pub log: Log,
    pub claims: Claims,
    /// Fingerprints of texts whose carriers give no id.
    pub repeats: Recent,
    pub limits: Limits,
    pub sender_key: SenderKey,
    pub clock: Clock,
    pub metrics: Metrics,
    /// Before `accounts/NAME` in every event's source.
    pub origin: Arc<str>,
    /// Longest wait for the log, whatever the carrier allows.
    pub deadline_max: Duration,
}

/// The door: one for the process, shared by all requests.
pub struct Door {
    pub(super) settings: Settings,
    pub(super) counters: Counters,
    /// Texts whose client may be gone and whose fate is not known yet.
    pub(super) unfinished: TaskTracker,
    /// What the ids of an account's texts are made in; as many as there are accounts.
    namespaces: DashMap<AccountName, EventId>,
}

/// What a request's bytes came to.
pub enum Step {
    Done(Verdict),
    /// What is left to do, and the verdict when it is done.
    Left(Work, Verdict),
}

impl Door {
    pub fn new(settings: Settings) -> Arc<Self> {
        let counters = Counters::new(&settings.metrics);
        Arc::new(Self { settings, counters, unfinished: TaskTracker::new(), namespaces: DashMap::new() })
    }

    /// Waits until every text that was taken in has its fate. For shutdown, after the last request.
    pub async fn finish(&self) {
        self.unfinished.close();
        self.unfinished.wait().await;
    }

    /// The half of a request's life that needs its bytes: proven, read, understood. What it leaves to do
    /// is for `follow`; the caller lets go of the request before that.
    pub fn accept(self: &Arc<Self>, account: &Arc<Account>, webhook: &Webhook<'_>) -> Step {
        if let Err(failure) = authenticate(account, webhook) {
            return Step::Done(Verdict::Refused(Refusal::Unproven(failure)));
        }
        let texts = match account.carrier.parse(webhook, account) {
            Ok(Delivery::Texts(texts)) => texts,
            Ok(Delivery::Nothing(kind)) => return Step::Done(Verdict::Nothing(kind)),
            Err(malformed) => return self.keep_malformed(account, webhook, malformed.0),
        };
        let Some(places) = self.settings.limits.enter(texts.len()) else {
            return Step::Done(Verdict::Deferred(Deferral::InFlight));
        };
        let traceparent = webhook.header("traceparent").filter(|value| is_traceparent(value));
        let key = &self.settings.sender_key;
        let read = |inbound| InboundText::new(account, inbound, webhook.received_at, traceparent, key);
        let texts: Vec<_> = texts.into_iter().map(read).collect();
        let door = self.clone();
        let work = async move {
            let fate = door.settle_all(texts).await;
            drop(places);
            fate
        };
        Step::Left(Box::pin(work), Verdict::Accepted)
    }

    /// The other half: sees what is left to its end, and waits for it as long as the carrier does;
    /// `began` is when the request's head came, from where its patience counts. Past the deadline, or
    /// when the client leaves, the work goes on in a task of its own, which keeps the claims until the
    /// log reports. The verdict is `Accepted` only when every text is durable.
    pub async fn follow(&self, account: &Account, step: Step, began: Instant) -> Verdict {
        let (work, done) = match step {
            Step::Done(verdict) => return verdict,
            Step::Left(work, done) => (work, done),
        };
        let patience = account.carrier.contract().deadline.saturating_sub(DEADLINE_RESERVE);
        let deadline = began + patience.min(self.settings.deadline_max);
        match tokio::time::timeout_at(deadline.into(), Unstoppable::new(&self.unfinished, work)).await {
            Ok(Ok(Ok(()))) => done,
            Ok(Ok(Err(deferral))) => Verdict::Deferred(deferral),
            Ok(Err(Panicked)) => Verdict::Deferred(Deferral::Panic),
            Err(_) => Verdict::Deferred(Deferral::Deadline),
        }
    }

    /// All texts of a request at once.
    async fn settle_all(&self, mut texts: Vec<InboundText>) -> Result<(), Deferral> {
        // Most requests hold one, and a list of futures costs more than its work.
        if texts.len() == 1
            && let Some(text) = texts.pop()
        {
            return self.settle(text).await;
        }
        join_all(texts.into_iter().map(|text| self.settle(text))).await.into_iter().collect()
    }

    /// One text to its end: routed, claimed, published; or kept in dead-letter; or deferred.
    async fn settle(&self, text: InboundText) -> Result<(), Deferral> {
        let table = self.settings.routes.load();
        let decision = match &text.inbound.body {
            Body::Text(body) => table.decide(&text.to, body.as_str()),
            Body::Undecodable(_) => table.default_for(&text.to),
        };
        let Some(decision) = decision else {
            self.settings.metrics.unknown_numbers.inc();
            return self.keep_text(&text, self.event_id(&text), Reason::UnknownNumber).await;
        };
        let fate = self.claim_and_publish(&table, &text, &decision).await;
        self.counters.text(&decision.department, fate.unwrap_or(Fate::Deferred));
        if fate == Ok(Fate::Published) && table.keyword_count() <= COUNTED_KEYWORDS_MAX {
            self.counters.keyword(table.number_label(&text.to), &decision);
        }
        fate.map(|_| ())
    }

    async fn claim_and_publish(
        &self,
        table: &Table,
        text: &InboundText,
        decision: &Decision,
    ) -> Result<Fate, Deferral> {
        let id = self.event_id(text);
        if text.inbound.carrier_message_id.is_none() {
            let flags = self.note_repeat(text);
            return self.publish(table, text, decision, id, flags).await.map(|(fate, _)| fate);
        }
        if let Some(fate) = self.claimed(table, text, decision, id, Vec::new()).await? {
            return Ok(fate);
        }
        // The carrier's id belongs to another text. This one gets an id that a retry of it would get
        // again: from a keyed hash that nobody without the key can undo.
        self.settings.metrics.carrier_ids_reused.with_label_values(&[text.account.name.as_str()]).inc();
        let id = EventId::new_v5(&id, &self.settings.sender_key.digest(&[&text.fingerprint]));
        let fate = self.claimed(table, text, decision, id, vec![Flag::CarrierIdReused]).await?;
        fate.ok_or(Deferral::Log)
    }

    /// `None` when the id belongs to other content.
    async fn claimed(
        &self,
        table: &Table,
        text: &InboundText,
        decision: &Decision,
        id: EventId,
        flags: Vec<Flag>,
    ) -> Result<Option<Fate>, Deferral> {
        let ticket = match self.settings.claims.claim(id, text.fingerprint) {
            Claim::First(ticket) => ticket,
            Claim::Known => return Ok(Some(self.duplicate(&text.account))),
            Claim::Reused => return Ok(None),
            Claim::Twin(twin) => {
                let durable = twin.outcome().await;
                return if durable { Ok(Some(self.duplicate(&text.account))) } else { Err(Deferral::Twin) };
            }
        };
        // An error drops the ticket here, which releases the id: a retry is then not swallowed.
        match self.publish(table, text, decision, id, flags).await? {
            (_, Logged::Reused) => Ok(None),
            (_, Logged::Known) => {
                ticket.confirm();
                Ok(Some(self.duplicate(&text.account)))
            }
            (fate, Logged::Stored) => {
                ticket.confirm();
                Ok(Some(fate))
            }
        }
    }

    async fn publish(
        &self,
        table: &Table,
        text: &InboundText,
        decision: &Decision,
        id: EventId,
        flags: Vec<Flag>,
    ) -> Result<(Fate, Logged), Deferral> {
        let events = encode(text, decision, id, flags, &self.settings.sender_key);
        let addressed = events.into_iter().map(|event| Addressed::to(table, event)).collect();
        match self.settings.log.append(addressed).await {
            Ok(logged) => Ok((Fate::Published, logged)),
            Err(LogError::Later(deferral)) => Err(deferral),
            Err(LogError::Never) => {
                self.keep_text(text, id, Reason::Refused).await.map(|()| (Fate::DeadLetter, Logged::Stored))
            }
        }
    }

    fn duplicate(&self, account: &Account) -> Fate {
        self.settings.metrics.duplicates.with_label_values(&[account.name.as_str()]).inc();
        Fate::Duplicate
    }

    /// Without an id an equal text may be a retry or a resident who wrote twice: published, flagged.
    fn note_repeat(&self, text: &InboundText) -> Vec<Flag> {
        let before = self.settings.repeats.insert(text.fingerprint, text.fingerprint);
        if before.is_none() {
            return Vec::new();
        }
        self.settings.metrics.possible_repeats.with_label_values(&[text.account.name.as_str()]).inc();
        vec![Flag::PossibleRepeat]
    }

    /// UUIDv5 of the account and the carrier's id: the same on every replica and after every restart.
    /// Without a carrier's id a fresh UUIDv7, never a hash of number or text.
    fn event_id(&self, text: &InboundText) -> EventId {
        let Some(identity) = text.carrier_identity() else { return EventId::now_v7() };
        EventId::new_v5(&self.namespace(&text.account.name), identity.as_bytes())
    }

    fn namespace(&self, account: &AccountName) -> EventId {
        if let Some(namespace) = self.namespaces.get(account) {
            return *namespace;
        }
        let url = format!("{}/accounts/{account}", self.settings.origin);
        let namespace = EventId::new_v5(&EventId::NAMESPACE_URL, url.as_bytes());
        self.namespaces.insert(account.clone(), namespace);
        namespace
    }

    fn keep_malformed(self: &Arc<Self>, account: &Arc<Account>, webhook: &Webhook<'_>, detail: &'static str) -> Step {
        let Some(places) = self.settings.limits.enter(1) else {
            return Step::Done(Verdict::Deferred(Deferral::InFlight));
        };
        let event = dead_letter::of_request(account, webhook, detail, &self.settings.sender_key);
        let (door, owner) = (self.clone(), account.clone());
        let work = async move {
            let kept = door.keep(&owner, event, Reason::Malformed).await;
            drop(places);
            kept
        };
        Step::Left(Box::pin(work), Verdict::Refused(Refusal::Malformed))
    }

    /// `id` may already stand for another text of the carrier's, so the letter's own is made of both.
    async fn keep_text(&self, text: &InboundText, id: EventId, reason: Reason) -> Result<(), Deferral> {
        let key = &self.settings.sender_key;
        let id = EventId::new_v5(&id, &key.digest(&[b"dead-letter", &text.fingerprint]));
        self.keep(&text.account, dead_letter::of_text(text, id, reason, key), reason).await
    }

    async fn keep(&self, account: &Account, event: Event, reason: Reason) -> Result<(), Deferral> {
        match self.settings.log.append(vec![Addressed::dead_letter(event)]).await {
            Ok(Logged::Stored) => {}
            Ok(Logged::Known) => return Ok(()),
            Ok(Logged::Reused) | Err(_) => return Err(Deferral::DeadLetter),
        }
        self.settings.metrics.dead_letters.with_label_values(&[account.name.as_str(), reason.label()]).inc();
        tracing::error!(account = %account.name, reason = reason.label(), "kept in dead-letter");
        Ok(())
    }
}

/// W3C Trace Context: version, trace id, parent id, flags, all hexadecimal.
fn is_traceparent(value: &str) -> bool {
    let lengths = value.split('-').map(str::len);
    value.len() == 55
        && lengths.eq([2, 32, 16, 2])
        && value.bytes().all(|byte| byte == b'-' || matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
