//! One understood text → its department, made durable: decide → claim → encode → log.
//!
//! Comes in: texts that a carrier's adapter has read, or that are taken up again: joined from their
//! pieces, called back from dead-letter, or moved to another department. Goes out: `Ok` once the text is durable, or why not.
//! A piece of a long text goes to the stream on which `joiner` finds it.
//! Always true: a text is claimed before it is handed to the log and confirmed after; what has nowhere
//! to go is kept in dead-letter; the same carrier id is the same event id on every replica.
//! Not here: requests and statuses, how a log makes an event durable, which keyword means what.

mod counters;
mod dead_letter;
mod encode;
mod pace;
mod pieces;
mod places;
mod probe;
mod recall;
mod reroute;

pub use dead_letter::{Reason, of_request, replayed};
pub use encode::{InboundText, Label, encode};
pub use places::{Full, Place, Places, Settings as PlaceSettings, Turn};
pub use recall::{NotRecalled, Recalled};
pub use reroute::{NotRerouted, Rerouted};

use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use futures_util::future::join_all;

use crate::carrier::Account;
use crate::dedup::{Claim, Claims, Recent};
use crate::keyword::{Live, Table};
use crate::log::{Addressed, Log, LogError, Logged};
use crate::message::{
    AccountName, Body, Decision, Event, EventId, EventKind, Flag, Inbound, Open, PROBE_ACCOUNT, SenderKey, Timestamp,
};
use crate::telemetry::{Metrics, Told};

use counters::{Counters, Fate};

/// Keywords in the table above which they are not counted one by one.
const COUNTED_KEYWORDS_MAX: usize = 1_000;

/// What the intake is made of.
pub struct Settings {
    pub routes: Live,
    pub log: Log,
    pub claims: Claims,
    /// Fingerprints of texts whose carriers give no id.
    pub repeats: Recent,
    pub places: Places,
    pub sender_key: SenderKey,
    pub metrics: Metrics,
    /// Before `accounts/NAME` in every event's source.
    pub origin: Arc<str>,
}

/// Why a text is not durable: our own trouble, for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deferral {
    /// Too many texts wait for this department, or its topic is not taking texts.
    Department,
    /// The log did not take the text.
    Log,
    /// The first copy of this text failed.
    Twin,
    /// What could not be understood could not be kept either.
    DeadLetter,
}

impl Deferral {
    /// A word for logs and metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Department => "department",
            Self::Log => "log",
            Self::Twin => "twin",
            Self::DeadLetter => "dead_letter",
        }
    }
}

/// Where a text goes.
#[derive(Clone, Copy)]
enum Way<'a> {
    /// To a department, as the table decided.
    Department(&'a Table, &'a Decision),
    /// To the stream on which pieces are joined.
    Parts,
}

/// One for the process, shared by all who take texts in.
pub struct Intake {
    settings: Settings,
    counters: Counters,
    /// What the ids of an account's texts are made in; as many as there are accounts.
    namespaces: DashMap<AccountName, EventId, RandomState>,
    told: Told,
}

impl Intake {
    pub fn new(settings: Settings) -> Arc<Self> {
        let counters = Counters::new(&settings.metrics);
        Arc::new(Self { settings, counters, namespaces: DashMap::default(), told: Told::new() })
    }

    pub fn sender_key(&self) -> &SenderKey {
        &self.settings.sender_key
    }

    /// The table in force.
    pub fn routes(&self) -> &Live {
        &self.settings.routes
    }

    /// How many texts are let in at once, and whose.
    pub fn places(&self) -> &Places {
        &self.settings.places
    }

    /// Whether this text is durable already, as far as memory reaches: one sent again costs nothing.
    pub fn knows(&self, text: &InboundText) -> bool {
        text.inbound.carrier_message_id.is_some() && self.settings.claims.knows(self.event_id(text), text.fingerprint)
    }

    /// A text as an account's carrier sent it, normalised.
    pub fn read(
        &self,
        account: &Account,
        inbound: Inbound,
        received_at: Timestamp,
        traceparent: Option<&str>,
    ) -> InboundText {
        InboundText::new(account, inbound, received_at, traceparent, &self.settings.sender_key)
    }

    /// All texts of a request at once; the first trouble is the request's.
    pub async fn take_all(&self, mut texts: Vec<InboundText>) -> Result<(), Deferral> {
        // Most requests hold one, and a list of futures costs more than its work.
        if texts.len() == 1
            && let Some(text) = texts.pop()
        {
            return self.take(&text).await;
        }
        join_all(texts.iter().map(|text| self.take(text))).await.into_iter().collect()
    }

