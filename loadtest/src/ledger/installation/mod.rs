//! The installation under test: a folder with settings, routes and secrets for every process.
//!
//! Comes in: where the services are. Goes out: files, ports that stay the same over restarts, and the
//! settings as the router itself reads them. Always true: topics, keyspace and group are this run's
//! own; bounds are small, so that bursts reach them, and the Kafka client gives a record up within an outage.
//! Not here: starting anything (`process`).

pub mod disk;
pub mod process;
pub mod services;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::Context;
use sms_router::config::{self, Config, Environment, Origin, SecretsNeeded};

use crate::Profile;
use crate::random::Random;
use crate::script::{Carrier, DEPARTMENTS};

/// Away from the ports that the kernel gives to clients, and from those of the services' scripts.
const PORTS: std::ops::Range<u16> = 10_000..20_000;

const SETTINGS: &str = r#"
routes = "../routes.toml"
data = "data"
[inbound]
listen = "INBOUND"
url = "https://sms.example.gov.uk"
in_flight_max = 300
deadline_max_ms = 3000
[api]
listen = "API"
[monitoring]
listen = "MONITORING"
[accounts.ledger-generic]
carrier = "generic"
secrets = [{ file = "../secrets/generic" }]
[accounts.ledger-twilio]
carrier = "twilio"
secrets = [{ file = "../secrets/twilio" }]
[accounts.ledger-kannel]
carrier = "kannel"
secrets = [{ file = "../secrets/kannel" }]
[archive]
sender_key = { file = "../secrets/sender-key" }
"#;
const STANDALONE: &str = r#"
[publish]
to = "local"
queue_max = 128
"#;
const CLUSTER: &str = r#"
to = "cql"
nodes = ["NODE"]
keyspace = "KEYSPACE"
group = "PREFIX"
replication = 1
[publish]
to = "kafka"
brokers = "BROKERS"
in_flight_max = 250
department_in_flight_max = 120
journal_bytes_max = 524288
[publish.topics]
partitions = 2
"#;
const ROUTES: &str = r#"
[[number]]
number = "86555"
default = "contact-centre"
[[number]]
number = "*"
default = "contact-centre"
[[keyword]]
number = "86555"
word = "snow"
aliases = ["grit", "ice"]
department = "highways"
[[keyword]]
number = "86555"
word = "park pay"
department = "parking"
[[keyword]]
number = "86555"
word = "bin"
department = "waste"
[[test]]
to = "86555"
text = "Snow on Main St"
department = "highways"
"#;
/// `whsec_` and 32 bytes: a secret of nobody.
const GENERIC_SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// Where the services are.
#[derive(Clone)]
pub struct Addresses {
    pub brokers: String,
    pub cql: String,
}

/// One `serve`.
pub struct Replica {
    pub folder: PathBuf,
    pub inbound: SocketAddr,
    pub api: SocketAddr,
    pub monitoring: SocketAddr,
}

/// The folder and everything in it.
pub struct Installation {
    pub root: PathBuf,
    /// Begins the names of this run's topics; also the archiver's group.
    pub prefix: String,
    pub profile: Profile,
    pub replicas: Vec<Replica>,
    /// The archiver's folder and monitoring, in the cluster profile.
    pub archiver: Replica,
    /// As the first replica reads them.
    pub config: Config,
    pub addresses: Addresses,
}

impl Installation {
    pub fn new(
        root: PathBuf,
        seed: u64,
        profile: Profile,
        replicas: usize,
        addresses: Addresses,
    ) -> anyhow::Result<Self> {
        let prefix = format!("ledger-{seed}-{}", std::process::id());
        std::fs::create_dir_all(root.join("secrets")).with_context(|| format!("{} cannot be made", root.display()))?;
        for (name, secret) in [
            ("generic", GENERIC_SECRET),
            ("twilio", "0123456789abcdef0123456789abcdef"),
            ("kannel", "a-path-secret-of-nobody"),
            ("sender-key", "a key of 32 characters for tests"),
        ] {
            std::fs::write(root.join("secrets").join(name), secret)?;
        }
        for department in DEPARTMENTS {
            std::fs::write(root.join("secrets").join(department), token(department))?;
        }
        std::fs::write(root.join("routes.toml"), routes(profile, &prefix, false))?;
        let settings = settings(profile, &prefix, &addresses);
        let mut ports = Ports(Random::new(u64::from(std::process::id()), "ports"));
        let mut make = |name: &str, settings: &str| replica(root.join(name), settings, &mut ports);
        let router = |number: usize| make(&format!("router-{number}"), &with_client(number, &settings));
        let replicas: Vec<_> = (1..=replicas).map(router).collect::<Result<_, _>>()?;
        let archiver = make("archiver", &settings)?;
        let config = read(&replicas[0].folder.join("sms-router.toml"))?;
        Ok(Self { root, prefix, profile, replicas, archiver, config, addresses })
    }

