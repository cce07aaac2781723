//! The faults while they happen: tracks side by side, every window dated.
//!
//! Comes in: the plan, the processes, the services. Goes out: windows of time for the judge, and what
//! no fault excuses: a process that ends by itself or will not end.
//! Always true: whatever is broken is mended before its step ends; what cannot be done here is said
//! aloud, once. Not here: loss (`judge`).

mod clock;
mod topic;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

pub use clock::Clock;

use crate::Profile;
use crate::generator::Post;
use crate::installation::Installation;
use crate::installation::disk::Disk;
use crate::installation::process::{LOOK_INTERVAL, Process, metric};
use crate::installation::services::Services;
use crate::judge::Window;
use crate::plan::{Fault, Plan, Step};
use crate::reader::{Stored, topics};
use crate::script::DEPARTMENTS;
use crate::violation::{Kind, Violation};

/// The router's grace after SIGTERM is 25 s unless set.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// How long bad routes may go unnoticed on a busy machine.
const ALARM_PATIENCE: Duration = Duration::from_secs(15);
/// How long texts on their way, the journal and the archive may stand still before they are at rest.
pub const REST_PATIENCE: Duration = Duration::from_secs(120);
/// How far a clock may be off without expiring signatures.
const SIGNATURE_WINDOW_SECONDS: i64 = 300;

/// Everything that can be broken.
pub struct Stage {
    pub binary: PathBuf,
    pub installation: Installation,
    pub services: Services,
    pub post: Arc<Post>,
    pub routers: Vec<Mutex<Process>>,
    pub archiver: Option<Mutex<Process>>,
    pub disks: Vec<Disk>,
    pub clock: Option<Clock>,
    /// What was read so far: topics that were deleted.
    pub stored: Mutex<Stored>,
    /// How often each department's topic has been made again.
    pub generations: Mutex<[u32; DEPARTMENTS.len()]>,
    pub windows: Mutex<Vec<Window>>,
    pub violations: Mutex<Vec<Violation>>,
    pub skipped: Mutex<Vec<&'static str>>,
    /// Held by whoever needs the archive, or the routers, left alone; in this order.
    pub archive_peace: Mutex<()>,
    pub router_peace: Mutex<()>,
    /// Whether the moving keyword is in its other department.
    pub moved: AtomicBool,
}

