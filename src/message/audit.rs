//! Audit copies and the log of who read them: the same words for both stores.

use super::{DepartmentName, EventId, Number, Record, Timestamp};

/// One audit copy, as either store gives it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditCopy {
    pub record: Record,
    pub expires_at: Timestamp,
}

/// The three questions an archive answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditQuery {
    /// One text.
    Id(EventId),
    /// Everything of one sender: a subject access request.
    Sender(Number),
    /// One department's texts received in `since..until`.
    Department { name: DepartmentName, since: Timestamp, until: Timestamp },
}

impl AuditQuery {
    /// What the access log keeps of the question: its kind, and nothing personal.
    pub fn describe(&self) -> String {
        match self {
            Self::Id(_) => "id".to_owned(),
            Self::Sender(_) => "sender".to_owned(),
            Self::Department { name, since, until } => format!("department {name} from {since} until {until}"),
        }
    }
}

/// One reading of audit copies, written down before anything is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    pub at: Timestamp,
    /// The operating system's user, and the host.
    pub who: String,
    /// The reason given on the command line.
    pub why: String,
    /// `AuditQuery::describe`.
    pub query: String,
    /// The copies shown.
    pub ids: Vec<EventId>,
    /// Whether numbers and texts were shown or only their places.
    pub text_shown: bool,
}
