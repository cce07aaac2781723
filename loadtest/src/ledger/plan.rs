//! What breaks, and when: decided by the seed before anything starts.
//!
//! Comes in: a seed, the profile, how long. Goes out: tracks of steps that run side by side, each
//! step after the one before it. Always true: the short form has every fault once, the long form begins
//! no round of all faults after its time. What clients do wrong (hang-ups, twins, retries, late
//! duplicates, bursts) is no step: they do it all the time. Not here: how a fault is made (`faults`).

use std::fmt;
use std::time::Duration;

use crate::Profile;
use crate::random::Random;
use crate::script::DEPARTMENTS;

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// kill -9 of these of the three brokers, restarted after.
    BrokersKilled(&'static [u8]),
    /// SIGSTOP, SIGCONT after.
    BrokersFrozen(&'static [u8]),
    /// Drained, deleted, made again by `setup` after.
    TopicDeleted(usize),
    /// No byte left under `data`; in the cluster profile with all brokers frozen, so that it matters.
    DiskFull,
    CassandraKilled,
    ArchiverKilled,
    ArchiverStopped,
    RouterKilled(usize),
    /// SIGTERM, awaited, started again.
    RouterStopped(usize),
    RouterFrozen(usize),
    RoutesMoved,
    RoutesBroken(usize),
    /// The first router's clock, by so many seconds, and back after.
    ClockJumped(i64),
}

/// One fault, after a pause, for a time.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub pause: Duration,
    pub fault: Fault,
    pub hold: Duration,
}

/// Steps that follow one another.
#[derive(Debug, Clone)]
pub struct Track {
    pub name: &'static str,
    pub steps: Vec<Step>,
}

/// All tracks of a run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub profile: Profile,
    pub tracks: Vec<Track>,
}

/// What a step takes beyond pause and hold, roughly: restarts, and waits for others.
const STEP_EXTRA: Duration = Duration::from_secs(5);

/// A jump within the window of signatures, and within the wait for the pieces of a text.
const JUMP_SECONDS: i64 = 200;

const ONE: [&[u8]; 3] = [&[1], &[2], &[3]];
const TWO: [&[u8]; 3] = [&[1, 2], &[2, 3], &[1, 3]];
const ALL: &[u8] = &[1, 2, 3];

impl Plan {
    /// `minutes`: at least so long; `None`: every fault once.
    pub fn new(seed: u64, profile: Profile, replicas: usize, minutes: Option<u64>) -> Self {
        let mut tracks = vec![("routers", Random::new(seed, "routers"))];
        match profile {
            Profile::Cluster => {
                tracks.insert(0, ("brokers", Random::new(seed, "brokers")));
                tracks.insert(1, ("archive", Random::new(seed, "archive")));
            }
            Profile::Standalone => tracks.push(("disk", Random::new(seed, "disk"))),
        }
        let tracks = tracks.into_iter().map(|(name, mut random)| {
            let time = minutes.map(|minutes| Duration::from_secs(minutes * 60));
            let steps = steps(&mut random, time, |random| faults(name, profile, random, replicas));
            Track { name, steps }
        });
        Self { seed, profile, tracks: tracks.collect() }
    }

    /// Leaves out jumps of hours: to a clock that is hours ahead every text in pieces is long overdue, and
    /// goes out as it is. That it says so is right, and nothing that a book of whole texts can judge.
    pub fn for_pieces(mut self) -> Self {
        let is_long = |step: &Step| matches!(step.fault, Fault::ClockJumped(seconds) if seconds.abs() > JUMP_SECONDS);
        self.tracks.iter_mut().for_each(|track| track.steps.retain(|step| !is_long(step)));
        self
    }

    pub fn moves_clocks(&self) -> bool {
        let mut steps = self.tracks.iter().flat_map(|track| &track.steps);
        steps.any(|step| matches!(step.fault, Fault::ClockJumped(_)))
    }

    /// Leaves out all faults but those named first (none named: all are left), and those named second.
    pub fn only(mut self, labels: &[String], without: &[String]) -> Self {
        let named = |labels: &[String], step: &Step| labels.iter().any(|label| label == step.fault.label());
        let wanted = |step: &Step| (labels.is_empty() || named(labels, step)) && !named(without, step);
        self.tracks.iter_mut().for_each(|track| track.steps.retain(wanted));
        self
    }
}

/// One round of all the track's faults, or rounds until the time is over.
fn steps(random: &mut Random, time: Option<Duration>, faults: impl Fn(&mut Random) -> Vec<Fault>) -> Vec<Step> {
    let (mut steps, mut took) = (Vec::new(), Duration::ZERO);
    while steps.is_empty() || time.is_some_and(|time| took < time) {
        let mut faults = faults(random);
        random.shuffle(&mut faults);
        for fault in faults {
            let step = Step { pause: random.millis(500..4_000), fault, hold: hold(fault, random) };
            took += step.pause + step.hold + STEP_EXTRA;
            steps.push(step);
        }
    }
    steps
}

