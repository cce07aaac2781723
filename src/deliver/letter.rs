//! One text on its way to a department: what its event says about it, and its record.

use bytes::Bytes;

use crate::message::{AccountName, EventId, Record, Timestamp};

/// A text to be delivered. `Debug` shows neither numbers nor words.
#[derive(Debug, Clone)]
pub struct Letter {
    /// `ce_id`, which is the record's too.
    pub id: EventId,
    pub account: AccountName,
    /// `ce_type`.
    pub event_type: String,
    /// `ce_source`.
    pub source: String,
    /// `ce_subject`: the number texted.
    pub subject: String,
    /// `ce_time`.
    pub time: Timestamp,
    /// `ce_dataschema`, where the event has one.
    pub dataschema: Option<String>,
    /// Of the value: `application/json`.
    pub content_type: String,
    pub traceparent: Option<String>,
    /// What `value` says.
    pub record: Record,
    /// The JSON as it is in the log, byte for byte.
    pub value: Bytes,
}
