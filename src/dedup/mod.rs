//! Dedup: which texts have been taken already, and which are on their way.
//!
//! Comes in: an event's id, made of the carrier's own id, and a fingerprint of the content. Goes out:
//! a claim, or what became of the first copy.
//! Always true: a text is claimed before it is published and confirmed after; a claim that ends
//! without confirmation is released, so a retry is never swallowed; memory is bounded by count and age.
//! Not here: durability. After a restart the embedded store's unique id, or the equal `ce_id`
//! downstream, takes over.

#[cfg(test)]
mod model;
mod recent;

pub use recent::Recent;

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::fast::RandomState;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::message::EventId;

/// How much is remembered.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Ids remembered at least; at most twice as many.
    pub ids_max: usize,
    /// How long an id is remembered at most. Carriers retry for up to three days (Esendex).
    pub age_max: Duration,
}

/// Ids taken and ids on their way; cheap to clone.
#[derive(Clone)]
pub struct Claims(Arc<Inner>);

struct Inner {
    on_their_way: DashMap<EventId, OnItsWay, RandomState>,
    taken: Recent,
}

struct OnItsWay {
    fingerprint: [u8; 16],
    /// Made when a twin comes, which is seldom.
    tell: Option<watch::Sender<Option<bool>>>,
}

impl OnItsWay {
    fn twin(&mut self) -> Twin {
        Twin(self.tell.get_or_insert_with(|| watch::channel(None).0).subscribe())
    }
}

/// What claiming an id came to.
pub enum Claim {
    /// Nobody has it: publish, then `confirm`.
    First(Ticket),
    /// The same text is already durable.
    Known,
    /// The same text is on its way; its outcome will be this one's.
    Twin(Twin),
    /// The id belongs to a text with other content.
    Reused,
}

impl Claims {
    pub fn new(settings: Settings, clock: Clock) -> Self {
        let taken = Recent::new(settings.ids_max, settings.age_max, clock);
        Self(Arc::new(Inner { on_their_way: DashMap::default(), taken }))
    }

    /// Whether the same text is durable already.
    pub fn knows(&self, id: EventId, fingerprint: [u8; 16]) -> bool {
        self.0.taken.value(id.as_bytes()) == Some(fingerprint)
    }

    pub fn claim(&self, id: EventId, fingerprint: [u8; 16]) -> Claim {
        // The entry is locked from here to the insertion. `Ticket::confirm` enters an id into `taken`
        // before it leaves `on_their_way`, so an id is always seen in one of the two.
        let entry = match self.0.on_their_way.entry(id) {
            Entry::Occupied(entry) if entry.get().fingerprint != fingerprint => return Claim::Reused,
            Entry::Occupied(mut entry) => return Claim::Twin(entry.get_mut().twin()),
            Entry::Vacant(entry) => entry,
        };
        match self.0.taken.value(id.as_bytes()) {
            Some(taken) if taken == fingerprint => return Claim::Known,
            Some(_) => return Claim::Reused,
            None => {}
        }
        entry.insert(OnItsWay { fingerprint, tell: None });
        Claim::First(Ticket { claims: self.clone(), id, fingerprint, confirmed: false })
    }
}

/// The right to publish one text. Dropped without `confirm` it releases the id.
pub struct Ticket {
    claims: Claims,
    id: EventId,
    fingerprint: [u8; 16],
    confirmed: bool,
}

impl Ticket {
    /// The text is durable: whoever sends it again is told so.
    pub fn confirm(mut self) {
        self.confirmed = true;
        self.claims.0.taken.insert(*self.id.as_bytes(), self.fingerprint);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Twins subscribe while the entry is there, under its lock: none comes between the two lines.
        let left = self.claims.0.on_their_way.remove(&self.id);
        if let Some((_, OnItsWay { tell: Some(tell), .. })) = left {
            tell.send_replace(Some(self.confirmed));
        }
    }
}

/// A second copy that arrived while the first is on its way.
pub struct Twin(watch::Receiver<Option<bool>>);

impl Twin {
    /// Whether the first copy became durable.
    pub async fn outcome(mut self) -> bool {
        self.0.wait_for(Option::is_some).await.is_ok_and(|outcome| *outcome == Some(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        let settings = Settings { ids_max: 100, age_max: Duration::from_secs(3600) };
        Claims::new(settings, Clock::fixed("2026-11-21T10:00:00Z".parse().expect("a time")))
    }

    fn first(claim: Claim) -> Ticket {
        match claim {
            Claim::First(ticket) => ticket,
            _ => panic!("the id should have been free"),
        }
    }

    fn second(claim: Claim) -> Twin {
        match claim {
            Claim::Twin(twin) => twin,
            _ => panic!("the first copy should be on its way"),
        }
    }

    const ID: EventId = EventId::from_u128(7);

    #[test]
    fn a_confirmed_text_is_known_and_other_content_is_not() {
        let claims = claims();
        first(claims.claim(ID, [1; 16])).confirm();
        assert!(matches!(claims.claim(ID, [1; 16]), Claim::Known));
        assert!(matches!(claims.claim(ID, [2; 16]), Claim::Reused));
    }

    #[test]
    fn a_released_claim_can_be_taken_again() {
        let claims = claims();
        drop(first(claims.claim(ID, [1; 16])));
        first(claims.claim(ID, [1; 16])).confirm();
    }

    #[tokio::test]
    async fn a_twin_shares_the_outcome() {
        let ends: [(fn(Ticket), bool); 2] = [(Ticket::confirm, true), (drop, false)];
        for (end, durable) in ends {
            let claims = claims();
            let ticket = first(claims.claim(ID, [1; 16]));
            let twin = second(claims.claim(ID, [1; 16]));
            let waiting = tokio::spawn(twin.outcome());
            end(ticket);
            assert_eq!(waiting.await.expect("the twin's task"), durable);
        }
    }
}
