//! The one SMTP server that takes all mails: its connections, and one mail's transaction.
//!
//! Comes in: a mail, whose mailboxes. Goes out: which of them took it, which refused it for good, what to try again.
//! Always true: at most `CONNECTIONS_MAX` connections; one that stood idle and has been closed meanwhile is nobody's
//! failure; a refusal before the first mailbox concerns no text.
//! Not here: whether the server is tried at all (`health`).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::client::TlsParameters;
use lettre::transport::smtp::commands::{Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::ClientId;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::connection::{Connection, Failed, tls_of};
use super::replies::{self, Meaning};
use crate::deliver::parcel::Why;
use crate::deliver::{DeliverError, Smtp};

/// Connections at once, those that stand idle among them. Exchange Online lets a mailbox have no more.
const CONNECTIONS_MAX: usize = 3;
/// Servers close what stands idle for minutes.
const IDLE_MAX: Duration = Duration::from_secs(30);

pub(in crate::deliver) struct Server {
    smtp: Smtp,
    tls: Option<TlsParameters>,
    hello: ClientId,
    places: Semaphore,
    idle: Mutex<Vec<(Connection, Instant)>>,
}

/// What became of a mail's mailboxes.
#[derive(Default)]
pub(super) struct Sent {
    pub taken: Vec<Address>,
    /// With the reply's code.
    pub refused: Vec<(Address, u16)>,
    /// Some need another try.
    pub later: Option<Why>,
}

/// Nothing is known of any mailbox.
pub(super) enum Trouble {
    /// The server, the way to it, or we: no mail goes.
    Server(Why),
    /// The connection ended over this mail; what another one would do is not known.
    Mail(Why),
}

impl Server {
    /// `hello` is what we call ourselves, a host's name.
    pub(in crate::deliver) fn new(smtp: &Smtp, hello: &str) -> Result<Self, DeliverError> {
        let hello = match hello.parse() {
            Ok(std::net::IpAddr::V4(address)) => ClientId::Ipv4(address),
            Ok(std::net::IpAddr::V6(address)) => ClientId::Ipv6(address),
            Err(_) => ClientId::Domain(hello.to_owned()),
        };
        let (tls, places) = (tls_of(smtp)?, Semaphore::new(CONNECTIONS_MAX));
        Ok(Self { smtp: smtp.clone(), tls, hello, places, idle: Mutex::default() })
    }

    /// One mail to some mailboxes.
    pub(super) async fn send(&self, from: &Address, to: &[Address], mail: &[u8]) -> Result<Sent, Trouble> {
        let _place = self.places.acquire().await.expect("nobody closes it");
        let mut connection = self.connected(from).await.map_err(Trouble::Server)?;
        let sent = transaction(&mut connection, to, mail).await;
        // One that broke, or is about to, is closed by being dropped.
        let is_usable = match &sent {
            Ok(sent) if sent.later.is_none() && sent.refused.is_empty() => true,
            Ok(_) => connection.command(Rset).await.is_ok(),
            Err(_) => false,
        };
        if is_usable {
            self.keep(connection);
        }
        sent
    }

    /// A connection whose server has taken our address as the sender's.
    async fn connected(&self, from: &Address) -> Result<Connection, Why> {
        let begin = || Mail::new(Some(from.clone()), Vec::new());
        while let Some(mut connection) = self.idle_one() {
            if connection.command(begin()).await.is_ok() {
                return Ok(connection);
            }
        }
        let mut connection = Connection::open(&self.smtp, self.tls.as_ref(), &self.hello).await?;
        connection.command(begin()).await.map_err(|failed| failed.at("MAIL FROM"))?;
        Ok(connection)
    }

    fn idle_one(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < IDLE_MAX);
        idle.pop().map(|(connection, _)| connection)
    }

    fn keep(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((connection, Instant::now()));
    }
}

/// After `MAIL FROM`: mailboxes one by one, then the mail for those that were accepted.
async fn transaction(connection: &mut Connection, to: &[Address], mail: &[u8]) -> Result<Sent, Trouble> {
    let mut sent = Sent::default();
    for mailbox in to {
        match connection.command(Rcpt::new(mailbox.clone(), Vec::new())).await {
            Ok(()) => sent.taken.push(mailbox.clone()),
            // The server has taken our mails until then: what ended over this mailbox is not everybody's trouble.
            Err(Failed::Broken(words)) => return Err(Trouble::Mail(Failed::Broken(words).at("RCPT TO"))),
            Err(Failed::Reply { code, words }) => {
                let why = Why { step: "RCPT TO", code: Some(code), words: String::new() };
                match replies::of_recipient(code, &words) {
                    Meaning::ForGood => sent.refused.push((mailbox.clone(), code)),
                    Meaning::Later => sent.later = Some(why),
                    Meaning::Closing => return Err(Trouble::Mail(why)),
                    Meaning::Server => return Err(Trouble::Server(why)),
                }
            }
        }
    }
    if sent.taken.is_empty() {
        return Ok(sent);
    }
    let answer = match connection.data().await {
        Ok(()) => connection.mail(mail).await.map_err(|failed| ("the mail", failed)),
        Err(failed) => Err(("DATA", failed)),
    };
    let Err((step, failed)) = answer else { return Ok(sent) };
    let words = if let Failed::Reply { words, .. } = &failed { words.clone() } else { String::new() };
    let why = failed.at(step);
    let Some(code) = why.code else { return Err(Trouble::Mail(why)) };
    let accepted = std::mem::take(&mut sent.taken);
    match replies::of_mail(code, &words) {
        Meaning::ForGood => sent.refused.extend(accepted.into_iter().map(|mailbox| (mailbox, code))),
        // Mailboxes that will never take it are known all the same.
        Meaning::Later => sent.later = Some(why),
        Meaning::Closing => return Err(Trouble::Mail(why)),
        Meaning::Server => return Err(Trouble::Server(why)),
    }
    Ok(sent)
}