    /// One text to its end: routed, claimed, published; or kept in dead-letter; or deferred. What few texts
    /// come to is boxed, so that all others need no room for it.
    pub async fn take(&self, text: &InboundText) -> Result<(), Deferral> {
        if text.is_joinable() {
            return Box::pin(self.take_piece(text)).await;
        }
        let table = self.settings.routes.load();
        if text.account.as_str() == PROBE_ACCOUNT {
            return Box::pin(self.take_probe(&table, text)).await;
        }
        let Some(decision) = Self::decide(&table, text) else {
            self.settings.metrics.unknown_numbers.inc();
            let label = Label::message(self.event_id(text), text.flags.clone());
            return Box::pin(self.keep_text(text, &label, Reason::UnknownNumber)).await;
        };
        let fate = self.claim_and_publish(Way::Department(&table, &decision), text).await;
        self.count(&table, text, &decision, fate);
        fate.map(|_| ())
    }

    /// A synthetic text: the same way, to a place of its own, counted as nobody's text.
    async fn take_probe(&self, table: &Table, text: &InboundText) -> Result<(), Deferral> {
        let label = Label { kind: EventKind::Probe, ..Label::message(self.event_id(text), Vec::new()) };
        // `None`: its id stands for another, which no sender of ours gives out.
        self.claimed(Way::Department(table, &probe::decision(table)), text, label).await?.map(drop).ok_or(Deferral::Log)
    }

    /// Keeps an event in dead-letter; `patience` is that of whoever waits for it.
    pub async fn keep(&self, event: Event, reason: Reason, patience: Duration) -> Result<(), Deferral> {
        let account = event.account.clone();
        match self.settings.log.append(vec![Addressed::dead_letter(event)], patience).await {
            Ok(Logged::Stored) => {}
            Ok(Logged::Known) => return Ok(()),
            Ok(Logged::Reused) | Err(_) => return Err(Deferral::DeadLetter),
        }
        self.settings.metrics.dead_letters.with_label_values(&[account.as_str(), reason.label()]).inc();
        if let Some(untold) = self.told.is_due(reason.label(), Instant::now()) {
            tracing::error!(%account, reason = reason.label(), untold, "kept in dead-letter");
        }
        Ok(())
    }

    fn decide(table: &Table, text: &InboundText) -> Option<Decision> {
        match &text.inbound.body {
            Body::Text(body) => table.decide(&text.to, body.as_str()),
            Body::Undecodable(_) => table.default_for(&text.to),
        }
    }

    fn count(&self, table: &Table, text: &InboundText, decision: &Decision, fate: Result<Fate, Deferral>) {
        for department in decision.every_department() {
            self.counters.text(department, fate.unwrap_or(Fate::Deferred));
        }
        if fate == Ok(Fate::Published) && table.keyword_count() <= COUNTED_KEYWORDS_MAX {
            self.counters.keyword(table.number_label(&text.to), decision);
        }
    }

    async fn claim_and_publish(&self, way: Way<'_>, text: &InboundText) -> Result<Fate, Deferral> {
        let id = self.event_id(text);
        if text.inbound.carrier_message_id.is_none() {
            let label = Label::message(id, self.note_repeat(text));
            return self.publish(way, text, label).await.map(|(fate, _)| fate);
        }
        let label = Label::message(id, text.flags.clone());
        if let Some(fate) = self.claimed(way, text, label.clone()).await? {
            return Ok(fate);
        }
        self.settings.metrics.carrier_ids_reused.with_label_values(&[text.account.as_str()]).inc();
        let label = self.label_of_reused(text, label);
        let fate = self.claimed(way, text, label).await?;
        fate.ok_or(Deferral::Log)
    }

    /// The carrier's id belongs to another text. This one gets an id that a retry of it would get
    /// again: from a keyed hash that nobody without the key can undo.
    fn label_of_reused(&self, text: &InboundText, mut label: Label) -> Label {
        label.id = EventId::new_v5(&label.id, &self.settings.sender_key.digest(&[&text.fingerprint]));
        label.flags.push(Flag::CarrierIdReused.into());
        label
    }

