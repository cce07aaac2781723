//! One text → the events it becomes: the wire record and, where it says so, a consent record.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::carrier::Account;
use crate::log::UNHURRIED;
use crate::message::{
    AccountName, Body, Consent, ConsentRecord, Decision, DepartmentName, Destination, Event, EventId, EventKind, Flag,
    Inbound, Number, Open, Part, Parts, Record, SCHEMA_VERSION, SenderKey, Text, Timestamp, Traceparent,
};
use crate::parts::Joined;

/// Bytes of a usual record: what is written at once need not be moved while it grows.
const VALUE_USUAL: usize = 1_024;
/// The first second of the year 0, in Unix seconds: what is before it RFC 3339 cannot write, and as a carrier's
/// time it is none.
const WRITTEN_SINCE: i64 = -62_167_219_200;

/// One text on its way: what the carrier sent, normalised, and what tells it from others.
pub struct InboundText {
    pub account: AccountName,
    pub carrier: Arc<str>,
    pub inbound: Inbound,
    pub from: Number,
    pub to: Number,
    pub received_at: Timestamp,
    /// How much of a long text this is; absent for one that fitted into one piece.
    pub parts: Option<Parts>,
    /// W3C trace context of the carrier's request.
    pub traceparent: Option<String>,
    /// Tells equal texts from different ones; see `fingerprint`.
    pub fingerprint: [u8; 16],
    /// What its request says of it, before anything is decided.
    pub flags: Vec<Open<Flag>>,
    /// How long whoever brought it waits until it is durable.
    pub patience: Duration,
}

impl InboundText {
    pub fn new(
        account: &Account,
        mut inbound: Inbound,
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
        inbound.sent_at = inbound.sent_at.filter(|sent_at| sent_at.as_second() >= WRITTEN_SINCE);
        let fingerprint = fingerprint(key, &from, &to, &inbound.body, inbound.part.as_ref());
        let (parts, traceparent) = (parts(&inbound), traceparent.map(str::to_owned));
        let patience = account.patience();
        let (account, carrier) = (account.name.clone(), Arc::from(account.carrier.contract().name));
        let flags = Vec::new();
        Self { account, carrier, inbound, from, to, received_at, parts, traceparent, fingerprint, flags, patience }
    }

