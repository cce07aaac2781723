//! The floor: the least that reads a request and answers it when Kafka has a record of it.
//!
//! Comes in: the service's settings, topics of which the first has records that the service wrote, a linger
//! and how many requests may be in flight. Goes out: a hyper handler that reads the body and awaits a bare
//! `FutureProducer`; topics are taken in turns, each as often as requests are for it, and so are the records, where
//! there are several. A floor that *works* makes each record of its request instead (`work`): between the two lies what
//! the contract asks of every text. A *bare* floor answers when it has read the body: above it lies what Kafka costs.
//! Always true: the producer has the service's other properties, but for its time-outs; each record has the same key,
//! headers and number of bytes as one of the service's, and tells by its id which floor wrote it. Not here: bounds,
//! metrics, deadlines and, but for a floor that works, signatures, keywords, ids: they are what is measured.

mod kind;
mod work;

use std::convert::Infallible;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use sms_router::config::Publish;
use sms_router::publish::{Settings, consumer_config, producer_config};
use tokio::net::{TcpListener, TcpStream};

use crate::settings;
use crate::statistics::Teller;
use crate::texts::{self, ID_PREFIX, Mix, Script};
pub use kind::{Kind, Tuning, check_for_mix, publishing};
use work::Work;

/// In place of the beginning of the ids, with two digits and a hyphen as long as that.
const MARK: &str = "floor-";
/// Floors that have a mark of their own.
pub const FLOORS_MAX: usize = 100;
/// Records that floors repeat where records differ.
const SAMPLES: usize = 256;
/// How long the service's record is looked for.
const SAMPLE_PATIENCE: Duration = Duration::from_secs(20);

#[derive(Args)]
pub struct Arguments {
    /// The service's settings file
    #[arg(long)]
    config: PathBuf,
    /// What is the measurement's own in the names of its topics
    #[arg(long)]
    prefix: String,
    #[arg(long)]
    topics: u16,
    /// What it does before it answers
    #[arg(long)]
    kind: Kind,
    /// Which of the measurement's floors it is
    #[arg(long)]
    number: usize,
    /// The mix of what is sent; left out: all records are alike, and departments take turns
    #[arg(long)]
    mix: Option<PathBuf>,
    /// The mix's
    #[arg(long)]
    seed: u64,
    /// Tell librdkafka's statistics on standard output
    #[arg(long)]
    statistics: bool,
}

/// Where records go and what they are made of.
struct Publisher {
    producer: FutureProducer<Teller>,
    topics: Vec<String>,
    /// Places of topics, one for each request and then anew.
    turns: Vec<u16>,
    records: Vec<Sample>,
    work: Option<Work>,
    next: AtomicUsize,
}

/// What a record of the floor is made of.
struct Sample {
    key: Vec<u8>,
    value: Vec<u8>,
    headers: OwnedHeaders,
}

/// Serves until the process is ended. The first line on standard output is the address.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let publisher = match &arguments.kind {
        Kind::Bare => None,
        Kind::Producer(tuning) => Some(Publisher::new(arguments, tuning)?),
    };
    // What a program has that asks for nothing else: one runtime, as many threads as the machine has cores.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(Arc::new(publisher)))
}

/// The topics of the requests to come, as often each as the requests are for it.
fn turns(arguments: &Arguments) -> anyhow::Result<Vec<u16>> {
    let Some(file) = &arguments.mix else { return Ok(Script::plain(arguments.topics).turns()) };
    let mix = Mix::read(file)?;
    Ok(Script::mixed(&mix, &texts::entries(&mix)?, arguments.topics, arguments.seed).turns())
}

/// The first records of a topic, as many as are there.
fn samples(settings: &Settings, topic: &str, most: usize) -> anyhow::Result<Vec<OwnedMessage>> {
    let consumer: BaseConsumer = consumer_config(settings, "loadtest-floor").create()?;
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&partitions)?;
    let end = consumer.fetch_watermarks(topic, 0, SAMPLE_PATIENCE)?.1;
    let (until, mut records) = (Instant::now() + SAMPLE_PATIENCE, Vec::new());
    while Instant::now() < until {
        let Some(Ok(record)) = consumer.poll(Duration::from_millis(200)) else { continue };
        let offset = record.offset();
        records.push(record.detach());
        if records.len() == most || offset + 1 >= end {
            return Ok(records);
        }
    }
    bail!("topic {topic} has no record of the service")
}

