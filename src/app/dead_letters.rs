//! Dead-letter of either profile, for a command: what is open in it, and the way back.
//!
//! Comes in: settings. Goes out: letters that nobody has called back, one after the other; texts on
//! their way again by the routes in force.
//! Always true: a letter leaves only after every text in it is durable. Standalone it is overwritten;
//! a topic cannot forget, so in the cluster a record beside it says that it was called back.
//! Not here: how a letter becomes texts (`intake`), showing it, the access log.

use std::collections::HashSet;
use std::sync::Arc;

use rdkafka::message::Message;

use crate::carrier::Account;
use crate::clock::Clock;
use crate::config::{Config, Publish};
use crate::intake::{self, Intake, NotRecalled, Recalled};
use crate::message::{AccountName, DeadLetterRecord, EventId, ReplayedRecord, SenderKey, topics};
use crate::publish::{self, PublishError, ReadError, TopicReader};
use crate::store::{Beside, Cursor, ENTRIES_MAX, Entry, StoreError};

use super::StartError;
use super::beside::{self, Way};

/// Letters that one reading tells apart: beyond it dead-letter holds more than people can look after.
const LETTERS_MAX: usize = 1_000_000;

/// Why dead-letter could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LettersError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Topic(#[from] ReadError),
    #[error("more than {LETTERS_MAX} letters are in dead-letter: shorten its retention")]
    TooMany,
}

/// One letter, and where it lies.
pub struct Letter {
    pub record: DeadLetterRecord,
    /// Standalone only.
    position: Option<Cursor>,
}

/// Open letters, oldest first; a letter is given once, however often it was kept.
pub struct DeadLetters {
    source: Source,
    /// Letters given already, and those that were called back.
    closed: HashSet<EventId>,
    unreadable: usize,
}

enum Source {
    Embedded { store: Beside, next: Cursor, read: std::vec::IntoIter<Entry> },
    Cluster(Box<TopicReader>),
}

impl DeadLetters {
    /// In the cluster profile it blocks while the topic is looked through for what was called back.
    pub fn open(config: &Config) -> Result<Self, LettersError> {
        let (source, closed) = match &config.publish {
            Publish::Local { .. } => {
                let store = Beside::open(&config.data, &config.standing.sender_key)?;
                (Source::Embedded { store, next: Cursor::START, read: Vec::new().into_iter() }, HashSet::new())
            }
            Publish::Kafka { settings, .. } => {
                // No group is joined and no offset moved, but the client asks the brokers for the group it is told of: this
                // is the one that routers have a right to.
                let consumer = publish::consumer_config(settings, &config.joiner.group);
                let closed = called_back(TopicReader::open(&consumer, topics::DEAD_LETTER)?)?;
                (Source::Cluster(Box::new(TopicReader::open(&consumer, topics::DEAD_LETTER)?)), closed)
            }
        };
        Ok(Self { source, closed, unreadable: 0 })
    }

    /// The next open letter.
    pub async fn next(&mut self) -> Result<Option<Letter>, LettersError> {
        while let Some((value, position)) = self.source.next().await? {
            if self.closed.len() >= LETTERS_MAX {
                return Err(LettersError::TooMany);
            }
            match DeadLetterRecord::from_json(&value) {
                Ok(record) if self.closed.insert(record.id) => return Ok(Some(Letter { record, position })),
                Ok(_) => {}
                Err(_) => self.unreadable += usize::from(ReplayedRecord::from_json(&value).is_err()),
            }
        }
        Ok(None)
    }

    /// How many entries so far no release up to this one has written.
    pub fn unreadable(&self) -> usize {
        self.unreadable
    }
}

/// The letters that records on the topic say were called back.
fn called_back(mut reader: TopicReader) -> Result<HashSet<EventId>, LettersError> {
    let mut letters = HashSet::new();
    while let Some(message) = reader.read_next()? {
        let value = message.payload().unwrap_or_default();
        // A letter has more fields than a mark, so what reads as a letter is none.
        if DeadLetterRecord::from_json(value).is_ok() {
            continue;
        }
        if let Ok(mark) = ReplayedRecord::from_json(value) {
            letters.insert(mark.relates_to);
        }
        if letters.len() >= LETTERS_MAX {
            return Err(LettersError::TooMany);
        }
    }
    Ok(letters)
}

impl Source {
    async fn next(&mut self) -> Result<Option<(Vec<u8>, Option<Cursor>)>, LettersError> {
        match self {
            Self::Embedded { store, next, read } => {
                if read.len() == 0 {
                    *read = store.read(topics::DEAD_LETTER, *next, ENTRIES_MAX).await?.into_iter();
                }
                let Some(entry) = read.next() else { return Ok(None) };
                *next = entry.position;
                Ok(Some((entry.value, Some(entry.position))))
            }
            Self::Cluster(reader) => {
                let message = reader.read_next()?;
                Ok(message.map(|message| (message.payload().unwrap_or_default().to_vec(), None)))
            }
        }
    }
}

/// Why a letter was not called back.
#[derive(Debug, thiserror::Error)]
pub enum NotReplayed {
    #[error(transparent)]
    Stays(#[from] NotRecalled),
    #[error("the settings have no account {0}")]
    NoAccount(AccountName),
    /// Its texts are safe; calling it back again adds nothing.
    #[error("its texts are published, but that could not be noted: {0}")]
    NotNoted(String),
}

/// The way back, for one command.
pub struct Replayer {
    intake: Arc<Intake>,
    accounts: Vec<Account>,
    /// It is noted there that a letter was called back.
    way: Way,
    sender_key: SenderKey,
    clock: Clock,
}

impl Replayer {
    /// Reads the routes in force and opens the way to the log.
    pub fn start(config: &Config, clock: Clock) -> Result<Self, StartError> {
        let (intake, way) = beside::intake(config, &clock)?;
        let accounts = config.accounts.iter().map(|(account, _)| account.clone()).collect();
        let sender_key = config.standing.sender_key.clone();
        Ok(Self { intake, accounts, way, sender_key, clock })
    }

    /// Calls a letter back and notes it. Doing so twice adds nothing.
    pub async fn replay(&self, letter: &Letter) -> Result<Vec<Recalled>, NotReplayed> {
        let record = &letter.record;
        let account = self.accounts.iter().find(|account| account.name == record.account);
        let account = account.ok_or_else(|| NotReplayed::NoAccount(record.account.clone()))?;
        let recalled = self.intake.recall(record, account, self.clock.now()).await?;
        self.note(letter).await.map_err(NotReplayed::NotNoted)?;
        Ok(recalled)
    }

    async fn note(&self, letter: &Letter) -> Result<(), String> {
        match (&self.way, letter.position) {
            (Way::Embedded(store), Some(position)) => {
                store.forget(position).await.map_err(|error: StoreError| error.to_string())
            }
            (Way::Cluster(publisher), _) => {
                let note = intake::replayed(&letter.record, &self.sender_key);
                let published = publisher.publish(topics::DEAD_LETTER, &note).await;
                published.map_err(|error: PublishError| error.to_string())
            }
            (Way::Embedded(_), None) => Ok(()),
        }
    }
}
