//! What the tests of this room share: letters, and settings.

mod mailing;
mod mails;
mod pushing;
mod smtp;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Channel, Delivery, Email, Lane, Lanes, Letter, Parts, Retry, Settings, Smtp};
use crate::clock::Clock;
use crate::log::Log;
use crate::message::{DeadLetterRecord, DepartmentName, EventId, EventSource, Record, SenderKey, topics};
use crate::store::{self, Cursor, Store, Writer};
use crate::telemetry::Metrics;

/// Lanes over a real store, and what they report.
struct Lab {
    lanes: Lanes,
    parts: Parts,
    store: Store,
    done: mpsc::UnboundedReceiver<String>,
    report: mpsc::UnboundedSender<String>,
    _writer: Writer,
    _folder: tempfile::TempDir,
}

/// Quick, so that tests are; what they wait for is events.
fn retry() -> Retry {
    Retry { first: Duration::from_millis(10), longest: Duration::from_millis(40), give_up: Duration::from_secs(3600) }
}

impl Lab {
    fn open(deliveries: Vec<(&str, Delivery)>, smtp: Option<Smtp>, retry: Retry, clock: Clock) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sender_key = SenderKey::new(b"a key of 32 characters for tests").unwrap();
        let opened = Store::open(store::Settings::of(folder.path()), sender_key.clone(), clock.clone());
        let (store, writer) = opened.unwrap();
        let parts = Parts {
            log: Log::Embedded(store.clone()),
            source: EventSource { origin: "https://sms.example.gov.uk".into(), type_prefix: "sms-router".into() },
            sender_key,
            clock,
            metrics: Metrics::new(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let named = |(name, delivery)| (DepartmentName::parse(name).unwrap(), delivery);
        let departments: BTreeMap<_, _> = deliveries.into_iter().map(named).collect();
        let lanes = Lanes::start(&Settings { departments, smtp, retry }, &parts).unwrap();
        let (report, done) = mpsc::unbounded_channel();
        Self { lanes, parts, store, done, report, _writer: writer, _folder: folder }
    }

    fn lane(&self, department: &str, channel: Channel) -> &Lane {
        self.lanes.lane(&DepartmentName::parse(department).unwrap(), channel).unwrap()
    }

    /// Gives a lane a letter; its text is reported when it is done.
    fn give(&self, department: &str, channel: Channel, letter: Letter) {
        let (report, text) = (self.report.clone(), letter.record.text.as_str().to_owned());
        let done = Box::new(move || drop(report.send(text)));
        self.lane(department, channel).take(letter, done);
    }

    async fn done(&mut self) -> String {
        self.done.recv().await.unwrap()
    }

    async fn dead_letters(&self) -> Vec<DeadLetterRecord> {
        let entries = self.store.read(topics::DEAD_LETTER, Cursor::START, 100).await.unwrap();
        entries.iter().map(|entry| DeadLetterRecord::from_json(&entry.value).unwrap()).collect()
    }

    fn counted(&self, department: &str, channel: Channel, outcome: &str) -> u64 {
        let labels = [department, channel.label(), outcome];
        self.parts.metrics.deliveries.with_label_values(&labels).get()
    }

    fn is_up(&self, department: &str, channel: Channel) -> bool {
        self.parts.metrics.delivery_up.with_label_values(&[department, channel.label()]).get() == 1
    }

    /// Ends the lanes as a process does.
    async fn stop(self) -> mpsc::UnboundedReceiver<String> {
        self.parts.stop.cancel();
        self.parts.tasks.close();
        self.parts.tasks.wait().await;
        self.done
    }
}

/// A text of that sender as a record says it; the id is made of both.
pub(super) fn letter(from: &str, text: &str) -> Letter {
    letter_of(record(from, text))
}

fn record(from: &str, text: &str) -> serde_json::Value {
    serde_json::json!({
        "schema_version": 1, "id": EventId::new_v5(&EventId::nil(), format!("{from}/{text}").as_bytes()),
        "account": "demo", "carrier": "generic", "from": from, "from_raw": from, "to": "86555", "to_raw": "86555",
        "text": text, "department": "highways", "rule": {"kind": "default"}, "routes_version": "1",
        "received_at": "2026-11-21T10:00:00.250Z",
    })
}

pub(super) fn letter_of(record: serde_json::Value) -> Letter {
    let value = serde_json::to_vec(&record).expect("JSON");
    let record = Record::from_json(&value).expect("a record");
    Letter {
        id: record.id,
        account: record.account.clone(),
        event_type: "sms-router.message.received.v1".to_owned(),
        source: "https://sms.example.gov.uk/accounts/demo".to_owned(),
        subject: "86555".to_owned(),
        time: record.received_at,
        dataschema: Some("https://sms.example.gov.uk/schemas/message.received.v1.json".to_owned()),
        content_type: "application/json".to_owned(),
        traceparent: None,
        record,
        value: Bytes::from(value),
    }
}

pub(super) fn email() -> Email {
    let to = vec!["highways@example.gov.uk".parse().expect("an address")];
    Email { to, reply_to: None, digest: None, hourly_max: 600 }
}

#[test]
fn hosts_are_taken_out_of_public_urls() {
    for (origin, host) in [
        ("https://sms.example.gov.uk", "sms.example.gov.uk"),
        ("http://127.0.0.1:8080", "127.0.0.1"),
        ("https://[2001:db8::1]:8443", "2001:db8::1"),
        ("https://localhost:8080", "localhost"),
    ] {
        assert_eq!(super::host_of(origin), host, "{origin}");
    }
}
