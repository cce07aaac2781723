//! Listeners with their certificates, and the task that reads those again when the files change.

use std::path::Path;
use std::time::Duration;

use prometheus::IntGauge;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, Listener, Place, Problem, Stamp, TlsFiles, read_small};
use crate::server::{self, Bound, Certificates, Pem, TlsError};
use crate::telemetry::Metrics;

use super::StartError;
use super::disk::{Disk, Late, Looks};

/// How often certificate files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Open files of everything but connections: the store, its readers, Kafka's brokers, the archive.
const OTHER_FILES: usize = 512;

/// A listener that holds its port, and the certificates to watch, if it has any.
pub struct Opened {
    pub bound: Bound,
    watched: Option<Watched>,
}

impl Opened {
    /// Starts the task that keeps the certificates current.
    pub fn watch(self, tasks: &TaskTracker, end: &CancellationToken, metrics: &Metrics) -> Bound {
        if let Some(watched) = self.watched {
            let expiry = metrics.certificate_expiry.with_label_values(&[self.bound.name()]);
            tasks.spawn(watched.keep_current(expiry, end.clone()));
        }
        self.bound
    }
}

/// Certificates in use and the files they came from.
struct Watched {
    certificates: Certificates,
    files: TlsFiles,
    /// Of the files when they were about to be read.
    in_force: Stamps,
}

type Stamps = [Option<Stamp>; 3];

/// Sees to it that every connection the settings allow can have a file descriptor, and the log its own;
/// where the surroundings do not allow as many, fewer connections are.
pub fn allow_open_files(config: &mut Config) {
    let listeners = [&mut config.inbound.listener, &mut config.api.listener, &mut config.monitoring];
    let connections: usize = listeners.iter().map(|listener| listener.connections_max).sum();
    let allowed = server::allow_open_files(connections + OTHER_FILES);
    let left = allowed.saturating_sub(OTHER_FILES.min(allowed / 2));
    if left >= connections {
        return;
    }
    tracing::warn!(
        allowed,
        wanted = connections + OTHER_FILES,
        "fewer open files are allowed than connections_max asks for: fewer connections are accepted; raise the hard limit (ulimit -Hn)"
    );
    for listener in listeners {
        listener.connections_max = (listener.connections_max * left / connections).max(1);
    }
}

/// `answers_half_closed` as `server::Settings` has it.
pub fn open(name: &'static str, listener: &Listener, answers_half_closed: bool) -> Result<Opened, StartError> {
    let watched = match &listener.tls {
        None => None,
        Some(files) => Some(load(files).map_err(|problem| StartError::Settings(vec![problem]))?),
    };
    let bound = server::bind(server::Settings {
        name,
        listen: listener.listen,
        connections_max: listener.connections_max,
        header_timeout: listener.header_timeout,
        answers_half_closed,
        certificates: watched.as_ref().map(|watched| watched.certificates.clone()),
    })?;
    Ok(Opened { bound, watched })
}

/// What a listener shows, as its files have it now; `None` where it speaks no TLS. For its clients on this machine.
pub fn certificates(listener: &Listener) -> Result<Option<Certificates>, Problem> {
    let loaded = listener.tls.as_ref().map(load).transpose()?;
    Ok(loaded.map(|watched| watched.certificates))
}

fn load(files: &TlsFiles) -> Result<Watched, Problem> {
    let in_force = stamps(files);
    let certificates = Certificates::parse(&read(files)?).map_err(|error| refused(files, &error))?;
    Ok(Watched { certificates, files: files.clone(), in_force })
}

fn stamps(files: &TlsFiles) -> Stamps {
    let TlsFiles { certificate, key, client_ca } = files;
    [Stamp::of(certificate), Stamp::of(key), client_ca.as_deref().and_then(Stamp::of)]
}

fn read(files: &TlsFiles) -> Result<Pem, Problem> {
    let file = |path: &Path| read_small(path).map_err(|error| problem(path, format!("cannot be read: {error}")));
    let client_ca = files.client_ca.as_deref().map(file).transpose()?;
    Ok(Pem { chain: file(&files.certificate)?, key: file(&files.key)?, client_ca })
}

/// Names the file that is at fault.
fn refused(files: &TlsFiles, error: &TlsError) -> Problem {
    let (_, path) = files.at_fault(error);
    problem(path, format!("cannot be used: {error}"))
}

fn problem(path: &Path, reason: String) -> Problem {
    let place = Place { file: path.display().to_string().into(), line: 0 };
    Problem { place, key: "tls".to_owned(), reason }
}

impl Watched {
    /// Takes new certificates into use as they appear; bad ones are said and the old stay.
    async fn keep_current(self, expiry: IntGauge, stop: CancellationToken) {
        let (disk, mut looks, mut said) = (Disk::default(), Looks::new(self.in_force), None);
        loop {
            expiry.set(self.certificates.expires_at());
            if stop.run_until_cancelled(tokio::time::sleep(LOOK_INTERVAL)).await.is_none() {
                return;
            }
            let files = self.files.clone();
            let Ok(now) = disk.ask(move || stamps(&files)).await else {
                tracing::error!("the certificates' file system does not answer; those in use stay");
                continue;
            };
            if !looks.are_new(now) {
                continue;
            }
            let (files, certificates) = (self.files.clone(), self.certificates.clone());
            let replace = move || {
                let pem = read(&files)?;
                certificates.replace(&pem).map_err(|error| refused(&files, &error))
            };
            match disk.ask(replace).await {
                Ok(Ok(())) => {
                    looks.were_taken(now);
                    said = None;
                    tracing::info!("certificates were read again");
                }
                Ok(Err(problem)) if said.as_ref() == Some(&problem) => {}
                Ok(Err(problem)) => {
                    tracing::error!(%problem, "new certificates were refused, the old stay in use");
                    said = Some(problem);
                }
                Err(Late) => {}
            }
        }
    }
}
