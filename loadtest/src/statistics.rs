//! What librdkafka says of itself: how well records are batched, and where they wait.
//!
//! Comes in: a floor's statistics, a second each; the service's metrics. Goes out: records for each request and
//! batch, and the 99th percentiles of three waits, of a floor; records for each request of the service.
//! Always true: floors tell only when asked (`--statistics`), for it costs them CPU; the service looks at its
//! statistics anyway and adds up two totals of them, and its waits are not told: that would take parsing all of
//! them. Not here: peers, of which nothing is known.

use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::statistics::{Broker, Statistics, Window};
use serde::{Deserialize, Serialize};

use crate::servers::Server;

/// Seconds kept of one floor.
const INTERVALS_MAX: usize = 10_000;
const REQUESTS: &str = "sms_router_kafka_requests_total";
const MESSAGES: &str = "sms_router_kafka_messages_total";

/// A bare producer's context: it writes its statistics to standard output, a line each second.
pub struct Teller;

impl ClientContext for Teller {
    fn stats(&self, statistics: Statistics) {
        let Ok(line) = serde_json::to_string(&Interval::of(&statistics)) else { return };
        // The measurement may have ended.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}

/// One second of one producer.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub struct Interval {
    /// Since the producer's beginning.
    requests: i64,
    messages: i64,
    /// In this second: batches, and the records in them.
    batches: i64,
    batched: i64,
    /// 99th percentiles of the slowest broker, in microseconds: in the queue, in the socket's queue, at the broker.
    queue: i64,
    socket: i64,
    broker: i64,
}

impl Interval {
    fn of(statistics: &Statistics) -> Self {
        let p99 = |of: fn(&Broker) -> &Option<Window>| {
            let windows = statistics.brokers.values().filter_map(|broker| of(broker).as_ref());
            windows.map(|window| window.p99).max().unwrap_or_default()
        };
        let batches = || statistics.topics.values().map(|topic| &topic.batchcnt);
        Self {
            requests: statistics.tx,
            messages: statistics.txmsgs,
            batches: batches().map(|batch| batch.cnt).sum(),
            batched: batches().map(|batch| batch.cnt * batch.avg).sum(),
            queue: p99(|broker| &broker.int_latency),
            socket: p99(|broker| &broker.outbuf_latency),
            broker: p99(|broker| &broker.rtt),
        }
    }
}

/// What a floor has told so far.
#[derive(Clone, Default)]
pub struct Heard(Arc<Mutex<Vec<Interval>>>);

impl Heard {
    /// Listens until the floor ends.
    pub fn listen(&self, lines: impl BufRead) {
        for line in lines.lines().map_while(Result::ok) {
            let Ok(interval) = serde_json::from_str(&line) else { continue };
            let mut intervals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if intervals.len() < INTERVALS_MAX {
                intervals.push(interval);
            }
        }
    }

    /// Nothing if it has told nothing.
    pub fn sent(&self) -> Option<Sent> {
        Sent::of(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How one server's records went to the brokers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sent {
    pub requests: f64,
    pub messages_per_request: f64,
    /// Not told of the service, as is all below.
    pub messages_per_batch: Option<f64>,
    /// Medians over the seconds in which anything was sent.
    pub queue_p99_ms: Option<f64>,
    pub socket_p99_ms: Option<f64>,
    pub broker_p99_ms: Option<f64>,
}

impl Sent {
    fn of(intervals: &[Interval]) -> Option<Self> {
        let last = intervals.last()?;
        let busy: Vec<_> = intervals.iter().filter(|interval| interval.batches > 0).collect();
        let sum = |of: fn(&Interval) -> i64| busy.iter().map(|interval| of(interval)).sum::<i64>() as f64;
        let middle = |of: fn(&Interval) -> i64| {
            let mut values: Vec<_> = busy.iter().map(|interval| of(interval)).collect();
            values.sort_unstable();
            values.get(values.len() / 2).map(|microseconds| *microseconds as f64 / 1e3)
        };
        Some(Self {
            requests: last.requests as f64,
            messages_per_request: last.messages as f64 / last.requests as f64,
            messages_per_batch: (!busy.is_empty()).then(|| sum(|of| of.batched) / sum(|of| of.batches)),
            queue_p99_ms: middle(|of| of.queue),
            socket_p99_ms: middle(|of| of.socket),
            broker_p99_ms: middle(|of| of.broker),
        })
    }

    /// Of the service's own metrics, which are as old as a second; nothing of a build that has none of them.
    pub fn of_service(service: &Server) -> anyhow::Result<Option<Self>> {
        let (requests, messages) = (service.metric_if_any(REQUESTS)?, service.metric_if_any(MESSAGES)?);
        // Nor of one whose producers are of a library that tells no such totals.
        let told = requests.zip(messages).filter(|(requests, _)| *requests > 0.0);
        let Some((requests, messages)) = told else { return Ok(None) };
        let [messages_per_batch, queue_p99_ms, socket_p99_ms, broker_p99_ms] = [None; 4];
        let messages_per_request = messages / requests;
        Ok(Some(Self {
            requests,
            messages_per_request,
            messages_per_batch,
            queue_p99_ms,
            socket_p99_ms,
            broker_p99_ms,
        }))
    }
}

/// The head of the columns that `row` fills.
pub fn head() -> String {
    format!(
        "{:<34} {:>9} {:>11} {:>9} {:>12} {:>13} {:>13}\n",
        "librdkafka", "requests", "msgs/req", "msgs/batch", "queue p99 ms", "socket p99 ms", "broker p99 ms"
    )
}

pub fn row(name: &str, sent: &Sent) -> String {
    let shown = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
    format!(
        "{name:<34} {:>9.0} {:>11.1} {:>10} {:>12} {:>13} {:>13}\n",
        sent.requests,
        sent.messages_per_request,
        shown(sent.messages_per_batch),
        shown(sent.queue_p99_ms),
        shown(sent.socket_p99_ms),
        shown(sent.broker_p99_ms)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_seconds_count_for_nothing_and_batches_weigh_as_many_as_they_are() {
        let busy = |batches, batched, queue| Interval { batches, batched, queue, ..Interval::default() };
        let last = Interval { requests: 50, messages: 1_000, ..Interval::default() };
        let sent = Sent::of(&[busy(10, 500, 9_000), busy(30, 300, 2_000), busy(10, 100, 3_000), last]).expect("told");
        assert!((sent.messages_per_request - 20.0).abs() < 1e-9);
        assert_eq!((sent.messages_per_batch, sent.queue_p99_ms), (Some(18.0), Some(3.0)));
        assert_eq!(Sent::of(&[]), None);
    }

    #[test]
    fn only_lines_of_statistics_are_heard() {
        let heard = Heard::default();
        let line = serde_json::to_string(&Interval { requests: 2, messages: 4, ..Interval::default() }).expect("JSON");
        heard.listen(format!("http://127.0.0.1:1/\n{line}\n").as_bytes());
        assert_eq!(heard.sent().expect("told").messages_per_batch, None);
    }
}
