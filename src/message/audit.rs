//! Audit copies and the log of who read them: the same words for both stores.

use super::decision::every;
use super::{DepartmentName, EventId, Number, Record, RecordError, Several, Text, Timestamp};

/// One audit copy, as either store gives it back: what it is found and told by, and the record as it was published,
/// by whichever release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditCopy {
    pub id: EventId,
    pub department: DepartmentName,
    /// All whose text it was, where they were several.
    pub departments: Several,
    pub to: Number,
    pub received_at: Timestamp,
    pub expires_at: Timestamp,
    json: Text,
}

impl AuditCopy {
    /// The error names the place, never the content.
    pub fn read(json: &[u8], expires_at: Timestamp) -> Result<Self, RecordError> {
        let Record { id, department, departments, to, received_at, .. } = Record::from_json(json)?;
        let json = String::from_utf8(json.to_vec()).map_err(|_| RecordError::Malformed("not UTF-8".to_owned()))?;
        Ok(Self { id, department, departments, to, received_at, expires_at, json: Text::from(json) })
    }

    /// All whose text it was.
    pub fn every_department(&self) -> &[DepartmentName] {
        every(&self.department, &self.departments)
    }

    /// The record's JSON, fields and words of later releases included.
    pub fn json(&self) -> &str {
        self.json.as_str()
    }

    /// As far as this build knows it.
    pub fn record(&self) -> Record {
        Record::from_json(self.json().as_bytes()).expect("what was read can be read again")
    }
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
