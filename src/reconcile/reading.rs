//! Records of the topics → what they say of the window.
//!
//! Always true: a record is taken for what the archive takes it for; one that cannot be read is held by
//! its place, to be found again in dead-letter.

use rdkafka::message::{BorrowedMessage, Headers, Message};
use tokio_util::sync::CancellationToken;

use super::ReconcileError;
use super::cluster::blocking;
use super::collection::{Collection, Seen};
use super::findings::Kind;
use super::glance::Glance;
use super::ledger::{DEAD, LOGGED};
use super::letters::Letters;
use super::topics::{Met, Topics, stamped};
use crate::message::{EventId, EventKind, topics};

/// Unreadable records held to be found again in dead-letter.
const UNREADABLE_MAX: usize = 10_000;

/// What the first reading of the topics came to.
pub(super) struct Read {
    pub collection: Collection,
    /// Records of the window that the archive has not come to.
    pub lagging: u64,
    letters: Letters,
    /// Places of records that are no records, and their ids as the headers say.
    unreadable: Vec<(String, Option<EventId>)>,
}

/// `origin`: before `accounts/NAME` in the source of every event of ours.
pub(super) async fn read(
    opened: Topics,
    collection: Collection,
    origin: &str,
    stop: CancellationToken,
) -> Result<Read, ReconcileError> {
    let mut read = Read { collection, lagging: 0, letters: Letters::default(), unreadable: Vec::new() };
    let source = format!("{origin}/accounts/");
    blocking(move || {
        opened.read(&stop, |met| if is_foreign(met.message, &source) { Ok(()) } else { read.take(met) })?;
        Ok(read)
    })
    .await
}

impl Read {
    fn take(&mut self, met: &Met<'_, '_>) -> Result<(), ReconcileError> {
        let message = met.message;
        let payload = message.payload().unwrap_or_default();
        // What was put there by hand without a type is taken for a text, as the archive does.
        let kind = match (kind_of(message), has_type(message)) {
            (Some(kind), _) => kind,
            (None, false) => EventKind::Message,
            (None, true) => return Ok(()),
        };
        let Some(value) = Glance::at(payload) else {
            return self.note_unreadable(met, kind);
        };
        let is_marker = kind == EventKind::Joined;
        let own = value.id.filter(|_| !is_marker);
        let (Some(id), Some(received_at)) =
            (own.or_else(|| header_id(message)), value.received_at.or_else(|| stamped(message)))
        else {
            return self.note_unreadable(met, kind);
        };
        if kind == EventKind::DeadLetter {
            self.letters.read(&value);
        }
        let archives = self.collection.archives();
        let seen = Seen { id, kind, received_at, value: Some(value) };
        let belongs = self.collection.take(&seen, LOGGED, met.archived && archives)?;
        self.lagging += u64::from(belongs && !met.archived && archives);
        Ok(())
    }

    fn note_unreadable(&mut self, met: &Met<'_, '_>, kind: EventKind) -> Result<(), ReconcileError> {
        let message = met.message;
        let is_of_window = stamped(message).is_some_and(|at| self.collection.window.contains(at));
        if !kind.is_audited() || !is_of_window || !self.collection.archives() {
            return Ok(());
        }
        if !met.archived {
            self.lagging += 1;
        } else if self.unreadable.len() >= UNREADABLE_MAX {
            return Err(ReconcileError::TooMany(UNREADABLE_MAX));
        } else {
            let place =
                format!("topic {} partition {} offset {}", message.topic(), message.partition(), message.offset());
            self.unreadable.push((place, header_id(message)));
        }
        Ok(())
    }

    /// What the archive could not read it has put into dead-letter.
    pub(super) fn find_unreadable(&mut self) {
        for (place, id) in self.unreadable.drain(..) {
            if !self.letters.has(&place) {
                self.collection.findings.add(
                    Kind::Unarchived,
                    id,
                    format!("{place}: unreadable, and not in dead-letter"),
                );
            }
        }
        self.letters.ids().for_each(|id| self.collection.ledger.mark_known(id, DEAD));
    }
}

fn header<'a>(message: &'a BorrowedMessage<'_>, name: &str) -> Option<&'a [u8]> {
    message.headers()?.iter().find(|header| header.key.eq_ignore_ascii_case(name))?.value
}

fn has_type(message: &BorrowedMessage<'_>) -> bool {
    header(message, "ce_type").is_some()
}

pub(super) fn kind_of(message: &BorrowedMessage<'_>) -> Option<EventKind> {
    let kind = std::str::from_utf8(header(message, "ce_type")?).ok()?;
    EventKind::ALL.into_iter().find(|known| {
        let prefix = kind.strip_suffix(known.suffix());
        prefix.is_some_and(|prefix| prefix.ends_with('.'))
    })
}

fn header_id(message: &BorrowedMessage<'_>) -> Option<EventId> {
    EventId::try_parse_ascii(header(message, "ce_id")?).ok()
}

/// The event's own id, that in its value, by which the archive goes, and that of the text it is a copy of.
pub(super) fn ids_of(message: &BorrowedMessage<'_>) -> impl Iterator<Item = EventId> {
    let value = Glance::at(message.payload().unwrap_or_default()).unwrap_or_default();
    let is_marker = kind_of(message) == Some(EventKind::Joined);
    header_id(message).into_iter().chain(value.id.filter(|_| !is_marker)).chain(value.copy_of)
}

/// Whether one of the router's own records is of another installation on the same brokers. Synthetic
/// texts are not told apart, since the archive takes all of them.
fn is_foreign(message: &BorrowedMessage<'_>, source: &str) -> bool {
    let is_shared = [topics::CONSENT, topics::DEAD_LETTER, topics::PARTS].contains(&message.topic());
    is_shared && header(message, "ce_source").is_some_and(|of| !of.starts_with(source.as_bytes()))
}
