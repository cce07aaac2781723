//! What a carrier handed over, after its adapter has read it and before anything was decided.

use serde::{Deserialize, Serialize};

use super::{Text, Timestamp};

/// One text as a carrier sent it. Numbers are as received; the door normalises them.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// The carrier's own id of this text, where it has one: what makes a retry recognisable.
    pub carrier_message_id: Option<String>,
    pub from: Text,
    /// Absent for carriers that name no recipient: the account's `number` stands in.
    pub to: Option<Text>,
    pub body: Body,
    /// The carrier's own time, where it gives one. Never used for expiry.
    pub sent_at: Option<Timestamp>,
    /// Set for one piece of a long text, pushed by itself.
    pub part: Option<Part>,
    /// How many pieces the carrier joined into this text; 1 unless it says.
    pub segments: u16,
    pub media: Vec<Media>,
}

/// What the resident wrote, or the bytes of it when no charset makes them text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    Text(Text),
    /// A well-formed request whose text cannot be decoded: kept as bytes, routed to the default.
    Undecodable(Vec<u8>),
}

/// One piece of a long text that the carrier pushed by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Shared by the pieces of one text (8 or 16 bits on the air, text with some carriers).
    pub reference: String,
    pub total: u16,
    /// From 1.
    pub number: u16,
}

/// A picture or file that came with a text: where the carrier keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    pub url: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content_type: Option<String>,
}
