//! Where a record's time goes on its way to the brokers, as librdkafka's statistics say it once a second.
//!
//! `int`: in the producer's queue before its request; `outbuf`: in the request, waiting for the socket; `rtt`: on the
//! wire and at the broker. Windows of a second, in microseconds, for each broker; kept is the worst of all brokers and
//! producers, for an average hides the one that is slow. Source: librdkafka's STATISTICS.md.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use memchr::memmem;
use prometheus::{Gauge, GaugeVec};

use super::context::whole_number;

const QUANTILES: [(&str, &[u8]); 2] = [("0.5", b"\"p50\""), ("0.99", b"\"p99\"")];
const STAGES: [(&str, &[u8]); 3] =
    [("int", b"\"int_latency\""), ("outbuf", b"\"outbuf_latency\""), ("rtt", b"\"rtt\"")];

/// By stage and quantile, in microseconds.
type Windows = [[u64; QUANTILES.len()]; STAGES.len()];

/// What the producers said last; a clone is for another producer.
pub(super) struct Latency {
    shared: Arc<Shared>,
    producer: u64,
}

struct Shared {
    gauges: [[Gauge; QUANTILES.len()]; STAGES.len()],
    producers: AtomicU64,
    last: Mutex<HashMap<u64, Windows>>,
}

impl Latency {
    pub fn new(gauges: &GaugeVec) -> Self {
        let gauges =
            STAGES.map(|(stage, _)| QUANTILES.map(|(quantile, _)| gauges.with_label_values(&[stage, quantile])));
        Self { shared: Arc::new(Shared { gauges, producers: AtomicU64::new(1), last: Mutex::default() }), producer: 0 }
    }

    pub fn read(&self, statistics: &[u8]) {
        self.shared.tell(|last| last.insert(self.producer, windows(statistics)));
    }
}

impl Clone for Latency {
    fn clone(&self) -> Self {
        let producer = self.shared.producers.fetch_add(1, Ordering::Relaxed);
        Self { shared: self.shared.clone(), producer }
    }
}

impl Drop for Latency {
    fn drop(&mut self) {
        self.shared.tell(|last| last.remove(&self.producer));
    }
}

impl Shared {
    fn tell<T>(&self, change: impl FnOnce(&mut HashMap<u64, Windows>) -> T) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut last);
        for (stage, gauges) in self.gauges.iter().enumerate() {
            for (quantile, gauge) in gauges.iter().enumerate() {
                let worst = last.values().map(|windows| windows[stage][quantile]).max().unwrap_or(0);
                gauge.set(Duration::from_micros(worst).as_secs_f64());
            }
        }
    }
}

/// The worst of all brokers.
fn windows(statistics: &[u8]) -> Windows {
    STAGES.map(|(_, stage)| {
        let places: Vec<usize> = memmem::find_iter(statistics, stage).collect();
        let worst = |quantile| places.iter().filter_map(|&at| number(&statistics[at..], quantile)).max();
        QUANTILES.map(|(_, quantile)| worst(quantile).unwrap_or(0))
    })
}

/// The whole number behind the first such key.
fn number(statistics: &[u8], key: &[u8]) -> Option<u64> {
    let place = memmem::find(statistics, key)?;
    whole_number(&statistics[place + key.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    fn statistics(first: u64, second: u64) -> Vec<u8> {
        let broker = |us: u64| {
            format!(
                "\"b\":{{ \"int_latency\": {{ \"min\":1, \"p50\":{us}, \"p99\":{} }}, \"rtt\":{{\"p50\":7,\"p99\":8}} }}",
                us * 2
            )
        };
        format!("{{ \"brokers\":{{ {}, {} }} }}", broker(first), broker(second)).into_bytes()
    }

    #[test]
    fn the_worst_broker_and_producer_show_and_one_that_is_gone_does_not() {
        let metrics = Metrics::new();
        let gauge = |stage, quantile| metrics.kafka_latency.with_label_values(&[stage, quantile]).get();
        let one = Latency::new(&metrics.kafka_latency);
        let two = one.clone();
        one.read(&statistics(1_000, 3_000));
        two.read(&statistics(9_000, 2));
        assert_eq!((gauge("int", "0.5"), gauge("int", "0.99"), gauge("rtt", "0.99")), (0.009, 0.018, 0.000_008));
        drop(two);
        assert_eq!((gauge("int", "0.5"), gauge("outbuf", "0.5")), (0.003, 0.0));
        one.read(b"{}");
        assert_eq!(gauge("int", "0.5"), 0.0);
    }
}
