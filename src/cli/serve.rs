//! `serve`, `archive run` and `deliver run`: the life of the long-lived processes, signals included.

use std::io::Write;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::{Addresses, Instance, Reload, StartError, Worker};
use crate::clock::Clock;
use crate::config::{Config, Environment, Listener, SecretsNeeded};
use crate::telemetry::{LogLevel, start_logging};

use super::{CONFIGURATION, FAILED, Failure, Outcome, Settings};

/// How long a thread that blocks may keep a process whose life is over.
const LINGER_MAX: Duration = Duration::from_secs(1);
/// SIGUSR1 switches between the level of the settings and this one.
const VERBOSE: &str = "debug,librdkafka=info,scylla=info,hyper=info";

pub fn serve(settings: &Settings, environment: &Environment) -> Outcome {
    let config = settings.load(environment, SecretsNeeded::Make)?;
    let level = start_logging(&config.log_level).map_err(Failure::of)?;
    run(async {
        let (is_sample, verbosity) = (config.is_sample, Verbosity::of(&config, level));
        let schemes = [&config.inbound.listener, &config.api.listener, &config.monitoring].map(scheme);
        let mut signals = Signals::listen()?;
        let Some(instance) = signals.unless_told_to_stop(Instance::start(config, Clock::system())).await? else {
            return Ok(());
        };
        greet(&instance, schemes, is_sample);
        signals.until_told_to_stop(&instance.reload, verbosity).await;
        tracing::info!("stopping: no new requests, finishing those at hand");
        match instance.stop(signals.told_to_stop()).await {
            true => Ok(()),
            false => Err(Failure::of("the grace time ran out before everything at hand was finished")),
        }
    })
}

pub fn archive(settings: &Settings, environment: &Environment) -> Outcome {
    let config = settings.load(environment, SecretsNeeded::Archive)?;
    work(config, Worker::archive, "stopping: finishing the copies at hand")
}

pub fn deliver(settings: &Settings, environment: &Environment) -> Outcome {
    let config = settings.load(environment, SecretsNeeded::Deliver)?;
    work(config, Worker::deliver, "stopping: finishing the mails and pushes at hand")
}

/// The life of a process that works topics off; `farewell` is what it says when it is told to stop.
fn work<S>(config: Config, start: impl FnOnce(Config, Clock) -> S, farewell: &'static str) -> Outcome
where
    S: Future<Output = Result<Worker, StartError>>,
{
    let level = start_logging(&config.log_level).map_err(Failure::of)?;
    run(async {
        let verbosity = Verbosity::of(&config, level);
        let mut signals = Signals::listen()?;
        let started = signals.unless_told_to_stop(start(config, Clock::system())).await?;
        let Some(mut worker) = started else { return Ok(()) };
        let reload = worker.reload.clone();
        tokio::select! {
            () = signals.until_told_to_stop(&reload, verbosity) => {}
            ended = worker.failed() => return ended.map_err(failure),
        }
        tracing::info!("{farewell}");
        worker.stop().await.map_err(failure)
    })
}

/// Runs to the end of `life`; what still blocks a thread then does not keep the process.
fn run(life: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::of)?;
    let outcome = runtime.block_on(life);
    runtime.shutdown_timeout(LINGER_MAX);
    outcome
}

fn failure(error: StartError) -> Failure {
    let code = match &error {
        StartError::Settings(_)
        | StartError::NoArchiveToRun
        | StartError::ServeDelivers
        | StartError::NothingToDeliver
        | StartError::Deliver(_) => CONFIGURATION,
        _ => FAILED,
    };
    Failure { code, said: error.to_string() }
}

/// The level in force and the one to switch to.
struct Verbosity {
    level: LogLevel,
    configured: String,
    verbose: bool,
}

impl Verbosity {
    fn of(config: &Config, level: LogLevel) -> Self {
        Self { level, configured: config.log_level.clone(), verbose: false }
    }

    fn switch(&mut self) {
        self.verbose = !self.verbose;
        let directives = if self.verbose { VERBOSE } else { &self.configured };
        match self.level.set(directives) {
            Ok(()) => tracing::info!(directives, "the log level was changed"),
            Err(error) => tracing::error!(%error, "the log level could not be changed"),
        }
    }
}

/// SIGTERM and SIGINT end the process, SIGHUP reads the routes again, SIGUSR1 switches the log level.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(Failure::of);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
            user: listen(SignalKind::user_defined1())?,
        })
    }

    /// SIGTERM or SIGINT; the second one says that somebody is out of patience.
    async fn told_to_stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// What `start` brings up; nothing when the process is told to stop before that is there.
    async fn unless_told_to_stop<T>(
        &mut self,
        start: impl Future<Output = Result<T, StartError>>,
    ) -> Result<Option<T>, Failure> {
        tokio::select! {
            started = start => started.map(Some).map_err(failure),
            () = self.told_to_stop() => {
                tracing::info!("told to stop before the start was over");
                Ok(None)
            }
        }
    }

    /// Does what the other signals say until then, and never waits for what they set going.
    async fn until_told_to_stop(&mut self, reload: &Reload, mut verbosity: Verbosity) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {
                    tracing::info!("told to read the routes again");
                    reload.ask();
                }
                _ = self.user.recv() => verbosity.switch(),
            }
        }
    }
}

/// How a listener is spoken to.
fn scheme(listener: &Listener) -> &'static str {
    if listener.tls.is_some() { "https" } else { "http" }
}

/// A few lines for whoever started it, on standard error: standard output carries the JSON log.
fn greet(instance: &Instance, schemes: [&str; 3], is_sample: bool) {
    let Addresses { inbound, api, monitoring } = instance.addresses;
    let [of_inbound, of_api, of_monitoring] = schemes;
    let table = instance.routes.load();
    let departments: Vec<&str> = table.departments().iter().map(|department| department.name.as_str()).collect();
    let mut lines = vec![
        format!("sms-router {} is ready", env!("CARGO_PKG_VERSION")),
        format!("  carriers push to   {of_inbound}://{inbound}/inbound/ACCOUNT"),
        format!("  departments read   {of_api}://{api}/v1/departments/NAME/messages"),
        format!("  health, metrics    {of_monitoring}://{monitoring}/readyz  /metrics"),
        format!("  departments        {}", departments.join(", ")),
    ];
    if is_sample {
        lines.push("  SAMPLE settings: loopback only, everything under ./data".to_owned());
        lines.push("  try, in a second terminal:".to_owned());
        lines
            .push("    cargo run --release -- simulate --to 86555 --from +447700900123 \"Snow on Main St\"".to_owned());
        lines.push("    cargo run --release -- tail --from-start highways".to_owned());
    }
    let _ = writeln!(std::io::stderr(), "{}", lines.join("\n"));
}
