//! Everything that stands still between two texts, and the texts' requests.
//!
//! Comes in: nothing. Goes out: accounts, a table, and the door with all that is behind it, as `serve` puts them
//! together in the cluster profile, journal included. Kafka is librdkafka's own stand-in for a cluster, which takes
//! records and reports them.
//! Always true: keys, ids, texts and clock are the same in every run.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use sms_router::carrier::{Account, Auth, Draft, Signed, Webhook, by_name};
use sms_router::clock::Clock;
use sms_router::dedup::{self, Claim, Claims, Recent};
use sms_router::intake::{self, Intake, PlaceSettings, Places};
use sms_router::keyword::{ConsentSpec, Live, Spec, Table};
use sms_router::log::{Journal, JournalSettings, Kafka, Log};
use sms_router::message::{AccountName, Consent, Country, EventId, EventSource, Number, Secret, SenderKey, Timestamp};
use sms_router::publish::{self, Client, Publisher};
use sms_router::store::{self, Store, Writer};
use sms_router::telemetry::Metrics;
use sms_router::webhook::{Door, Limits, Proxies, Service, Settings, Verdict};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::common;

/// The carriers whose requests are counted: forms and JSON, HMAC of both kinds, Ed25519, a secret in the path.
pub const CARRIERS: [&str; 6] = ["generic", "kannel", "telnyx", "twilio", "vonage", "sinch"];
pub const DEPARTMENT: &str = "highways";
pub const TOPIC: &str = "sms.highways";
const NUMBER: &str = "86555";
/// Keywords of the table beside those in the texts: few enough to be counted one by one.
const KEYWORDS: usize = 500;
/// What residents write, in turn.
pub const TEXTS: [&str; 4] = [
    "Snow on Main St",
    "snow: the road up to the school is closed, two cars have slid into the wall by the church. Please send someone",
    "SCHNÉE auf der Straße ❄",
    "Good morning, is anybody there? Nobody has come to empty the bins.",
];
const ORIGIN: &str = "https://sms.example.gov.uk";
/// A pair of keys of Ed25519 (RFC 8032, 7.1, test 1): the private one's seed, and the public one.
const ED25519_SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const ED25519_PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
/// Longer than any run: nothing here is to time out, however slowly it is counted.
pub const LONG: Duration = Duration::from_secs(3_600);

/// Ids taken before any row: a map of four pieces grows when each holds 896, and again at 1,792.
const TAKEN: u128 = 4_000;

/// The router without its listeners.
pub struct World {
    pub accounts: Vec<Account>,
    pub routes: Live,
    pub key: SenderKey,
    pub clock: Clock,
    pub publisher: Publisher,
    pub door: Arc<Door>,
    pub metrics: Metrics,
    _writer: Writer,
    _folder: TempDir,
}

impl World {
    pub fn made(runtime: &Runtime) -> Self {
        let (clock, metrics, key) = (Clock::fixed(now()), Metrics::new(), sender_key());
        let folder = tempfile::tempdir().expect("a folder");
        let source = EventSource { origin: ORIGIN.into(), type_prefix: "sms-router".into() };
        let publisher = Publisher::start(producers(), source, metrics.clone()).expect("the client takes its settings");
        publisher.know([(DEPARTMENT, TOPIC)].into_iter());
        let settings = store::Settings::of(folder.path());
        let (store, writer) = Store::open(settings, sender_key(), clock.clone()).expect("a store");
        let bounds = JournalSettings { patience: LONG, bytes_max: 1 << 30, age_max: LONG };
        let journal = runtime.block_on(Journal::open(store, bounds, clock.clone())).expect("a journal");
        let accounts: Vec<_> = CARRIERS.map(account).into();
        let places = PlaceSettings {
            accounts: accounts.iter().map(|account| account.name.clone()).collect(),
            ..PlaceSettings::default()
        };
        let places = Places::new(places, metrics.in_flight_messages.clone(), metrics.in_flight_limit.clone());
        let routes = Live::new(table());
        let intake = Intake::new(intake::Settings {
            routes: routes.clone(),
            log: Log::Kafka(Kafka::new(publisher.clone(), Some(journal))),
            claims: claims(&clock),
            repeats: repeats(&clock),
            places: places.clone(),
            sender_key: sender_key(),
            metrics: metrics.clone(),
            origin: ORIGIN.into(),
        });
        let limits = Limits::new(places, 1 << 26, []);
        let door = Door::new(Settings { intake, limits, clock: clock.clone(), deadline_max: LONG, outward: None });
        Self { accounts, routes, key, clock, publisher, door, metrics, _writer: writer, _folder: folder }
    }

    pub fn service(&self) -> Service {
        let (door, accounts, metrics) = (self.door.clone(), self.accounts.clone(), self.metrics.clone());
        Service::new(door, accounts, LONG, Proxies::default(), Arc::default(), metrics)
    }

    /// A whole request, without HTTP, until its text is on the topic.
    pub async fn take(&self, account: &Account, webhook: &Webhook<'_>) -> Verdict {
        let (_, step) = self.door.accept(account, webhook).expect("the request is proven");
        self.door.follow(account, step, Instant::now()).await
    }
}