impl Sample {
    fn of(record: &OwnedMessage, floor: usize) -> anyhow::Result<Self> {
        let mut value = record.payload().context("the service's record has no value")?.to_vec();
        mark(&mut value, floor).context("the service's record has another id")?;
        Ok(Self {
            key: record.key().context("the service's record has no key")?.to_vec(),
            value,
            headers: record.headers().context("the service's record has no headers")?.clone(),
        })
    }
}

/// Has a record's id say which floor wrote it; `None` if its id is not the generator's.
fn mark(value: &mut [u8], floor: usize) -> Option<()> {
    let place = memmem::find(value, format!("\"{ID_PREFIX}").as_bytes())? + 1;
    value[place..place + ID_PREFIX.len()].copy_from_slice(format!("{MARK}{floor:02}-").as_bytes());
    Some(())
}

/// Which floor wrote a record; none did if its id does not say so.
pub fn of_record(value: &[u8]) -> Option<usize> {
    let quoted = format!("\"{MARK}");
    let place = value.windows(quoted.len()).position(|bytes| bytes == quoted.as_bytes())? + quoted.len();
    std::str::from_utf8(value.get(place..place + 2)?).ok()?.parse().ok()
}

async fn serve(publisher: Arc<Option<Publisher>>) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "http://{}/", listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(connection(stream, publisher.clone()));
    }
}

async fn connection(stream: TcpStream, publisher: Arc<Option<Publisher>>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let publisher = publisher.clone();
        async move { Ok::<_, Infallible>(answer(publisher.as_ref().as_ref(), request).await) }
    });
    // The generator closes its connections without a word; that is no error.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// A bare floor has no publisher.
async fn answer(publisher: Option<&Publisher>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(Collected::to_bytes);
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = match (body, publisher) {
        (Err(_), _) => StatusCode::BAD_REQUEST,
        (Ok(_), None) => StatusCode::OK,
        (Ok(body), Some(publisher)) => publisher.keep(&head, &body).await,
    };
    answer
}

impl Publisher {
    fn new(arguments: &Arguments, tuning: &Tuning) -> anyhow::Result<Self> {
        let config = settings::read(arguments.config.clone())?;
        let work = tuning.works.then(|| Work::new(&config, arguments.number)).transpose()?;
        let Publish::Kafka { settings, .. } = config.publish else {
            bail!("the settings are not of the cluster profile");
        };
        let topics = settings::topics(&arguments.prefix, arguments.topics);
        let wanted = if arguments.mix.is_some() { SAMPLES } else { 1 };
        let records = samples(&settings, topics.first().context("a floor has a topic")?, wanted)?;
        let mut properties = producer_config(&settings, "loadtest-floor");
        // The service looks at them once a second; a bare producer has nobody who does, unless they are asked for.
        properties.set("statistics.interval.ms", if arguments.statistics { "1000" } else { "0" });
        // A bare producer gives nothing up: with a thousand topics it would, at the service's time-outs.
        properties.set("message.timeout.ms", "60000").set("request.timeout.ms", "30000");
        properties.set("linger.ms", tuning.linger_ms.to_string());
        properties.set("max.in.flight.requests.per.connection", tuning.in_flight.to_string());
        let producer: FutureProducer<Teller> = properties.create_with_context(Teller)?;
        // With many topics the records of some would be given up before the client knew where they are.
        producer.client().fetch_metadata(None, SAMPLE_PATIENCE)?;
        let records = records.iter().map(|record| Sample::of(record, arguments.number)).collect::<Result<_, _>>()?;
        Ok(Self { producer, topics, turns: turns(arguments)?, records, work, next: AtomicUsize::new(0) })
    }

    async fn keep(&self, head: &Parts, body: &[u8]) -> StatusCode {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let Sample { key, value, headers } = &self.records[turn % self.records.len()];
        let made;
        let (value, topic) = match &self.work {
            None => (value, self.topics[usize::from(self.turns[turn % self.turns.len()])].as_str()),
            Some(work) => {
                let Some((value, topic)) = work.record(head, body) else { return StatusCode::BAD_REQUEST };
                made = value;
                (&made, topic)
            }
        };
        let record = FutureRecord::to(topic).key(key).payload(value).headers(headers.clone());
        let kept = match self.producer.send_result(record) {
            Ok(delivery) => matches!(delivery.await, Ok(Ok(_))),
            Err(_) => false,
        };
        if kept { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
    }
}
