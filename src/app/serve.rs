//! The life of `serve`, from settings to the last answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::carrier::Account;
use crate::clock::Clock;
use crate::config::{AccountNote, Archive, Config, Publish, Shutdown};
use crate::dedup::{self, Claims, Recent};
use crate::fetch::Fetcher;
use crate::intake::{self, Intake, PlaceSettings, Places};
use crate::keyword::Live;
use crate::log::Log;
use crate::message::{Country, Number};
use crate::operations::{self, Desk, Feed, Health, Polls, Rerouter, Tokens};
use crate::publish::{Client, TopicAdmin};
use crate::server::{Caller, Cores};
use crate::store::Store;
use crate::telemetry::{Latch, Latches, Metrics};
use crate::webhook::{self, Door, Limits, OUTWARD_LIMITS, Outward, Service};

use super::delivering::{self, OpenLanes};
use super::joining::Joining;
use super::listeners;
use super::log::OpenLog;
use super::probe::{self, Prober};
use super::reconcile;
use super::reload::{Reloader, first_table};
use super::secrets;
use super::signatures;
use super::store_watch;
use super::topics::TopicWatch;
use super::{Reload, StartError, tell_warnings};

/// Between two sweeps of what has outlived its time: within the hour after it ends.
const SWEEP_INTERVAL: Duration = Duration::from_secs(15 * 60);

/// What is left to a process that is told a second time to stop.
const HURRIED_GRACE: Duration = Duration::from_secs(5);
/// How long readiness waits for the brokers when there is a journal.
const CONTACT_PATIENCE: Duration = Duration::from_secs(3);

/// Where an instance listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    pub inbound: SocketAddr,
    pub api: SocketAddr,
    pub monitoring: SocketAddr,
}

/// What an end begins with, one after the other.
#[derive(Clone, Default)]
struct Ends {
    /// Answers on the inbound listener end their connections.
    leaving: Arc<AtomicBool>,
    /// Stops accepting on the doors; the monitoring listener goes on to the end.
    drain: CancellationToken,
    end: CancellationToken,
}

/// The listeners, their ports taken.
struct Doors {
    inbound: listeners::Opened,
    api: listeners::Opened,
    monitoring: listeners::Opened,
}

impl Doors {
    fn open(config: &Config) -> Result<Self, StartError> {
        Ok(Self {
            inbound: listeners::open("inbound", &config.inbound.listener, true)?,
            api: listeners::open("api", &config.api.listener, false)?,
            monitoring: listeners::open("monitoring", &config.monitoring, false)?,
        })
    }

    fn addresses(&self) -> Addresses {
        Addresses {
            inbound: self.inbound.bound.address(),
            api: self.api.bound.address(),
            monitoring: self.monitoring.bound.address(),
        }
    }
}

/// What goes on behind the doors.
struct Workers {
    joining: Joining,
    /// In the standalone profile.
    delivering: Option<OpenLanes>,
}

impl Workers {
    fn start(
        config: &Config,
        intake: &Arc<Intake>,
        log: &OpenLog,
        routes: &Live,
        clock: &Clock,
        metrics: &Metrics,
    ) -> Result<Self, StartError> {
        let delivering = delivering::start(config, log, routes, clock, metrics)?;
        Ok(Self { joining: Joining::start(config, intake, log, clock, metrics), delivering })
    }

    /// The texts that joining still makes are not waited for: they are delivered after the next start.
    async fn stop(self) {
        self.joining.stop().await;
        if let Some(lanes) = self.delivering {
            lanes.stop().await;
        }
    }
}

/// A running `serve`.
pub struct Instance {
    pub addresses: Addresses,
    pub reload: Reload,
    pub routes: Live,
    pub metrics: Metrics,
    latches: Latches,
    door: Arc<Door>,
    workers: Workers,
    log: OpenLog,
    ends: Ends,
    inbound: JoinHandle<()>,
    tasks: TaskTracker,
    times: Shutdown,
}

