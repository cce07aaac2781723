//! `sms-router.toml`: every section read, every key known, into what the rooms need.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::carrier::Account;
use crate::joiner;
use crate::message::{Country, DepartmentName, EventSource, Secret, SenderKey};
use crate::publish::check_properties;
use crate::telemetry::check_directives;
use crate::webhook::Proxies;

use super::accounts::{self, AccountNote};
use super::archive::{self, Archive};
use super::deliver::{self, Deliver};
use super::departments::{self, Means};
use super::document::{Place, Problem};
use super::file::Stamped;
use super::listener::{self, Clients, Listener};
use super::origin::{Origin, Written};
use super::parts;
use super::proxies;
use super::publish::{self, Publish};
use super::read::{DAY, HOUR, Problems, Section};
use super::routes::RoutesFile;
use super::sample;
use super::secrets::{Followed, Vault, open_to_others};
use super::tokens;
use super::watching::{self, Reconcile};

/// Longest time a text may wait for its log, whatever the carrier allows.
const DEADLINE_MAX: Duration = Duration::from_secs(10);

/// All settings, typed.
#[derive(Debug, Clone)]
pub struct Config {
    /// How problems name the file.
    pub name: Arc<str>,
    pub is_sample: bool,
    pub routes: RoutesFile,
    pub country: Country,
    pub data: PathBuf,
    pub log_level: String,
    pub inbound: Inbound,
    pub api: Api,
    pub monitoring: Listener,
    pub publish: Publish,
    pub archive: Archive,
    pub joiner: joiner::Settings,
    pub standing: Standing,
    pub accounts: Vec<(Account, AccountNote)>,
    /// Tokens of each department, for the feed.
    pub departments: BTreeMap<DepartmentName, Vec<Secret>>,
    pub deliver: Deliver,
    /// Between two synthetic texts; `None` for none.
    pub probe: Option<Duration>,
    pub reconcile: Reconcile,
    pub shutdown: Shutdown,
    /// Those that came from files, in the order in which the settings were read.
    pub(super) secrets: Vec<Followed>,
    /// Certificates and keys that librdkafka reads by itself, when its clients are made.
    pub(super) files_of_kafka: Vec<Stamped>,
    /// Certificates and a key towards the archive.
    pub(super) files_of_archive: Vec<Stamped>,
    pub(super) written: Arc<Written>,
    /// What works and should be known all the same.
    pub warnings: Vec<Problem>,
}

/// How long a process that is told to stop may take.
#[derive(Debug, Clone, Copy)]
pub struct Shutdown {
    /// Not ready, but still answering, until load balancers have noticed.
    pub drain_delay: Duration,
    /// Then, finishing what was taken in, before the process leaves anyway.
    pub grace: Duration,
}

/// The door carriers knock at.
#[derive(Debug, Clone)]
pub struct Inbound {
    pub listener: Listener,
    /// What carriers call, without a path.
    pub url: String,
    /// Whose word on where a request comes from is taken.
    pub proxies: Proxies,
    pub in_flight_max: usize,
    /// Of 100 places among them, those that one account may have, and one department.
    pub account_share: usize,
    pub department_share: usize,
    pub body_bytes_max: usize,
    pub body_timeout: Duration,
    pub deadline_max: Duration,
    pub dedup_ids_max: usize,
    pub dedup_age_max: Duration,
    pub repeat_age_max: Duration,
}

/// The departments' door.
#[derive(Debug, Clone)]
pub struct Api {
    pub listener: Listener,
    /// Tokens of those who may see the words in dead-letter.
    pub operators: Vec<Secret>,
}

impl Api {
    /// Tries every token, also after one has fitted, so that the time does not tell which.
    pub fn is_operator(&self, token: &Secret) -> bool {
        self.operators.iter().fold(false, |found, operator| operator.matches(&token.bytes()) | found)
    }
}

/// What identifies this installation's events and hides its senders.
#[derive(Debug, Clone)]
pub struct Standing {
    pub source: EventSource,
    pub sender_key: SenderKey,
    /// Keys of before, for finding copies written under them.
    pub previous_sender_keys: Vec<SenderKey>,
}

