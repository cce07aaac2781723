//! How often the log is told of what happens with every text or request: a flood of refusals must not become a flood of
//! lines, which cost more than the refusals.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines of one reason in one while; what is beyond is told as a number with the next line.
const LINES_MAX: u64 = 5;
const WHILE: Duration = Duration::from_secs(1);

/// What has been told, by reason. Reasons are words of the code, so there are few; a static one counts for the process,
/// as the log does.
#[derive(Default)]
pub struct Told(Mutex<Vec<(&'static str, Lines)>>);

struct Lines {
    since: Instant,
    told: u64,
    untold: u64,
}

impl Told {
    pub const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Whether another line is due, and how many were left out since the last.
    pub fn is_due(&self, reason: &'static str, now: Instant) -> Option<u64> {
        let mut reasons = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = reasons.iter().position(|(known, _)| *known == reason);
        let index = known.unwrap_or_else(|| {
            reasons.push((reason, Lines { since: now, told: 0, untold: 0 }));
            reasons.len() - 1
        });
        let lines = &mut reasons[index].1;
        if now.saturating_duration_since(lines.since) >= WHILE {
            (lines.since, lines.told) = (now, 0);
        }
        if lines.told == LINES_MAX {
            lines.untold += 1;
            return None;
        }
        lines.told += 1;
        Some(std::mem::take(&mut lines.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_lines_a_while_and_the_number_of_the_rest() {
        let (told, now) = (Told::new(), Instant::now());
        let lines = |now, reason| (0..100).filter_map(|_| told.is_due(reason, now)).collect::<Vec<_>>();
        assert_eq!(lines(now, "in_flight"), [0; 5]);
        assert_eq!(lines(now, "rate"), [0; 5], "each reason for itself");
        assert_eq!(lines(now + WHILE, "in_flight"), [95, 0, 0, 0, 0]);
    }
}
