//! `Claims` against an obvious model: a list of what is on its way and a list of what was confirmed.
//!
//! Any order of claims, confirmations, releases, twins and passing time. The model knows for certain
//! what must be known (confirmed, not too old, among the last `ids_max`) and what must not (never
//! confirmed, or too old); in between memory may have forgotten or not, and the model goes along.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::FutureExt;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Claim, Claims, Settings, Ticket, Twin};
use crate::clock::Clock;
use crate::message::{EventId, Timestamp};

const IDS: u8 = 12;
const IDS_MAX: usize = 4;
const AGE_MAX_MS: i64 = 1_000;

#[derive(Debug, Clone)]
enum Step {
    Claim {
        id: u8,
        fingerprint: u8,
    },
    /// Ends the ticket at this place, counted round.
    Confirm(usize),
    Release(usize),
    /// The oldest twin asks before the end, and nobody waits for another.
    AskTwin(usize),
    DropTwin(usize),
    Wait {
        ms: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..IDS, 0..2_u8).prop_map(|(id, fingerprint)| Step::Claim { id, fingerprint }),
        4 => any::<usize>().prop_map(Step::Confirm),
        2 => any::<usize>().prop_map(Step::Release),
        1 => any::<usize>().prop_map(Step::AskTwin),
        1 => any::<usize>().prop_map(Step::DropTwin),
        2 => (0..AGE_MAX_MS * 3 / 2).prop_map(|ms| Step::Wait { ms }),
    ]
}

/// One that holds a ticket, and the twins that wait for it.
struct OnItsWay {
    id: u8,
    fingerprint: u8,
    ticket: Ticket,
    twins: Vec<Twin>,
}

struct Confirmed {
    fingerprint: u8,
    at_ms: i64,
    /// How many had been confirmed by then, this one included.
    number: usize,
}

struct Run {
    claims: Claims,
    clock: Clock,
    now_ms: i64,
    on_their_way: Vec<OnItsWay>,
    confirmed: HashMap<u8, Confirmed>,
    confirmations: usize,
}

/// What the model says of an id that nobody has on its way.
#[derive(Debug, PartialEq)]
enum Memory {
    Certain(u8),
    Perhaps(u8),
    Nothing,
}

impl Run {
    fn new() -> Self {
        let clock = Clock::fixed(Timestamp::UNIX_EPOCH);
        let settings = Settings { ids_max: IDS_MAX, age_max: Duration::from_millis(AGE_MAX_MS as u64) };
        let claims = Claims::new(settings, clock.clone());
        Self { claims, clock, now_ms: 0, on_their_way: Vec::new(), confirmed: HashMap::new(), confirmations: 0 }
    }

    fn memory(&self, id: u8) -> Memory {
        match self.confirmed.get(&id) {
            Some(confirmed) if self.now_ms - confirmed.at_ms > AGE_MAX_MS => Memory::Nothing,
            Some(confirmed) if self.confirmations - confirmed.number < IDS_MAX => {
                Memory::Certain(confirmed.fingerprint)
            }
            Some(confirmed) => Memory::Perhaps(confirmed.fingerprint),
            None => Memory::Nothing,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Claim { id, fingerprint } => self.claim(id, fingerprint),
            Step::Confirm(place) => self.end(place, true),
            Step::Release(place) => self.end(place, false),
            Step::AskTwin(place) => {
                if let Some(twin) = self.twin(place) {
                    assert_eq!(twin.outcome().now_or_never(), None, "nothing is known before the end");
                }
            }
            Step::DropTwin(place) => drop(self.twin(place)),
            Step::Wait { ms } => {
                self.now_ms += ms;
                self.clock.set(Timestamp::from_millisecond(self.now_ms).expect("a time"));
            }
        }
    }

    fn claim(&mut self, id: u8, fingerprint: u8) {
        let memory = self.memory(id);
        let claim = self.claims.claim(EventId::from_u128(id.into()), [fingerprint; 16]);
        if let Some(first) = self.on_their_way.iter_mut().find(|first| first.id == id) {
            match claim {
                Claim::Twin(twin) if first.fingerprint == fingerprint => first.twins.push(twin),
                Claim::Reused if first.fingerprint != fingerprint => {}
                claim => panic!("{id} is on its way, and the claim is {}", name(&claim)),
            }
            return;
        }
        match (claim, memory) {
            (Claim::Known, Memory::Certain(known) | Memory::Perhaps(known)) if known == fingerprint => {}
            (Claim::Reused, Memory::Certain(known) | Memory::Perhaps(known)) if known != fingerprint => {}
            (Claim::First(ticket), Memory::Perhaps(_) | Memory::Nothing) => {
                self.on_their_way.push(OnItsWay { id, fingerprint, ticket, twins: Vec::new() });
            }
            (claim, memory) => panic!("the model says {memory:?} of {id} {fingerprint}, the claim is {}", name(&claim)),
        }
    }

    fn end(&mut self, place: usize, confirm: bool) {
        if self.on_their_way.is_empty() {
            return;
        }
        let OnItsWay { id, fingerprint, ticket, twins } = self.on_their_way.remove(place % self.on_their_way.len());
        if confirm {
            ticket.confirm();
            self.confirmations += 1;
            self.confirmed.insert(id, Confirmed { fingerprint, at_ms: self.now_ms, number: self.confirmations });
        } else {
            drop(ticket);
        }
        for twin in twins {
            assert_eq!(twin.outcome().now_or_never(), Some(confirm), "a twin shares the outcome");
        }
    }

    fn twin(&mut self, place: usize) -> Option<Twin> {
        let waited_for: Vec<_> =
            (0..self.on_their_way.len()).filter(|first| !self.on_their_way[*first].twins.is_empty()).collect();
        let first = *waited_for.get(place.checked_rem(waited_for.len())?)?;
        self.on_their_way[first].twins.pop()
    }
}

fn name(claim: &Claim) -> &'static str {
    match claim {
        Claim::First(_) => "first",
        Claim::Known => "known",
        Claim::Twin(_) => "a twin",
        Claim::Reused => "reused",
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn claims_do_as_the_model_does(steps in vec(step(), 1..200)) {
        let mut run = Run::new();
        steps.into_iter().for_each(|step| run.take(step));
        while !run.on_their_way.is_empty() {
            run.end(0, false);
        }
    }
}
