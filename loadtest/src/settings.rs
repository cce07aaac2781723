//! The folder of the service that is measured: settings, routes and secrets; and its topics.
//!
//! Comes in: a broker's address, and the carriers of a mix or none. Goes out: files in a temporary folder, in the
//! cluster profile or with the embedded store. Always true: the topics' names are this process's own, and they are deleted at
//! the end. Not here: the router's own topics (`sms-router.…`), which `setup` makes and which stay.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use sms_router::config::{self, Config, Environment, Origin, SecretsNeeded};

use crate::texts::Entry;

/// The number texted.
pub const NUMBER: &str = "86555";
/// `whsec_` and 32 bytes: a secret of nobody.
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// Ahead of the departments and their keywords.
const ROUTES: &str = r#"
[[number]]
number = "86555"
default = "d0000"
"#;
/// One department, with a topic and a keyword of its own.
const DEPARTMENT: &str = r#"
[[department]]
name = "dINDEX"
topic = "PREFIX.dINDEX"
[[keyword]]
number = "86555"
word = "kINDEX"
department = "dINDEX"
"#;

const SETTINGS: &str = r#"
routes = "routes.toml"
[inbound]
listen = "127.0.0.1:0"
url = "https://sms.example.gov.uk"
[api]
listen = "127.0.0.1:0"
[monitoring]
listen = "127.0.0.1:0"
[archive]
sender_key = { file = "sender-key" }
"#;

/// Without a mix.
const ACCOUNT: &str = r#"
[accounts.demo]
carrier = "generic"
secrets = [{ file = "demo" }]
"#;

const KAFKA: &str = r#"
[publish]
to = "kafka"
brokers = "BROKERS"
CLIENT
[publish.topics]
replication = COPIES
min_insync_replicas = SYNCED
"#;

/// The files, and what they say; dropping it removes them.
pub struct Folder {
    path: PathBuf,
    pub config: Config,
    brokers: String,
    prefix: String,
    topics: u16,
}

/// What is measured with.
#[derive(Clone, Copy)]
pub struct Cluster<'a> {
    pub brokers: &'a str,
    /// Departments, each with one topic.
    pub topics: u16,
    /// Copies of each record.
    pub replication: u8,
    /// The library that the service publishes with, where not its default: earlier builds know no other.
    pub client: Option<&'a str>,
}

impl<'a> Cluster<'a> {
    /// One topic, one copy.
    pub fn small(brokers: &'a str) -> Self {
        Self { brokers, topics: 1, replication: 1, client: None }
    }
}

impl Folder {
    /// Accounts of these carriers; of none: `generic`'s.
    pub fn mixed(cluster: Cluster<'_>, carriers: &[Entry]) -> anyhow::Result<Self> {
        Self::with(cluster, "", carriers)
    }

    /// More keys of `[inbound]`.
    pub fn with(cluster: Cluster<'_>, inbound: &str, carriers: &[Entry]) -> anyhow::Result<Self> {
        Self::make(cluster, inbound, &Self::kafka(cluster), carriers)
    }

    /// The same without Kafka: the embedded store.
    pub fn embedded(inbound: &str) -> anyhow::Result<Self> {
        Self::make(Cluster::small(""), inbound, "", &[])
    }

    fn kafka(cluster: Cluster<'_>) -> String {
        // All but one, as operators have it: a broker may be away.
        let synced = cluster.replication.saturating_sub(1).max(1);
        KAFKA
            .replace("BROKERS", cluster.brokers)
            .replace("CLIENT", &cluster.client.map(|client| format!("client = \"{client}\"")).unwrap_or_default())
            .replace("COPIES", &cluster.replication.to_string())
            .replace("SYNCED", &synced.to_string())
    }

    fn make(cluster: Cluster<'_>, inbound: &str, publish: &str, carriers: &[Entry]) -> anyhow::Result<Self> {
        let Cluster { brokers, topics, .. } = cluster;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
        let prefix = format!("loadtest-{}-{now}", std::process::id());
        let path = std::env::temp_dir().join(&prefix);
        std::fs::DirBuilder::new().mode(0o700).create(&path).context("no temporary folder")?;
        let mut accounts: String = carriers.iter().map(Entry::settings).collect();
        if carriers.is_empty() {
            accounts += ACCOUNT;
        }
        if carriers.iter().any(|carrier| carrier.pushes_parts) {
            // A group of the measurement's own: in the usual one a router left behind would take half the pieces.
            accounts += &format!("[parts]\ngroup = \"{prefix}\"\n");
        }
        let settings = SETTINGS.replace("[inbound]", &format!("[inbound]\n{inbound}"));
        for (name, content) in [
            ("sms-router.toml", format!("{settings}{accounts}{publish}")),
            ("routes.toml", routes(topics).replace("PREFIX", &prefix)),
            ("sender-key", "a key of 32 characters for tests".to_owned()),
            ("demo", SECRET.to_owned()),
        ] {
            std::fs::write(path.join(name), content)?;
        }
        for carrier in carriers {
            std::fs::write(path.join(&carrier.account), carrier.secret())?;
        }
        let config = read(path.join("sms-router.toml"))?;
        Ok(Self { path, config, brokers: brokers.to_owned(), prefix, topics })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn settings_file(&self) -> PathBuf {
        self.path.join("sms-router.toml")
    }

    /// The departments' topics, in the order of their keywords.
    pub fn topics(&self) -> Vec<String> {
        topics(&self.prefix, self.topics)
    }

    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The routes as peers read them: `KEYWORD TOPIC` a line, `*` for all else.
    pub fn peer_routes(&self) -> anyhow::Result<PathBuf> {
        let (topics, path) = (self.topics(), self.path.join("peer-routes"));
        let lines = topics.iter().zip(0..).map(|(topic, index)| format!("{} {topic}\n", keyword(index).to_uppercase()));
        let others = topics.first().map(|topic| format!("* {topic}\n"));
        std::fs::write(&path, lines.chain(others).collect::<String>())?;
        Ok(path)
    }

    /// What is this folder's own in the names of its topics.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Takes the topics away again.
    pub fn delete_topics(&self) -> anyhow::Result<()> {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.brokers).create()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let topics = self.topics();
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let deleted = runtime.block_on(admin.delete_topics(&names, &AdminOptions::new()))?;
        for result in deleted {
            result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic} is left behind: {code}"))?;
        }
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// The word that leads to a department.
pub fn keyword(index: u64) -> String {
    format!("k{index:04}")
}

/// The names of so many departments' topics.
pub fn topics(prefix: &str, count: u16) -> Vec<String> {
    (0..count).map(|index| format!("{prefix}.d{index:04}")).collect()
}

fn routes(topics: u16) -> String {
    let department = |index| DEPARTMENT.replace("INDEX", &format!("{index:04}"));
    ROUTES.to_owned() + &(0..topics).map(department).collect::<String>()
}

/// Reads a settings file as the service does, but for the environment.
pub fn read(file: PathBuf) -> anyhow::Result<Config> {
    config::load(&Origin::File(file), &Environment::default(), SecretsNeeded::Must).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", lines.join("\n"))
    })
}
