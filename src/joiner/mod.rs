//! The worker that makes long texts of their pieces.
//!
//! Comes in: the stream `sms-router.parts`: a topic (cluster), or a stream of the embedded log.
//! Goes out: joined texts, markers on the same stream, the position up to which that is done with.
//! Always true: a text is published before its marker is written, and both before the position passes
//! its pieces; nothing is given out before the end of the stream as it was at the start has been read; a
//! worker that breaks begins again with nothing in memory.
//! Not here: which pieces make a text (`parts`), where it goes (`intake`).
//!
//! ```text
//! stream ─→ parts::Groups ─→ crew ─┬─→ intake: the text, where the routes in force send it
//!   ↑                              └─→ log: a marker, after that
//!   └──────────────────────────────────────┘ read back, and only then counted as done
//! ```

mod crew;
mod embedded;
mod kafka;
mod letter;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaError;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::intake::Intake;
use crate::log::Log;
use crate::message::SenderKey;
use crate::parts;
use crate::publish::ConsumerSettings;
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;

/// How long pieces and markers stay on the stream: longer than a text can be waited for.
pub const RETENTION: Duration = Duration::from_secs(72 * 3600);
/// Partitions of the topic of pieces at least, so that several instances share the work.
pub const PARTITIONS_MIN: i32 = 4;
/// Before a worker that broke begins again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// How pieces are waited for and how many texts are on their way.
#[derive(Debug, Clone)]
pub struct Settings {
    pub groups: parts::Settings,
    /// Consumer group of the instances that share the work.
    pub group: String,
    /// Texts and markers on their way into the log at once.
    pub in_flight_max: usize,
    /// First and longest pause between two tries of one.
    pub retry: (Duration, Duration),
}

/// Where the stream is read.
pub enum Source {
    Embedded(Store),
    /// Brokers and security; what this room promises it sets itself.
    Kafka(Box<ConsumerSettings>),
}

/// What the worker works with.
#[derive(Clone)]
pub struct Tools {
    pub intake: Arc<Intake>,
    pub log: Log,
    pub sender_key: SenderKey,
    pub clock: Clock,
    pub metrics: Metrics,
    pub stop: CancellationToken,
}

/// Why a worker cannot go on; a new one begins where the stream says.
#[derive(Debug, thiserror::Error)]
enum JoinerError {
    #[error("the Kafka client refused its settings: {0}")]
    Settings(KafkaError),
    #[error("the Kafka consumer cannot go on: {0}")]
    Consumer(KafkaError),
    /// The client reads a partition no further although more is there, or reads what is no longer there.
    #[error("the Kafka consumer does not read partition {0} as the brokers have it")]
    StandsStill(i32),
    #[error("the stream of pieces could not be read: {0}")]
    Store(#[from] StoreError),
    /// What it proves itself with has been replaced; another client has the new.
    #[error("the Kafka consumer has the password or certificates of before")]
    Outdated,
    /// A defect: a task died.
    #[error("a text or marker got lost on its way")]
    Broken,
}

/// Runs until `stop`, then ends what is under way.
pub async fn run(settings: Settings, source: Source, tools: Tools) {
    while !tools.stop.is_cancelled() {
        let ended = match &source {
            Source::Embedded(store) => embedded::run(&settings, store.clone(), tools.clone()).await,
            Source::Kafka(config) => kafka::run(&settings, config, tools.clone()).await,
        };
        if matches!(ended, Err(JoinerError::Outdated)) {
            tracing::info!("the joining of long texts takes a new Kafka client, with the new password or certificates");
        } else if let Err(error) = ended {
            tracing::error!(%error, "the joining of long texts begins again");
            tools.stop.run_until_cancelled(tokio::time::sleep(RESTART_PAUSE)).await;
        }
    }
}
