//! librdkafka's names for settings, for a client that has others.
//!
//! Comes in: the publisher's settings. Goes out: what a krafka producer is made of.
//! Always true: a property that this client cannot keep is refused by name, never ignored.
//! Sources: librdkafka's CONFIGURATION.md and the documentation of krafka 0.28.

use std::collections::BTreeMap;
use std::time::Duration;

use krafka::auth::{AuthConfig, TlsConfig};
use krafka::producer::{Acks, Producer};
use krafka::{Compression, Kafka, KrafkaError};

use crate::publish::client::Settings;

/// A broker that does not answer is left after this long.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two tries, growing to the second.
const RETRY_BACKOFF: Duration = Duration::from_millis(50);
/// How long a topic that the cluster does not know is looked for before its records fail.
const TOPIC_MAX: Duration = Duration::from_secs(2);
/// How long a partition's first record waits for others while nothing of the partition is on its way. Throughput of
/// the whole service in that of the best bare librdkafka, at 10 topics and 64 connections: 0.75 without, 0.89 with 1 ms,
/// 0.86 with 5; at 100 topics and 512 connections 1.5 with each.
const LINGER: Duration = Duration::from_millis(1);
/// Bytes of one partition, and of all partitions, in one request.
const BATCH_BYTES: usize = 1 << 20;
const REQUEST_BYTES: usize = 16 << 20;
/// Bytes of all records that wait.
const MEMORY_BYTES: usize = 256 << 20;

/// What a producer shall be.
#[derive(Clone)]
pub(super) struct Wanted {
    brokers: String,
    security: AuthConfig,
    compression: Compression,
    linger: Duration,
    message_timeout: Duration,
}

impl Wanted {
    /// The reason names the property and what to do.
    pub(super) fn read(settings: &Settings) -> Result<Self, String> {
        let mut properties = Properties(settings.properties.clone());
        let wanted = Self {
            brokers: settings.brokers.clone(),
            security: security(&mut properties, settings)?,
            compression: compression(&mut properties)?,
            linger: linger(&mut properties)?,
            message_timeout: settings.message_timeout,
        };
        match properties.0.first_key_value() {
            None => Ok(wanted),
            Some((name, _)) => {
                Err(format!("the client krafka has no property {name}: leave it out, or set client = \"librdkafka\""))
            }
        }
    }

    /// Connects and asks for an id.
    pub(super) async fn connect(&self, client_id: &str) -> Result<(Kafka, Producer), KrafkaError> {
        let request_timeout = REQUEST_TIMEOUT.min(self.message_timeout.saturating_sub(self.linger));
        let kafka = Kafka::builder(self.brokers.as_str())
            .client_id(client_id)
            .security(self.security.clone())
            .connect_timeout(request_timeout)
            .request_timeout(request_timeout)
            // A topic that was used once is not asked for again at its next text.
            .metadata_topic_cache_ttl(None)
            .connect()
            .await?;
        let producer = kafka
            .producer()
            .acks(Acks::All)
            .idempotent(true)
            .compression(self.compression)
            .linger(self.linger)
            .retry_backoff(RETRY_BACKOFF)
            .max_block(TOPIC_MAX)
            .batch_size(BATCH_BYTES)
            .max_request_size(REQUEST_BYTES)
            .buffer_memory(MEMORY_BYTES)
            .delivery_timeout(self.message_timeout)
            .metrics_push(false)
            .build()
            .await?;
        Ok((kafka, producer))
    }
}

/// What is left of the operator's properties.
struct Properties(BTreeMap<String, String>);

impl Properties {
    /// The value by the first of these names that is set.
    fn take(&mut self, names: &[&str]) -> Option<String> {
        names.iter().filter_map(|name| self.0.remove(*name)).next_back()
    }
}

fn security(properties: &mut Properties, settings: &Settings) -> Result<AuthConfig, String> {
    let protocol = properties.take(&["security.protocol"]).unwrap_or_else(|| "plaintext".to_owned()).to_lowercase();
    let security = match protocol.as_str() {
        "plaintext" | "ssl" => AuthConfig::plaintext(),
        "sasl_plaintext" | "sasl_ssl" => sasl(properties, settings)?,
        other => {
            return Err(format!("security.protocol: {other:?} is none of plaintext, ssl, sasl_plaintext, sasl_ssl"));
        }
    };
    if protocol.ends_with("ssl") { Ok(security.with_tls(tls(properties)?)) } else { Ok(security) }
}

