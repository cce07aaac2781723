//! A text published once more: moved to another department, or delivered again to its own.
//!
//! Comes in: a record as it was published, by whichever release, and where it shall go. Goes out: the id under which
//! it is on that department's topic or feed, or why not.
//! Always true: the original stays; the same move is the same id, so whoever drops an id seen before has it once; the
//! time of receipt is the original's, and so is the end of the audit copy; fields that this build does not know go along.
//! Not here: where records are read from, who may move one, the access log (above).

use super::Intake;
use crate::dedup::Claim;
use crate::log::{Addressed, LogError, Logged, UNHURRIED};
use crate::message::{DepartmentName, Destination, Event, EventId, EventKind, Record, Traceparent};

/// One text where it was moved to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rerouted {
    pub id: EventId,
    pub department: DepartmentName,
    /// It was there before.
    pub known: bool,
}

/// Why a text was not moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRerouted {
    #[error("the routes name no department {0}")]
    UnknownDepartment(DepartmentName),
    #[error(
        "the log does not take it now: try again. What is held, or a topic that is away, only a running `serve` takes, \
         into its journal: ask it by HTTP"
    )]
    Deferred,
    #[error("the log refuses it for good: it has become too large")]
    Refused,
    #[error("it is no record that this release can read")]
    Unreadable,
}

impl Intake {
    /// What a text is called where it was moved to.
    pub fn rerouted_id(text: EventId, to: &DepartmentName) -> EventId {
        EventId::new_v5(&text, format!("reroute/{to}").as_bytes())
    }

    /// Publishes the record `json` for `to`, related to the text it is. Its id is made of that text's and the
    /// department's name.
    pub async fn reroute(&self, json: &[u8], to: &DepartmentName) -> Result<Rerouted, NotRerouted> {
        let original = Record::from_json(json).map_err(|_| NotRerouted::Unreadable)?;
        let id = Self::rerouted_id(original.id, to);
        self.publish_again(json, &original, id, to).await
    }

    /// The record under an id of its own, for a department of the routes in force.
    pub(super) async fn publish_again(
        &self,
        json: &[u8],
        original: &Record,
        id: EventId,
        to: &DepartmentName,
    ) -> Result<Rerouted, NotRerouted> {
        let table = self.settings.routes.snapshot();
        if table.topic(to).is_none() {
            return Err(NotRerouted::UnknownDepartment(to.clone()));
        }
        let key = self.sender_key();
        let fingerprint = key.fingerprint(&[b"published again", original.id.as_bytes(), to.as_str().as_bytes()]);
        let ticket = match self.settings.claims.claim(id, fingerprint) {
            Claim::First(ticket) => ticket,
            Claim::Known | Claim::Reused => return Ok(Rerouted { id, department: to.clone(), known: true }),
            Claim::Twin(twin) => {
                let taken = twin.outcome().await;
                let known = Rerouted { id, department: to.clone(), known: true };
                return if taken { Ok(known) } else { Err(NotRerouted::Deferred) };
            }
        };
        let event = Event {
            id,
            copy_of: None,
            kind: EventKind::Message,
            destination: Destination::Department(to.clone()),
            account: original.account.clone(),
            subject: original.to.as_str().to_owned(),
            received_at: original.received_at,
            key: key.hash(&original.from),
            fingerprint,
            // Of one trace with its text.
            traceparent: Some(Traceparent::of(original.id).as_str().to_owned()),
            value: Record::rerouted(json, id, to).map_err(|_| NotRerouted::Unreadable)?,
        };
        let logged = self.settings.log.append(vec![Addressed::to(&table, event)], UNHURRIED).await;
        let logged = logged.map_err(|error| match error {
            LogError::Never => NotRerouted::Refused,
            LogError::Department | LogError::Unavailable => NotRerouted::Deferred,
        })?;
        ticket.confirm();
        Ok(Rerouted { id, department: to.clone(), known: logged != Logged::Stored })
    }
}
