//! What benches of keywords share: words and choices that look drawn and are the same in every run.
//!
//! Comes in: how many. Goes out: distinct words, some of two.

/// Numbers that look drawn and are the same in every run (SplitMix64).
pub struct Drawn(pub u64);

impl Drawn {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    pub fn pick<'w>(&mut self, words: &[&'w str]) -> &'w str {
        words[self.below(words.len())]
    }
}

const SYLLABLES: [&str; 24] = [
    "ba", "bin", "co", "dra", "el", "fen", "gri", "ho", "ice", "ka", "lam", "mo", "ne", "par", "pot", "qui", "ra",
    "sno", "ter", "tu", "vil", "wa", "way", "zo",
];

/// Distinct words of 2 to 5 syllables, one in five of two words.
pub fn keywords(count: usize) -> Vec<String> {
    let mut drawn = Drawn(7);
    let mut seen = std::collections::HashSet::new();
    let mut keywords = Vec::with_capacity(count);
    while keywords.len() < count {
        let syllables = 2 + drawn.below(4);
        let mut word: String = (0..syllables).map(|_| drawn.pick(&SYLLABLES)).collect();
        if drawn.below(5) == 0 {
            word.push(' ');
            word.push_str(drawn.pick(&SYLLABLES));
        }
        if seen.insert(word.clone()) {
            keywords.push(word);
        }
    }
    keywords
}
