//! What every text of a measurement says: a function of its number.
//!
//! Comes in: a mix and a seed, or neither. Goes out: for each number the text, its sender, its carrier, the
//! department that must get it, and in how many pieces it is pushed.
//! Always true: nothing needs to be remembered to judge a text that comes out at the other end. A sender's
//! number is of the range that Ofcom keeps for drama: 07700 900000 to 900999.
//! Not here: ids, requests; when and how often a text is sent.

use sms_router::message::Part;

use super::carriers::Entry;
use super::chance::{Chance, Weighted};
use super::mix::{Mix, Shares};
use crate::settings::keyword;

/// What follows the keyword without a mix: a usual text of 16 characters.
const WORDS: &str = "on Main St";
const SENDERS: u64 = 1_000;
/// Texts of a mix after which a floor's turns begin anew: with zipf = 1 the rarest of 1,000 departments has about eight.
const TURN_TEXTS: u64 = 65_536;
/// Septets of a piece of GSM's alphabet, and UTF-16 units of a piece of any other.
const PIECE_SEPTETS: usize = 153;
const PIECE_UNITS: usize = 67;

/// What follows a keyword in a mix.
const USUAL: [&str; 6] = [
    "on Main St",
    "is blocked by a fallen tree outside number 14, can someone come out please",
    "AB12 CDE",
    "not collected again this week. This is the third time since Easter!",
    "please",
    "Hi, who do I ask about the form for the school bus? The website says to text you. Thanks, Jo",
];
/// Of GSM's extension (two septets each), of other alphabets, and of more than one UTF-16 unit.
const UNICODE: [&str; 5] = [
    "costs \u{20ac}12 [see {receipt} ~ 3|4 ^ back\\slash]",
    "\u{3b4}\u{3c1}\u{3cc}\u{3bc}\u{3bf}\u{3c2} \u{3ba}\u{3bb}\u{3b5}\u{3b9}\u{3c3}\u{3c4}\u{3cc}\u{3c2}",
    "\u{1f6a7} road closed \u{1f327}\u{fe0f}",
    "na\u{ef}ve caf\u{e9} \u{2014} \u{201c}quoted\u{201d}",
    "\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
];
/// Beginnings that lead nowhere; no keyword of the routes begins like them.
const UNMATCHED: [&str; 4] = ["Hello,", "when is the library open?", "Ok thanks", "Wrong number I think"];

/// All texts of a measurement.
pub struct Script {
    topics: u16,
    mixed: Option<Mixed>,
}

struct Mixed {
    seed: u64,
    carriers: Weighted,
    pushes_parts: Vec<bool>,
    keywords: Weighted,
    shares: Shares,
}

/// Everything about one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The place of its account.
    pub carrier: usize,
    pub from: String,
    pub text: String,
    /// The place of the department, and so of the topic, that must get it.
    pub department: u16,
    /// In how many pieces it is pushed.
    pub parts: u16,
}

impl Script {
    /// Every department in turns.
    pub fn plain(topics: u16) -> Self {
        Self { topics, mixed: None }
    }

    /// `entries`: the carriers of the mix, in the order of their accounts.
    pub fn mixed(mix: &Mix, entries: &[Entry], topics: u16, seed: u64) -> Self {
        let mixed = Mixed {
            seed,
            carriers: Weighted::new(entries.iter().map(|entry| entry.weight)),
            pushes_parts: entries.iter().map(|entry| entry.pushes_parts).collect(),
            keywords: Weighted::zipf(topics, mix.keywords.zipf),
            shares: mix.shares.clone(),
        };
        Self { topics, mixed: Some(mixed) }
    }

    /// The department of each request, for whoever does not read them: as often each as texts are for it. A text in
    /// pieces is as many requests.
    pub fn turns(&self) -> Vec<u16> {
        let of_text = |Told { department, parts, .. }: Told| std::iter::repeat_n(department, parts.into());
        let texts = if self.mixed.is_some() { TURN_TEXTS } else { self.topics.into() };
        (0..texts).map(|number| self.text(number)).flat_map(of_text).collect()
    }

    pub fn text(&self, number: u64) -> Told {
        match &self.mixed {
            Some(mixed) => mixed.text(number),
            None => {
                let department = number % u64::from(self.topics);
                let text = format!("{} {WORDS}", keyword(department));
                Told { carrier: 0, from: sender(number), text, department: department as u16, parts: 1 }
            }
        }
    }
}

impl Mixed {
    /// The draws are always made, and always in this order: whether a text is long does not shift the next draw.
    fn text(&self, number: u64) -> Told {
        let mut chance = Chance::new(self.seed, number);
        let carrier = self.carriers.draw(&mut chance);
        let is_unmatched = chance.unit() < self.shares.unmatched;
        let department = self.keywords.draw(&mut chance);
        let is_unicode = chance.unit() < self.shares.unicode;
        let is_long = chance.unit() < self.shares.parts && self.pushes_parts[carrier];
        let total = if chance.unit() < 0.5 { 2 } else { 3 };
        let (department, beginning) = if is_unmatched {
            (0, (*chance.pick(&UNMATCHED)).to_owned())
        } else {
            (department, keyword(department as u64))
        };
        let words = chance.pick(if is_unicode { &UNICODE[..] } else { &USUAL });
        let mut text = format!("{beginning} {words}");
        if is_long {
            lengthen(&mut text, words, usize::from(total) * if is_unicode { PIECE_UNITS } else { PIECE_SEPTETS });
        }
        let department = u16::try_from(department).expect("there are as many as topics");
        Told { carrier, from: sender(number), text, department, parts: if is_long { total } else { 1 } }
    }
}

impl Told {
    /// A piece, from 1, and which of which text it is; 0 for the whole.
    pub fn piece(&self, piece: u16, run: u32, number: u64) -> (String, Option<Part>) {
        if piece == 0 {
            return (self.text.clone(), None);
        }
        let characters: Vec<char> = self.text.chars().collect();
        let cut = |at: u16| characters.len() * usize::from(at) / usize::from(self.parts);
        let words = characters[cut(piece - 1)..cut(piece)].iter().collect();
        // Longer than the 8 or 16 bits on the air, so that no text of this measurement or any other shares it.
        (words, Some(Part { reference: format!("{run:08x}{number:010}"), total: self.parts, number: piece }))
    }
}

/// Until it takes as many units as fit, but for the words that would not.
fn lengthen(text: &mut String, words: &str, units_max: usize) {
    let units = |text: &str| text.encode_utf16().count();
    while units(text) + 1 + units(words) <= units_max {
        text.push(' ');
        text.push_str(words);
    }
}

fn sender(number: u64) -> String {
    format!("+447700900{:03}", number % SENDERS)
}
