//! A lane's task: what is tried when, and what becomes of it.
//!
//! Comes in: letters from the lane's handles. Goes out: tries, dead letters, `done`.
//! Always true: of what it holds each letter is in one place only; at most `in_flight_max` parcels are tried at once;
//! nothing is done before its destination or dead-letter has it.
//! Not here: whose turn it is among senders (`senders`), whether the server is tried (`health`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::{Load, Plan};
use crate::deliver::health::{Leave, Ticket};
use crate::deliver::parcel::{Held, Parcel, Tried, Why};
use crate::deliver::senders::Senders;
use crate::deliver::{Channel, Letter, Parts, undelivered};
use crate::log::{Addressed, LogError, Logged, UNHURRIED};
use crate::message::DepartmentName;
use crate::telemetry::Told;

/// Parcels on their way into dead-letter at once.
const BURIALS_MAX: usize = 4;
/// What is on its way when the process is told to end may take so long.
const DRAIN: Duration = Duration::from_secs(10);
/// A clock that is put forward is noticed after that.
const LOOK: Duration = Duration::from_secs(30);

/// A parcel that comes back, with what became of it.
enum Ended {
    Tried(Tried),
    Buried(Result<(), LogError>),
}

/// When the server may be asked again.
enum Gate {
    Open,
    Until(Instant),
    /// When somebody else's try has ended.
    AfterAChange,
}

/// Parcels that wait, by when they are due and which came first.
#[derive(Default)]
struct Waiting {
    parcels: BTreeMap<(Instant, u64), Parcel>,
    sequence: u64,
}

impl Waiting {
    fn insert(&mut self, due: Instant, parcel: Parcel) {
        self.sequence += 1;
        self.parcels.insert((due, self.sequence), parcel);
    }

    fn first_due(&self) -> Option<Instant> {
        self.parcels.first_key_value().map(|((due, _), _)| *due)
    }

    fn has_due(&self, now: Instant) -> bool {
        self.first_due().is_some_and(|due| due <= now)
    }

    fn pop(&mut self) -> Option<Parcel> {
        self.parcels.pop_first().map(|(_, parcel)| parcel)
    }
}

pub(super) struct Task {
    plan: Plan,
    parts: Parts,
    inbox: mpsc::UnboundedReceiver<Held>,
    load: Arc<Load>,
    changes: watch::Receiver<()>,
    senders: Senders,
    /// Its turn has come, and it has not been tried.
    prepared: Option<Parcel>,
    waiting: Waiting,
    burials: Waiting,
    running: JoinSet<(Parcel, Ended)>,
    trying: usize,
    burying: usize,
    gate: Gate,
    /// The last one started had been tried before.
    again: bool,
    /// The receiver wants no more.
    is_stopped: bool,
    is_fed: bool,
    told: Told,
}

impl Task {
    pub(super) fn new(plan: Plan, parts: Parts, inbox: mpsc::UnboundedReceiver<Held>, load: Arc<Load>) -> Self {
        let task = Self {
            changes: plan.health.changes(),
            plan,
            parts,
            inbox,
            load,
            senders: Senders::default(),
            prepared: None,
            waiting: Waiting::default(),
            burials: Waiting::default(),
            running: JoinSet::new(),
            trying: 0,
            burying: 0,
            gate: Gate::Open,
            again: false,
            is_stopped: false,
            is_fed: true,
            told: Told::new(),
        };
        task.parts.metrics.delivery_up.with_label_values(&task.labels()).set(1);
        task.parts.metrics.delivery_stopped.with_label_values(&task.labels()).set(0);
        for outcome in ["delivered", "retried", "failed"] {
            task.count(outcome, 0);
        }
        task
    }

    pub(super) async fn run(mut self) {
        let stop = self.parts.stop.clone();
        while stop.run_until_cancelled(self.step()).await.is_some() {}
        let ending = async {
            while let Some(ended) = self.running.join_next().await {
                self.settle(ended);
            }
        };
        // What is not done by then, and all that waits, is dropped undone: it is fed again.
        let _ = tokio::time::timeout(DRAIN, ending).await;
    }