fn faults(track: &str, profile: Profile, random: &mut Random, replicas: usize) -> Vec<Fault> {
    let replica = |random: &mut Random| random.below(replicas);
    let clocks = match profile {
        // A short one, and one far beyond the window of signatures.
        Profile::Standalone => {
            let jump = random.pick(&[-JUMP_SECONDS, JUMP_SECONDS]);
            vec![Fault::ClockJumped(jump), Fault::ClockJumped(random.pick(&[-7_200, 21_600]))]
        }
        // librdkafka's waits go by the wall clock and grow with the jump, so here it is a small one.
        Profile::Cluster => vec![Fault::ClockJumped(random.pick(&[-2, 2]))],
    };
    match track {
        "brokers" => vec![
            Fault::BrokersKilled(random.pick(&ONE)),
            Fault::BrokersFrozen(random.pick(&ONE)),
            Fault::BrokersKilled(random.pick(&TWO)),
            Fault::BrokersFrozen(random.pick(&TWO)),
            Fault::BrokersKilled(ALL),
            Fault::BrokersFrozen(ALL),
            Fault::TopicDeleted(random.below(DEPARTMENTS.len())),
            Fault::DiskFull,
        ],
        "archive" => vec![Fault::CassandraKilled, Fault::ArchiverKilled, Fault::ArchiverStopped],
        "disk" => vec![Fault::DiskFull],
        _ => [
            Fault::RouterKilled(replica(random)),
            Fault::RouterKilled(replica(random)),
            Fault::RouterKilled(replica(random)),
            Fault::RouterStopped(replica(random)),
            Fault::RouterFrozen(replica(random)),
            Fault::RoutesMoved,
            Fault::RoutesBroken(random.below(3)),
            Fault::RoutesMoved,
        ]
        .into_iter()
        .chain(clocks)
        .collect(),
    }
}

fn hold(fault: Fault, random: &mut Random) -> Duration {
    match fault {
        Fault::BrokersKilled(_) | Fault::BrokersFrozen(_) => random.millis(2_000..7_000),
        Fault::TopicDeleted(_) | Fault::CassandraKilled => random.millis(2_000..5_000),
        // Longer than the Kafka client keeps a record: what the journal drops then is gone.
        Fault::DiskFull => random.millis(4_000..7_000),
        Fault::ClockJumped(_) => random.millis(3_000..5_000),
        Fault::RouterKilled(_) | Fault::RouterStopped(_) | Fault::ArchiverKilled | Fault::ArchiverStopped => {
            random.millis(0..1_500)
        }
        Fault::RouterFrozen(_) => random.millis(500..3_000),
        // A file counts once it has been the same for two looks, a second apart.
        Fault::RoutesMoved | Fault::RoutesBroken(_) => random.millis(2_500..4_000),
    }
}

impl Fault {
    /// The row it has in the report.
    pub fn label(self) -> &'static str {
        match self {
            Self::BrokersKilled(ids) => {
                ["one broker killed", "two brokers killed", "all brokers killed"][ids.len() - 1]
            }
            Self::BrokersFrozen(ids) => {
                ["one broker frozen", "two brokers frozen", "all brokers frozen"][ids.len() - 1]
            }
            Self::TopicDeleted(_) => "topic deleted",
            Self::DiskFull => "disk full",
            Self::CassandraKilled => "Cassandra killed",
            Self::ArchiverKilled => "archiver killed",
            Self::ArchiverStopped => "archiver stopped",
            Self::RouterKilled(_) => "router killed",
            Self::RouterStopped(_) => "router stopped",
            Self::RouterFrozen(_) => "router frozen",
            Self::RoutesMoved => "routes reloaded",
            Self::RoutesBroken(_) => "bad routes",
            Self::ClockJumped(_) => "clock jumped",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())?;
        match self {
            Self::BrokersKilled(ids) | Self::BrokersFrozen(ids) => write!(f, " {ids:?}"),
            Self::TopicDeleted(department) => write!(f, " ({})", DEPARTMENTS[*department]),
            Self::RouterKilled(replica) | Self::RouterStopped(replica) | Self::RouterFrozen(replica) => {
                write!(f, " (replica {})", replica + 1)
            }
            Self::RoutesBroken(kind) => write!(f, " (kind {kind})"),
            Self::ClockJumped(seconds) => write!(f, " ({seconds:+} s)"),
            Self::DiskFull
            | Self::CassandraKilled
            | Self::ArchiverKilled
            | Self::ArchiverStopped
            | Self::RoutesMoved => Ok(()),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, profile {}", self.seed, self.profile)?;
        for track in &self.tracks {
            writeln!(f, "  {}", track.name)?;
            for Step { pause, fault, hold } in &track.steps {
                let (pause, hold) = (pause.as_secs_f32(), hold.as_secs_f32());
                writeln!(f, "    after {pause:.1} s {fault}, for {hold:.1} s")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_plan_and_the_short_form_has_every_fault() {
        let plan = |seed| Plan::new(seed, Profile::Cluster, 2, None);
        assert_eq!(plan(1).to_string(), plan(1).to_string());
        assert_ne!(plan(1).to_string(), plan(2).to_string());
        let labels: std::collections::BTreeSet<_> =
            plan(3).tracks.iter().flat_map(|track| &track.steps).map(|step| step.fault.label()).collect();
        assert_eq!(labels.len(), 17, "{labels:?}");
    }

    #[test]
    fn the_long_form_lasts() {
        let plan = Plan::new(1, Profile::Standalone, 1, Some(30));
        for track in plan.tracks {
            let took: Duration = track.steps.iter().map(|step| step.pause + step.hold + STEP_EXTRA).sum();
            assert!(took >= Duration::from_secs(1_800), "{}", track.name);
        }
    }
}