    /// `None` when the id belongs to other content.
    async fn claimed(&self, way: Way<'_>, text: &InboundText, label: Label) -> Result<Option<Fate>, Deferral> {
        let ticket = match self.settings.claims.claim(label.id, text.fingerprint) {
            Claim::First(ticket) => ticket,
            Claim::Known => return Ok(Some(self.duplicate(text))),
            Claim::Reused => return Ok(None),
            Claim::Twin(twin) => {
                return if twin.outcome().await { Ok(Some(self.duplicate(text))) } else { Err(Deferral::Twin) };
            }
        };
        // An error drops the ticket here, which releases the id: a retry is then not swallowed.
        match self.publish(way, text, label).await? {
            (_, Logged::Reused) => Ok(None),
            (_, Logged::Known) => {
                ticket.confirm();
                Ok(Some(self.duplicate(text)))
            }
            (fate, Logged::Stored) => {
                ticket.confirm();
                Ok(Some(fate))
            }
        }
    }

    async fn publish(&self, way: Way<'_>, text: &InboundText, label: Label) -> Result<(Fate, Logged), Deferral> {
        let places = &self.settings.places;
        let _held = match way {
            Way::Department(_, decision) => {
                Some(places.of_departments(decision.every_department()).ok_or(Deferral::Department)?)
            }
            Way::Parts => None,
        };
        let handed_over = Instant::now();
        match self.append(way, text, label.clone()).await {
            Ok(logged) => {
                places.became_durable(handed_over);
                Ok((Fate::Published, logged))
            }
            Err(LogError::Department) => Err(Deferral::Department),
            Err(LogError::Unavailable) => Err(Deferral::Log),
            Err(LogError::Never) => {
                let kept = Box::pin(self.keep_text(text, &label, Reason::Refused)).await;
                kept.map(|()| (Fate::DeadLetter, Logged::Stored))
            }
        }
    }

    async fn append(&self, way: Way<'_>, text: &InboundText, label: Label) -> Result<Logged, LogError> {
        let addressed = match way {
            Way::Department(table, decision) => {
                let events = encode(text, decision, label, &self.settings.sender_key);
                events.into_iter().map(|event| Addressed::to(table, event)).collect()
            }
            Way::Parts => vec![Addressed::own(self.piece(text, label))],
        };
        self.settings.log.append(addressed, text.patience).await
    }

    fn duplicate(&self, text: &InboundText) -> Fate {
        self.settings.metrics.duplicates.with_label_values(&[text.account.as_str()]).inc();
        Fate::Duplicate
    }

    /// Without an id an equal text may be a retry or a resident who wrote twice: published, flagged.
    fn note_repeat(&self, text: &InboundText) -> Vec<Open<Flag>> {
        let mut flags = text.flags.clone();
        if self.settings.repeats.insert(text.fingerprint, text.fingerprint).is_some() {
            self.settings.metrics.possible_repeats.with_label_values(&[text.account.as_str()]).inc();
            flags.push(Flag::PossibleRepeat.into());
        }
        flags
    }

    /// UUIDv5 of the account and the carrier's id: the same on every replica and after every restart.
    /// Without a carrier's id a fresh UUIDv7, never a hash of number or text.
    fn event_id(&self, text: &InboundText) -> EventId {
        let Some(identity) = text.carrier_identity() else { return EventId::now_v7() };
        EventId::new_v5(&self.namespace(&text.account), identity.as_bytes())
    }

    fn namespace(&self, account: &AccountName) -> EventId {
        if let Some(namespace) = self.namespaces.get(account) {
            return *namespace;
        }
        let namespace = namespace(&self.settings.origin, account);
        self.namespaces.insert(account.clone(), namespace);
        namespace
    }

    async fn keep_text(&self, text: &InboundText, label: &Label, reason: Reason) -> Result<(), Deferral> {
        let letter = dead_letter::of_text(text, label, reason, &self.settings.sender_key);
        self.keep(letter, reason, text.patience).await
    }
}

/// The id that a whole text gets here whose carrier names it so: for asking whether it is known.
/// `origin` is that of the settings' `EventSource`.
pub fn event_id(origin: &str, account: &AccountName, carrier_message_id: &str) -> EventId {
    EventId::new_v5(&namespace(origin, account), carrier_message_id.as_bytes())
}

/// What the ids of an account's texts are made in.
fn namespace(origin: &str, account: &AccountName) -> EventId {
    EventId::new_v5(&EventId::NAMESPACE_URL, format!("{origin}/accounts/{account}").as_bytes())
}
