//! The open loop: texts come when they are due, whether or not earlier ones were answered.
//!
//! Comes in: signed requests, a schedule, connections to send them over, which tally a text belongs to. Goes
//! out: what became of them and which were answered 200, latencies from the instant they were *due*, and whether the
//! generator kept up.
//! Always true: a text that no connection was free for waits, and its wait is latency, as that is the
//! server's slowness; one thread, raw sockets, as the generator shares the machine with what it measures;
//! a run ends when its time and the patience after it are over.
//! Not here: the closed loop (`drive`), where an answer ends (`answer`), what is claimed.
//!
//! ```text
//! pacer: its timer says that texts are due ─ releases turns ─→ connections, whoever is free first
//!                                                 due │ sent │ answered ─→ tally[file(…)]
//! ```

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{try_join, try_join_all};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::answer;
use crate::drive::awake;
use crate::pace::Pace;
use crate::schedule::Schedule;
use crate::tally::{Tally, add};
use crate::timer::Timer;

/// How texts come.
pub struct Flow<'a> {
    pub server: SocketAddr,
    pub connections: u16,
    pub schedule: Schedule,
    /// Whether every text that was due is still sent after the schedule's end; else whoever has no connection
    /// by then is dropped.
    pub drained: bool,
    /// Whether the generator stays awake while it waits, at the price of a core.
    pub awake: bool,
    /// Or until this is set.
    pub over: &'a AtomicBool,
    /// An answer later than this after its text was sent is late; and so long after the end all is over.
    pub patience: Duration,
    pub pace: Pace,
    /// How many tallies there are.
    pub tallies: usize,
    /// The tally that counts what happens to a text; `None` counts nowhere.
    pub file: &'a (dyn Fn(&Event) -> Option<usize> + Sync),
}

/// Something happens to a text now: it is due, is sent, is answered.
pub struct Event {
    pub began: Instant,
    /// Since the beginning, as are all times of a run.
    pub due: Duration,
    pub now: Duration,
}

/// What became of the texts.
pub struct Poured {
    pub tallies: Vec<Tally>,
    pub pace: Pace,
    /// Whether each request was answered 200, early or late.
    acknowledged: Vec<Cell<bool>>,
}

impl Poured {
    /// Of the request at this place.
    pub fn is_acknowledged(&self, place: usize) -> bool {
        self.acknowledged[place].get()
    }
}

/// Sends until the schedule or the requests are over.
pub fn run(flow: &Flow<'_>, requests: &[Vec<u8>]) -> anyhow::Result<Poured> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let streams = try_join_all((0..flow.connections).map(|_| TcpStream::connect(flow.server))).await?;
        let tallies = (0..flow.tallies).map(|_| Tally::default()).collect();
        let poured = Poured { tallies, pace: flow.pace.clone(), acknowledged: vec![Cell::new(false); requests.len()] };
        let timer = Timer::new()?;
        let turns = Semaphore::new(0);
        let queue = RefCell::default();
        let busy = || Handle::current().metrics().worker_total_busy_duration(0);
        let (busy_before, began) = (busy(), Instant::now());
        let run = Run { flow, requests, turns, queue, began, poured: &poured };
        let connections = try_join_all(streams.into_iter().map(|stream| run.pour(stream)));
        let all = tokio::time::timeout(flow.schedule.time + flow.patience, try_join(run.release(&timer), connections));
        // Out of patience: what has no answer now never gets one, and is counted so.
        if let Ok(ended) = if flow.awake { awake(all).await } else { all.await } {
            ended?;
        }
        if !flow.awake {
            poured.pace.worked(busy() - busy_before, began.elapsed());
        }
        Ok(poured)
    })
}

/// What the connections of one run share.
struct Run<'a> {
    flow: &'a Flow<'a>,
    requests: &'a [Vec<u8>],
    /// One for each text in the queue.
    turns: Semaphore,
    /// Texts that are due and not taken.
    queue: RefCell<VecDeque<Due>>,
    began: Instant,
    poured: &'a Poured,
}

/// A text that is due.
struct Due {
    number: usize,
    due: Duration,
    /// When the generator came to it.
    released: Duration,
}

