//! The archive in a CQL cluster: an audit copy of every text for 12 calendar months.
//!
//! Comes in: records as they were published, questions, the accesses to write down. Goes out: audit
//! copies, and whether a copy was stored.
//! Always true: three tables written by us, no views, no lightweight transactions; every write has a
//! TTL that ends at the copy's own expiry; a known id keeps its first receipt and expiry; only CQL
//! that Scylla and Apache Cassandra both take.
//! Not here: Kafka (`archiver`), the embedded store's copies (`store`), who may read.
//!
//! A write goes to `by_sender` and `by_department` first and to `by_id` last, and an id counts as
//! known only by `by_id`. So whatever a crash leaves half done is not known, and its replay writes
//! the same rows again.

mod access;
mod calendar;
mod error;
mod ids;
mod reader;
mod schema;
mod session;
mod setup;
mod tls;
mod writer;

use std::collections::BTreeMap;
use std::time::Duration;

pub use error::ArchiveError;
pub use schema::{WINDOW_DAYS_MIN, bytes_gone_after_days, statements};
pub use session::Archive;
pub use setup::setup;
pub use tls::{Tls, TlsError, TlsPem};
pub use writer::Written;

use crate::message::Secret;

/// On how many nodes a copy lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replication {
    /// As many copies in every datacenter. Fewer than 3 is for tests.
    Everywhere(u32),
    /// Copies by name of datacenter.
    Datacenters(BTreeMap<String, u32>),
}

/// Where the archive is and how its tables are made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `host:port` of some nodes; the others are found through them.
    pub nodes: Vec<String>,
    pub keyspace: String,
    pub replication: Replication,
    /// The datacenter this process is in, for LOCAL_QUORUM; `None` where there is one only.
    pub datacenter: Option<String>,
    pub user: Option<(String, Secret)>,
    /// `None`: what crosses the network can be read there.
    pub tls: Option<Tls>,
    /// For connecting, and for one statement with the driver's own retries.
    pub request_timeout: Duration,
    /// Days whose copies share files on disk; not below `WINDOW_DAYS_MIN`, Scylla refuses that.
    pub window_days: u32,
    /// How long deletions are remembered; repairs must be more frequent.
    pub gc_grace: Duration,
}

impl Settings {
    /// Three copies everywhere, 5 s for a statement, windows and gc_grace of 10 days.
    pub fn new(nodes: Vec<String>, keyspace: String) -> Self {
        Self {
            nodes,
            keyspace,
            replication: Replication::Everywhere(3),
            datacenter: None,
            user: None,
            tls: None,
            request_timeout: Duration::from_secs(5),
            window_days: 10,
            gc_grace: Duration::from_secs(10 * 86_400),
        }
    }
}