    /// The routes with the moving keyword in its one or its other department.
    pub fn write_routes(&self, moved: bool) -> anyhow::Result<()> {
        self.replace_routes(&routes(self.profile, &self.prefix, moved))
    }

    /// Routes that must not come into force: half a file, a department nobody has, a promise that
    /// the table breaks.
    pub fn break_routes(&self, kind: usize) -> anyhow::Result<()> {
        let routes = routes(self.profile, &self.prefix, false);
        let broken = match kind {
            0 => routes[..routes.len() / 2 + 7].to_owned(),
            1 => routes.replace("department = \"waste\"", "department = \"nobody\""),
            _ => routes.replace("text = \"Snow on Main St\"", "text = \"rain on Main St\""),
        };
        self.replace_routes(&broken)
    }

    /// A whole file takes the place of a whole file, as deployments do it.
    fn replace_routes(&self, content: &str) -> anyhow::Result<()> {
        let new = self.root.join("routes.new");
        std::fs::write(&new, content)?;
        std::fs::rename(&new, self.root.join("routes.toml"))?;
        Ok(())
    }

    pub fn topic(&self, department: usize) -> String {
        format!("{}.{}", self.prefix, DEPARTMENTS[department])
    }
}

/// The bearer token of a department's feed.
pub fn token(department: &str) -> String {
    format!("token of {department}")
}

/// The account that a carrier's texts come to.
pub fn account(carrier: Carrier) -> &'static str {
    match carrier {
        Carrier::Generic => "ledger-generic",
        Carrier::Twilio => "ledger-twilio",
        Carrier::Kannel => "ledger-kannel",
    }
}

fn keyspace(prefix: &str) -> String {
    prefix.replace('-', "_")
}

fn settings(profile: Profile, prefix: &str, addresses: &Addresses) -> String {
    match profile {
        Profile::Standalone => {
            let tokens = DEPARTMENTS
                .map(|name| format!("[departments.{name}]\ntokens = [{{ file = \"../secrets/{name}\" }}]\n"));
            format!("{SETTINGS}{STANDALONE}{}", tokens.concat())
        }
        Profile::Cluster => {
            let cluster = CLUSTER
                .replace("BROKERS", &addresses.brokers)
                .replace("NODE", &addresses.cql)
                .replace("KEYSPACE", &keyspace(prefix))
                .replace("PREFIX", prefix);
            format!("{}{}", SETTINGS.trim_end(), cluster)
        }
    }
}

/// Every other router publishes by the other client.
fn with_client(number: usize, settings: &str) -> String {
    let client = ["krafka", "librdkafka"][number % 2];
    settings.replace("to = \"kafka\"\n", &format!("to = \"kafka\"\nclient = \"{client}\"\n"))
}

fn routes(profile: Profile, prefix: &str, moved: bool) -> String {
    let department = |name: &&str| match profile {
        Profile::Standalone => format!("[[department]]\nname = \"{name}\"\n"),
        Profile::Cluster => format!("[[department]]\nname = \"{name}\"\ntopic = \"{prefix}.{name}\"\n"),
    };
    let departments: String = DEPARTMENTS.iter().map(department).collect();
    let owner = if moved { "libraries" } else { "waste" };
    format!("{departments}{ROUTES}[[keyword]]\nnumber = \"86555\"\nword = \"flip\"\ndepartment = \"{owner}\"\n")
}

fn replica(folder: PathBuf, settings: &str, ports: &mut Ports) -> anyhow::Result<Replica> {
    std::fs::create_dir_all(folder.join("data"))?;
    let (inbound, api, monitoring) = (ports.next()?, ports.next()?, ports.next()?);
    let settings = settings
        .replace("INBOUND", &inbound.to_string())
        .replace("API", &api.to_string())
        .replace("MONITORING", &monitoring.to_string());
    std::fs::write(folder.join("sms-router.toml"), settings)?;
    Ok(Replica { folder, inbound, api, monitoring })
}

/// Free ports, each once.
struct Ports(Random);

impl Ports {
    fn next(&mut self) -> anyhow::Result<SocketAddr> {
        let ports = usize::from(PORTS.end - PORTS.start);
        let mut candidates = (0..100).map(|_| PORTS.start + self.0.below(ports) as u16);
        let free = candidates.find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
        Ok(free.context("no free port")?.local_addr()?)
    }
}

/// Settings as the service reads them, but for the environment.
fn read(file: &Path) -> anyhow::Result<Config> {
    let origin = Origin::File(file.to_owned());
    config::load(&origin, &Environment::default(), SecretsNeeded::Must).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", lines.join("\n"))
    })
}