impl Instance {
    /// Opens the log, then the ports, then starts the tasks. Nothing is answered before all of it
    /// worked.
    pub async fn start(mut config: Config, clock: Clock) -> Result<Self, StartError> {
        let probed = probe::admit(&mut config);
        let (metrics, latches) = (Metrics::new(), Latches::default());
        let (routes_latch, listening) = (latches.latch("routes loaded"), latches.latch("listeners open"));
        describe(&config, &metrics);
        let (built_from, table) = first_table(&config).await?;
        routes_latch.set();
        listeners::allow_open_files(&mut config);
        let doors = Doors::open(&config)?;
        let addresses = doors.addresses();
        let routes = Live::new(table);
        let log = OpenLog::open(&config, &routes, &clock, &metrics).await?;
        let config = Arc::new(config);
        let intake = intake(&config, &routes, log.log(), &clock, &metrics);
        let door = door(&config, &intake, &clock);
        let workers = Workers::start(&config, &intake, &log, &routes, &clock, &metrics)?;
        let (ends, tasks) = (Ends::default(), TaskTracker::new());
        let Ends { leaving, drain, end } = ends.clone();
        let kafka = kafka_tasks(&config, &log, &routes, &metrics, &latches, &tasks, &end)?;
        let reloader = Reloader {
            config: config.clone(),
            routes: routes.clone(),
            metrics: metrics.clone(),
            kafka,
            departments: None,
            built_from,
            topics: watch::Sender::new(Vec::new()),
        };
        let (reload, reloading) = reloader.start(end.clone());
        tasks.spawn(reloading);
        store_tasks(&log, &routes, &metrics, &tasks, &end);
        if log.embedded().is_some() {
            reconcile::watch(&config, &routes, &clock, &metrics, &tasks, &end);
        }
        secrets::watch(&config, &metrics, &tasks, &end);
        signatures::watch(&config, &clock, &metrics, &tasks, &end);
        let doors_of_api = Arc::new(api(&config, &log, &intake, &clock, &drain));
        let health =
            Arc::new(Health { latches: latches.clone(), metrics: metrics.clone(), services: Arc::new(log.services()) });
        let service = inbound_service(&config, &door, &metrics, &leaving);
        let answer_inbound = move |request, caller| service.clone().call(request, caller);
        let cores = cores(&config, &tasks, &end).map_err(StartError::Threads)?;
        let inbound = doors.inbound.watch(&tasks, &end, &metrics).on(cores);
        let certificates = inbound.certificates();
        let inbound = tokio::spawn(inbound.serve(answer_inbound, metrics.clone(), drain.clone()));
        if let Some((every, account)) = probed {
            let (inbound, store) = (addresses.inbound, log.embedded());
            let (clock, metrics) = (clock.clone(), metrics.clone());
            let prober = Prober { account, inbound, certificates, every, clock, metrics, store };
            tasks.spawn(prober.run(drain.clone()));
        }
        let answer_api = move |request, caller| operations::api(doors_of_api.clone(), request, caller);
        tasks.spawn(doors.api.watch(&tasks, &end, &metrics).serve(answer_api, metrics.clone(), drain.clone()));
        let answer_monitoring = move |request, caller: Caller| {
            caller.has_proven_itself();
            operations::monitoring(health.clone(), request)
        };
        tasks.spawn(doors.monitoring.watch(&tasks, &end, &metrics).serve(
            answer_monitoring,
            metrics.clone(),
            end.clone(),
        ));
        // The first look into the numbers' metadata loads it, which takes longer than a text may.
        let _ = Number::normalise("07700900123", Country::GB);
        listening.set();
        let times = config.shutdown;
        Ok(Self { addresses, reload, routes, metrics, latches, door, workers, log, ends, inbound, tasks, times })
    }

    /// Not ready → answers that end their connections, for as long as load balancers need to notice → no new connection
    /// → what was taken in finishes → mails and pushes on their way end → the log is flushed → the rest ends. `hurry`
    /// ends the wait for the load balancers and leaves five seconds for the rest. `false` when time
    /// ran out first.
    pub async fn stop(self, hurry: impl Future<Output = ()>) -> bool {
        let Self { latches, door, workers, log, ends, inbound, tasks, times, .. } = self;
        let Ends { leaving, drain, end } = ends;
        // Connections have threads of their own: those that time did not wait for end too.
        let _in_any_case = end.clone().drop_guard();
        latches.drain();
        leaving.store(true, Ordering::Relaxed);
        let orderly = async {
            let noticed = tokio::time::sleep(times.drain_delay);
            tokio::select! {
                () = noticed => {}
                () = drain.cancelled() => {}
            }
            drain.cancel();
            let _ = inbound.await;
            door.finish().await;
            drop(door);
            workers.stop().await;
            log.close().await;
            end.cancel();
            tasks.close();
            tasks.wait().await;
        };
        let hurried = async {
            hurry.await;
            drain.cancel();
            tokio::time::sleep(HURRIED_GRACE).await;
        };
        tokio::select! {
            () = orderly => true,
            () = tokio::time::sleep(times.drain_delay + times.grace) => false,
            () = hurried => false,
        }
    }
}