    /// A text made of its pieces, under the number it was first normalised to.
    pub fn joined(joined: &Joined, key: &SenderKey) -> Self {
        let Joined { account, carrier, inbound, from, to, received_at, parts, traceparent, .. } = joined;
        Self {
            account: account.clone(),
            carrier: carrier.clone(),
            inbound: inbound.clone(),
            from: from.clone(),
            to: to.clone(),
            received_at: *received_at,
            parts: Some(*parts),
            traceparent: traceparent.clone(),
            fingerprint: fingerprint(key, from, to, &inbound.body, None),
            // Those of its pieces are on its label.
            flags: Vec::new(),
            patience: UNHURRIED,
        }
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

/// What one text is called, and what else is said of it.
#[derive(Debug, Clone)]
pub struct Label {
    pub id: EventId,
    pub kind: EventKind,
    pub flags: Vec<Open<Flag>>,
    /// The text that this one completes.
    pub relates_to: Option<EventId>,
}

impl Label {
    pub fn message(id: EventId, flags: Vec<Open<Flag>>) -> Self {
        Self { id, kind: EventKind::Message, flags, relates_to: None }
    }
}

/// The events of one text, its own first: one for each department that gets it.
pub fn encode(text: &InboundText, decision: &Decision, label: Label, key: &SenderKey) -> Vec<Event> {
    let (id, kind) = (label.id, label.kind);
    let sender = key.hash(&text.from);
    let event = |id, kind, destination, value| Event {
        id,
        copy_of: None,
        kind,
        destination,
        account: text.account.clone(),
        subject: text.to.as_str().to_owned(),
        received_at: text.received_at,
        key: sender,
        fingerprint: text.fingerprint,
        traceparent: text.traceparent.clone(),
        value,
    };
    let flags = label.flags.iter().filter(|flag| flag.is(Flag::Unverified)).cloned().collect();
    // Of one trace, whoever gets it.
    let trace = |event: Event| {
        let trace = event.traceparent.unwrap_or_else(|| Traceparent::of(id).as_str().to_owned());
        Event { traceparent: Some(trace), ..event }
    };
    let own = record(text, decision, label);
    let mut events = Vec::with_capacity(decision.every_department().len() + usize::from(decision.consent.is_some()));
    match &decision.departments {
        None => {
            let destination = match kind {
                EventKind::Probe => Destination::Probe,
                _ => Destination::Department(decision.department.clone()),
            };
            events.push(event(id, kind, destination, to_json(&own)));
        }
        Some(departments) => events.extend(departments.iter().map(|department| {
            let record = copy(&own, department);
            let destination = Destination::Department(department.clone());
            Event { copy_of: Some(id), ..trace(event(record.id, kind, destination, to_json(&record))) }
        })),
    }
    events.extend(decision.consent.map(|consent| {
        let record = ConsentRecord { flags, ..consent_record(text, decision, consent, id) };
        trace(event(record.id, EventKind::Consent, Destination::Consent, to_json(&record)))
    }));
    events
}

/// What one of several departments gets: an event of its own, that says which text it is.
fn copy(text: &Record, department: &DepartmentName) -> Record {
    Record {
        id: Record::copy_id(text.id, department),
        department: department.clone(),
        relates_to: text.relates_to.or(Some(text.id)),
        copy_of: Some(text.id),
        ..text.clone()
    }
}

fn record(text: &InboundText, decision: &Decision, label: Label) -> Record {
    let Label { id, mut flags, relates_to, .. } = label;
    let inbound = &text.inbound;
    let (words, raw) = match &inbound.body {
        Body::Text(words) => (words.clone(), None),
        Body::Undecodable(bytes) => {
            flags.push(Flag::Undecodable.into());
            (Text::default(), Some(Text::from(STANDARD.encode(bytes))))
        }
    };
    if inbound.part.is_some() {
        flags.push(Flag::Part.into());
    }
    let rest = decision.rest.and_then(|offset| words.as_str().get(offset..)).map(Text::from);
    Record {
        schema_version: SCHEMA_VERSION,
        id,
        account: text.account.clone(),
        carrier: text.carrier.clone(),
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
        departments: decision.departments.clone(),
        rule: decision.rule.clone().into(),
        consent: decision.consent.map(Open::Known),
        routes_version: decision.routes_version.clone(),
        sent_at: inbound.sent_at,
        received_at: text.received_at,
        parts: text.parts,
        media: inbound.media.clone(),
        relates_to,
        copy_of: None,
        flags,
    }
}

/// Absent for a text that fitted into one piece.
fn parts(inbound: &Inbound) -> Option<Parts> {
    match &inbound.part {
        Some(part) => Some(Parts { received: 1, total: part.total }),
        None if inbound.segments > 1 => Some(Parts { received: inbound.segments, total: inbound.segments }),
        None => None,
    }
}

fn consent_record(text: &InboundText, decision: &Decision, consent: Consent, id: EventId) -> ConsentRecord {
    ConsentRecord {
        schema_version: SCHEMA_VERSION,
        id: EventId::new_v5(&id, b"consent"),
        account: text.account.clone(),
        from: text.from.clone(),
        to: text.to.clone(),
        consent: consent.into(),
        routes_version: decision.routes_version.clone(),
        received_at: text.received_at,
        relates_to: id,
        flags: Vec::new(),
    }
}

/// Records are structs of strings, numbers and times: encoding them cannot fail.
pub(super) fn to_json(record: &impl serde::Serialize) -> Vec<u8> {
    let mut value = Vec::with_capacity(VALUE_USUAL);
    serde_json::to_writer(&mut value, record).expect("a record has only string keys and finite numbers");
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::carrier::{self, Auth};
    use crate::message::{AccountName, Rule, RuleKind};

    fn account() -> Arc<Account> {
        let carrier = carrier::by_name("twilio").expect("a carrier of this build");
        let name = AccountName::parse("demo").expect("a name");
        Arc::new(Account::new(name, carrier, Auth::Signature, Vec::new(), ""))
    }

    fn inbound(text: &str) -> Inbound {
        Inbound {
            carrier_message_id: None,
            from: Text::from("07700 900123"),
            to: Some(Text::from("86555")),
            body: Body::Text(Text::from(text)),
            sent_at: None,
            part: None,
            segments: 1,
            media: Vec::new(),
        }
    }

    fn decision(rest: Option<usize>, consent: Option<Consent>) -> Decision {
        Decision {
            department: DepartmentName::parse("highways").expect("a name"),
            departments: None,
            keyword: None,
            rule: Rule { kind: RuleKind::Default, matched: None },
            consent,
            rest,
            routes_version: "v".into(),
        }
    }

    fn published(inbound: Inbound, decision: &Decision) -> (Record, serde_json::Value) {
        let key = SenderKey::new(b"a key of 32 characters for tests").expect("long enough");
        let text = InboundText::new(&account(), inbound, Timestamp::UNIX_EPOCH, None, &key);
        let events = encode(&text, decision, Label::message(EventId::from_u128(1), Vec::new()), &key);
        let value = serde_json::from_slice(&events[0].value).expect("JSON");
        (Record::from_json(&events[0].value).expect("a record"), value)
    }

    proptest! {
        #[test]
        fn a_text_is_published_byte_for_byte(text: String) {
            let (record, _) = published(inbound(&text), &decision(None, None));
            prop_assert_eq!(record.text.as_str().as_bytes(), text.as_bytes());
        }

        #[test]
        fn what_cannot_be_decoded_comes_back_byte_for_byte(bytes: Vec<u8>) {
            let mut inbound = inbound("");
            inbound.body = Body::Undecodable(bytes.clone());
            let (record, _) = published(inbound, &decision(None, None));
            prop_assert_eq!(STANDARD.decode(record.raw.expect("raw").as_str()).expect("base64"), bytes);
            prop_assert_eq!(record.text.as_str(), "");
            prop_assert_eq!(record.flags, vec![Flag::Undecodable]);
        }
    }

    fn several(names: &[&str]) -> Decision {
        let all: Vec<_> = names.iter().map(|name| DepartmentName::parse(name).expect("a name")).collect();
        Decision { department: all[0].clone(), departments: Some(all.into()), ..decision(None, Some(Consent::Stop)) }
    }

    proptest! {
        /// Whichever record is read first, and wherever it went: one copy of the text, as if one department had got it.
        #[test]
        fn what_several_departments_get_is_kept_as_one(
            words: String,
            id: u128,
            flags in proptest::sample::subsequence(vec![Flag::PossibleRepeat, Flag::Unverified], 0..=2),
            completes: Option<u128>,
        ) {
            let key = SenderKey::new(b"a key of 32 characters for tests").expect("long enough");
            let text = InboundText::new(&account(), inbound(&words), Timestamp::UNIX_EPOCH, None, &key);
            let (names, id) = (["highways", "consent", "flood-team"], EventId::from_u128(id));
            let flags = flags.into_iter().map(Open::Known).collect();
            let relates_to = completes.map(EventId::from_u128);
            let label = Label { relates_to, ..Label::message(id, flags) };
            let events = encode(&text, &several(&names), label.clone(), &key);
            prop_assert_eq!(events.len(), names.len() + 1);
            let kept: std::collections::BTreeSet<_> = events[..3].iter().flat_map(|event| {
                let moved = Record::flagged(&event.value, Flag::Failover).expect("a record");
                [&event.value, &moved].map(|value| {
                    let record = Record::from_json(value).expect("a record");
                    record.kept(value).expect("a record").expect("of a text that several got")
                })
            }).collect();
            prop_assert_eq!(kept.len(), 1);
            let kept = kept.first().expect("one");
            let alone = record(&text, &several(&names), label);
            prop_assert_eq!(&Record::from_json(kept).expect("a record"), &alone);
            prop_assert_eq!(alone.kept(kept).expect("a record"), None);
        }
    }

    #[test]
    fn each_of_several_departments_gets_an_event_of_its_own_and_a_wish_is_one() {
        let key = SenderKey::new(b"a key of 32 characters for tests").expect("long enough");
        let text = InboundText::new(&account(), inbound("STOP"), Timestamp::UNIX_EPOCH, None, &key);
        let (names, id) = (["highways", "consent"], EventId::from_u128(1));
        let events = encode(&text, &several(&names), Label::message(id, Vec::new()), &key);
        let ids: std::collections::HashSet<_> = events.iter().map(|event| event.id).chain([id]).collect();
        assert_eq!(ids.len(), 4, "a department may be called as the consent record is");
        assert_eq!(events[2].destination, Destination::Consent);
        let trace = &events[2].traceparent;
        for (event, name) in events.iter().zip(names) {
            let record = Record::from_json(&event.value).expect("a record");
            let department = DepartmentName::parse(name).expect("a name");
            assert_eq!(event.destination, Destination::Department(department.clone()));
            assert_eq!((event.id, event.id), (record.id, Record::copy_id(id, &department)));
            assert_eq!((event.copy_of, record.copy_of, record.relates_to), (Some(id), Some(id), Some(id)));
            assert_eq!((&record.department, record.every_department().len()), (&department, 2));
            assert_eq!((event.key, event.fingerprint), (events[2].key, text.fingerprint));
            assert_eq!((&event.traceparent, event.kind), (trace, EventKind::Message), "one trace");
        }
        let wish: ConsentRecord = serde_json::from_slice(&events[2].value).expect("JSON");
        assert_eq!((wish.id, wish.relates_to), (EventId::new_v5(&id, b"consent"), id));
    }

    #[test]
    fn a_field_without_a_value_is_absent_and_times_have_milliseconds() {
        let (_, value) = published(inbound("hello"), &decision(None, None));
        let fields: Vec<_> = value.as_object().expect("an object").keys().map(String::as_str).collect();
        let expected =
            "account carrier department from from_raw id received_at routes_version rule schema_version text to to_raw";
        assert_eq!(fields, expected.split(' ').collect::<Vec<_>>());
        assert_eq!(value["received_at"], "1970-01-01T00:00:00.000Z");
        assert_eq!(value["rule"], serde_json::json!({ "kind": "default" }));
    }

    #[test]
    fn a_time_that_cannot_be_written_is_none() {
        for (second, expected) in [
            (WRITTEN_SINCE - 1, serde_json::Value::Null),
            (WRITTEN_SINCE, "0000-01-01T00:00:00.000Z".into()),
            (-1, "1969-12-31T23:59:59.000Z".into()),
            (Timestamp::MAX.as_second(), "9999-12-30T22:00:00.000Z".into()),
        ] {
            let sent_at = Some(Timestamp::from_second(second).expect("a time"));
            let (_, value) = published(Inbound { sent_at, ..inbound("hello") }, &decision(None, None));
            assert_eq!(value["sent_at"], expected, "{second}");
        }
    }

    #[test]
    fn pieces_are_counted_where_there_are_several() {
        for (segments, part, expected) in [
            (1, None, None),
            (3, None, Some(Parts { received: 3, total: 3 })),
            (1, Some((2, 4)), Some(Parts { received: 1, total: 4 })),
        ] {
            let mut inbound = inbound("hello");
            inbound.segments = segments;
            inbound.part = part.map(|(number, total)| Part { reference: "7".to_owned(), total, number });
            assert_eq!(published(inbound, &decision(None, None)).0.parts, expected);
        }
    }

    #[test]
    fn a_wish_becomes_a_second_event_with_an_id_made_of_the_first() {
        let key = SenderKey::new(b"a key of 32 characters for tests").expect("long enough");
        let text = InboundText::new(&account(), inbound("STOP"), Timestamp::UNIX_EPOCH, None, &key);
        let id = EventId::from_u128(1);
        let events = encode(&text, &decision(None, Some(Consent::Stop)), Label::message(id, Vec::new()), &key);
        assert_eq!(events.len(), 2);
        assert_eq!(events[1].destination, Destination::Consent);
        assert_eq!(events[1].id, EventId::new_v5(&id, b"consent"));
        let record: ConsentRecord = serde_json::from_slice(&events[1].value).expect("JSON");
        assert_eq!((record.consent, record.relates_to), (Consent::Stop.into(), id));
    }
}