impl Run<'_> {
    /// The pacer: each text gets its turn when it is due.
    async fn release(&self, timer: &Timer) -> anyhow::Result<()> {
        let Flow { schedule, over, .. } = self.flow;
        let count = schedule.count().min(self.requests.len());
        for number in 0..count {
            let due = schedule.due(number);
            while self.began.elapsed() < due {
                timer.wait(due - self.began.elapsed().min(due)).await?;
            }
            if over.load(Ordering::Relaxed) {
                break;
            }
            let released = self.began.elapsed();
            self.tally(due, released, |tally| add(&tally.due));
            self.queue.borrow_mut().push_back(Due { number, due, released });
            self.turns.add_permits(1);
        }
        if self.flow.drained {
            // One turn for each connection that finds nothing left.
            self.turns.add_permits(self.flow.connections.into());
        } else {
            self.turns.close();
        }
        Ok(())
    }

    /// One connection: takes the next text that is due, until the end.
    async fn pour(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        loop {
            let free = self.began.elapsed();
            let Ok(turn) = self.turns.acquire().await else { return Ok(()) };
            turn.forget();
            let next = self.queue.borrow_mut().pop_front();
            let Some(Due { number, due, released }) = next else { return Ok(()) };
            let sent = self.began.elapsed();
            // What it waited for a connection is not the generator's; what it came too late to the text is.
            let own_delay = (released - due) + sent.saturating_sub(released.max(free));
            self.poured.pace.sent(own_delay);
            self.tally(due, sent, |tally| add(&tally.sent));
            let answer = exchange(&mut stream, &self.requests[number]).await;
            self.poured.acknowledged[number].set(matches!(answer, Ok(200)));
            self.count(due, sent, answer.as_ref().ok());
            if answer.is_err() {
                stream = TcpStream::connect(self.flow.server).await?;
                stream.set_nodelay(true)?;
            }
        }
    }

    fn count(&self, due: Duration, sent: Duration, status: Option<&u16>) {
        let now = self.began.elapsed();
        let is_late = now.saturating_sub(sent) > self.flow.patience;
        self.tally(due, now, |tally| match status {
            None => add(&tally.broken),
            Some(200) => {
                tally.record(now.saturating_sub(due));
                add(if is_late { &tally.late } else { &tally.in_time });
            }
            Some(_) => add(&tally.refused),
        });
    }

    fn tally(&self, due: Duration, now: Duration, count: impl FnOnce(&Tally)) {
        let tally = (self.flow.file)(&Event { began: self.began, due, now });
        tally.and_then(|tally| self.poured.tallies.get(tally)).map(count);
    }
}