fn describe(config: &Config, metrics: &Metrics) {
    metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    metrics.sample.set(i64::from(config.is_sample));
    let open = config.accounts.iter().filter(|(_, note)| note.is_open).count();
    metrics.unauthenticated_accounts.set(i64::try_from(open).unwrap_or(i64::MAX));
    tell_warnings(config);
    if config.is_sample {
        tracing::warn!("this is the SAMPLE: loopback only, data in ./data; write an sms-router.toml for real use");
    }
    if matches!((&config.publish, &config.archive), (Publish::Kafka { .. }, Archive::Local)) {
        tracing::warn!(
            "no audit copies are kept: archive.to = \"cql\" and `archive run` do that in the cluster profile"
        );
    }
    for (account, _) in config.accounts.iter().filter(|(_, note)| note.is_open) {
        tracing::warn!(account = %account.name, "this account takes texts from anybody");
    }
}

/// What is behind the api listener.
fn api(config: &Config, log: &OpenLog, intake: &Arc<Intake>, clock: &Clock, drain: &CancellationToken) -> (Feed, Desk) {
    let tokens = Arc::new(Tokens { departments: config.departments.clone(), operators: config.api.operators.clone() });
    let feed = Feed {
        source: log.feed(),
        tokens: tokens.clone(),
        polls: Polls::new(config.departments.keys(), config.api.listener.connections_max),
        routes: intake.routes().clone(),
        events: config.standing.source.clone(),
        drain: drain.clone(),
    };
    let (audit, reach) = (super::audit(config), super::beside::reach(config));
    let rerouter = Rerouter { audit, intake: intake.clone(), clock: clock.clone(), reach };
    (feed, Desk { tokens, rerouter })
}

/// What takes texts in, over any log.
pub fn intake(config: &Config, routes: &Live, log: Log, clock: &Clock, metrics: &Metrics) -> Arc<Intake> {
    let inbound = &config.inbound;
    let remembered = dedup::Settings { ids_max: inbound.dedup_ids_max, age_max: inbound.dedup_age_max };
    Intake::new(intake::Settings {
        routes: routes.clone(),
        log,
        claims: Claims::new(remembered, clock.clone()),
        repeats: Recent::new(inbound.dedup_ids_max, inbound.repeat_age_max, clock.clone()),
        sender_key: config.standing.sender_key.clone(),
        places: places(config, metrics),
        metrics: metrics.clone(),
        origin: config.standing.source.origin.clone(),
    })
}

/// A text should wait for the log no longer than leaves the most hurried carrier its answer, and a crowd
/// that is found too large there is still to be answered: so only this share of its patience.
fn places(config: &Config, metrics: &Metrics) -> Places {
    let inbound = &config.inbound;
    let patience = |(account, _): &(Account, AccountNote)| webhook::patience(account, inbound.deadline_max);
    let shortest = config.accounts.iter().map(patience).min().unwrap_or(inbound.deadline_max);
    let settings = PlaceSettings {
        texts_max: inbound.in_flight_max,
        wait_max: shortest * 3 / 5,
        account_share: inbound.account_share,
        department_share: inbound.department_share,
        accounts: config.accounts.iter().map(|(account, _)| account.name.clone()).collect(),
    };
    Places::new(settings, metrics.in_flight_messages.clone(), metrics.in_flight_limit.clone())
}

fn door(config: &Config, intake: &Arc<Intake>, clock: &Clock) -> Arc<Door> {
    let inbound = &config.inbound;
    let rates = config.accounts.iter().filter_map(|(account, note)| Some((account.name.clone(), note.rate?)));
    Door::new(webhook::Settings {
        intake: intake.clone(),
        limits: Limits::new(intake.places().clone(), inbound.body_bytes_max, rates),
        clock: clock.clone(),
        deadline_max: inbound.deadline_max,
        outward: outward(config),
    })
}

