//! Text → settings: the only room that reads files and the environment.
//!
//! Comes in: `sms-router.toml`, `routes.toml`, secret files, `SMS_ROUTER__…` variables, or nothing
//! (the sample built in). Goes out: one typed `Config` of what the rooms need, or every problem at
//! once, each with file, line, key and what to do.
//! Always true: an unknown key is a problem; a secret is never in a problem's text; nothing is bound
//! or opened before all of it has been read.
//! Not here: what the settings do. Two steps: `document` and `read` know what was written, `settings`
//! and `routes` what it means.

mod accounts;
mod archive;
mod deliver;
mod departments;
mod document;
mod file;
mod form;
mod listener;
mod listing;
mod origin;
mod parts;
mod proxies;
mod publish;
mod read;
mod routes;
mod sample;
mod secrets;
mod settings;
mod signature;
mod stanzas;
mod tokens;
mod watching;
mod written;

pub use accounts::AccountNote;
pub use archive::Archive;
pub use deliver::Deliver;
pub use document::{Place, Problem};
pub use file::{Stamp, read_small};
pub use listener::{Listener, TlsFiles};
pub use origin::{Environment, Origin};
pub use publish::{Journal, Publish};
pub use routes::RoutesFile;
pub use secrets::{operator_token, signing_key};
pub use settings::{Api, Config, Inbound, Shutdown, Standing};
pub use watching::Reconcile;
pub use written::Stamps;

use std::sync::Arc;

use origin::Written;
use read::{Problems, Section};

/// What a command needs of the secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretsNeeded {
    /// As `Must`, and those of the sample are made if they are not there: `serve`.
    Make,
    /// All but those for carriers' own APIs.
    Must,
    /// All of them: `backfill`.
    Backfill,
    /// Those for the brokers, the archive and its hashes. Accounts and tokens are not looked at, nor is a journal thought
    /// of, so the data folder need not be there: `archive run`, what is asked where it runs, and a look at what waits.
    Archive,
    /// Those for the brokers, the hashes of senders, the mail server and the pushes; the archive is not looked at:
    /// `deliver run`.
    Deliver,
    /// None: the sample's need not exist yet. Those of a file of one's own are read all the same.
    Sample,
    /// Not one, nor any other file that may be only where the settings are for: of TLS, or the data folder. Where they are
    /// named is read all the same: `check --without-secrets`, `explain`, and `setup` where it asks nobody.
    Nowhere,
}

/// Reads everything. `Err` holds every problem found, in the order of the file.
pub fn load(origin: &Origin, environment: &Environment, secrets: SecretsNeeded) -> Result<Config, Vec<Problem>> {
    let (file, text) = origin.read(environment)?;
    let (origin, environment) = (origin.clone(), environment.clone());
    written::understand(&Arc::new(Written { origin, file, text, environment, needed: secrets }))
}

/// Where the routes are, as far as settings that have problems still tell: for `check`.
pub fn routes_named_in(origin: &Origin, environment: &Environment) -> Option<RoutesFile> {
    let (file, text) = origin.read(environment).ok()?;
    let root = document::parse(&file, &text).ok()?;
    let problems = Problems::default();
    let path = Section::root(&root, &problems).string("routes")?;
    Some(match origin {
        Origin::Sample => RoutesFile::Sample,
        Origin::File(_) => RoutesFile::File(origin.folder().join(path)),
    })
}

/// Who runs this command, for the access log: the system's user behind `sudo` too, and the host.
pub fn user(environment: &Environment) -> String {
    let named = |name: &str| environment.variable(name).unwrap_or("unknown").to_owned();
    let user = environment.variable("SUDO_USER").map_or_else(|| named("USER"), |user| format!("{user} (sudo)"));
    let uid = std::fs::metadata("/proc/self").map(|metadata| {
        use std::os::unix::fs::MetadataExt;
        metadata.uid()
    });
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{user} uid {} on {}", uid.unwrap_or(u32::MAX), host.trim())
}
