//! W3C Trace Context (Recommendation of 2021): which trace a text belongs to.
//!
//! A carrier that traces its requests sends a `traceparent`, which goes with the text as it came. A text without one
//! begins a trace of its own whose id is the text's event id: it is the same for every copy and every retry, it is found
//! by anybody who has the id, and nothing has to be stored for it.

use super::EventId;

/// Characters of a `traceparent`: version, trace id, parent id, flags, and three dashes.
const LENGTH: usize = 55;

/// Where each part begins and ends.
const TRACE: std::ops::Range<usize> = 3..35;
const PARENT: std::ops::Range<usize> = 36..52;

/// The beginning of a trace: `00-TRACE-PARENT-00`, where nobody has recorded anything yet.
pub struct Traceparent([u8; LENGTH]);

impl Traceparent {
    /// Of an event whose text came without one.
    pub fn of(id: EventId) -> Self {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        id.simple().encode_lower(&mut text[TRACE]);
        text.copy_within(TRACE.end - PARENT.len()..TRACE.end, PARENT.start);
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits and dashes")
    }
}

/// Whether a carrier's header is one that can be handed on: of the version known, with ids that are not zero.
pub fn is_traceparent(value: &str) -> bool {
    let value = value.as_bytes();
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_dash = |at: usize| matches!(at, 2 | 35 | 52);
    value.len() == LENGTH
        && value.iter().enumerate().all(|(at, byte)| if is_dash(at) { *byte == b'-' } else { is_digit(byte) })
        && value.starts_with(b"00")
        && [TRACE, PARENT].into_iter().all(|part| value[part].iter().any(|byte| *byte != b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_a_trace_begins_one_under_its_own_id() {
        let id: EventId = "0192f0c1-2345-7abc-8def-0123456789ab".parse().expect("an id");
        let own = Traceparent::of(id);
        assert_eq!(own.as_str(), "00-0192f0c123457abc8def0123456789ab-8def0123456789ab-00");
        assert!(is_traceparent(own.as_str()));
    }

    #[test]
    fn what_breaks_the_recommendation_is_not_handed_on() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(is_traceparent(good));
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c0b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331é1",
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }
}
