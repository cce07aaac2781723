//! The keeper of the producers: a spare one that is ready, and an end in peace for those replaced.
//!
//! Comes in: producers that a lane has left. Goes out: a producer that has its id and knows where
//! topics are, at once. One thread does what blocks.
//! Always true: a producer is closed only when each of its records has its report and nobody hands
//! it another; at most `RETIRING_MAX` wait for that, and while so many do no lane leaves its producer.
//! Not here: when a lane needs another producer.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use tokio::runtime::Handle;

use super::client::{Settings, Term};
use super::context::Traffic;
use super::engine::{Batching, Engine};
use super::lane::Lane;

/// Producers that were left and still hold records. Each has threads and connections of its own.
const RETIRING_MAX: usize = 4;
/// Between two looks at producers that still hold records.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// Between two looks while there is nothing to do; a replaced producer ends the wait.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);
/// Time for one question to the brokers.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(1);
/// What a producer knows of topics it has not used it forgets after `metadata.max.age.ms`, 15
/// minutes unless set: it is told again well before.
const REMIND_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// How long a producer with a new password or certificate may take to be known to the brokers before that is said.
const RENEWAL_MAX: Duration = Duration::from_secs(10);

pub(super) struct Keeper {
    shared: Arc<Shared>,
    /// Gone once the keeper is closed.
    replaced: Mutex<Option<SyncSender<Arc<Engine>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    settings: Settings,
    lanes: Arc<[Lane]>,
    traffic: Traffic,
    spare: Mutex<Option<Arc<Engine>>>,
    /// None could be made, which has been told.
    lacks_spare: AtomicBool,
    retiring: AtomicUsize,
    closing: AtomicBool,
}

