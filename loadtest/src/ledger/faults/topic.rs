//! A topic that somebody deletes: read to its end first, made again by `setup` after.
//!
//! Comes in: a department. Goes out: what its topic held, among the copies. Always true: while it is
//! read and deleted nothing is on its way, journals are empty and the archive has everything, so what
//! is acknowledged later is not in what went. Not here: that later texts survive (`judge`).

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::Message;

use super::{Stage, lock};
use crate::installation::process::{self, metric};
use crate::reader::{Place, topics};
use crate::violation::Kind;

/// How long the brokers may take to forget a topic, and to take it again.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the archive may take to find out: it looks at topics every five seconds.
const ALARM_PATIENCE: Duration = Duration::from_secs(20);
const ASK_INTERVAL: Duration = Duration::from_millis(200);

impl Stage {
    pub(super) fn delete_topic(&self, department: usize, hold: Duration) -> anyhow::Result<()> {
        let _archive = lock(&self.archive_peace);
        let _routers = lock(&self.router_peace);
        let silence = self.post.gate.blocking_write();
        self.rest(department..department + 1).context("before a topic is deleted")?;
        self.drain(department)?;
        self.forget(&self.installation.topic(department))?;
        lock(&self.generations)[department] += 1;
        drop(silence);
        std::thread::sleep(hold);
        let again = Instant::now() + PATIENCE;
        let folder = &self.installation.replicas[0].folder;
        while let Err(error) = process::run(&self.binary, &["setup"], folder) {
            ensure!(Instant::now() < again, "setup does not make the topic again: {error:#}");
            std::thread::sleep(ASK_INTERVAL);
        }
        self.mend_archive(department)
    }

    /// The archive stands still and raises an alarm when what it had read is gone; an operator then
    /// lets it begin with the new topic. Without an alarm nothing is done, and it must have every text.
    fn mend_archive(&self, department: usize) -> anyhow::Result<()> {
        let Some(archiver) = &self.archiver else { return Ok(()) };
        let monitoring = lock(archiver).monitoring;
        let stopped = || metric(monitoring, "sms_router_archive_stopped_partitions").unwrap_or(0.0);
        let until = Instant::now() + ALARM_PATIENCE;
        while stopped() == 0.0 && Instant::now() < until {
            std::thread::sleep(ASK_INTERVAL);
        }
        let count = stopped();
        self.say(&format!("the archive has stopped {count} partitions of the topic that was deleted"));
        if count == 0.0 {
            return Ok(());
        }
        let (brokers, topic) = (&self.installation.addresses.brokers, self.installation.topic(department));
        let partitions = topics::ends(brokers, &topic)?.len();
        if count > partitions as f64 {
            self.note(Kind::Process, format!("the archive stopped {count} partitions, and {partitions} were deleted"));
        }
        let mut archiver = lock(archiver);
        archiver.stop(PATIENCE)?;
        topics::begin_again(brokers, &self.installation.prefix, &topic)?;
        archiver.start_and_listen()
    }

    /// Reads a department's topic as it is now.
    pub fn drain(&self, department: usize) -> anyhow::Result<u64> {
        let generation = lock(&self.generations)[department];
        let mut stored = lock(&self.stored);
        let topic = self.installation.topic(department);
        topics::drain(&self.installation.addresses.brokers, &topic, &topics::Beginnings::new(), |message| {
            let place = Place { generation, partition: message.partition(), offset: message.offset() };
            stored.take(department, place, message.payload().unwrap_or_default());
        })
    }

    fn forget(&self, topic: &str) -> anyhow::Result<()> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.installation.addresses.brokers);
        let admin: AdminClient<DefaultClientContext> = config.create()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        for result in runtime.block_on(admin.delete_topics(&[topic], &AdminOptions::new()))? {
            result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic} is not deleted: {code}"))?;
        }
        let until = Instant::now() + PATIENCE;
        while admin
            .inner()
            .fetch_metadata(Some(topic), PATIENCE)
            .is_ok_and(|metadata| metadata.topics().iter().any(|topic| !topic.partitions().is_empty()))
        {
            ensure!(Instant::now() < until, "topic {topic} is still there");
            std::thread::sleep(ASK_INTERVAL);
        }
        Ok(())
    }
}
