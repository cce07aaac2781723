//! The cluster profile: topics, the archive, and the journal where it can be seen.
//!
//! Comes in: where they are. Goes out: the verdict on a window.
//! Always true: what the archive must have is what it has committed past, so lag is never a difference;
//! what looks missing is looked for again, in all that came to the topics meanwhile.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use rdkafka::message::Message;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::collection::Collection;
use super::ledger::{COPIED, DEAD, DUE, LOGGED, NAMED, PROBE, TEXT};
use super::letters::Letters;
use super::reading::{ids_of, kind_of, read};
use super::topics::Topics;
use super::{ReconcileError, Verdict, Window, journal};
use crate::archive::{self, Archive};
use crate::keyword::{DepartmentSpec, Live};
use crate::message::{EventId, EventKind, Timestamp, expires_at, topics};
use crate::publish::ConsumerSettings;

/// Ids looked up in the archive at the same time: few, for the archive has other work.
const LOOKUPS_AT_ONCE: usize = 16;

/// Where the evidence is.
pub struct Cluster {
    /// Brokers, security and the archive's group.
    pub consumer: ConsumerSettings,
    /// Which departments there are, and on which topics.
    pub routes: Live,
    /// How long departments' topics keep a record.
    pub retention: Duration,
    /// `None` where no copies are kept.
    pub archive: Option<archive::Settings>,
    /// Folder of a journal that can be seen from here.
    pub journal: PathBuf,
    /// Before `accounts/NAME` in the source of every event of ours.
    pub origin: String,
    pub ids_max: usize,
    pub connected: OnceCell<Archive>,
}

impl Cluster {
    pub(super) async fn judge(
        &self,
        window: Window,
        now: Timestamp,
        stop: &CancellationToken,
    ) -> Result<Verdict, ReconcileError> {
        if self.archive.is_some() && expires_at(window.since) <= now {
            return Ok(Verdict::TooLate("its copies have come to the end of their twelve months".to_owned()));
        }
        let opened = self.open(window).await?;
        if let Some(reason) = self.too_late(&opened, window, now) {
            return Ok(Verdict::TooLate(reason));
        }
        let collection = Collection::new(window, now, self.ids_max, self.archive.is_some());
        let folder = self.journal.clone();
        let collection = blocking(move || journal::gather(&folder, collection)).await?;
        let mut read = read(opened, collection, &self.origin, stop.clone()).await?;
        if read.lagging > 0 {
            return Ok(Verdict::NotYet(format!("the archive has not come to {} of its records", read.lagging)));
        }
        let waiting = read.collection.pieces_waiting();
        if waiting > 0 {
            return Ok(Verdict::NotYet(format!("{waiting} pieces of long texts wait for the others")));
        }
        read.find_unreadable();
        let mut collection = read.collection;
        if self.archive.is_some() {
            self.look_into_archive(&mut collection).await?;
        }
        collection.ledger.settle_copies();
        if !collection.ledger.unaccounted().is_empty() {
            collection = self.look_again(collection, stop).await?;
        }
        Ok(Verdict::Judged(collection.conclude()))
    }

    async fn open(&self, window: Window) -> Result<Topics, ReconcileError> {
        let names = self.topics();
        let config = self.consumer.config();
        let opening = move || {
            let wanted: Vec<&str> = names.iter().map(String::as_str).chain(topics::OWN).collect();
            let opened = Topics::open(&config, &wanted, window)?;
            // Synthetic texts need not be sent, so their topic need not be there.
            let needed = wanted.iter().filter(|name| **name != topics::PROBE);
            match needed.copied().find(|name| !opened.has(name)) {
                Some(name) => Err(ReconcileError::NoTopic(name.to_owned())),
                None => Ok(opened),
            }
        };
        blocking(opening).await
    }

    /// The departments' topics.
    fn topics(&self) -> BTreeSet<String> {
        self.routes.load().departments().iter().map(DepartmentSpec::topic).collect()
    }

    /// A topic loses what is older than its retention. One whose oldest record is younger than the window
    /// has either lost some of it or had none.
    fn too_late(&self, opened: &Topics, window: Window, now: Timestamp) -> Option<String> {
        if now.checked_sub(self.retention).is_ok_and(|kept_since| window.since > kept_since) {
            return None;
        }
        let names = self.topics();
        let mut cut = opened.cut().filter(|topic| names.contains(*topic));
        cut.next().map(|topic| format!("topic {topic} keeps its records no longer"))
    }

    async fn look_into_archive(&self, collection: &mut Collection) -> Result<(), ReconcileError> {
        let settings = self.archive.as_ref().expect("asked for only where there is one");
        let archive = self.connected.get_or_try_init(|| Archive::connect(settings)).await?;
        let table = self.routes.load();
        let named = table.departments().iter().map(|department| department.name.as_str().to_owned());
        let names: BTreeSet<String> = named.chain(collection.departments.iter().cloned()).collect();
        let window = (collection.window.since, collection.window.until);
        let probes = collection.probes_live().then_some((topics::PROBE, PROBE));
        for (name, marks) in names.iter().map(|name| (name.as_str(), TEXT)).chain(probes) {
            let mut result = Ok(());
            let take = |id| {
                result = collection.ledger.mark(id, marks | COPIED);
                result.is_ok()
            };
            archive.ids_of(name, window, collection.now, take).await?;
            result?;
        }
        let ids: Vec<EventId> = collection.ledger.with(DUE | COPIED).map(|(id, _)| id).collect();
        let received = stream::iter(ids).map(|id| async move { Ok((id, archive.received(id).await?)) });
        let mut received = received.buffer_unordered(LOOKUPS_AT_ONCE);
        while let Some((id, received_at)) = received.try_next().await.map_err(|error: ReconcileError| error)? {
            let Some(received_at) = received_at else { continue };
            // A copy of the same text in another hour is the one the archive kept.
            let elsewhere = if collection.window.contains(received_at) { 0 } else { COPIED };
            collection.ledger.mark_known(id, NAMED | elsewhere);
        }
        Ok(())
    }

    /// What came to the topics since, or lies in another hour of them, is not lost.
    async fn look_again(
        &self,
        mut collection: Collection,
        stop: &CancellationToken,
    ) -> Result<Collection, ReconcileError> {
        let opened = self.open(collection.window).await?;
        let (stop, folder) = (stop.clone(), self.journal.clone());
        blocking(move || {
            let mut letters = Letters::default();
            opened.read(&stop, |met| {
                match kind_of(met.message) {
                    Some(EventKind::DeadLetter) => letters.read_value(met.message.payload().unwrap_or_default()),
                    _ => ids_of(met.message).for_each(|id| collection.ledger.mark_known(id, LOGGED)),
                }
                Ok(())
            })?;
            letters.ids().for_each(|id| collection.ledger.mark_known(id, DEAD));
            journal::look_for_missing(&folder, &mut collection)?;
            Ok(collection)
        })
        .await
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReconcileError> + Send + 'static,
) -> Result<T, ReconcileError> {
    // It ends without a word only when the runtime does.
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(ReconcileError::Stopped))
}