    /// Begins what can begin and waits for one thing to happen.
    async fn step(&mut self) {
        self.bury();
        self.dispatch();
        let wake = self.wake();
        let asleep = async {
            match wake {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(ended) = self.running.join_next() => self.settle(ended),
            held = self.inbox.recv(), if self.is_fed => match held {
                Some(held) => self.senders.push(held),
                None => self.is_fed = false,
            },
            Ok(()) = self.changes.changed() => {}
            () = asleep => {}
        }
    }

    /// Starts tries while there is something to try, room for it, and leave of the server's health.
    fn dispatch(&mut self) {
        self.gate = Gate::Open;
        while !self.is_stopped && self.trying < self.plan.in_flight_max {
            self.prepare();
            let now = Instant::now();
            let is_due = self.waiting.has_due(now);
            if !is_due && self.prepared.is_none() {
                return;
            }
            let ticket = match self.plan.health.ask(now) {
                Leave::Go(ticket) => ticket,
                Leave::NotBefore(at) => return self.gate = Gate::Until(at),
                Leave::Later => return self.gate = Gate::AfterAChange,
            };
            // In turns, so that many that fail do not keep the new from being tried, nor the other way round.
            self.again = is_due && (self.prepared.is_none() || !self.again);
            let parcel = if self.again { self.waiting.pop() } else { self.prepared.take() };
            if let Some(parcel) = parcel {
                self.start(parcel, ticket);
            }
        }
    }

    fn start(&mut self, mut parcel: Parcel, ticket: Ticket) {
        self.trying += 1;
        let destination = self.plan.destination.clone();
        self.running.spawn(async move {
            let tried = destination.deliver(&mut parcel, ticket).await;
            (parcel, Ended::Tried(tried))
        });
    }

    /// Makes the next parcel of letters whose turn it is, and collects those that go together.
    fn prepare(&mut self) {
        while self.prepared.is_none() {
            let now = self.parts.clock.now();
            let collected = self.plan.collector.as_mut().and_then(|collector| collector.take(now));
            if let Some(parcel) = collected {
                self.senders.keep(parcel.senders());
                self.prepared = Some(parcel);
                return;
            }
            if !self.senders.has_next() {
                return;
            }
            let collects = self.plan.collector.as_mut().is_some_and(|collector| collector.collects(now));
            let collector = self.plan.collector.as_mut().filter(|_| collects);
            match (self.senders.next(collector.is_none()), collector) {
                (Some(held), Some(collector)) => collector.add(held, now),
                (Some(held), None) => self.prepared = Some(Parcel::of(vec![held], None)),
                (None, _) => return,
            }
        }
    }

    /// Starts what is due on its way into dead-letter.
    fn bury(&mut self) {
        while self.burying < BURIALS_MAX && self.burials.has_due(Instant::now()) {
            let Some(parcel) = self.burials.pop() else { return };
            self.burying += 1;
            let place = (self.plan.department.clone(), self.plan.channel);
            let letters = parcel.letters.iter().map(|held| held.letter.clone()).collect();
            let detail = parcel.undelivered.clone().unwrap_or_default();
            let buried = bury(letters, detail, self.parts.clone(), place);
            self.running.spawn(async move { (parcel, Ended::Buried(buried.await)) });
        }
    }

    /// When something becomes due by itself.
    fn wake(&self) -> Option<Instant> {
        let has_room = !self.is_stopped && self.trying < self.plan.in_flight_max;
        let next_try = match (&self.prepared, &self.gate) {
            (_, Gate::AfterAChange) => None,
            (Some(_), Gate::Until(at)) => Some(*at),
            (Some(_), Gate::Open) => Some(Instant::now()),
            (None, Gate::Until(at)) => self.waiting.first_due().map(|due| due.max(*at)),
            (None, Gate::Open) => self.waiting.first_due(),
        };
        let next_burial = self.burials.first_due().filter(|_| self.burying < BURIALS_MAX);
        let collected = self.plan.collector.as_ref().filter(|_| self.prepared.is_none() && has_room);
        let collected_due = collected.and_then(|collector| collector.due()).map(|due| {
            let wait_ms = due.as_millisecond() - self.parts.clock.now().as_millisecond();
            Instant::now() + Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0)).min(LOOK)
        });
        [next_try.filter(|_| has_room), next_burial, collected_due].into_iter().flatten().min()
    }

    fn settle(&mut self, ended: Result<(Parcel, Ended), JoinError>) {
        let (parcel, ended) = match ended {
            Ok(ended) => ended,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        match ended {
            Ended::Tried(tried) => {
                self.trying -= 1;
                self.judge(parcel, tried);
            }
            Ended::Buried(buried) => {
                self.burying -= 1;
                self.buried(parcel, buried);
            }
        }
    }

    fn judge(&mut self, mut parcel: Parcel, tried: Tried) {
        let up = self.parts.metrics.delivery_up.with_label_values(&self.labels());
        match tried {
            Tried::Taken => {
                up.set(1);
                self.count("delivered", parcel.letters.len());
                self.done(parcel);
            }
            // Perhaps for one of them only, which is none of the others' business.
            Tried::Refused { has_been_taken: false, .. } if parcel.letters.len() > 1 => {
                let now = Instant::now();
                parcel.apart().into_iter().for_each(|single| self.waiting.insert(now, single));
            }
            Tried::Refused { detail, has_been_taken } => {
                up.set(1);
                if has_been_taken {
                    self.count("delivered", parcel.letters.len());
                }
                self.give_up(parcel, detail);
            }
            Tried::Again { after, by_server, why } => {
                up.set(0);
                self.count("retried", 1);
                self.tell_failure(&why);
                let now = Instant::now();
                let since = *parcel.failing_since.get_or_insert(now);
                parcel.failures = parcel.failures.saturating_add(1);
                if now.duration_since(since) >= self.plan.retry.give_up {
                    return self.run_out(parcel, &why);
                }
                let own = if by_server { Duration::ZERO } else { self.plan.retry.pause(parcel.failures) };
                self.waiting.insert(now + own.max(after.unwrap_or_default()), parcel);
            }
            Tried::Gone => {
                up.set(0);
                self.stop(parcel);
            }
        }
    }

    /// Its time is over.
    fn run_out(&mut self, parcel: Parcel, why: &Why) {
        let code = why.code.map(|code| format!(" {code}")).unwrap_or_default();
        let patience_s = self.plan.retry.give_up.as_secs();
        let taken = parcel.settled.taken.len();
        let taken_by = if taken == 0 { String::new() } else { format!("; {taken} mailboxes have it") };
        if taken > 0 {
            self.count("delivered", parcel.letters.len());
        }
        self.give_up(parcel, format!("not taken within {patience_s} s, at last: {}{code}{taken_by}", why.step));
    }

    fn give_up(&mut self, mut parcel: Parcel, detail: String) {
        if let Some(untold) = self.told.is_due("refused", std::time::Instant::now()) {
            let (department, channel) = (&self.plan.department, self.plan.channel.label());
            tracing::error!(%department, channel, %detail, untold, "a text cannot be delivered: dead-letter keeps it");
        }
        parcel.failures = 0;
        parcel.undelivered = Some(detail);
        self.burials.insert(Instant::now(), parcel);
    }

    fn buried(&mut self, mut parcel: Parcel, buried: Result<(), LogError>) {
        match buried {
            Ok(()) => {
                self.count("failed", parcel.letters.len());
                self.done(parcel);
            }
            Err(_) => {
                if let Some(untold) = self.told.is_due("burial", std::time::Instant::now()) {
                    let (department, channel) = (&self.plan.department, self.plan.channel.label());
                    tracing::warn!(%department, channel, untold, "dead-letter does not take what cannot be delivered: it is tried again");
                }
                parcel.failures = parcel.failures.saturating_add(1);
                self.burials.insert(Instant::now() + self.plan.retry.pause(parcel.failures), parcel);
            }
        }
    }

    /// 410: whoever answers there wants no more.
    fn stop(&mut self, parcel: Parcel) {
        if !self.is_stopped {
            let (department, channel) = (&self.plan.department, self.plan.channel.label());
            tracing::error!(%department, channel, "the receiver says that it is gone (410): nothing is delivered until this process starts again");
        }
        self.is_stopped = true;
        self.parts.metrics.delivery_stopped.with_label_values(&self.labels()).set(1);
        self.waiting.insert(Instant::now(), parcel);
    }

    fn done(&mut self, mut parcel: Parcel) {
        match Parcel::one_by_one(std::mem::take(&mut parcel.then)) {
            Some(next) => self.waiting.insert(Instant::now(), next),
            None => self.senders.free(parcel.senders()),
        }
        for Held { letter, done } in parcel.letters {
            self.load.letters.fetch_sub(1, Ordering::Relaxed);
            self.load.bytes.fetch_sub(letter.value.len(), Ordering::Relaxed);
            done();
        }
    }

    /// A 5xx is nothing that passes by itself.
    fn tell_failure(&self, why: &Why) {
        let Some(untold) = self.told.is_due(why.step, std::time::Instant::now()) else { return };
        let (department, channel) = (&self.plan.department, self.plan.channel.label());
        let is_for_a_person = channel == "email" && why.code.is_some_and(|code| code >= 500);
        if is_for_a_person {
            tracing::error!(%department, channel, %why, untold, "the mail server refuses what no text is at fault for: it is tried again");
        } else {
            tracing::warn!(%department, channel, %why, untold, "a text was not delivered: it is tried again");
        }
    }

    fn count(&self, outcome: &str, letters: usize) {
        let [department, channel] = self.labels();
        self.parts.metrics.deliveries.with_label_values(&[department, channel, outcome]).inc_by(letters as u64);
    }

    fn labels(&self) -> [&str; 2] {
        [self.plan.department.as_str(), self.plan.channel.label()]
    }
}

/// Puts every letter of a parcel into dead-letter; what is there already adds nothing.
pub(in crate::deliver) async fn bury(
    letters: Vec<Letter>,
    detail: String,
    parts: Parts,
    (department, channel): (DepartmentName, Channel),
) -> Result<(), LogError> {
    for letter in &letters {
        let place = (&department, channel);
        let event = |with_body| undelivered::of(letter, place, &detail, with_body, &parts.sender_key);
        let append = |with_body| parts.log.append(vec![Addressed::dead_letter(event(with_body))], UNHURRIED);
        let logged = match append(true).await {
            // In Base64 it has become too large; without it the letter still says which text it is.
            Err(LogError::Never) => append(false).await?,
            logged => logged?,
        };
        if logged == Logged::Stored {
            let labels = [letter.account.as_str(), undelivered::reason()];
            parts.metrics.dead_letters.with_label_values(&labels).inc();
        }
    }
    Ok(())
}
