//! Letters that wait, each sender's in their order.
//!
//! Comes in: letters, and which senders are free again. Goes out: the next letter that may go.
//! Always true: of a sender whose letter is on its way nothing is given out; senders take turns in the order in which
//! they came; a sender with nothing here and nothing on its way costs no memory.
//! Not here: what is on its way.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use super::parcel::Held;
use crate::message::Number;

#[derive(Default)]
pub(super) struct Senders {
    of: HashMap<Number, Waiting>,
    /// Those that are free and have a letter; each once.
    turns: VecDeque<Number>,
}

#[derive(Default)]
struct Waiting {
    letters: VecDeque<Held>,
    is_busy: bool,
}

impl Senders {
    pub(super) fn push(&mut self, held: Held) {
        let sender = held.letter.record.from.clone();
        let waiting = self.of.entry(sender.clone()).or_default();
        if waiting.letters.is_empty() && !waiting.is_busy {
            self.turns.push_back(sender);
        }
        waiting.letters.push_back(held);
    }

    pub(super) fn has_next(&self) -> bool {
        !self.turns.is_empty()
    }

    /// The next letter, of the sender whose turn it is; kept back or not, from then on.
    pub(super) fn next(&mut self, keep: bool) -> Option<Held> {
        let sender = self.turns.pop_front()?;
        let waiting = self.of.get_mut(&sender)?;
        let held = waiting.letters.pop_front();
        waiting.is_busy = keep;
        match (keep, waiting.letters.is_empty()) {
            (true, _) => {}
            (false, true) => drop(self.of.remove(&sender)),
            (false, false) => self.turns.push_back(sender),
        }
        held
    }

    /// Nothing of these senders is given out until they are free again.
    pub(super) fn keep<'a>(&mut self, senders: impl Iterator<Item = &'a Number>) {
        for sender in senders {
            self.of.entry(sender.clone()).or_default().is_busy = true;
        }
        self.turns.retain(|sender| !self.of.get(sender).is_some_and(|waiting| waiting.is_busy));
    }

    pub(super) fn free<'a>(&mut self, senders: impl Iterator<Item = &'a Number>) {
        for sender in senders {
            let Entry::Occupied(mut waiting) = self.of.entry(sender.clone()) else { continue };
            if waiting.get().letters.is_empty() {
                waiting.remove();
            } else if std::mem::take(&mut waiting.get_mut().is_busy) {
                self.turns.push_back(sender.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::tests::letter;

    fn held(from: &str, text: &str) -> Held {
        Held { letter: letter(from, text), done: Box::new(|| ()) }
    }

    fn next(senders: &mut Senders, keep: bool) -> Option<String> {
        senders.next(keep).map(|held| held.letter.record.text.as_str().to_owned())
    }

    fn number(from: &str) -> Number {
        letter(from, "").record.from
    }

    #[test]
    fn senders_take_turns_and_each_ones_letters_keep_their_order() {
        let mut senders = Senders::default();
        for (from, text) in [("+1", "a1"), ("+1", "a2"), ("+2", "b1"), ("+1", "a3")] {
            senders.push(held(from, text));
        }
        assert_eq!(next(&mut senders, true).as_deref(), Some("a1"));
        assert_eq!(next(&mut senders, false).as_deref(), Some("b1"));
        assert_eq!(next(&mut senders, true), None, "the one is kept, the other has nothing");
        senders.push(held("+1", "a4"));
        assert!(!senders.has_next());
        let one = number("+1");
        senders.free([&one, &one].into_iter());
        let all: Vec<_> = std::iter::from_fn(|| next(&mut senders, false)).collect();
        assert_eq!(all, ["a2", "a3", "a4"]);
        assert!(senders.of.is_empty(), "nothing is left of whoever has nothing");
    }

    #[test]
    fn several_are_kept_together_and_freed_together() {
        let mut senders = Senders::default();
        for (from, text) in [("+1", "a1"), ("+2", "b1"), ("+3", "c1"), ("+2", "b2")] {
            senders.push(held(from, text));
        }
        assert_eq!(next(&mut senders, false).as_deref(), Some("a1"));
        assert_eq!(next(&mut senders, false).as_deref(), Some("b1"));
        let kept = [number("+1"), number("+2")];
        senders.keep(kept.iter());
        senders.push(held("+1", "a2"));
        assert_eq!(next(&mut senders, true).as_deref(), Some("c1"));
        assert!(!senders.has_next());
        senders.free(kept.iter().chain([&number("+3")]));
        assert_eq!(next(&mut senders, true).as_deref(), Some("a2"));
        assert_eq!(next(&mut senders, true).as_deref(), Some("b2"));
        senders.free(kept.iter());
        assert!(senders.of.is_empty());
    }
}
