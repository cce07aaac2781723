//! Kafka, with the journal behind it.
//!
//! Comes in: the events of one text. Goes out: `Ok` once each is acknowledged or in the journal.
//! Always true: a record that was handed over is followed to its delivery report; one that reports
//! after it went to the journal leaves the journal, if the replay has not been there before.
//! Not here: breakers and producers (`publish`), the replay.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::journal::{Entry, Journal};
use super::{Addressed, LogError, Logged, Standby};
use crate::message::{Event, Flag, Record};
use crate::publish::{PublishError, Publisher};
use crate::store::Cursor;
use crate::telemetry::Told;

/// The cluster's log, cheap to clone.
#[derive(Clone)]
pub struct Kafka {
    publisher: Publisher,
    journal: Option<Journal>,
    /// Records whose reports are late.
    unreported: TaskTracker,
}

/// What became of one event in the time it had.
enum Tried {
    Published,
    /// To the journal; where it ends up there is wanted by whoever waits for the late report.
    Left(Box<Entry>, Option<oneshot::Sender<Cursor>>),
    Refused(LogError),
}

impl Tried {
    fn left(topic: String, event: Event, place: Option<oneshot::Sender<Cursor>>) -> Self {
        Self::Left(Box::new(Entry { topic: topic.into(), event }), place)
    }
}

impl Kafka {
    pub fn new(publisher: Publisher, journal: Option<Journal>) -> Self {
        Self { publisher, journal, unreported: TaskTracker::new() }
    }

    pub fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    pub fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    pub(super) async fn append(&self, events: Vec<Addressed>, patience: Duration) -> Result<Logged, LogError> {
        let Some(journal) = &self.journal else { return self.publish_all(&events).await };
        let (mut events, patience) = (events, journal.patience(patience));
        // Most texts are one event, and a list of futures costs more than its work.
        let tried = if events.len() == 1
            && let Some(only) = events.pop()
        {
            vec![self.attempt(journal, only, patience).await]
        } else {
            join_all(events.into_iter().map(|event| self.attempt(journal, event, patience))).await
        };
        self.conclude(journal, tried).await
    }

    /// Without a journal: asked for in order, awaited together.
    async fn publish_all(&self, events: &[Addressed]) -> Result<Logged, LogError> {
        if events.iter().any(|addressed| addressed.hold) {
            return Err(LogError::Department);
        }
        let deliveries = events.iter().map(|addressed| {
            let Addressed { topic, standby, event, .. } = addressed;
            self.publish(topic, standby.as_ref(), event)
        });
        let reports = join_all(deliveries).await;
        // What a later try can mend outranks what none can: the carrier is asked to send it again.
        let errors = reports.iter().filter_map(|report| report.as_ref().err()).map(refused);
        errors.min_by_key(|error| *error == LogError::Never).map_or(Ok(Logged::Stored), Err)
    }

    /// To the topic, or to the standby's when that has been away for so long; the record says so.
    pub(super) async fn publish(
        &self,
        topic: &str,
        standby: Option<&Standby>,
        event: &Event,
    ) -> Result<(), PublishError> {
        let away = standby.and_then(|standby| Some((standby, self.publisher.away_for(topic)?)));
        match away {
            Some((standby, away)) if away >= standby.after => {
                self.publisher.publish(&standby.topic, &moved(event)).await
            }
            _ => self.publisher.publish(topic, event).await,
        }
    }

    /// One event to its topic, or counted for the journal.
    async fn attempt(&self, journal: &Journal, addressed: Addressed, patience: Duration) -> Tried {
        let Addressed { topic, hold, standby, event } = addressed;
        if hold {
            journal.enter(&topic, &event);
        }
        if hold || journal.follow(&topic, &event) {
            return Tried::left(topic, event, None);
        }
        let shared = Arc::new((topic, event));
        let publishing = {
            let (kafka, shared) = (self.clone(), shared.clone());
            async move { kafka.publish(&shared.0, standby.as_ref(), &shared.1).await }
        };
        let mut publishing = Box::pin(publishing);
        let place = match tokio::time::timeout(patience, &mut publishing).await {
            Ok(Ok(())) => return Tried::Published,
            Ok(Err(error)) if refused(&error) == LogError::Never => return Tried::Refused(LogError::Never),
            Ok(Err(_)) => None,
            Err(_) => Some(self.follow_late(journal, publishing, &shared)),
        };
        journal.enter(&shared.0, &shared.1);
        let (topic, event) = Arc::unwrap_or_clone(shared);
        Tried::left(topic, event, place)
    }

    /// Sees a record to its report. What is in the journal by then, at the place told, leaves it if the
    /// report is good; a bad one changes nothing, for the replay will see.
    fn follow_late(
        &self,
        journal: &Journal,
        publishing: impl Future<Output = Result<(), PublishError>> + Send + 'static,
        shared: &Arc<(String, Event)>,
    ) -> oneshot::Sender<Cursor> {
        let (tell, told) = oneshot::channel();
        let (journal, shared) = (journal.clone(), shared.clone());
        self.unreported.spawn(async move {
            let (Ok(()), Ok(place)) = (publishing.await, told.await) else { return };
            static TOLD: Told = Told::new();
            if let Err(error) = journal.settle(&shared.0, vec![(place, shared.1.key)]).await
                && let Some(untold) = TOLD.is_due("unsettled", Instant::now())
            {
                tracing::warn!(%error, untold, "a text reported late stays in the journal and is published again");
            }
        });
        tell
    }

    /// What is left goes to the journal, all or none.
    async fn conclude(&self, journal: &Journal, tried: Vec<Tried>) -> Result<Logged, LogError> {
        let (mut entries, mut tellers, mut error) = (Vec::new(), Vec::new(), None);
        for tried in tried {
            match tried {
                Tried::Published => {}
                Tried::Left(entry, teller) => {
                    entries.push(*entry);
                    tellers.push(teller);
                }
                Tried::Refused(refusal) => error = Some(refusal),
            }
        }
        let mut first = Logged::Stored;
        if !entries.is_empty() {
            let written = journal.write(entries).await?;
            first = written.first().map_or(Logged::Stored, |(logged, _)| *logged);
            for (teller, (_, place)) in tellers.into_iter().zip(written) {
                // Nobody listens when the report said that the text was refused.
                teller.map(|teller| teller.send(place));
            }
        }
        error.map_or(Ok(first), Err)
    }

    /// Waits until every record that was handed over has its report, or the process's patience ends.
    pub async fn finish(&self) {
        self.unreported.close();
        self.unreported.wait().await;
    }
}

/// The event as the standby's topic gets it.
fn moved(event: &Event) -> Event {
    // Only records can be flagged; anything else goes as it is.
    let value = Record::flagged(&event.value, Flag::Failover).unwrap_or_else(|_| event.value.clone());
    Event { value, ..event.clone() }
}

fn refused(error: &PublishError) -> LogError {
    match error {
        PublishError::Final { .. } => LogError::Never,
        PublishError::DepartmentFull { .. } | PublishError::Unavailable { .. } => LogError::Department,
        PublishError::Full | PublishError::Curable { .. } | PublishError::Settings(_) => LogError::Unavailable,
    }
}