fn sasl(properties: &mut Properties, settings: &Settings) -> Result<AuthConfig, String> {
    let mechanism = properties.take(&["sasl.mechanism", "sasl.mechanisms"]).unwrap_or_default();
    let (user, password) = settings.credentials.as_ref().ok_or("SASL needs publish.user and publish.password")?;
    let password = password.bytes();
    let password = String::from_utf8_lossy(&password);
    match mechanism.to_uppercase().as_str() {
        "PLAIN" => Ok(AuthConfig::sasl_plain(user, password)),
        "SCRAM-SHA-256" => Ok(AuthConfig::sasl_scram_sha256(user, password)),
        "SCRAM-SHA-512" => Ok(AuthConfig::sasl_scram_sha512(user, password)),
        _ => Err("sasl.mechanism: the client krafka takes PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512; \
                  for others set client = \"librdkafka\""
            .to_owned()),
    }
}

fn tls(properties: &mut Properties) -> Result<TlsConfig, String> {
    let mut tls = TlsConfig::new();
    if let Some(path) = properties.take(&["ssl.ca.location"]) {
        tls = tls.with_ca_cert(path);
    }
    match (properties.take(&["ssl.certificate.location"]), properties.take(&["ssl.key.location"])) {
        (Some(certificate), Some(key)) => Ok(tls.with_client_cert(certificate, key)),
        (None, None) => Ok(tls),
        _ => Err("ssl.certificate.location and ssl.key.location belong together".to_owned()),
    }
}

fn compression(properties: &mut Properties) -> Result<Compression, String> {
    match properties.take(&["compression.type", "compression.codec"]).as_deref() {
        None | Some("none") => Ok(Compression::None),
        Some("gzip") => Ok(Compression::Gzip),
        Some("snappy") => Ok(Compression::Snappy),
        Some("lz4") => Ok(Compression::Lz4),
        Some(other) => Err(format!("compression.type: the client krafka has no {other:?}; gzip, snappy or lz4")),
    }
}

fn linger(properties: &mut Properties) -> Result<Duration, String> {
    let Some(written) = properties.take(&["linger.ms", "queue.buffering.max.ms"]) else { return Ok(LINGER) };
    let milliseconds = written.parse::<f64>().ok().filter(|linger| (0.0..=900.0).contains(linger));
    let milliseconds = milliseconds.ok_or_else(|| format!("linger.ms: {written:?} is no number of 0 to 900"))?;
    Ok(Duration::from_secs_f64(milliseconds / 1_000.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Secret;
    use crate::publish::{Client, Renewals};

    fn read(properties: &[(&str, &str)], user: Option<&str>) -> Result<Wanted, String> {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Wanted::read(&Settings {
            brokers: "127.0.0.1:9092".to_owned(),
            client: Client::Krafka,
            properties,
            credentials: user.map(|user| (user.to_owned(), Secret::new(b"hidden".to_vec()))),
            renewals: Renewals::default(),
            producers: 1,
            in_flight_max: 16,
            department_in_flight_max: 16,
            message_timeout: Duration::from_secs(10),
            stall: Duration::from_secs(1),
            probe_interval: Duration::from_secs(1),
        })
    }

    #[test]
    fn what_it_can_keep_it_takes() {
        let wanted = read(&[("compression.type", "lz4"), ("queue.buffering.max.ms", "0.5")], None).expect("taken");
        assert_eq!((wanted.compression, wanted.linger), (Compression::Lz4, Duration::from_micros(500)));
        let secured =
            [("security.protocol", "SASL_SSL"), ("sasl.mechanisms", "SCRAM-SHA-512"), ("ssl.ca.location", "ca.pem")];
        let wanted = read(&secured, Some("router")).expect("taken");
        assert!(wanted.security.requires_tls() && wanted.security.requires_sasl());
    }

    #[test]
    fn what_it_cannot_keep_it_refuses_by_name() {
        for (property, value) in [
            ("socket.blocking.max.ms", "1"),
            ("compression.type", "zstd"),
            ("security.protocol", "tls"),
            ("linger.ms", "soon"),
            ("sasl.mechanism", "GSSAPI"),
        ] {
            let refused = read(&[(property, value)], Some("router")).err().expect("refused");
            assert!(refused.contains(property), "{refused}");
        }
        let secured = [("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "GSSAPI")];
        assert!(read(&secured, Some("router")).err().expect("refused").contains("librdkafka"));
        assert!(read(&secured, None).err().expect("refused").contains("publish.user"));
        let halves = [("security.protocol", "ssl"), ("ssl.key.location", "key.pem")];
        assert!(read(&halves, None).err().expect("refused").contains("ssl.certificate.location"));
    }
}
