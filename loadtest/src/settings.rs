//! The folder of the service that is measured: settings, routes and secrets; and its topics.
//!
//! Comes in: a broker's address. Goes out: files in a temporary folder, in the cluster profile with one
//! copy of each record. Always true: the topics' names are this process's own, and they are deleted at
//! the end. Not here: the router's own topics (`sms-router.…`), which `setup` makes and which stay.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use sms_router::config::{self, Config, Environment, Origin, SecretsNeeded};

/// The number texted.
pub const NUMBER: &str = "86555";
/// `whsec_` and 32 bytes: a secret of nobody.
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

const ROUTES: &str = r#"
[[department]]
name = "service"
topic = "PREFIX.service"
[[department]]
name = "floor"
topic = "PREFIX.floor"
[[number]]
number = "86555"
default = "floor"
[[keyword]]
number = "86555"
word = "snow"
aliases = ["grit", "ice"]
department = "service"
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
[accounts.demo]
carrier = "generic"
secrets = [{ file = "demo" }]
"#;

const KAFKA: &str = r#"
[publish]
to = "kafka"
brokers = "BROKERS"
[publish.topics]
replication = 1
min_insync_replicas = 1
"#;

/// The files, and what they say; dropping it removes them.
pub struct Folder {
    path: PathBuf,
    pub config: Config,
    brokers: String,
    prefix: String,
}

impl Folder {
    pub fn new(brokers: &str) -> anyhow::Result<Self> {
        Self::with(brokers, "")
    }

    /// More keys of `[inbound]`.
    pub fn with(brokers: &str, inbound: &str) -> anyhow::Result<Self> {
        Self::make(brokers, inbound, &KAFKA.replace("BROKERS", brokers))
    }

    /// The same without Kafka: the embedded store.
    pub fn embedded(inbound: &str) -> anyhow::Result<Self> {
        Self::make("", inbound, "")
    }

    fn make(brokers: &str, inbound: &str, publish: &str) -> anyhow::Result<Self> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
        let prefix = format!("loadtest-{}-{now}", std::process::id());
        let path = std::env::temp_dir().join(&prefix);
        std::fs::DirBuilder::new().mode(0o700).create(&path).context("no temporary folder")?;
        for (name, content) in [
            (
                "sms-router.toml",
                format!("{}{publish}", SETTINGS.replace("[inbound]", &format!("[inbound]\n{inbound}"))),
            ),
            ("routes.toml", ROUTES.replace("PREFIX", &prefix)),
            ("sender-key", "a key of 32 characters for tests".to_owned()),
            ("demo", SECRET.to_owned()),
        ] {
            std::fs::write(path.join(name), content)?;
        }
        let config = read(path.join("sms-router.toml"))?;
        Ok(Self { path, config, brokers: brokers.to_owned(), prefix })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn settings_file(&self) -> PathBuf {
        self.path.join("sms-router.toml")
    }

    pub fn service_topic(&self) -> String {
        format!("{}.service", self.prefix)
    }

    pub fn floor_topic(&self) -> String {
        format!("{}.floor", self.prefix)
    }

    /// Takes the topics away again.
    pub fn delete_topics(&self) -> anyhow::Result<()> {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.brokers).create()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (service, floor) = (self.service_topic(), self.floor_topic());
        let options = AdminOptions::new();
        let deleted = runtime.block_on(admin.delete_topics(&[service.as_str(), floor.as_str()], &options))?;
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

/// Reads a settings file as the service does, but for the environment.
pub fn read(file: PathBuf) -> anyhow::Result<Config> {
    config::load(&Origin::File(file), &Environment::default(), SecretsNeeded::Must).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", lines.join("\n"))
    })
}
