//! The session with the cluster, and the prepared statements.
//!
//! Comes in: settings. Goes out: `Archive`, cheap to clone.
//! Always true: LOCAL_QUORUM for every statement, each safe to repeat.
//! Not here: what is written and read (`writer`, `reader`, `access`).

use std::sync::Arc;

use async_trait::async_trait;
use scylla::authentication::{AuthError, AuthenticatorProvider, AuthenticatorSession, PlainTextAuthenticator};
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;

use super::schema::Queries;
use super::{ArchiveError, Settings};
use crate::message::Secret;

/// Rows of one page of an answer.
const PAGE_ROWS: i32 = 500;

/// A connected archive. Nodes that go and come back are found again by itself; while too few are
/// there, everything answers `ArchiveError::Away`.
#[derive(Clone)]
pub struct Archive(pub(super) Arc<Connected>);

pub(super) struct Connected {
    pub session: Session,
    pub insert_by_sender: PreparedStatement,
    pub insert_by_department: PreparedStatement,
    pub insert_by_id: PreparedStatement,
    pub known: PreparedStatement,
    pub select_id: PreparedStatement,
    pub select_sender: PreparedStatement,
    pub select_department: PreparedStatement,
    pub select_ids: PreparedStatement,
    pub insert_access: PreparedStatement,
}

impl Archive {
    /// Connects and prepares. Errors at once when no node can be reached or the schema is missing.
    pub async fn connect(settings: &Settings) -> Result<Self, ArchiveError> {
        let session = open(settings).await?;
        let queries = Queries::new(&settings.keyspace);
        Ok(Self(Arc::new(Connected {
            insert_by_sender: prepare(&session, queries.insert_by_sender).await?,
            insert_by_department: prepare(&session, queries.insert_by_department).await?,
            insert_by_id: prepare(&session, queries.insert_by_id).await?,
            known: prepare(&session, queries.known).await?,
            select_id: prepare(&session, queries.select_id).await?,
            select_sender: prepare(&session, queries.select_sender).await?,
            select_department: prepare(&session, queries.select_department).await?,
            select_ids: prepare(&session, queries.select_ids).await?,
            insert_access: prepare(&session, queries.insert_access).await?,
            session,
        })))
    }
}

pub(super) async fn open(settings: &Settings) -> Result<Session, ArchiveError> {
    let mut policy = DefaultPolicy::builder();
    if let Some(datacenter) = &settings.datacenter {
        policy = policy.prefer_datacenter(datacenter.clone());
    }
    let profile = ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .request_timeout(Some(settings.request_timeout))
        .load_balancing_policy(policy.build())
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&settings.nodes)
        .connection_timeout(settings.request_timeout)
        .tls_context(settings.tls.as_ref().map(|tls| tls.config.clone()))
        .default_execution_profile_handle(profile.into_handle());
    if let Some((user, password)) = settings.user.clone() {
        builder = builder.authenticator_provider(Arc::new(Password { user, password }));
    }
    Ok(builder.build().await?)
}

async fn prepare(session: &Session, statement: String) -> Result<PreparedStatement, ArchiveError> {
    let mut prepared = session.prepare(statement).await?;
    prepared.set_page_size(PAGE_ROWS);
    // Every insert writes the values it wrote before, so the driver may try another node by itself.
    prepared.set_is_idempotent(true);
    Ok(prepared)
}

/// Who we are, asked for with each connection that is made: a password that has been replaced is the one in force.
struct Password {
    user: String,
    password: Secret,
}

#[async_trait]
impl AuthenticatorProvider for Password {
    async fn start_authentication_session(
        &self,
        authenticator: &str,
    ) -> Result<(Option<Vec<u8>>, Box<dyn AuthenticatorSession>), AuthError> {
        let password = String::from_utf8_lossy(&self.password.bytes()).into_owned();
        PlainTextAuthenticator::new(self.user.clone(), password).start_authentication_session(authenticator).await
    }
}
