//! `[publish]`: where texts become durable, and what stands behind it.

use std::path::Path;
use std::time::Duration;

use crate::message::Secret;
use crate::publish::{self, TopicSettings};

use super::file::Stamped;
use super::read::{DAY, HOUR, Section};
use super::secrets::Vault;

/// Kafka keeps a topic at least this long, so an outage of the archive costs lag and no text.
const TOPIC_RETENTION_HOURS_MIN: i64 = 72;

/// Where texts become durable.
#[derive(Debug, Clone)]
pub enum Publish {
    Local {
        queue_max: usize,
        feed_retention: Duration,
        dead_letter_retention: Duration,
    },
    Kafka {
        settings: Box<publish::Settings>,
        topics: TopicSettings,
        dead_letter_retention: Duration,
        /// `None`: an outage of Kafka is 503.
        journal: Option<Journal>,
    },
}

/// The journal behind Kafka.
#[derive(Debug, Clone, Copy)]
pub struct Journal {
    /// A text that its topic has not acknowledged after this long goes to the journal.
    pub after: Duration,
    /// Bytes of all texts that wait.
    pub bytes_max: u64,
    /// Beyond this age of a topic's oldest text the topic's texts are refused, for nobody mended it.
    pub age_max: Duration,
}

pub(super) fn read(section: Section<'_>, vault: &Vault<'_>, data: &Path, deadline_max: Duration) -> Option<Publish> {
    let to = section.string("to").unwrap_or_else(|| "local".to_owned());
    // Read by `standing` too; asked for here so that it is known in either place.
    section.string("type_prefix");
    let publish = match to.as_str() {
        "local" => Some(Publish::Local {
            queue_max: section.count("queue_max", 20_000, 16..=1_000_000),
            feed_retention: DAY * days(&section, "feed_retention_days"),
            dead_letter_retention: DAY * days(&section, "dead_letter_retention_days"),
        }),
        "kafka" => {
            let dead_letter_retention = DAY * days(&section, "dead_letter_retention_days");
            let journal = journal(&section, data, vault);
            kafka(&section, vault, deadline_max, dead_letter_retention, journal)
        }
        other => {
            section.refuse("to", format!("{other:?} is neither \"local\" nor \"kafka\""));
            None
        }
    };
    section.finish();
    publish
}

/// Files that properties name, as they are before any client has read them.
pub(super) fn files_of(publish: &Publish) -> Vec<Stamped> {
    let Publish::Kafka { settings, .. } = publish else { return Vec::new() };
    let named = publish::FILES.iter().filter_map(|name| settings.properties.get(*name));
    named.map(|path| Stamped::now(path.into())).collect()
}

fn days(section: &Section<'_>, key: &'static str) -> u32 {
    u32::try_from(section.integer(key, 30, 1..=366)).unwrap_or(30)
}

fn kafka(
    section: &Section<'_>,
    vault: &Vault<'_>,
    deadline_max: Duration,
    dead_letter_retention: Duration,
    journal: Option<Journal>,
) -> Option<Publish> {
    let brokers = section.required("brokers");
    let properties = section.properties("properties");
    for (name, reason) in publish::FORBIDDEN {
        if properties.contains_key(name) {
            section.refuse("properties", format!("{name} cannot be set: {reason}"));
        }
    }
    let credentials = credentials(section, vault);
    let in_flight_max = section.count("in_flight_max", 20_000, 16..=1_000_000);
    // Everything is asked for before anything is missed: a key that nobody asked for counts as unknown.
    let client = client(section);
    let topics = topics(section.section("topics"));
    let settings = publish::Settings {
        properties,
        credentials,
        renewals: publish::Renewals::default(),
        producers: section.count("producers", 1, 1..=64),
        in_flight_max,
        department_in_flight_max: section.count("department_in_flight_max", in_flight_max / 4, 1..=1_000_000),
        message_timeout: deadline_max,
        stall: section.milliseconds("stall_ms", Duration::from_millis(1_500), 100..=10_000),
        probe_interval: section.milliseconds("probe_interval_ms", Duration::from_secs(1), 50..=60_000),
        brokers: brokers?,
        client: client?,
    };
    Some(Publish::Kafka { settings: Box::new(settings), topics, dead_letter_retention, journal })
}

fn client(section: &Section<'_>) -> Option<publish::Client> {
    match section.string("client").as_deref() {
        None | Some("librdkafka") => Some(publish::Client::Librdkafka),
        Some("krafka") => Some(publish::Client::Krafka),
        Some(other) => {
            section.refuse("client", format!("{other:?} is neither \"librdkafka\" nor \"krafka\""));
            None
        }
    }
}

/// On wherever its folder can be written, unless the settings say otherwise.
fn journal(section: &Section<'_>, data: &Path, vault: &Vault<'_>) -> Option<Journal> {
    let journal = Journal {
        after: section.milliseconds("journal_after_ms", Duration::from_millis(1_500), 50..=10_000),
        bytes_max: section.count("journal_bytes_max", 1 << 30, 1 << 16..=1 << 40) as u64,
        age_max: HOUR * u32::try_from(section.integer("journal_age_max_hours", 7 * 24, 1..=365 * 24)).unwrap_or(168),
    };
    if !vault.has_doors() {
        // No text comes in that could wait.
        section.boolean("journal", false);
        return None;
    }
    let writable = if vault.has_files() { can_write(data) } else { Ok(()) };
    let wanted = section.boolean("journal", writable.is_ok());
    match (wanted, writable) {
        (true, Err(error)) => {
            let data = data.display();
            section.refuse("journal", format!("{data} cannot be written: {error}; mend that, or say journal = false"));
            None
        }
        (wanted, _) => wanted.then_some(journal),
    }
}

/// Whether a file can be made in the folder, or in the nearest one above it that exists.
fn can_write(folder: &Path) -> std::io::Result<()> {
    let existing = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    let trial = existing.join(format!(".sms-router-{}", std::process::id()));
    std::fs::File::create_new(&trial)?;
    std::fs::remove_file(&trial)
}

pub(super) fn credentials(section: &Section<'_>, vault: &Vault<'_>) -> Option<(String, Secret)> {
    match (section.string("user"), vault.one(section, "password")) {
        (Some(user), Some(password)) => Some((user, password)),
        // What is wrong with a password that is written has been said.
        _ if section.node("user").is_some() == section.node("password").is_some() => None,
        _ => {
            section.refuse("user", "user and password belong together");
            None
        }
    }
}

fn topics(section: Section<'_>) -> TopicSettings {
    let small = |key, default| i32::try_from(section.integer(key, default, 1..=10_000)).unwrap_or(1);
    let (partitions, replication) = (small("partitions", 1), small("replication", 3));
    let min_insync_replicas = small("min_insync_replicas", 2);
    if min_insync_replicas > replication {
        section.refuse("min_insync_replicas", "is more than there are replicas: no text could be acknowledged");
    }
    let hours = section.integer("retention_hours", 30 * 24, TOPIC_RETENTION_HOURS_MIN..=24 * 366 * 10);
    section.finish();
    let retention = HOUR * u32::try_from(hours).unwrap_or(720);
    TopicSettings { partitions, replication, min_insync_replicas, retention }
}
