//! The words every room shares: what a text, a number, a department and an event are.
//!
//! Comes in: strings as carriers and settings wrote them. Goes out: values that can no longer be wrong.
//! Always true: what is personal (numbers, texts, secrets) has a `Debug` that hides it.
//! Not here: input and output, async, the clock.

mod audit;
pub mod contracts;
mod decision;
mod event;
mod expiry;
mod inbound;
mod name;
mod number;
mod open;
mod personal;
mod record;
mod sender;
mod trace;

pub use audit::{Access, AuditCopy, AuditQuery};
pub use decision::{Consent, Decision, Rule, RuleKind, Several, every};
pub use event::{Destination, Event, EventKind, EventSource, PROBE_ACCOUNT, topics};
pub use expiry::{PROBE_LIFE, expires_at, time_to_live};
pub use inbound::{Body, Inbound, Media, Part};
pub use name::{AccountName, DepartmentName, NameError};
pub use number::{Country, Number};
pub use open::Open;
pub use personal::{Secret, SecretBytes, Text};
pub use record::{
    ConsentRecord, DeadLetterRecord, Flag, Parts, Record, RecordError, ReplayedRecord, SCHEMA_VERSION, iso,
};
pub use sender::SenderKey;
pub use trace::{Traceparent, is_traceparent};

/// A moment in UTC. Written as RFC 3339 with milliseconds wherever it leaves the process.
pub type Timestamp = jiff::Timestamp;
/// The id of one event, `ce_id` on the wire.
pub type EventId = uuid::Uuid;
