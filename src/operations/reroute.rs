//! A text moved to another department by a person: read from its audit copy, written down, published once more.
//!
//! `POST /v1/messages/{id}/reroute` with `{"to": "highways", "reason": "…"}`, by an operator or by the department whose
//! text it is; the command does the same for whoever may run it.
//! Always true: who, why and which is in the access log before the text is published; the original stays.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use serde::{Deserialize, Serialize};

use crate::audit::{Audit, AuditError};
use crate::clock::Clock;
use crate::intake::{Intake, NotRerouted, Rerouted};
use crate::message::{Access, AuditCopy, AuditQuery, DepartmentName, EventId};
use crate::server::{Answer, Caller};
use crate::telemetry::Told;

use super::reply;
use super::tokens::{Holder, Tokens};

/// Largest body, in bytes: a name and a sentence or two.
const BODY_MAX: usize = 8 * 1024;
/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest reason, in bytes.
const REASON_MAX: usize = 1_000;

/// Moves texts.
pub struct Rerouter {
    pub audit: Audit,
    pub intake: Arc<Intake>,
    pub clock: Clock,
    /// How long a text stays with its department from its receipt: one that is older would be gone there at once.
    pub reach: Duration,
}

/// Where a text shall go, who says so and why.
pub struct Move {
    pub id: EventId,
    pub to: DepartmentName,
    pub reason: String,
    /// As the access log writes it.
    pub who: String,
}

/// Why a text was not moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    #[error(
        "no audit copy has this id: none was kept, its time is over, or it has not been archived yet; of a text that \
         several departments got the id is `copy_of` of their records"
    )]
    NoCopy,
    #[error("the text is older than the {0} days for which departments keep theirs: send its words another way")]
    TooOld(u64),
    #[error("the text is another department's")]
    NotYours,
    #[error(
        "the reason is empty, longer than {REASON_MAX} bytes or more than a line: the access log needs to know why, in \
         a sentence"
    )]
    Reason,
    #[error("the audit copies cannot be read, or the access not be written down: {0}")]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Stays(#[from] NotRerouted),
}

impl Rerouter {
    /// Publishes the text once more. Errors also when `may` does not let this one be moved.
    pub async fn reroute(&self, wish: Move, may: impl FnOnce(&AuditCopy) -> bool) -> Result<Rerouted, MoveError> {
        let is_sentence = !wish.reason.trim().is_empty() && !wish.reason.chars().any(char::is_control);
        if !is_sentence || wish.reason.len() > REASON_MAX {
            return Err(MoveError::Reason);
        }
        let now = self.clock.now();
        let found = self.audit.find(&AuditQuery::Id(wish.id), now).await?;
        let copy = found.first().ok_or(MoveError::NoCopy)?;
        if !may(copy) {
            return Err(MoveError::NotYours);
        }
        if copy.received_at.checked_add(self.reach).is_ok_and(|until| until <= now) {
            return Err(MoveError::TooOld(self.reach.as_secs() / 86_400));
        }
        let access = Access {
            at: now,
            who: wish.who,
            why: wish.reason,
            query: format!("reroute to {}", wish.to),
            ids: vec![wish.id],
            text_shown: false,
        };
        self.audit.record_access(&access).await?;
        // What another process or an earlier one has moved shows in its copy.
        let id = Intake::rerouted_id(copy.id, &wish.to);
        if !self.audit.find(&AuditQuery::Id(id), now).await?.is_empty() {
            return Ok(Rerouted { id, department: wish.to, known: true });
        }
        Ok(self.intake.reroute(copy.json().as_bytes(), &wish.to).await?)
    }
}

/// The route's side of it.
pub struct Desk {
    pub tokens: Arc<Tokens>,
    pub rerouter: Rerouter,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    to: String,
    reason: String,
}

#[derive(Serialize)]
struct Done<'a> {
    id: EventId,
    relates_to: EventId,
    department: &'a DepartmentName,
}

impl Desk {
    pub async fn reroute(&self, id: &str, request: Request<Incoming>, caller: &Caller) -> Answer {
        let Some(holder) = self.tokens.holder(request.headers()) else { return reply::unauthorized() };
        caller.has_proven_itself();
        let Ok(id) = id.parse() else { return refused("the id is none: it is a UUID, as in the record") };
        let wish = match read(request).await {
            Ok(wish) => wish,
            Err(answer) => return answer,
        };
        let Ok(to) = DepartmentName::parse(&wish.to) else {
            return refused("\"to\" is no name of a department: a-z, 0-9 and -");
        };
        // A department speaks for itself only about its own texts, and which those are shows in the copy.
        let wish = Move { id, to, reason: wish.reason, who: who(&holder) };
        let moved = self.rerouter.reroute(wish, |copy| may_move(&holder, copy)).await;
        match moved {
            Ok(Rerouted { id: new, department, .. }) => {
                tracing::info!(%id, %new, %department, "a text was moved to another department");
                let done = Done { id: new, relates_to: id, department: &department };
                let body = serde_json::to_vec(&done).expect("ids and a name");
                reply::of(StatusCode::OK, "application/json", body)
            }
            Err(error) => not_moved(&error),
        }
    }
}

fn may_move(holder: &Holder<'_>, copy: &AuditCopy) -> bool {
    holder.is_operator || copy.every_department().iter().any(|department| holder.of(department.as_str()).is_some())
}

/// Nobody has a name here: a token is all that is known.
fn who(holder: &Holder<'_>) -> String {
    match holder.departments().first() {
        _ if holder.is_operator => "api operator".to_owned(),
        Some(department) => format!("api department {department}"),
        None => "api".to_owned(),
    }
}

async fn read(request: Request<Incoming>) -> Result<Wish, Answer> {
    let body = tokio::time::timeout(BODY_TIMEOUT, Limited::new(request.into_body(), BODY_MAX).collect()).await;
    let too_slow = || reply::text(StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n");
    let too_large = || reply::text(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is over {BODY_MAX} bytes\n"));
    let body: Bytes = body.map_err(|_| too_slow())?.map_err(|_| too_large())?.to_bytes();
    serde_json::from_slice(&body).map_err(|_| {
        refused("the body is not {\"to\": \"DEPARTMENT\", \"reason\": \"WHY\"} in JSON, with nothing else")
    })
}

fn refused(why: &str) -> Answer {
    reply::text(StatusCode::BAD_REQUEST, format!("{why}\n"))
}

fn not_moved(error: &MoveError) -> Answer {
    let status = match error {
        MoveError::NoCopy => StatusCode::NOT_FOUND,
        MoveError::NotYours => StatusCode::FORBIDDEN,
        MoveError::Reason | MoveError::Stays(NotRerouted::UnknownDepartment(_)) => StatusCode::BAD_REQUEST,
        MoveError::TooOld(_) | MoveError::Stays(NotRerouted::Refused | NotRerouted::Unreadable) => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        MoveError::Audit(_) | MoveError::Stays(NotRerouted::Deferred) => {
            static TOLD: Told = Told::new();
            if let Some(untold) = TOLD.is_due("reroute", Instant::now()) {
                tracing::error!(%error, untold, "a text could not be moved");
            }
            return reply::try_again("the text cannot be moved at the moment: try again\n");
        }
    };
    reply::text(status, format!("{error}\n"))
}
