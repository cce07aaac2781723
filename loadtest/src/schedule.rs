//! When each text is due: a rate over time, turned into instants.
//!
//! Comes in: a profile, its full rate, how long. Goes out: the instant of each text, computed from its number
//! alone, and the stretch of the profile that an instant lies in.
//! Always true: the text with number k is due when the integral of the rate reaches k, so no rounding adds
//! up; nothing is drawn by chance, and nothing depends on what is answered. Not here: sending (`pour`).

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

/// Of the full rate, with which a ramp begins.
const RAMP_FROM: f64 = 0.1;
/// Stretches in which a ramp is told.
const RAMP_STRETCHES: u16 = 10;
/// Of the full rate, before a spike and after it.
const SPIKE_REST: f64 = 0.2;
/// Of the full rate, in the spike.
const SPIKE_PEAK: f64 = 2.0;
/// When the spike begins and ends, in parts of the whole.
const SPIKE: (f64, f64) = (0.45, 0.55);

/// Of a text: far above what sums of fractions are off by.
const ROUNDING: f64 = 1e-6;

/// How the rate goes over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// The same all the while
    Constant,
    /// From a tenth of the rate up to the rate, evenly
    Ramp,
    /// A fifth of the rate; in the middle, for a tenth of the time, twice the rate
    Spike,
}

/// The instants at which texts are due, from the beginning of a run.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    pub profile: Profile,
    /// Texts a second, in full.
    pub rate: f64,
    pub time: Duration,
}

impl Schedule {
    pub fn constant(rate: f64, time: Duration) -> Self {
        Self { profile: Profile::Constant, rate, time }
    }

    /// How many texts are due before the end.
    pub fn count(&self) -> usize {
        // What is due at the end itself is not before it, whatever a sum of fractions says.
        (self.full() * self.profile.reached(1.0) - ROUNDING).ceil() as usize
    }

    /// When a text is due, numbered from 0.
    pub fn due(&self, number: usize) -> Duration {
        self.time.mul_f64(self.profile.part_at(number as f64 / self.full()))
    }

    /// The stretch that an instant lies in, by its place in `Profile::stretches`.
    pub fn stretch(&self, due: Duration) -> usize {
        let part = due.as_secs_f64() / self.time.as_secs_f64();
        match self.profile {
            Profile::Constant => 0,
            Profile::Ramp => ((part * f64::from(RAMP_STRETCHES)) as usize).min(usize::from(RAMP_STRETCHES) - 1),
            Profile::Spike => usize::from(part >= SPIKE.0) + usize::from(part >= SPIKE.1),
        }
    }

    /// Texts there would be if all came at the full rate.
    fn full(&self) -> f64 {
        self.rate * self.time.as_secs_f64()
    }
}

impl Profile {
    /// Names of the stretches that are told apart.
    pub fn stretches(self) -> Vec<String> {
        match self {
            Self::Constant => vec!["all".to_owned()],
            Self::Ramp => (1..=RAMP_STRETCHES).map(|tenth| format!("tenth {tenth}")).collect(),
            Self::Spike => ["before", "spike", "after"].map(str::to_owned).to_vec(),
        }
    }

    /// The integral of the rate up to a part of the time, both in wholes.
    fn reached(self, part: f64) -> f64 {
        match self {
            Self::Constant => part,
            Self::Ramp => RAMP_FROM * part + (1.0 - RAMP_FROM) / 2.0 * part * part,
            Self::Spike => {
                let peak = part.clamp(SPIKE.0, SPIKE.1) - SPIKE.0;
                SPIKE_REST * (part - peak) + SPIKE_PEAK * peak
            }
        }
    }

    /// The part of the time at which the integral is that: `reached` the other way round.
    fn part_at(self, reached: f64) -> f64 {
        match self {
            Self::Constant => reached,
            Self::Ramp => {
                let slope = 1.0 - RAMP_FROM;
                ((RAMP_FROM * RAMP_FROM + 2.0 * slope * reached).sqrt() - RAMP_FROM) / slope
            }
            Self::Spike => {
                let (begins, ends) = (self.reached(SPIKE.0), self.reached(SPIKE.1));
                let in_peak = reached.clamp(begins, ends) - begins;
                (reached - in_peak) / SPIKE_REST + in_peak / SPIKE_PEAK
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILES: [Profile; 3] = [Profile::Constant, Profile::Ramp, Profile::Spike];

    fn over(profile: Profile, rate: f64, seconds: u64) -> Schedule {
        Schedule { profile, rate, time: Duration::from_secs(seconds) }
    }

    fn each_stretch(schedule: &Schedule) -> Vec<usize> {
        let mut counts = vec![0; schedule.profile.stretches().len()];
        for number in 0..schedule.count() {
            counts[schedule.stretch(schedule.due(number))] += 1;
        }
        counts
    }

    #[test]
    fn texts_are_due_when_the_integral_of_the_rate_says() {
        for profile in PROFILES {
            let schedule = over(profile, 1_000.0, 10);
            for number in 0..schedule.count() {
                let part = schedule.due(number).as_secs_f64() / 10.0;
                let reached = profile.reached(part) * 10_000.0;
                assert!((reached - number as f64).abs() < 1e-3, "{profile:?}: {number} is due at {reached}");
            }
        }
    }

    #[test]
    fn all_come_in_order_and_before_the_end() {
        for profile in PROFILES {
            let schedule = over(profile, 333.3, 7);
            let due: Vec<_> = (0..schedule.count()).map(|number| schedule.due(number)).collect();
            assert!(due.is_sorted() && due[0] == Duration::ZERO && due[due.len() - 1] < schedule.time, "{profile:?}");
            assert!(schedule.due(schedule.count()) >= schedule.time, "{profile:?}");
        }
    }

    #[test]
    fn a_constant_rate_puts_equal_spaces_between_texts() {
        let schedule = Schedule::constant(250.0, Duration::from_secs(4));
        assert_eq!(schedule.count(), 1_000);
        for number in [0, 1, 500, 999] {
            assert_eq!(schedule.due(number), Duration::from_millis(4) * u32::try_from(number).unwrap());
        }
    }

    #[test]
    fn each_stretch_has_what_its_rate_gives() {
        assert_eq!(each_stretch(&over(Profile::Spike, 1_000.0, 10)), [900, 2_000, 900]);
        let ramp = each_stretch(&over(Profile::Ramp, 1_000.0, 10));
        let expected: Vec<usize> = (0..10).map(|tenth| 145 + 90 * tenth).collect();
        let all_close = ramp.iter().zip(&expected).all(|(found, expected)| found.abs_diff(*expected) <= 1);
        assert!(all_close && ramp.iter().sum::<usize>() == 5_500, "{ramp:?}");
    }
}
