//! One text → the events it becomes: the wire record and, where it says so, a consent record.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::carrier::Account;
use crate::message::{
    Body, Consent, ConsentRecord, Decision, Destination, Event, EventId, EventKind, Flag, Inbound, Number, Part, Parts,
    Record, SCHEMA_VERSION, SenderKey, Text, Timestamp,
};

/// One text on its way: what the carrier sent, normalised, and what tells it from others.
pub struct InboundText {
    pub account: Arc<Account>,
    pub inbound: Inbound,
    pub from: Number,
    pub to: Number,
    pub received_at: Timestamp,
    /// W3C trace context of the carrier's request.
    pub traceparent: Option<String>,
    /// Tells equal texts from different ones; see `fingerprint`.
    pub fingerprint: [u8; 16],
}

impl InboundText {
    pub fn new(
        account: &Arc<Account>,
        inbound: Inbound,
        received_at: Timestamp,
        traceparent: Option<&str>,
        key: &SenderKey,
    ) -> Self {
        let from = Number::normalise(inbound.from.as_str(), account.country);
        let to = match (&inbound.to, &account.number) {
            (Some(to), _) => Number::normalise(to.as_str(), account.country),
            (None, Some(number)) => number.clone(),
            (None, None) => Number::normalise("", account.country),
        };
        let fingerprint = fingerprint(key, &from, &to, &inbound.body, inbound.part.as_ref());
        let traceparent = traceparent.map(str::to_owned);
        Self { account: account.clone(), inbound, from, to, received_at, traceparent, fingerprint }
    }

    /// What makes this text's request unique to the carrier, part number included.
    pub fn carrier_identity(&self) -> Option<String> {
        let id = self.inbound.carrier_message_id.as_deref()?;
        Some(match &self.inbound.part {
            Some(part) => format!("{id}/part/{}", part.number),
            None => id.to_owned(),
        })
    }
}

/// Keyed hash of sender, recipient, text and part: what makes two texts the same.
fn fingerprint(key: &SenderKey, from: &Number, to: &Number, body: &Body, part: Option<&Part>) -> [u8; 16] {
    let (kind, content): (&[u8], &[u8]) = match body {
        Body::Text(text) => (b"text", text.as_str().as_bytes()),
        Body::Undecodable(bytes) => (b"raw", bytes),
    };
    let number = part.map_or([0; 2], |part| part.number.to_be_bytes());
    let reference = part.map_or("", |part| part.reference.as_str()).as_bytes();
    key.fingerprint(&[from.as_str().as_bytes(), to.as_str().as_bytes(), kind, content, reference, &number])
}

/// The events of one text, its own first.
pub fn encode(text: &InboundText, decision: &Decision, id: EventId, flags: Vec<Flag>, key: &SenderKey) -> Vec<Event> {
    let sender = key.hash(&text.from);
    let event = |id, kind, destination, value| Event {
        id,
        kind,
        destination,
        account: text.account.name.clone(),
        subject: text.to.as_str().to_owned(),
        received_at: text.received_at,
        key: sender,
        fingerprint: text.fingerprint,
        traceparent: text.traceparent.clone(),
        value,
    };
    let destination = Destination::Department(decision.department.clone());
    let own = event(id, EventKind::Message, destination, to_json(&record(text, decision, id, flags)));
    let consent = decision.consent.map(|consent| {
        let record = consent_record(text, decision, consent, id);
        event(record.id, EventKind::Consent, Destination::Consent, to_json(&record))
    });
    std::iter::once(own).chain(consent).collect()
}

fn record(text: &InboundText, decision: &Decision, id: EventId, mut flags: Vec<Flag>) -> Record {
    let inbound = &text.inbound;
    let (words, raw) = match &inbound.body {
        Body::Text(words) => (words.clone(), None),
        Body::Undecodable(bytes) => {
            flags.push(Flag::Undecodable);
            (Text::default(), Some(Text::from(STANDARD.encode(bytes))))
        }
    };
    if inbound.part.is_some() {
        flags.push(Flag::Part);
    }
    let rest = decision.rest.and_then(|offset| words.as_str().get(offset..)).map(Text::from);
    Record {
        schema_version: SCHEMA_VERSION,
        id,
        account: text.account.name.clone(),
        carrier: Arc::from(text.account.carrier.contract().name),
        carrier_message_id: inbound.carrier_message_id.clone(),
        from: text.from.clone(),
        from_raw: inbound.from.clone(),
        to: text.to.clone(),
        to_raw: inbound.to.clone().unwrap_or_else(|| Text::from(text.to.as_str())),
        text: words,
        raw,
        keyword: decision.keyword.clone(),
        rest,
        department: decision.department.clone(),
        rule: decision.rule.clone(),
        consent: decision.consent,
        routes_version: decision.routes_version.clone(),
        sent_at: inbound.sent_at,
        received_at: text.received_at,
        parts: inbound.part.as_ref().map(|part| Parts { received: 1, total: part.total }),
        media: inbound.media.clone(),
        relates_to: None,
        flags,
    }
}

fn consent_record(text: &InboundText, decision: &Decision, consent: Consent, id: EventId) -> ConsentRecord {
    ConsentRecord {
        schema_version: SCHEMA_VERSION,
        id: EventId::new_v5(&id, b"consent"),
        account: text.account.name.clone(),
        from: text.from.clone(),
        to: text.to.clone(),
        consent,
        routes_version: decision.routes_version.clone(),
        received_at: text.received_at,
        relates_to: id,
    }
}

/// Records are structs of strings, numbers and times: encoding them cannot fail.
pub(super) fn to_json(record: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("a record has only string keys and finite numbers")
}
