//! How many texts may be on their way at once, found out from how long the log takes.
//!
//! Comes in: for each text that became durable, how long that took. Goes out: a number of texts.
//! Always true: the number stays between two bounds; it shrinks only when nearly every text of a
//! while took too long, so one slow department or one pause changes nothing for the rest; it shrinks
//! to what the log was just seen to do within the wait that is allowed (Little's law: texts on their
//! way = texts a second × seconds each). Not here: who gets in, clocks.

use std::time::{Duration, Instant};

/// Whiles in the longest wait: short enough to see overload before it is felt, long enough to count.
const WHILES: u32 = 4;
/// Texts in a while from which anything can be concluded.
const FINISHED_MIN: usize = 16;

/// What the pace is kept by.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Texts that are always let in: with few on their way, waiting is not the crowd's fault.
    pub least: usize,
    /// Texts that memory allows.
    pub most: usize,
    /// Longest a text should wait for the log, so that it is still answered in time.
    pub wait_max: Duration,
}

/// The number, and what was seen since it was last thought about.
#[derive(Debug)]
pub struct Pace {
    bounds: Bounds,
    limit: usize,
    since: Instant,
    finished: usize,
    late: usize,
    early: usize,
}

impl Pace {
    /// Begins with all that memory allows.
    pub fn new(bounds: Bounds, now: Instant) -> Self {
        let bounds = Bounds { least: bounds.least.min(bounds.most), ..bounds };
        Self { bounds, limit: bounds.most, since: now, finished: 0, late: 0, early: 0 }
    }

    /// A text became durable after `took`. The limit from now on.
    pub fn finished(&mut self, now: Instant, took: Duration) -> usize {
        self.finished += 1;
        self.late += usize::from(took > self.bounds.wait_max);
        self.early += usize::from(took * WHILES < self.bounds.wait_max);
        let seen_for = now.saturating_duration_since(self.since);
        if seen_for * WHILES >= self.bounds.wait_max && self.finished >= FINISHED_MIN {
            self.limit = self.judge(seen_for).clamp(self.bounds.least, self.bounds.most);
            (self.since, self.finished, self.late, self.early) = (now, 0, 0, 0);
        }
        self.limit
    }

    fn judge(&self, seen_for: Duration) -> usize {
        // Duplicates and other departments finish fast whatever the crowd does.
        if self.late * 4 >= self.finished * 3 {
            let waits = self.bounds.wait_max.as_secs_f64() / seen_for.as_secs_f64();
            return self.limit.min((self.finished as f64 * waits) as usize);
        }
        if self.early == self.finished {
            return self.limit.saturating_mul(2);
        }
        // What a larger limit does shows only one wait later: a quarter more in that time at most.
        self.limit + self.limit / 16 + 1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const BOUNDS: Bounds = Bounds { least: 256, most: 20_000, wait_max: Duration::from_millis(900) };
    /// After this a text is of no use to its carrier any more.
    const PATIENCE: Duration = Duration::from_millis(1_500);
    const STEP: Duration = Duration::from_millis(1);

    /// A log that makes `capacity` texts a second durable, in their order, while `offered` come.
    struct Simulation {
        pace: Pace,
        limit: usize,
        now: Instant,
        waiting: VecDeque<Instant>,
        offered: f64,
        capacity: f64,
        owed: (f64, f64),
    }

    impl Simulation {
        fn new() -> Self {
            let now = Instant::now();
            let pace = Pace::new(BOUNDS, now);
            let waiting = VecDeque::new();
            Self { pace, limit: BOUNDS.most, now, waiting, offered: 0.0, capacity: 0.0, owed: (0.0, 0.0) }
        }

        /// Runs on for that many seconds of its own; texts that were in time, and texts turned away.
        fn run(&mut self, offered: f64, capacity: f64, seconds: u32) -> (usize, usize) {
            (self.offered, self.capacity) = (offered, capacity);
            let (mut in_time, mut shed) = (0, 0);
            for _ in 0..seconds * 1_000 {
                let (came, done) = self.step();
                in_time += done;
                shed += came;
            }
            (in_time, shed)
        }

        fn step(&mut self) -> (usize, usize) {
            let (mut shed, mut in_time) = (0, 0);
            self.now += STEP;
            self.owed.0 += self.offered * STEP.as_secs_f64();
            while self.owed.0 >= 1.0 {
                self.owed.0 -= 1.0;
                match self.waiting.len() < self.limit {
                    true => self.waiting.push_back(self.now),
                    false => shed += 1,
                }
            }
            self.owed.1 = (self.owed.1 + self.capacity * STEP.as_secs_f64()).min(1_000.0);
            while self.owed.1 >= 1.0
                && let Some(came) = self.waiting.pop_front()
            {
                self.owed.1 -= 1.0;
                let took = self.now - came;
                in_time += usize::from(took <= PATIENCE);
                self.limit = self.pace.finished(self.now, took);
            }
            (shed, in_time)
        }
    }

    #[test]
    fn twice_the_capacity_is_answered_at_the_capacity() {
        for capacity in [300.0, 1_000.0, 5_000.0, 15_000.0, 60_000.0] {
            let mut simulation = Simulation::new();
            // What came before the overload was noticed waits too long, once.
            simulation.run(capacity * 2.0, capacity, 25);
            let (in_time, _) = simulation.run(capacity * 2.0, capacity, 20);
            let share = in_time as f64 / (capacity * 20.0);
            assert!(share >= 0.95, "{capacity} a second: {share:.3} of it in time, limit {}", simulation.limit);
        }
    }

    #[test]
    fn below_the_capacity_nothing_is_turned_away() {
        for capacity in [300.0, 5_000.0, 60_000.0] {
            let mut simulation = Simulation::new();
            assert_eq!(simulation.run(capacity * 0.8, capacity, 20).1, 0, "{capacity} a second");
            simulation.run(capacity * 2.0, capacity, 10);
            simulation.run(capacity * 0.8, capacity, 5);
            let after = simulation.run(capacity * 0.8, capacity, 10).1;
            assert_eq!(after, 0, "{capacity} a second, five seconds after a flood");
        }
    }

    #[test]
    fn a_log_that_is_fast_again_is_used_again() {
        let mut simulation = Simulation::new();
        simulation.run(20_000.0, 300.0, 60);
        assert!(simulation.limit <= 1_000, "{}", simulation.limit);
        simulation.run(20_000.0, 40_000.0, 3);
        assert_eq!(simulation.run(20_000.0, 40_000.0, 5).1, 0);
    }

    #[test]
    fn one_slow_department_is_not_the_crowds_fault() {
        let began = Instant::now();
        let mut pace = Pace::new(BOUNDS, began);
        let mut limit = BOUNDS.most;
        for number in 0..10_000_u32 {
            let took = if number % 2 == 0 { PATIENCE } else { STEP };
            limit = pace.finished(began + STEP * number, took);
        }
        assert_eq!(limit, BOUNDS.most);
    }
}