async fn exchange(stream: &mut TcpStream, request: &[u8]) -> anyhow::Result<u16> {
    stream.write_all(request).await?;
    answer::read(stream).await
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream as Stream};
    use std::thread;

    use super::*;
    use crate::schedule::Profile;
    use crate::tally::quantile_ms;

    const REQUEST: &[u8] = b"a text";
    const RATE: f64 = 500.0;
    const TIME: Duration = Duration::from_secs(1);

    /// What the server does with a text, numbered within its connection.
    type Does = fn(usize, &mut Stream) -> std::io::Result<()>;

    /// Does it on each of so many connections, until they are closed.
    fn server(clients: usize, does: Does) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        thread::spawn(move || {
            for stream in listener.incoming().flatten().take(clients) {
                thread::spawn(move || serve(stream, does));
            }
        });
        address
    }

    fn serve(mut stream: Stream, does: Does) {
        let mut request = [0; REQUEST.len()];
        for number in 0.. {
            if stream.read_exact(&mut request).and_then(|()| does(number, &mut stream)).is_err() {
                return;
            }
        }
    }

    fn ok(stream: &mut Stream) -> std::io::Result<()> {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    }

    /// Pours the whole schedule over so many connections.
    fn poured(server: SocketAddr, connections: u16, profile: Profile, patience: Duration) -> Poured {
        let schedule = Schedule { profile, rate: RATE, time: TIME };
        let flow = Flow {
            server,
            connections,
            schedule,
            drained: true,
            awake: false,
            over: &AtomicBool::new(false),
            patience,
            // However slow the machine: these are about the server.
            pace: Pace::with(Duration::from_secs(60)),
            tallies: profile.stretches().len(),
            file: &|event| Some(schedule.stretch(event.due)),
        };
        run(&flow, &vec![REQUEST.to_vec(); schedule.count()]).expect("a run")
    }

    #[test]
    fn a_stall_is_in_the_latency_of_every_text_that_was_due_meanwhile() {
        const STALL: Duration = Duration::from_millis(200);
        // One connection: a loop that waits for its answers would see one slow text.
        let stalls = server(1, |number, stream| {
            if number == 100 {
                thread::sleep(STALL);
            }
            ok(stream)
        });
        let poured = poured(stalls, 1, Profile::Constant, Duration::from_secs(60));
        let tally = &poured.tallies[0];
        assert_eq!((tally.due.get(), tally.in_time.get(), tally.unanswered()), (500, 500, 0));
        let latencies = tally.latencies.borrow();
        // 100 texts were due in the stall; half of them in its first half, and these waited for the other.
        let waited = latencies.count_between(100_000, u64::MAX);
        assert!(waited >= 49, "{waited} texts waited 100 ms or more");
        assert!(latencies.max() >= 199_000 && tally.slowest() >= Duration::from_millis(199));
    }

    #[test]
    fn each_text_comes_in_its_stretch_and_refusals_are_counted_apart() {
        let refuses = server(4, |number, stream| {
            let answer: &[u8] = match number % 2 {
                0 => b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n<Response>\r\n\r\n<",
                _ => b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
            };
            stream.write_all(answer)
        });
        let poured = poured(refuses, 4, Profile::Spike, Duration::from_secs(60));
        let due: Vec<_> = poured.tallies.iter().map(|tally| tally.due.get()).collect();
        assert_eq!(due, [45, 100, 45]);
        for tally in &poured.tallies {
            let (answered, refused) = (tally.in_time.get(), tally.refused.get());
            assert_eq!((answered + refused, tally.sent.get()), (tally.due.get(), tally.due.get()));
            assert_eq!(tally.latencies.borrow().len(), answered as u64, "only a 200 has a latency");
            assert!(refused > 0);
        }
        let answered: usize = poured.tallies.iter().map(|tally| tally.in_time.get()).sum();
        let acknowledged = poured.acknowledged.iter().filter(|text| text.get()).count();
        assert_eq!(acknowledged, answered, "a refusal acknowledges nothing");
    }

    #[test]
    fn a_broken_connection_is_counted_and_another_takes_its_place() {
        let breaks = server(
            60,
            |number, stream| {
                if number == 9 { stream.shutdown(std::net::Shutdown::Both) } else { ok(stream) }
            },
        );
        let poured = poured(breaks, 2, Profile::Constant, Duration::from_secs(60));
        let tally = &poured.tallies[0];
        assert!(tally.broken.get() >= 48, "every tenth breaks: {}", tally.broken.get());
        assert_eq!(tally.broken.get() + tally.in_time.get(), 500);
    }

    #[test]
    fn what_is_never_answered_ends_the_run_and_is_counted() {
        let falls_silent = server(1, |number, stream| if number < 10 { ok(stream) } else { Ok(()) });
        let poured = poured(falls_silent, 1, Profile::Constant, Duration::from_millis(100));
        let tally = &poured.tallies[0];
        assert_eq!((tally.in_time.get() + tally.late.get(), tally.sent.get(), tally.unanswered()), (10, 11, 490));
        let acknowledged: Vec<bool> = poured.acknowledged.iter().map(Cell::get).collect();
        assert_eq!(acknowledged, [vec![true; 10], vec![false; 490]].concat());
    }

    #[test]
    fn a_generator_that_was_held_up_does_not_count_its_run() {
        let answers = server(4, |_, stream| ok(stream));
        let schedule = Schedule::constant(RATE, TIME);
        let flow = Flow {
            server: answers,
            connections: 4,
            schedule,
            drained: true,
            awake: false,
            over: &AtomicBool::new(false),
            patience: Duration::from_secs(60),
            pace: Pace::with(Duration::from_millis(20)),
            tallies: 1,
            // The generator's own thread sleeps once, while connections are free.
            file: &|event| {
                if event.due == schedule.due(250) && event.now < event.due + Duration::from_millis(100) {
                    thread::sleep(Duration::from_millis(100));
                }
                Some(0)
            },
        };
        let poured = run(&flow, &vec![REQUEST.to_vec(); schedule.count()]).expect("a run");
        assert!(poured.pace.fault().is_some_and(|fault| fault.contains("late")));
        assert_eq!(poured.tallies[0].in_time.get(), 500);
        assert!(quantile_ms(&poured.tallies[0].latencies.borrow(), 1.0) >= 100.0, "its delay is in the latencies too");
    }
}
