//! The life of `deliver run`: topics → e-mails and pushes.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::{Config, Publish};
use crate::consume::{self, ConsumeError};
use crate::deliver::{Channel, Lanes, kafka};
use crate::keyword::Live;
use crate::log::{Kafka, Log};
use crate::operations::{self, Health, Service};
use crate::publish::{ConsumerSettings, Publisher, TopicAdmin};
use crate::telemetry::{Latches, Metrics};

use super::delivering::{OpenLanes, tell_unnamed};
use super::reload::{Reloader, first_table};
use super::{Reload, StartError, listeners, secrets, tell_warnings};

/// A running `deliver run`.
pub struct DeliverInstance {
    pub monitoring: SocketAddr,
    pub reload: Reload,
    pub metrics: Metrics,
    consumers: JoinSet<Result<(), ConsumeError>>,
    stop_consumers: CancellationToken,
    open: OpenLanes,
    end: CancellationToken,
    tasks: TaskTracker,
    latches: Latches,
}

impl DeliverInstance {
    pub async fn start(config: Config, clock: Clock) -> Result<Self, StartError> {
        let (metrics, latches) = (Metrics::new(), Latches::default());
        let config = Arc::new(config);
        let Publish::Kafka { settings: kafka, .. } = &config.publish else {
            return Err(StartError::ServeDelivers);
        };
        if config.deliver.settings.departments.is_empty() {
            return Err(StartError::NothingToDeliver);
        }
        tell_warnings(&config);
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let (built_from, table) = first_table(&config).await?;
        let monitoring = listeners::open("monitoring", &config.monitoring)?;
        let address = monitoring.bound.address();
        let (stop_consumers, end, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let admin = Arc::new(TopicAdmin::new(kafka)?);
        let publisher = Publisher::start(kafka.as_ref().clone(), config.standing.source.clone(), metrics.clone())?;
        let open = OpenLanes::open(&config, Log::Kafka(Kafka::new(publisher, None)), &clock, &metrics)?;
        let routes = Live::new(table);
        secrets::watch(&config, &metrics, &tasks, &end);
        let (topics, named) = watch::channel(Vec::new());
        let reloader = Reloader {
            config: config.clone(),
            routes: routes.clone(),
            metrics: metrics.clone(),
            kafka: Some((admin, None)),
            departments: Some(config.deliver.settings.departments.keys().cloned().collect()),
            built_from,
            topics,
        };
        let (reload, reloading) = reloader.start(end.clone());
        tasks.spawn(reloading);
        let mut consumers = JoinSet::new();
        for channel in Channel::ALL.into_iter().filter(|channel| open.lanes.of(*channel).next().is_some()) {
            let (lanes, routes, metrics) = (open.lanes.clone(), routes.clone(), metrics.clone());
            let follower = Follower { channel, lanes: lanes.clone(), routes: routes.clone(), named: named.clone() };
            let parts = consume::Parts {
                topics: follower.start(&tasks, &end),
                clock: clock.clone(),
                ready: latches.latch(first_contact(channel)),
                shutdown: stop_consumers.clone(),
            };
            let feed = kafka::Feed { channel, lanes, routes, source: config.standing.source.clone(), metrics };
            let settings = ConsumerSettings::new(kafka, &group(&config.deliver.group, channel));
            consumers.spawn(kafka::run(settings, feed, parts));
        }
        let services = || Vec::<Service>::new();
        let health =
            Arc::new(Health { latches: latches.clone(), metrics: metrics.clone(), services: Arc::new(services) });
        let answer = move |request, _| operations::monitoring(health.clone(), request);
        tasks.spawn(monitoring.watch(&tasks, &end, &metrics).serve(answer, metrics.clone(), end.clone()));
        Ok(Self { monitoring: address, reload, metrics, consumers, stop_consumers, open, end, tasks, latches })
    }

    /// Resolves when a consumer ends by itself, which is a failure.
    pub async fn failed(&mut self) -> Result<(), StartError> {
        next_end(&mut self.consumers).await
    }

    /// Stops reading, ends what is on its way, commits, leaves the groups.
    pub async fn stop(mut self) -> Result<(), StartError> {
        self.latches.drain();
        // First: what lanes then let go of is no defect.
        self.stop_consumers.cancel();
        self.open.stop().await;
        let mut result = Ok(());
        while !self.consumers.is_empty() {
            result = result.and(next_end(&mut self.consumers).await);
        }
        self.end.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        result
    }
}

async fn next_end(consumers: &mut JoinSet<Result<(), ConsumeError>>) -> Result<(), StartError> {
    match consumers.join_next().await {
        None => Ok(()),
        Some(Ok(result)) => result.map_err(StartError::from),
        Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
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
