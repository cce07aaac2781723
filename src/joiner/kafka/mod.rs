//! The topic of pieces, shared by the instances of a consumer group.
//!
//! Comes in: the partitions that the group gives this instance. Goes out: what the crew does, and
//! committed offsets.
//! Always true: the committed offset never passes a piece that is not settled; with it is committed from
//! where the next reader has to read to judge as this one did; a partition that is given away is
//! forgotten at once, and what is on its way for it is only done twice, under the same ids.
//! Not here: what follows from an entry (`parts`).
//!
//! One thread of its own polls, because librdkafka's callbacks for a changed assignment look offsets up
//! at the brokers and block.

mod member;
mod partition;
mod worker;

use tokio::sync::oneshot;

use super::crew::Crew;
use super::{JoinerError, Settings, Tools};
use crate::publish::ConsumerSettings;

pub(super) async fn run(settings: &Settings, consumer: &ConsumerSettings, tools: Tools) -> Result<(), JoinerError> {
    let crew = Crew::new(settings, tools.clone());
    let worker = worker::Worker::start(settings, consumer, tools, crew.clone())?;
    let (report, outcome) = oneshot::channel();
    let thread = std::thread::Builder::new().name("joiner".to_owned());
    let work = move || {
        // The receiver is gone only when nobody waits for the worker any more.
        let _ = report.send(worker.run());
    };
    thread.spawn(work).map_err(|_| JoinerError::Broken)?;
    let result = outcome.await.unwrap_or(Err(JoinerError::Broken));
    crew.finish().await;
    result
}