impl Stage {
    /// Plays all tracks to their ends, watching over the processes.
    pub fn play(&self, plan: &Plan) -> anyhow::Result<()> {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watch = scope.spawn(|| self.watch(&done));
            let tracks = plan.tracks.iter().map(|track| scope.spawn(|| self.follow(&track.steps)));
            let ended: Vec<_> = tracks.collect::<Vec<_>>().into_iter().map(|track| track.join()).collect();
            done.store(true, Ordering::Relaxed);
            watch.join().expect("the watch does not panic")?;
            ended.into_iter().try_for_each(|track| track.expect("no track panics"))
        })
    }

    fn follow(&self, steps: &[Step]) -> anyhow::Result<()> {
        for step in steps {
            std::thread::sleep(step.pause);
            let from_ms = self.post.book.now_ms();
            let label = step.fault.label();
            self.say(&format!("{}", step.fault));
            self.make(step.fault, step.hold)?;
            let until_ms = self.post.book.now_ms();
            self.say(&format!("{} is over", step.fault));
            lock(&self.windows).push(Window { label, from_ms, until_ms });
        }
        Ok(())
    }

    fn make(&self, fault: Fault, hold: Duration) -> anyhow::Result<()> {
        match fault {
            Fault::BrokersKilled(ids) => {
                self.services.kafka("kill", ids)?;
                std::thread::sleep(hold);
                self.services.kafka("restart", ids).map(drop)
            }
            Fault::BrokersFrozen(ids) => {
                self.services.kafka("freeze", ids)?;
                std::thread::sleep(hold);
                self.services.kafka("thaw", ids).map(drop)
            }
            Fault::TopicDeleted(department) => self.delete_topic(department, hold),
            Fault::DiskFull => self.fill_disks(hold),
            Fault::CassandraKilled => {
                let _peace = lock(&self.archive_peace);
                self.services.cassandra("kill")?;
                std::thread::sleep(hold);
                self.services.cassandra("restart").map(drop)
            }
            Fault::ArchiverKilled => {
                let _peace = lock(&self.archive_peace);
                self.archiver.as_ref().map_or(Ok(()), |archiver| kill(archiver, hold))
            }
            Fault::ArchiverStopped => {
                let _peace = lock(&self.archive_peace);
                self.archiver.as_ref().map_or(Ok(()), |archiver| self.stop(archiver, hold))
            }
            Fault::RouterKilled(_)
            | Fault::RouterStopped(_)
            | Fault::RouterFrozen(_)
            | Fault::RoutesMoved
            | Fault::RoutesBroken(_)
            | Fault::ClockJumped(_) => self.trouble_routers(fault, hold),
        }
    }

    fn trouble_routers(&self, fault: Fault, hold: Duration) -> anyhow::Result<()> {
        // No process starts while the routes on disk are broken: that it refuses to would be right.
        let _archive = matches!(fault, Fault::RoutesBroken(_)).then(|| lock(&self.archive_peace));
        let _peace = lock(&self.router_peace);
        match fault {
            Fault::RouterKilled(replica) => kill(&self.routers[replica], hold),
            Fault::RouterStopped(replica) => self.stop(&self.routers[replica], hold),
            Fault::RouterFrozen(replica) => {
                let router = lock(&self.routers[replica]);
                router.signal("STOP")?;
                std::thread::sleep(hold);
                router.signal("CONT")
            }
            Fault::RoutesMoved => {
                let moved = !self.moved.fetch_xor(true, Ordering::Relaxed);
                self.installation.write_routes(moved)?;
                std::thread::sleep(hold);
                Ok(())
            }
            Fault::RoutesBroken(kind) => self.break_routes(kind, hold),
            Fault::ClockJumped(seconds) => self.jump(seconds, hold),
            _ => Ok(()),
        }
    }

    fn stop(&self, process: &Mutex<Process>, hold: Duration) -> anyhow::Result<()> {
        let mut process = lock(process);
        match process.stop(STOP_PATIENCE)?.map(|status| status.code()) {
            // 1: the grace time ran out, which an outage may do.
            Some(Some(0 | 1)) => {}
            Some(code) => {
                self.note(Kind::Process, format!("ended with {code:?} after SIGTERM: {}", process.log().display()))
            }
            None => self.note(Kind::Process, format!("did not end within {STOP_PATIENCE:?} of SIGTERM")),
        }
        std::thread::sleep(hold);
        process.start_and_listen()
    }

    fn break_routes(&self, kind: usize, hold: Duration) -> anyhow::Result<()> {
        self.installation.break_routes(kind)?;
        std::thread::sleep(hold);
        let alarm = |router: &Mutex<Process>| {
            metric(lock(router).monitoring, "sms_router_routes_last_reload_successful") == Some(0.0)
        };
        let until = Instant::now() + ALARM_PATIENCE;
        while !self.routers.iter().all(alarm) {
            if Instant::now() > until {
                self.note(Kind::Process, format!("bad routes (kind {kind}) raised no alarm"));
                break;
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        self.installation.write_routes(self.moved.load(Ordering::Relaxed))
    }

    fn jump(&self, seconds: i64, hold: Duration) -> anyhow::Result<()> {
        let clock = self.clock.as_ref().context("a plan that moves clocks has one")?;
        let signatures_fail = seconds.abs() >= SIGNATURE_WINDOW_SECONDS;
        if signatures_fail {
            self.post.clock_off_until_ms.store(u64::MAX, Ordering::Relaxed);
        }
        clock.set(seconds)?;
        std::thread::sleep(hold);
        clock.set(0)?;
        if signatures_fail {
            let judged_ms = self.post.book.now_ms() + clock::JUDGED_AFTER_MS;
            self.post.clock_off_until_ms.store(judged_ms, Ordering::Relaxed);
        }
        Ok(())
    }

    fn fill_disks(&self, hold: Duration) -> anyhow::Result<()> {
        if self.disks.is_empty() {
            self.skip("disk full: a tmpfs needs root");
            return Ok(());
        }
        let frozen = self.installation.profile == Profile::Cluster;
        if frozen {
            self.services.kafka("freeze", &[1, 2, 3])?;
        }
        self.disks.iter().try_for_each(Disk::fill)?;
        std::thread::sleep(hold);
        self.disks.iter().try_for_each(Disk::free)?;
        if frozen {
            std::thread::sleep(hold / 2);
            self.services.kafka("thaw", &[1, 2, 3])?;
        }
        Ok(())
    }

    /// Starts again what has ended by itself, and notes it.
    fn watch(&self, done: &AtomicBool) -> anyhow::Result<()> {
        let mut said = Instant::now();
        while !done.load(Ordering::Relaxed) {
            self.routers.iter().chain(&self.archiver).try_for_each(|process| self.look_after(process))?;
            if said.elapsed() > Duration::from_secs(10) {
                said = Instant::now();
                let (sent, acknowledged) = self.post.book.counts();
                self.say(&format!("{sent} sent, {acknowledged} acknowledged"));
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        Ok(())
    }

    fn look_after(&self, process: &Mutex<Process>) -> anyhow::Result<()> {
        // Whoever holds it is doing something to it.
        let Ok(mut process) = process.try_lock() else { return Ok(()) };
        let Some(status) = process.ended()? else { return Ok(()) };
        self.note(Kind::Process, format!("ended by itself, {status}: {}", process.log().display()));
        process.start_and_listen()
    }

    /// Waits until nothing is on its way: no text in flight, journals empty, those topics archived. As long
    /// as there is less and less of it, it may take its time.
    pub fn rest(&self, departments: Range<usize>) -> anyhow::Result<()> {
        let (mut least, mut until) = (u64::MAX, Instant::now() + REST_PATIENCE);
        while !(self.routers_rest() && self.archiver_rests(departments.clone())) {
            let left = self.left(departments.clone());
            if left < least {
                (least, until) = (left, Instant::now() + REST_PATIENCE);
            }
            ensure!(Instant::now() < until, "no rest after {REST_PATIENCE:?}: {}", self.unrest());
            std::thread::sleep(LOOK_INTERVAL * 4);
        }
        Ok(())
    }

    /// Texts that are still to be published or archived.
    fn left(&self, departments: Range<usize>) -> u64 {
        let waiting = |router: &Mutex<Process>| metric(lock(router).monitoring, "sms_router_journal_messages");
        let waiting: f64 = self.routers.iter().filter_map(waiting).sum();
        let (brokers, group) = (&self.installation.addresses.brokers, &self.installation.prefix);
        let behind = |department| topics::behind(brokers, group, &self.installation.topic(department)).unwrap_or(0);
        let behind: u64 = self.archiver.iter().flat_map(|_| departments.clone().map(behind)).sum();
        waiting as u64 + behind
    }

    fn routers_rest(&self) -> bool {
        self.routers.iter().all(|router| {
            let monitoring = lock(router).monitoring;
            metric(monitoring, "sms_router_in_flight_messages") == Some(0.0)
                && metric(monitoring, "sms_router_journal_messages").unwrap_or(0.0) == 0.0
        })
    }

    /// By its group's offsets: its own gauge knows only the partitions that it has at the moment.
    fn archiver_rests(&self, mut departments: Range<usize>) -> bool {
        let (brokers, group) = (&self.installation.addresses.brokers, &self.installation.prefix);
        let behind = |department| topics::behind(brokers, group, &self.installation.topic(department));
        self.archiver.is_none() || departments.all(|department| behind(department).is_ok_and(|behind| behind == 0))
    }

    fn unrest(&self) -> String {
        let names = ["in_flight_messages", "journal_messages", "archive_lag_seconds", "archive_stopped_partitions"];
        let processes = self.routers.iter().chain(&self.archiver).map(|process| lock(process).monitoring);
        let values = processes.map(|monitoring| {
            names.map(|name| format!("{name} {:?}", metric(monitoring, &format!("sms_router_{name}"))))
        });
        values.map(|values| values.join(", ")).collect::<Vec<_>>().join("; ")
    }

    pub fn note(&self, kind: Kind, detail: String) {
        self.say(&detail);
        let detail = format!("at {} ms: {detail}", self.post.book.now_ms());
        lock(&self.violations).push(Violation { kind, key: None, detail });
    }

    fn skip(&self, what: &'static str) {
        self.say(&format!("SKIPPED: {what}"));
        lock(&self.skipped).push(what);
    }

    pub fn say(&self, what: &str) {
        println!("{:>8.1} s  {what}", self.post.book.now_ms() as f64 / 1e3);
    }
}

fn kill(process: &Mutex<Process>, hold: Duration) -> anyhow::Result<()> {
    let mut process = lock(process);
    process.kill()?;
    std::thread::sleep(hold);
    process.start_and_listen()
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no track panics")
}
