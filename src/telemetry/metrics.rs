//! The whole catalogue: every metric this process can show, made once and handed to the rooms.
//!
//! Handles of labels are resolved once by the rooms that count often, not for each text.

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

/// Upper bounds of the webhook's duration, in seconds: from a commit in memory to Twilio's patience.
const DURATION_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0];

/// Every metric, by its role. Names and labels are the interface; see the table in the README.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    pub webhook_requests: IntCounterVec,
    pub webhook_duration: Histogram,
    pub messages: IntCounterVec,
    pub signature_failures: IntCounterVec,
    pub signature_monitored: IntGaugeVec,
    pub keyword_messages: IntCounterVec,
    pub in_flight_messages: IntGauge,
    pub in_flight_limit: IntGauge,
    pub shed: IntCounterVec,
    pub duplicates: IntCounterVec,
    pub possible_repeats: IntCounterVec,
    pub carrier_ids_reused: IntCounterVec,
    pub nothing_to_route: IntCounterVec,
    pub unauthenticated_accounts: IntGauge,
    pub unknown_numbers: IntCounter,
    pub dead_letters: IntCounterVec,
    pub department_up: IntGaugeVec,
    pub breaker_state: IntGaugeVec,
    pub breaker_changed: GaugeVec,
    pub breaker_opened: IntCounterVec,
    pub topic_faults: IntGaugeVec,
    pub journal_messages: IntGauge,
    pub journal_bytes: IntGauge,
    pub journal_filled: Gauge,
    pub journal_oldest: Gauge,
    pub archive_lag: Gauge,
    pub archive_records: IntCounterVec,
    pub archive_stopped_partitions: IntGauge,
    pub pieces: IntCounterVec,
    pub joined: IntCounterVec,
    pub pieces_held: IntGauge,
    pub texts_open: IntGauge,
    pub texts_evicted: IntCounter,
    pub swept: IntCounterVec,
    pub routes_info: IntGaugeVec,
    pub routes_last_reload_successful: IntGauge,
    pub secrets_last_reload_successful: IntGauge,
    pub connections: IntGaugeVec,
    pub connections_refused: IntCounterVec,
    pub reconcile_differences: IntGaugeVec,
    pub reconcile_last_hour: IntGauge,
    pub probe_duration: HistogramVec,
    pub probe_last_success: GaugeVec,
    pub probe_failures: IntCounter,
    pub connections_gave_way: IntCounterVec,
    pub kafka_requests: IntCounter,
    pub kafka_messages: IntCounter,
    pub kafka_latency: GaugeVec,
    pub certificate_expiry: IntGaugeVec,
    pub deliveries: IntCounterVec,
    pub delivery_oldest: GaugeVec,
    pub delivery_up: IntGaugeVec,
    pub delivery_stopped: IntGaugeVec,
    pub sample: IntGauge,
    pub build_info: IntGaugeVec,
}

