//! `deliver run`: topics → e-mails and pushes.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::{Config, Publish};
use crate::consume;
use crate::deliver::{Channel, Lanes, kafka};
use crate::keyword::Live;
use crate::log::{Kafka, Log};
use crate::publish::{ConsumerSettings, Publisher};

use super::StartError;
use super::delivering::{OpenLanes, tell_unnamed};
use super::worker::Worker;

impl Worker {
    /// Mails and pushes what is published.
    pub async fn deliver(config: Config, clock: Clock) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let Publish::Kafka { settings: kafka, .. } = &config.publish else {
            return Err(StartError::ServeDelivers);
        };
        let departments: BTreeSet<_> = config.deliver.settings.departments.keys().cloned().collect();
        if departments.is_empty() {
            return Err(StartError::NothingToDeliver);
        }
        let (mut worker, monitoring) = Self::begin(&config, kafka, Some(departments)).await?;
        let source = &config.standing.source;
        let publisher = Publisher::start(kafka.as_ref().clone(), source.clone(), worker.metrics.clone())?;
        let open = OpenLanes::open(&config, Log::Kafka(Kafka::new(publisher, None)), &clock, &worker.metrics)?;
        for channel in Channel::ALL.into_iter().filter(|channel| open.lanes.of(*channel).next().is_some()) {
            let (lanes, routes, metrics) = (open.lanes.clone(), worker.routes.clone(), worker.metrics.clone());
            let named = worker.topics.clone();
            let follower = Follower { channel, lanes: lanes.clone(), routes: routes.clone(), named };
            let parts = consume::Parts {
                topics: follower.start(&worker.tasks, &worker.end),
                clock: clock.clone(),
                ready: worker.latches.latch(first_contact(channel)),
                shutdown: worker.stop_consumers.clone(),
            };
            let feed = kafka::Feed { channel, lanes, routes, source: source.clone(), metrics };
            let settings = ConsumerSettings::new(kafka, &group(&config.deliver.group, channel));
            worker.consumers.spawn(kafka::run(settings, feed, parts));
        }
        worker.lanes = Some(open);
        Ok(worker.serve(monitoring))
    }
}

/// Channels are two groups, so that each has its own progress.
pub fn group(configured: &str, channel: Channel) -> String {
    match channel {
        Channel::Email => configured.to_owned(),
        Channel::Push => format!("{configured}-push"),
    }
}

fn first_contact(channel: Channel) -> &'static str {
    match channel {
        Channel::Email => "first contact with the brokers, for e-mail",
        Channel::Push => "first contact with the brokers, for pushes",
    }
}

/// The topics of one channel, as the routes in force name them.
struct Follower {
    channel: Channel,
    lanes: Arc<Lanes>,
    routes: Live,
    /// Changes after each reload.
    named: watch::Receiver<Vec<String>>,
}

impl Follower {
    fn start(mut self, tasks: &TaskTracker, end: &CancellationToken) -> watch::Receiver<Vec<String>> {
        let (tell, topics) = watch::channel(self.topics());
        let end = end.clone();
        tasks.spawn(async move {
            while let Some(Ok(())) = end.run_until_cancelled(self.named.changed()).await {
                self.tell(&tell);
            }
        });
        topics
    }

    fn tell(&self, tell: &watch::Sender<Vec<String>>) {
        tell_unnamed(&self.lanes, self.channel, &self.routes.load());
        let topics = self.topics();
        tell.send_if_modified(|told| {
            let before = std::mem::replace(told, topics);
            before != *told
        });
    }

    fn topics(&self) -> Vec<String> {
        let table = self.routes.load();
        kafka::topics(&table, &self.lanes, self.channel)
    }
}