impl Keeper {
    pub(super) fn start(settings: Settings, lanes: Arc<[Lane]>, traffic: Traffic) -> Result<Self, KafkaError> {
        let (spare, lacks_spare) = (Mutex::new(None), AtomicBool::new(false));
        let (retiring, closing) = (AtomicUsize::new(0), AtomicBool::new(false));
        let shared = Arc::new(Shared { settings, lanes, traffic, spare, lacks_spare, retiring, closing });
        let (replaced, left) = sync_channel(RETIRING_MAX * 2);
        let work = shared.clone();
        let runtime = Handle::current();
        let thread = std::thread::Builder::new().name("producers".to_owned()).spawn(move || {
            let _within = runtime.enter();
            work.run(&left);
        });
        let thread = thread.map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { shared, replaced: Mutex::new(Some(replaced)), thread: Mutex::new(Some(thread)) })
    }

    /// The spare producer if there is one that is ready, and room for the one it replaces.
    pub(super) fn take_spare(&self) -> Option<Arc<Engine>> {
        if self.shared.retiring.load(Ordering::Acquire) >= RETIRING_MAX {
            return None;
        }
        lock(&self.shared.spare).take_if(|spare| spare.is_warm())
    }

    /// For a lane whose producer takes nothing any more: any producer is better.
    pub(super) fn spare_or_new(&self) -> Result<Arc<Engine>, KafkaError> {
        match lock(&self.shared.spare).take() {
            Some(spare) => Ok(spare),
            None => self.shared.make().map(Arc::new),
        }
    }

    /// Closes a producer as soon as its records have their reports.
    pub(super) fn finish(&self, engine: Arc<Engine>) {
        self.shared.retiring.fetch_add(1, Ordering::AcqRel);
        let Some(replaced) = lock(&self.replaced).clone() else { return };
        if let Err(refused) = replaced.try_send(engine) {
            // More dead producers at once than anybody has seen: this one is closed here and now.
            self.shared.retiring.fetch_sub(1, Ordering::AcqRel);
            drop(refused);
        }
    }

    /// Ends the thread and waits for it: as long as one question to the brokers takes.
    pub(super) fn close(&self) {
        self.shared.closing.store(true, Ordering::Release);
        drop(lock(&self.replaced).take());
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn make(&self) -> Result<Engine, KafkaError> {
        Engine::start(&self.settings, "sms-router-spare", Batching::Shared, &self.traffic)
    }

    fn run(&self, left: &Receiver<Arc<Engine>>) {
        let mut retiring: Vec<Arc<Engine>> = Vec::new();
        let mut renewal = Renewal::default();
        let mut term = self.settings.renewals.term_of_producers();
        let mut remind_at = Instant::now();
        loop {
            if term.is_over() {
                term = self.settings.renewals.term_of_producers();
                renewal = Renewal::of(self.lanes.len());
            }
            if !renewal.is_over() && retiring.len() < RETIRING_MAX {
                retiring.extend(self.renew(&mut renewal, &term));
            }
            self.keep_spare();
            let remind = Instant::now() >= remind_at;
            self.teach(remind);
            if remind {
                remind_at = Instant::now() + REMIND_INTERVAL;
            }
            let is_idle = retiring.is_empty() && renewal.is_over();
            match left.recv_timeout(if is_idle { IDLE_INTERVAL } else { LOOK_INTERVAL }) {
                Ok(engine) => retiring.push(engine),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            retiring.retain(still_needed);
            self.retiring.store(retiring.len(), Ordering::Release);
        }
    }

    /// Takes the next step towards producers that all have what is new; gives the one that was replaced.
    fn renew(&self, renewal: &mut Renewal, term: &Term) -> Option<Arc<Engine>> {
        let lane = self.lanes.get(renewal.done)?;
        let Some((next, since)) = &renewal.next else {
            match lane.another(&self.settings, &self.traffic) {
                Ok(engine) => renewal.next = Some((Arc::new(engine), Instant::now())),
                Err(error) => renewal.tell_of_failure(&error),
            }
            return None;
        };
        if !next.knows_topics() {
            next.learn_topics(QUESTION_TIMEOUT);
        }
        if !next.is_warm() {
            let waited = since.elapsed();
            renewal.tell_of_delay(waited);
            return None;
        }
        let (next, _) = renewal.next.take()?;
        let replaced = lane.change(next);
        renewal.done += 1;
        renewal.is_told = false;
        if renewal.is_over() {
            // Nobody has handed it a record.
            drop(lock(&self.spare).take());
            self.settings.renewals.prove(term);
            tracing::info!("Kafka's producers have the new password or certificates");
        }
        Some(replaced)
    }

    fn keep_spare(&self) {
        if lock(&self.spare).is_some() {
            return;
        }
        match self.make() {
            Ok(engine) => {
                *lock(&self.spare) = Some(Arc::new(engine));
                self.lacks_spare.store(false, Ordering::Relaxed);
            }
            // It is tried again at once and told once.
            Err(error) if !self.lacks_spare.swap(true, Ordering::Relaxed) => {
                tracing::error!(%error, "no spare Kafka producer could be made");
            }
            Err(_) => {}
        }
    }

    /// Tells producers where topics are: all of them now and then, those that never heard at once.
    fn teach(&self, remind: bool) {
        let spare = lock(&self.spare).clone();
        for engine in self.lanes.iter().map(Lane::engine).chain(spare) {
            if self.closing.load(Ordering::Acquire) {
                return;
            }
            if remind || !engine.knows_topics() {
                engine.learn_topics(QUESTION_TIMEOUT);
            }
        }
    }
}

/// Lanes that are given producers with a new password or certificate, one after the other. Each goes on with the one it
/// has until the brokers have taken the other's word: a wrong password in a file stops nothing.
#[derive(Default)]
struct Renewal {
    lanes: usize,
    done: usize,
    /// Of the lane after those that are done, and since when it has been trying.
    next: Option<(Arc<Engine>, Instant)>,
    is_told: bool,
}

impl Renewal {
    fn of(lanes: usize) -> Self {
        Self { lanes, ..Self::default() }
    }

    fn is_over(&self) -> bool {
        self.done == self.lanes
    }

    fn tell_of_failure(&mut self, error: &KafkaError) {
        if !std::mem::replace(&mut self.is_told, true) {
            tracing::error!(%error, "no Kafka producer could be made with the new password or certificates");
        }
    }

    fn tell_of_delay(&mut self, waited: Duration) {
        if waited > RENEWAL_MAX && !std::mem::replace(&mut self.is_told, true) {
            let seconds = RENEWAL_MAX.as_secs();
            tracing::error!(
                seconds,
                "the brokers do not take the new password or certificates: whoever is connected with those before goes on"
            );
        }
    }
}

/// Who was about to hand it a record when it was replaced is counted among its owners since then, so
/// with one owner left there will be no further record; only then it counts whether any wait.
fn still_needed(engine: &Arc<Engine>) -> bool {
    Arc::strong_count(engine) > 1 || engine.is_busy()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