/// Only where there is something to ask.
fn outward(config: &Config) -> Option<Outward> {
    let asks = config.accounts.iter().any(|(account, _)| account.carrier.contract().certificates);
    let fetcher = || Fetcher::new(None, OUTWARD_LIMITS).expect("the authorities compiled in can be read");
    asks.then(|| Outward::new(fetcher()))
}

type KafkaHandles = (Arc<TopicAdmin>, Option<crate::publish::Publisher>);

fn kafka_tasks(
    config: &Config,
    log: &OpenLog,
    routes: &Live,
    metrics: &Metrics,
    latches: &Latches,
    tasks: &TaskTracker,
    end: &CancellationToken,
) -> Result<Option<KafkaHandles>, StartError> {
    let (Publish::Kafka { settings, topics, dead_letter_retention, journal }, Some(publisher)) =
        (&config.publish, log.publisher())
    else {
        return Ok(None);
    };
    let admin = Arc::new(TopicAdmin::new(settings)?);
    let watch = TopicWatch {
        admin: admin.clone(),
        publisher: publisher.clone(),
        routes: routes.clone(),
        wanted: *topics,
        dead_letter_retention: *dead_letter_retention,
        probes: config.probe.is_some(),
        metrics: metrics.clone(),
        contact: latches.latch("first contact with the brokers"),
    };
    if journal.is_some() {
        tasks.spawn(ready_anyway(watch.contact.clone(), end.clone()));
    }
    tasks.spawn(watch.run(end.clone()));
    Ok(Some((admin, Some(publisher))))
}

/// Who waits for librdkafka is woken by a thread of its own in any case. krafka's tasks, and the embedded store's many
/// waits for one commit, had better share a runtime with the connections: with three brokers and ten departments
/// krafka's throughput was 1.11 and 1.20 times the bare producer's on the shared one, 0.83 and 0.99 on these; the
/// median latency of the embedded store at half of its capacity 30 and 35 ms, and 44 and 55. (With librdkafka the
/// journal waits for commits too, while brokers are away: the slowest answer was 1.56 s either way.)
fn cores(config: &Config, tasks: &TaskTracker, end: &CancellationToken) -> std::io::Result<Option<Cores>> {
    match &config.publish {
        Publish::Kafka { settings, .. } if settings.client == Client::Librdkafka => Cores::start(tasks, end).map(Some),
        _ => Ok(None),
    }
}

fn store_tasks(log: &OpenLog, routes: &Live, metrics: &Metrics, tasks: &TaskTracker, end: &CancellationToken) {
    let Some(store) = log.store() else { return };
    tasks.spawn(sweep(store.clone(), metrics.clone(), end.clone()));
    let departments = log.embedded().map(|_| (routes.clone(), metrics.clone()));
    tasks.spawn(store_watch::watch(store.clone(), departments, end.clone()));
}

/// With a journal texts can be taken without the brokers; the first ones still had better not wait
/// for producers that are about to have their ids.
async fn ready_anyway(contact: Latch, stop: CancellationToken) {
    if stop.run_until_cancelled(tokio::time::sleep(CONTACT_PATIENCE)).await.is_some() {
        contact.set();
    }
}

fn inbound_service(config: &Config, door: &Arc<Door>, metrics: &Metrics, leaving: &Arc<AtomicBool>) -> Service {
    let accounts = config.accounts.iter().map(|(account, _)| account.clone()).collect();
    let (body_timeout, proxies) = (config.inbound.body_timeout, config.inbound.proxies.clone());
    Service::new(door.clone(), accounts, body_timeout, proxies, leaving.clone(), metrics.clone())
}

async fn sweep(store: Store, metrics: Metrics, stop: CancellationToken) {
    loop {
        match store.sweep().await {
            Ok(swept) => {
                let count = |kind: &str, rows: u64| metrics.swept.with_label_values(&[kind]).inc_by(rows);
                count("audit_copy", swept.audit_copies);
                count("feed", swept.feed_rows);
                count("dead_letter", swept.dead_letters);
            }
            Err(error) => {
                tracing::error!(%error, "what has outlived its time could not be deleted; it will be tried again")
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SWEEP_INTERVAL) => {}
        }
    }
}