/// Claims with as many ids in them that the map, split by chance, does not grow while rows count.
pub fn claims(clock: &Clock) -> Claims {
    let claims = Claims::new(dedup::Settings { ids_max: 100_000, age_max: LONG }, clock.clone());
    for id in 0..TAKEN {
        match claims.claim(EventId::from_u128(id), id.to_ne_bytes()) {
            Claim::First(ticket) => ticket.confirm(),
            _ => panic!("nobody had it"),
        }
    }
    claims
}

fn repeats(clock: &Clock) -> Recent {
    let repeats = Recent::new(100_000, LONG, clock.clone());
    for text in 0..TAKEN {
        repeats.insert(text.to_ne_bytes(), text.to_ne_bytes());
    }
    repeats
}

pub fn sender_key() -> SenderKey {
    SenderKey::new(b"a key of 32 characters for tests").expect("long enough")
}

pub fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).expect("a time")
}

pub fn number() -> Number {
    Number::normalise(NUMBER, Country::GB)
}

fn producers() -> publish::Settings {
    // The report is to come after whoever handed the record over has begun to wait for it, as it does with a cluster:
    // who need not wait sets no timer, and with 3 ms a third of the texts on a busy machine did not.
    let own_cluster = [("test.mock.num.brokers", "1"), ("linger.ms", "10")];
    let own_cluster = own_cluster.map(|(name, value)| (name.to_owned(), value.to_owned()));
    publish::Settings {
        renewals: publish::Renewals::default(),
        client: Client::Librdkafka,
        brokers: "localhost:9092".to_owned(),
        properties: BTreeMap::from(own_cluster),
        credentials: None,
        producers: 1,
        in_flight_max: 10_000,
        department_in_flight_max: 10_000,
        message_timeout: LONG,
        stall: LONG,
        probe_interval: LONG,
    }
}

/// An account as its carrier's contract proposes it.
fn account(carrier: &str) -> Account {
    let carrier = by_name(carrier).expect("a carrier of this build");
    let contract = carrier.contract();
    let secret = match (contract.name, contract.auth) {
        ("generic", _) => "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
        ("telnyx", _) => ED25519_PUBLIC,
        (_, Auth::Basic) => "user:password",
        _ => "0123456789abcdef0123456789abcdef",
    };
    let (name, url) = (contract.name, format!("{ORIGIN}/inbound/{}", contract.name));
    let name = AccountName::parse(name).expect("a name");
    let mut account = Account::new(name, carrier, contract.auth, vec![Secret::new(secret.as_bytes())], url);
    account.number = Some(number());
    match contract.name {
        "telnyx" => account.signing_key = Some(Secret::new(ED25519_SEED.as_bytes())),
        "vonage" => {
            account.keys.insert("signature_method", "sha256".to_owned());
        }
        _ => {}
    }
    account
}

fn table() -> Table {
    let words = (0..KEYWORDS).map(|number| format!("word{number}")).chain(["snow", "schnee"].map(str::to_owned));
    let consent =
        ConsentSpec { number: NUMBER.into(), consent: Consent::Stop, words: vec!["stop".to_owned()], line: 4 };
    let spec = Spec { consent: vec![consent], version: "budget".into(), ..common::spec(NUMBER, words) };
    Table::build(spec).unwrap_or_else(|refusals| panic!("{refusals:?}"))
}

/// A carrier's request as it arrived.
pub struct Request {
    signed: Signed,
    headers: HeaderMap,
}

impl Request {
    /// The carrier's request for the text of that number, which no other row has had.
    pub fn made(account: &Account, row: &str, index: usize) -> Self {
        let draft = Draft {
            id: format!("{row}-{index:020}"),
            from: format!("+4477009{index:05}"),
            to: NUMBER.to_owned(),
            text: TEXTS[index % TEXTS.len()].to_owned(),
            part: None,
            now: now(),
        };
        let signed = account.carrier.compose(&draft, account).expect("it is proven");
        let header = |(name, value): &(String, String)| {
            let name: HeaderName = name.parse().expect("a header's name");
            (name, HeaderValue::from_str(value).expect("a header's value"))
        };
        let headers = signed.headers.iter().map(header).collect();
        Self { signed, headers }
    }

    pub fn webhook(&self) -> Webhook<'_> {
        Webhook {
            method: &self.signed.method,
            query: &self.signed.query,
            headers: &self.headers,
            body: &self.signed.body,
            path_secret: self.signed.path_secret.as_deref(),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            received_at: now(),
        }
    }

    /// As it goes over the wire.
    pub fn bytes(&self, account: &Account) -> Vec<u8> {
        let Signed { method, path_secret, query, headers, body } = &self.signed;
        let secret = path_secret.iter().map(|secret| format!("/{secret}")).collect::<String>();
        let query = if query.is_empty() { String::new() } else { format!("?{query}") };
        let mut request = format!("{method} /inbound/{}{secret}{query} HTTP/1.1\r\nhost: localhost\r\n", account.name);
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        [request.as_bytes(), body].concat()
    }
}