pub(super) fn read(root: Section<'_>, written: &Arc<Written>, problems: &Problems) -> Option<Config> {
    let Written { origin, environment, needed, .. } = written.as_ref();
    let (folder, root_place) = (origin.folder(), root.place().clone());
    let warnings = Problems::default();
    let data = data_folder(&root, &folder, &warnings);
    let is_sample = origin.is_sample();
    let (followed, files) = (RefCell::default(), RefCell::default());
    let vault = Vault {
        folder: &folder,
        environment,
        is_sample,
        needed: *needed,
        data: &data,
        warnings: &warnings,
        followed: &followed,
        files: &files,
    };
    let routes = routes_file(&root, origin, &folder);
    let country = root
        .parsed("country", |code| Country::parse(code).ok_or_else(|| format!("{code:?} is not a country of ISO 3166")))
        .unwrap_or(Country::GB);
    let inbound = inbound(root.section("inbound"), &vault);
    let api = api(root.section("api"), &vault);
    let monitoring_section = root.section("monitoring");
    let monitoring = listener::read(&monitoring_section, "127.0.0.1:9464", 256, Clients::AreAnybody, &vault);
    monitoring_section.finish();
    let deadline_max = inbound.as_ref().map_or(DEADLINE_MAX, |inbound| inbound.deadline_max);
    let publish = publish::read(root.section("publish"), &vault, &data, deadline_max);
    let archive_section = root.section("archive");
    let origin_url = inbound.as_ref().map(|inbound| inbound.url.clone()).unwrap_or_default();
    let standing = standing(&archive_section, &root.section("publish"), &origin_url, &vault);
    let archive = archive::read(archive_section, &vault);
    let joiner = parts::read(root.section("parts"));
    let named = root.named("accounts").into_iter().filter(|_| vault.has_doors());
    let accounts: Vec<_> =
        named.filter_map(|(name, section)| accounts::read(name, section, &origin_url, &vault)).collect();
    let operators = api.as_ref().map(|api| api.operators.as_slice()).unwrap_or_default();
    let (departments, deliver) = departments(&root, operators, publish.as_ref(), &vault);
    let (log_level, shutdown) = (log_level(root.section("log")), shutdown(&root));
    let (probe, reconcile) = (watching::probe(root.section("probe")), watching::reconcile(root.section("reconcile")));
    root.finish();
    let (inbound, api, monitoring, publish, archive, standing) =
        (inbound?, api?, monitoring?, publish?, archive?, standing?);
    let config = Config {
        name: root_place.file,
        files_of_kafka: publish::files_of(&publish),
        is_sample,
        routes,
        country,
        data,
        log_level,
        inbound,
        api,
        monitoring,
        publish,
        archive,
        joiner,
        standing,
        accounts,
        departments,
        deliver,
        probe,
        reconcile,
        shutdown,
        secrets: followed.into_inner(),
        files_of_archive: files.into_inner(),
        written: written.clone(),
        warnings: warnings.into_vec(),
    };
    problems.extend(config.contradictions());
    Some(config)
}

/// Tokens of each department, and where else its texts go.
fn departments(
    root: &Section<'_>,
    operators: &[Secret],
    publish: Option<&Publish>,
    vault: &Vault<'_>,
) -> (BTreeMap<DepartmentName, Vec<Secret>>, Deliver) {
    let is_delivering = vault.is_delivering(matches!(publish, Some(Publish::Local { .. })));
    let smtp_section = root.section("smtp");
    let means = Means { is_delivering, has_smtp: smtp_section.is_present() };
    let smtp = deliver::smtp(smtp_section, is_delivering, vault);
    let mut deliver = deliver::read(root.section("deliver"), smtp);
    let departments = departments::read(root, operators, means, vault);
    deliver.settings.departments = departments.deliveries;
    (departments.tokens, deliver)
}

fn shutdown(root: &Section<'_>) -> Shutdown {
    Shutdown {
        drain_delay: root.milliseconds("drain_delay_ms", Duration::ZERO, 0..=120_000),
        grace: root.milliseconds("grace_ms", Duration::from_secs(25), 1_000..=600_000),
    }
}

fn routes_file(root: &Section<'_>, origin: &Origin, folder: &Path) -> RoutesFile {
    match (origin, root.string("routes")) {
        (Origin::Sample, Some(path)) if path != sample::ROUTES_FILE => RoutesFile::File(folder.join(path)),
        (Origin::Sample, _) => RoutesFile::Sample,
        (Origin::File(_), Some(path)) => RoutesFile::File(folder.join(path)),
        (Origin::File(_), None) => {
            root.refuse("routes", "is missing: the keyword table's file");
            RoutesFile::Sample
        }
    }
}

fn data_folder(root: &Section<'_>, folder: &Path, warnings: &Problems) -> PathBuf {
    let data = folder.join(root.string("data").unwrap_or_else(|| "data".to_owned()));
    if let Some(mode) = open_to_others(&data) {
        let path = data.display();
        let reason = format!("{path} is open to others (mode {mode:04o}): chmod 700 {path}");
        warnings.push(&root.place_of("data"), "data", reason);
    }
    data
}

