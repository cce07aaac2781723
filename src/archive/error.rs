//! What can go wrong with the archive, by what the caller can do about it.
//!
//! Comes in: the driver's errors. Goes out: `ArchiveError`.
//! Always true: no error carries a value of a row.
//! Not here: retries; the worker above paces them.

use scylla::errors::{
    DbError, ExecutionError, NewSessionError, NextPageError, NextRowError, PagerExecutionError, PrepareError,
    RequestAttemptError, RequestError,
};

use crate::message::EventId;

/// Why the archive did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Try again later: nodes are down, too few answer, or not in time.
    #[error("the archive does not answer: {0}")]
    Away(String),
    /// Run `sms-router setup`.
    #[error("the archive is not set up, run `sms-router setup`: {0}")]
    NotSetUp(String),
    /// Change rights, settings or schema.
    #[error("the archive refuses: {0}")]
    Refused(String),
    /// Never: the record says it was received days from now, and its copy would outlive
    /// what tables and questions allow for.
    #[error("the record's receipt lies in the future")]
    FromTheFuture,
    /// A row that this build cannot read; a newer one may.
    #[error("the copy {id} cannot be read: {reason}")]
    Unreadable { id: EventId, reason: String },
    /// Ask for less.
    #[error("more than {0} copies: ask for a shorter time")]
    TooMany(usize),
}

impl ArchiveError {
    fn from_database(error: &DbError, message: &str) -> Self {
        let lower = message.to_lowercase();
        let missing = lower.contains("unconfigured table")
            || (lower.contains("keyspace") && (lower.contains("does not exist") || lower.contains("can't find")))
            || lower.contains("no such table");
        let text = format!("{error}: {message}");
        match error {
            DbError::Invalid | DbError::ConfigError if missing => Self::NotSetUp(text),
            DbError::Invalid
            | DbError::ConfigError
            | DbError::SyntaxError
            | DbError::Unauthorized
            | DbError::AuthenticationError
            | DbError::AlreadyExists { .. } => Self::Refused(text),
            _ => Self::Away(text),
        }
    }

    fn from_attempt(error: &RequestAttemptError) -> Self {
        match error {
            RequestAttemptError::DbError(error, message) => Self::from_database(error, message),
            other => Self::Away(other.to_string()),
        }
    }
}

impl From<NewSessionError> for ArchiveError {
    fn from(error: NewSessionError) -> Self {
        Self::Away(error.to_string())
    }
}

impl From<PrepareError> for ArchiveError {
    fn from(error: PrepareError) -> Self {
        match &error {
            PrepareError::AllAttemptsFailed { first_attempt } => Self::from_attempt(first_attempt),
            other => Self::Away(other.to_string()),
        }
    }
}

impl From<ExecutionError> for ArchiveError {
    fn from(error: ExecutionError) -> Self {
        match error {
            ExecutionError::LastAttemptError(attempt) => Self::from_attempt(&attempt),
            ExecutionError::PrepareError(prepare) => prepare.into(),
            ExecutionError::BadQuery(bad) => Self::Refused(bad.to_string()),
            other => Self::Away(other.to_string()),
        }
    }
}

impl From<PagerExecutionError> for ArchiveError {
    fn from(error: PagerExecutionError) -> Self {
        match error {
            PagerExecutionError::NextPageError(page) => page.into(),
            PagerExecutionError::PrepareError(prepare) => prepare.into(),
            other => Self::Away(other.to_string()),
        }
    }
}

impl From<NextPageError> for ArchiveError {
    fn from(error: NextPageError) -> Self {
        match error {
            NextPageError::RequestFailure(RequestError::LastAttemptError(attempt)) => Self::from_attempt(&attempt),
            other => Self::Away(other.to_string()),
        }
    }
}

impl From<NextRowError> for ArchiveError {
    fn from(error: NextRowError) -> Self {
        match error {
            NextRowError::NextPageError(page) => page.into(),
            other => Self::Refused(other.to_string()),
        }
    }
}
