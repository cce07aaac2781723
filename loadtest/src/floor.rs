//! The floor: the least that reads a request and answers it when Kafka has a record of it.
//!
//! Comes in: the service's settings, topics of which the first has a record that the service wrote, a linger
//! and how many requests may be in flight. Goes out: a hyper handler that reads the body and awaits a bare
//! `FutureProducer`; topics are taken in turns.
//! Always true: the producer has the service's other properties; each record has the same key, headers
//! and number of bytes as the service's record. Not here: signatures, keywords, ids, bounds, metrics,
//! deadlines: they are what is measured.

use std::convert::Infallible;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use sms_router::config::Publish;
use sms_router::publish::{Settings, consumer_config, producer_config};
use tokio::net::{TcpListener, TcpStream};

use crate::settings;

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
    /// `linger.ms`
    #[arg(long)]
    linger: String,
    /// `max.in.flight.requests.per.connection`
    #[arg(long)]
    in_flight: String,
}

/// What every record of the floor is made of.
struct Floor {
    producer: FutureProducer,
    topics: Vec<String>,
    next: AtomicUsize,
    key: Vec<u8>,
    value: Vec<u8>,
    headers: OwnedHeaders,
}

/// Serves until the process is ended. The first line on standard output is the address.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Publish::Kafka { settings, .. } = settings::read(arguments.config.clone())?.publish else {
        bail!("the settings are not of the cluster profile");
    };
    let topics = settings::topics(&arguments.prefix, arguments.topics);
    let record = record_of(&settings, topics.first().context("a floor has a topic")?)?;
    let mut properties = producer_config(&settings, "loadtest-floor");
    // The service looks at them once a second; a bare producer has nobody who does.
    properties.set("statistics.interval.ms", "0");
    properties.set("linger.ms", &arguments.linger);
    properties.set("max.in.flight.requests.per.connection", &arguments.in_flight);
    let floor = Arc::new(Floor {
        producer: properties.create()?,
        topics,
        next: AtomicUsize::new(0),
        key: record.key().context("the service's record has no key")?.to_vec(),
        value: record.payload().context("the service's record has no value")?.to_vec(),
        headers: record.headers().context("the service's record has no headers")?.clone(),
    });
    // The service's runtime: as many threads as the machine has cores.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(floor))
}

/// The first record of a topic.
fn record_of(settings: &Settings, topic: &str) -> anyhow::Result<OwnedMessage> {
    let consumer: BaseConsumer = consumer_config(settings, "loadtest-floor").create()?;
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&partitions)?;
    let until = Instant::now() + SAMPLE_PATIENCE;
    while Instant::now() < until {
        if let Some(Ok(record)) = consumer.poll(Duration::from_millis(200)) {
            return Ok(record.detach());
        }
    }
    bail!("topic {topic} has no record of the service")
}

async fn serve(floor: Arc<Floor>) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "http://{}/", listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(connection(stream, floor.clone()));
    }
}

async fn connection(stream: TcpStream, floor: Arc<Floor>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let floor = floor.clone();
        async move { Ok::<_, Infallible>(floor.answer(request).await) }
    });
    // The generator closes its connections without a word; that is no error.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

impl Floor {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let mut answer = Response::new(Full::default());
        if request.into_body().collect().await.is_err() {
            *answer.status_mut() = StatusCode::BAD_REQUEST;
        } else if !self.is_published().await {
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        answer
    }

    async fn is_published(&self) -> bool {
        let topic = &self.topics[self.next.fetch_add(1, Ordering::Relaxed) % self.topics.len()];
        let record = FutureRecord::to(topic).key(&self.key).payload(&self.value).headers(self.headers.clone());
        match self.producer.send_result(record) {
            Ok(delivery) => matches!(delivery.await, Ok(Ok(_))),
            Err(_) => false,
        }
    }
}