impl Metrics {
    /// Makes and registers them all, each at zero.
    #[expect(clippy::too_many_lines, reason = "a catalogue: one entry after the other, nothing nested")]
    pub fn new() -> Self {
        let registry = Registry::new();
        // Refused only if it were there already.
        let _ = registry.register(Box::new(ProcessCollector::for_self()));
        let make = Maker(&registry);
        Self {
            webhook_requests: make.counters(
                "sms_router_webhook_requests_total",
                "Requests on the inbound listener",
                &["account", "code"],
            ),
            webhook_duration: make.histogram(
                "sms_router_webhook_duration_seconds",
                "From the head of a request to its answer",
                &DURATION_BUCKETS,
            ),
            messages: make.counters("sms_router_messages_total", "What became of texts", &["department", "outcome"]),
            signature_failures: make.counters(
                "sms_router_signature_failures_total",
                "Requests that did not prove where they come from",
                &["account", "reason"],
            ),
            signature_monitored: make.gauges(
                "sms_router_signature_monitored",
                "Seconds for which failed signatures of the account are still let in, flagged; 0 once they are refused",
                &["account"],
            ),
            keyword_messages: make.counters(
                "sms_router_keyword_messages_total",
                "Texts by keyword of the table",
                &["number", "keyword"],
            ),
            in_flight_messages: make
                .gauge("sms_router_in_flight_messages", "Texts taken in and not yet durable or refused"),
            in_flight_limit: make.gauge(
                "sms_router_in_flight_limit",
                "Texts that may be on their way at once; less while the log is slow",
            ),
            shed: make.counters("sms_router_shed_total", "Requests answered 503 to protect the rest", &["reason"]),
            duplicates: make.counters(
                "sms_router_duplicates_total",
                "Texts a carrier sent again, answered 200 and not published again",
                &["account"],
            ),
            possible_repeats: make.counters(
                "sms_router_possible_repeats_total",
                "Equal texts without a carrier's id, published and flagged",
                &["account"],
            ),
            carrier_ids_reused: make.counters(
                "sms_router_carrier_ids_reused_total",
                "Texts whose carrier id had been used for another text",
                &["account"],
            ),
            nothing_to_route: make.counters(
                "sms_router_nothing_to_route_total",
                "Well-formed requests without a text: probes and receipts",
                &["account", "kind"],
            ),
            unauthenticated_accounts: make
                .gauge("sms_router_unauthenticated_accounts", "Accounts that take texts from anybody"),
            unknown_numbers: make.counter(
                "sms_router_unknown_numbers_total",
                "Texts to numbers that the routes do not name, kept in dead-letter",
            ),
            dead_letters: make.counters(
                "sms_router_dead_letters_total",
                "Texts kept in dead-letter",
                &["account", "reason"],
            ),
            department_up: make.gauges(
                "sms_router_department_up",
                "1 while the department's topic, or standalone the store, takes texts",
                &["department"],
            ),
            breaker_state: make.gauges(
                "sms_router_department_breaker",
                "1 for the state of the department's breaker; open and probing are on the quarantine producer",
                &["department", "state"],
            ),
            breaker_changed: make.measures(
                "sms_router_department_breaker_changed_timestamp_seconds",
                "When the department's breaker was last opened or closed, in seconds since 1970",
                &["department"],
            ),
            breaker_opened: make.counters(
                "sms_router_department_breaker_opened_total",
                "How often the department was moved to the quarantine producer",
                &["department"],
            ),
            topic_faults: make.gauges(
                "sms_router_topic_faults",
                "1 for each promise that a topic's settings break",
                &["department", "fault"],
            ),
            journal_messages: make
                .gauge("sms_router_journal_messages", "Texts answered 200 that wait in the journal for their topics"),
            journal_bytes: make.gauge("sms_router_journal_bytes", "Bytes of the texts in the journal"),
            journal_filled: make.measure(
                "sms_router_journal_filled_ratio",
                "How full the journal is, 0 to 1, by bytes or by age, whichever is nearer its bound; 1 means 503",
            ),
            journal_oldest: make.measure("sms_router_journal_oldest_seconds", "Age of the oldest text in the journal"),
            archive_lag: make
                .measure("sms_router_archive_lag_seconds", "Age of the oldest record that is not yet in the archive"),
            archive_records: make.counters(
                "sms_router_archive_records_total",
                "Records the archive consumer has dealt with",
                &["outcome"],
            ),
            archive_stopped_partitions: make.gauge(
                "sms_router_archive_stopped_partitions",
                "Partitions whose committed offset is out of range: nothing is read from them",
            ),
            pieces: make.counters(
                "sms_router_pieces_total",
                "Pieces of long texts that carriers pushed one by one",
                &["outcome"],
            ),
            joined: make.counters(
                "sms_router_joined_texts_total",
                "Texts made of their pieces: complete, incomplete, or an addendum to an incomplete one",
                &["outcome"],
            ),
            pieces_held: make
                .gauge("sms_router_pieces_held", "Pieces that this instance has read and whose text is not settled"),
            texts_open: make.gauge("sms_router_texts_open", "Long texts that wait in this instance for their pieces"),
            texts_evicted: make.counter(
                "sms_router_texts_evicted_total",
                "Long texts that went out incomplete before their time because too many were open",
            ),
            swept: make.counters("sms_router_swept_total", "Rows deleted because their time was over", &["kind"]),
            routes_info: make.gauges("sms_router_routes_info", "1 for the table in force", &["version"]),
            routes_last_reload_successful: make
                .gauge("sms_router_routes_last_reload_successful", "0 while the routes file on disk is refused"),
            secrets_last_reload_successful: make
                .gauge("sms_router_secrets_last_reload_successful", "0 while a secret's file on disk is refused"),
            connections: make.gauges("sms_router_connections", "Open connections", &["listener"]),
            connections_refused: make.counters(
                "sms_router_connections_refused_total",
                "Connections closed because there were too many",
                &["listener"],
            ),
            reconcile_differences: make.gauges(
                "sms_router_reconcile_differences",
                "What differs between log, journal and archive in the closed hours of late; 0 when all is well",
                &["kind"],
            ),
            reconcile_last_hour: make
                .gauge("sms_router_reconcile_last_hour_timestamp_seconds", "End of the last hour that was reconciled"),
            probe_duration: make.histograms(
                "sms_router_probe_duration_seconds",
                "From a synthetic text's post to its stage",
                &["stage"],
                &DURATION_BUCKETS,
            ),
            probe_last_success: make.measures(
                "sms_router_probe_last_success_timestamp_seconds",
                "When a synthetic text last came to its stage",
                &["stage"],
            ),
            probe_failures: make
                .counter("sms_router_probe_failures_total", "Synthetic texts that did not come through in time"),
            connections_gave_way: make.counters(
                "sms_router_connections_gave_way_total",
                "Connections of strangers closed because a newcomer needed the place",
                &["listener"],
            ),
            kafka_requests: make.counter(
                "sms_router_kafka_requests_total",
                "Requests of all producers to the brokers, seen once a second",
            ),
            kafka_messages: make.counter(
                "sms_router_kafka_messages_total",
                "Records in those requests; retries count again, so it is no count of texts",
            ),
            kafka_latency: make.measures(
                "sms_router_kafka_latency_seconds",
                "Within a second, at the slowest broker: in the producer's queue (int), before the socket (outbuf), on the wire and at the broker (rtt)",
                &["stage", "quantile"],
            ),
            certificate_expiry: make.gauges(
                "sms_router_certificate_expiry_timestamp_seconds",
                "When the certificate that a listener shows ends, in seconds since 1970",
                &["listener"],
            ),
            deliveries: make.counters(
                "sms_router_deliveries_total",
                "Texts that a department's e-mail or push took (delivered), tries that failed and will be made again (retried), texts or recipients given up, kept in dead-letter (failed)",
                &["department", "channel", "outcome"],
            ),
            delivery_oldest: make.measures(
                "sms_router_delivery_oldest_seconds",
                "Age of the oldest text on the log that is not delivered; 0 when there is none",
                &["department", "channel"],
            ),
            delivery_up: make.gauges(
                "sms_router_delivery_up",
                "1 while the department's e-mail or push takes texts, 0 after a try that failed",
                &["department", "channel"],
            ),
            delivery_stopped: make.gauges(
                "sms_router_delivery_stopped",
                "1 when nothing is delivered until a person has decided: the receiver said 410, or an offset is out of range",
                &["department", "channel"],
            ),
            sample: make.gauge("sms_router_sample", "1 while the built-in sample is in force"),
            build_info: make.gauges("sms_router_build_info", "1, with the version", &["version"]),
            registry,
        }
    }

    /// The Prometheus text format, version 0.0.4.
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(16 * 1024);
        // Encoding into memory fails only for a metric without a name, which `Maker` rules out.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn register<C: Collector + Clone + 'static>(&self, metric: prometheus::Result<C>) -> C {
        let metric = metric.expect("names in the catalogue are well formed");
        self.0.register(Box::new(metric.clone())).expect("names in the catalogue are unique");
        metric
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help))
    }

    fn measures(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.register(GaugeVec::new(Opts::new(name, help), labels))
    }

    /// A gauge that is no count: seconds, or a share.
    fn measure(&self, name: &str, help: &str) -> Gauge {
        self.register(Gauge::new(name, help))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        self.register(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalogue_without_clashes() {
        let metrics = Metrics::new();
        metrics.shed.with_label_values(&["connections"]).inc();
        let text = String::from_utf8(metrics.render()).expect("text");
        assert!(text.contains("sms_router_shed_total{reason=\"connections\"} 1"), "{text}");
    }
}
