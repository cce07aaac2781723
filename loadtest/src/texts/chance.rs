//! Chance that can be repeated, and Zipf's law.
//!
//! Comes in: a seed, and what is drawn for. Goes out: numbers, the same on every machine.
//! Always true: the draws for one text do not depend on those for any other. Not here: secrets; this is
//! SplitMix64, which anybody can foresee.

/// One stream of chance.
pub struct Chance(u64);

impl Chance {
    /// A stream of its own for everything that has a number.
    pub fn new(seed: u64, of: u64) -> Self {
        Self(scramble(scramble(seed) ^ of))
    }

    /// From 0 to less than 1.
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        // As many bits as a float holds.
        (scramble(self.0) >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let place = (self.unit() * of.len() as f64) as usize;
        &of[place.min(of.len() - 1)]
    }
}

/// Spreads the bits of a number over all of it (SplitMix64's last step).
pub fn scramble(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// One of several, each with a weight of its own.
pub struct Weighted {
    /// The weights up to and with each.
    sums: Vec<f64>,
}

impl Weighted {
    pub fn new(weights: impl IntoIterator<Item = f64>) -> Self {
        let mut sum = 0.0;
        let sums = weights.into_iter().map(|weight| {
            sum += weight;
            sum
        });
        Self { sums: sums.collect() }
    }

    /// The weight of the nth is 1 ÷ n to the power of `exponent`; 0: all weigh the same.
    pub fn zipf(count: u16, exponent: f64) -> Self {
        Self::new((1..=count).map(|rank| f64::from(rank).powf(-exponent)))
    }

    pub fn draw(&self, chance: &mut Chance) -> usize {
        let whole = self.sums.last().copied().unwrap_or_default();
        let drawn = chance.unit() * whole;
        self.sums.partition_point(|sum| *sum <= drawn).min(self.sums.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zipf_draws_by_rank() {
        // Weights 1, 1/2, 1/3, 1/4: shares 0.48, 0.24, 0.16, 0.12.
        let (zipf, mut chance, mut seen) = (Weighted::zipf(4, 1.0), Chance::new(1, 0), [0_i32; 4]);
        for _ in 0..100_000 {
            seen[zipf.draw(&mut chance)] += 1;
        }
        for (seen, expected) in seen.into_iter().zip([48_000, 24_000, 16_000, 12_000]) {
            // Six standard deviations of a count of 100,000 are below 1,000.
            assert!((seen - expected).abs() < 1_000, "{seen} and not about {expected}");
        }
    }

    #[test]
    fn without_an_exponent_all_are_drawn_alike_and_a_weight_of_nothing_never() {
        let (even, mut chance, mut seen) = (Weighted::zipf(2, 0.0), Chance::new(1, 1), [0_i32; 2]);
        (0..10_000).for_each(|_| seen[even.draw(&mut chance)] += 1);
        assert!((seen[0] - seen[1]).abs() < 600, "{seen:?}");
        let sure = Weighted::new([0.0, 3.0, 0.0]);
        assert!((0..1_000).all(|_| sure.draw(&mut chance) == 1));
    }
}