fn inbound(section: Section<'_>, vault: &Vault<'_>) -> Option<Inbound> {
    let listener = listener::read(&section, "127.0.0.1:8080", 10_000, Clients::AreAnybody, vault);
    let url = section.required("url");
    if let Some(url) = &url
        && !(url.starts_with("https://") || url.starts_with("http://"))
    {
        section.refuse("url", "must begin with https:// or http://, as carriers call it");
    }
    let proxies = proxies::read(&section);
    let in_flight_max = section.count("in_flight_max", 20_000, 1..=1_000_000);
    let account_share = section.count("account_share_percent", 75, 1..=100);
    let department_share = section.count("department_share_percent", 50, 1..=100);
    let body_bytes_max = section.count("body_bytes_max", 64 << 20, 1 << 16..=1 << 32);
    let body_timeout = section.milliseconds("body_timeout_ms", Duration::from_secs(5), 100..=60_000);
    let deadline_max = section.milliseconds("deadline_max_ms", DEADLINE_MAX, 100..=10_000);
    let dedup_ids_max = section.count("dedup_ids_max", 1_000_000, 1_000..=100_000_000);
    let dedup_age_max = section.milliseconds("dedup_age_max_ms", 3 * DAY, 60_000..=30 * 24 * 3_600_000);
    let repeat_age_max = section.milliseconds("repeat_age_max_ms", HOUR / 6, 1_000..=24 * 3_600_000);
    section.finish();
    Some(Inbound {
        listener: listener?,
        url: url?,
        proxies,
        in_flight_max,
        account_share,
        department_share,
        body_bytes_max,
        body_timeout,
        deadline_max,
        dedup_ids_max,
        dedup_age_max,
        repeat_age_max,
    })
}

fn api(section: Section<'_>, vault: &Vault<'_>) -> Option<Api> {
    let listener = listener::read(&section, "127.0.0.1:8081", 1_024, Clients::MayHaveToProveThemselves, vault);
    let plaintext = section.boolean("plaintext", false);
    if let Some(listener) = &listener
        && !listener.listen.ip().is_loopback()
        && listener.tls.is_none()
        && !plaintext
    {
        section.refuse(
            "listen",
            "residents' words would cross the network unencrypted: set api.tls, or plaintext = true where something else encrypts",
        );
    }
    let operators = tokens::operators(&section, vault);
    section.finish();
    Some(Api { listener: listener?, operators })
}

fn standing(archive: &Section<'_>, publish: &Section<'_>, url: &str, vault: &Vault<'_>) -> Option<Standing> {
    let key = |secret: &Secret| {
        let key = SenderKey::new(&secret.bytes());
        if key.is_none() {
            archive.refuse("sender_key", "is too short: 16 bytes or more, kept secret and never changed lightly");
        }
        key
    };
    if archive.node("sender_key").is_none() {
        archive.refuse("sender_key", "is missing: it keys the hashes that stand for senders; { file = \"PATH\" }");
    }
    let sender_key = vault.one(archive, "sender_key").as_ref().and_then(key);
    let previous = vault.several(archive, "previous_sender_keys").iter().filter_map(key).collect();
    let type_prefix = publish.string("type_prefix").unwrap_or_else(|| "sms-router".to_owned());
    let origin: Arc<str> = public_origin(url).into();
    let source = EventSource { origin, type_prefix: type_prefix.into() };
    Some(Standing { source, sender_key: sender_key?, previous_sender_keys: previous })
}

/// Scheme and host of the public URL, without credentials and path.
fn public_origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}")
}

fn log_level(section: Section<'_>) -> String {
    let level = section.parsed("level", |level| check_directives(level).map(|()| level.to_owned()));
    section.finish();
    level.unwrap_or_else(|| "info,librdkafka=error,rustls=error,scylla=warn".to_owned())
}

impl Config {
    /// What each key alone cannot show.
    fn contradictions(&self) -> Vec<Problem> {
        let listeners =
            [("inbound", &self.inbound.listener), ("api", &self.api.listener), ("monitoring", &self.monitoring)];
        let mut problems = listener::in_each_others_way(&listeners);
        for (account, note) in &self.accounts {
            let contract = account.carrier.contract();
            let without_journal = matches!(&self.publish, Publish::Kafka { journal: None, .. });
            let loses = without_journal && !contract.retries_503;
            if loses && !note.loss_accepted {
                problems.push(Problem {
                    place: note.place.clone(),
                    key: format!("accounts.{}.loss_on_outage", account.name),
                    reason: format!(
                        "{} does not send again after a 503, so without a journal an outage of Kafka loses its texts; let publish.journal be true, or say loss_on_outage = \"accepted\" if that is meant",
                        contract.name
                    ),
                });
            }
        }
        for (account, note) in &self.accounts {
            if account.body_max > self.inbound.body_bytes_max {
                problems.push(Problem {
                    place: note.place.clone(),
                    key: format!("accounts.{}.body_max", account.name),
                    reason: format!(
                        "is more than inbound.body_bytes_max ({}): its largest requests could never be read",
                        self.inbound.body_bytes_max
                    ),
                });
            }
        }
        if let Publish::Kafka { settings, .. } = &self.publish
            && let Err(reason) = check_properties(settings)
        {
            let place = Place { file: self.name.clone(), line: 0 };
            problems.push(Problem { place, key: "publish.properties".to_owned(), reason });
        }
        let place = Place { file: self.name.clone(), line: 0 };
        if matches!(self.publish, Publish::Local { .. }) && matches!(self.archive, Archive::Cql { .. }) {
            problems.push(Problem {
                place,
                key: "archive.to".to_owned(),
                reason: "\"cql\" needs publish.to = \"kafka\": the archive is filled from the topics".to_owned(),
            });
        }
        problems
    }
}
