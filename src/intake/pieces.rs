//! Pieces of long texts on their way in, and the texts made of them on their way out.
//!
//! Comes in: a text that is one piece; a joined text from the stream. Goes out: a piece on the stream; a
//! joined text where the table in force sends it.
//! Not here: which pieces make a text (`parts`).

use super::counters::Fate;
use super::encode::InboundText;
use super::{Deferral, Intake, Label, Reason, Way};
use crate::keyword::Table;
use crate::message::{Body, Decision, DepartmentName, Event, EventKind, Flag, Several, every};
use crate::parts::{Joined, Outcome, PartRecord, Received, is_joinable};

impl InboundText {
    /// Whether this is one piece of a text that can be joined. Another is published as it is.
    pub(super) fn is_joinable(&self) -> bool {
        self.inbound.part.as_ref().is_some_and(is_joinable)
    }
}

impl Intake {
    /// A piece is durable once it is on the stream; its text is routed when it is joined.
    pub(super) async fn take_piece(&self, text: &InboundText) -> Result<(), Deferral> {
        let fate = self.claim_and_publish(Way::Parts, text).await;
        let outcome = fate.unwrap_or(Fate::Deferred).label();
        self.settings.metrics.pieces.with_label_values(&[outcome]).inc();
        fate.map(|_| ())
    }

    pub(super) fn piece(&self, text: &InboundText, label: Label) -> Event {
        let received = Received {
            id: label.id,
            account: &text.account,
            carrier: &text.carrier,
            from: &text.from,
            to: &text.to,
            received_at: text.received_at,
            fingerprint: text.fingerprint,
            traceparent: text.traceparent.as_deref(),
            flags: label.flags,
        };
        let record = PartRecord::of(&text.inbound, received, &self.settings.sender_key);
        record.expect("only a piece that can be joined goes this way").event()
    }

    /// A text made of its pieces, to its end like any other. `None` when that is dead-letter. Taking
    /// the same text again changes nothing.
    pub async fn take_joined(&self, joined: &Joined) -> Result<Option<(DepartmentName, Several)>, Deferral> {
        let table = self.settings.routes.load();
        let text = InboundText::joined(joined, &self.settings.sender_key);
        let Some(decision) = decide(&table, joined) else {
            self.settings.metrics.unknown_numbers.inc();
            return self.keep_text(&text, &label(joined), Reason::UnknownNumber).await.map(|()| None);
        };
        let fate = self.claimed(Way::Department(&table, &decision), &text, label(joined)).await;
        // Its id is made of its pieces: whatever has it is this text.
        let fate = fate.map(|fate| fate.unwrap_or(Fate::Duplicate));
        self.count(&table, &text, &decision, fate);
        Ok((fate? != Fate::DeadLetter).then_some((decision.department, decision.departments)))
    }
}

fn label(joined: &Joined) -> Label {
    let mut flags = joined.flags.clone();
    let kind = match joined.outcome {
        Outcome::Complete => EventKind::Message,
        Outcome::Incomplete => {
            flags.push(Flag::Incomplete.into());
            EventKind::Message
        }
        Outcome::Addendum => EventKind::Addendum,
    };
    Label { id: joined.id, kind, flags, relates_to: joined.relates_to }
}

/// By the keyword of piece 1 where that is there; an addendum to where its text went; else the default.
fn decide(table: &Table, joined: &Joined) -> Option<Decision> {
    match (&joined.outcome, &joined.inbound.body) {
        (Outcome::Complete | Outcome::Incomplete, Body::Text(words)) if joined.has_beginning => {
            table.decide(&joined.to, words.as_str())
        }
        _ => {
            let default = table.default_for(&joined.to)?;
            let known = |name: &&DepartmentName| table.topic(name).is_some();
            let went = joined.department.as_ref().map_or(&[][..], |first| every(first, &joined.departments));
            let mut went: Vec<_> = went.iter().filter(known).cloned().collect();
            Some(match went.len() {
                0 => default,
                1 => Decision { department: went.remove(0), ..default },
                _ => Decision { department: went[0].clone(), departments: Some(went.into()), ..default },
            })
        }
    }
}
