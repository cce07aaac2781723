//! What is promised to whoever reads our topics, word for word: the files beside this one, printed by `sms-router schema`.
//!
//! JSON Schema 2020-12 and AsyncAPI 3.0. They only grow within a major version, which is the end of an event's
//! `ce_type`; `tests/run contracts` holds real records against them.

/// The value of a record on a department's topic, and of an addendum.
pub const RECORD: &str = include_str!("record.schema.json");
/// The value of a record on the consent topic.
pub const CONSENT: &str = include_str!("consent.schema.json");
/// The value of a dead letter.
pub const DEAD_LETTER: &str = include_str!("dead-letter.schema.json");
/// The value of the record that closes a dead letter.
pub const REPLAYED: &str = include_str!("replayed.schema.json");
/// A piece of a long text on the stream of pieces.
pub const PART: &str = include_str!("part.schema.json");
/// What closes a long text on the stream of pieces.
pub const JOINED: &str = include_str!("joined.schema.json");
/// All topics, their keys, headers and values.
pub const ASYNCAPI: &str = include_str!("asyncapi.yaml");
