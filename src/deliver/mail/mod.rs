//! Texts as mails: which of them share one, what they look like, who takes them.
//!
//! Comes in: parcels whose turn has come. Goes out: a mail to each mailbox that has it not yet, and what its server said
//! of that.
//! Always true: no mailbox gets a mail twice because of another one, while the process lives; what concerns the
//! connection or us is nobody's refusal of a text.
//! Not here: when it is tried again.

mod collect;
mod compose;
mod connection;
mod replies;
mod server;

pub(super) use collect::Collector;
pub(super) use compose::Composer;
pub(super) use server::Server;

use std::sync::Arc;

use tokio::time::Instant;

use super::health::Ticket;
use super::parcel::{Parcel, Settled, Tried, Why};
use server::{Sent, Trouble};

/// One department's mails.
pub(super) struct Mailer {
    pub composer: Composer,
    pub server: Arc<Server>,
}

impl Mailer {
    /// One try.
    pub(super) async fn deliver(&self, parcel: &mut Parcel, ticket: Ticket) -> Tried {
        let mail = match self.composer.compose(parcel) {
            Ok(mail) => mail,
            Err(error) => {
                let why = Why { step: "composing", code: None, words: error.to_string() };
                return Tried::Again { after: None, by_server: false, why };
            }
        };
        let mailboxes = &self.composer.email.to;
        let open: Vec<_> = mailboxes.iter().filter(|mailbox| !parcel.settled.contains(mailbox)).cloned().collect();
        match self.server.send(&self.composer.from, &open, &mail).await {
            Ok(sent) => {
                ticket.worked();
                self.judge(sent, &mut parcel.settled)
            }
            Err(Trouble::Server(why)) => {
                ticket.failed(Instant::now());
                Tried::Again { after: None, by_server: true, why }
            }
            Err(Trouble::Mail(why)) => {
                drop(ticket);
                Tried::Again { after: None, by_server: false, why }
            }
        }
    }

    fn judge(&self, sent: Sent, settled: &mut Settled) -> Tried {
        settled.taken.extend(sent.taken);
        settled.refused.extend(sent.refused);
        if let Some(why) = sent.later {
            return Tried::Again { after: None, by_server: false, why };
        }
        let Some((_, code)) = settled.refused.first() else { return Tried::Taken };
        let (refused, all) = (settled.refused.len(), self.composer.email.to.len());
        let detail = match all {
            1 => format!("refused with {code}"),
            _ => format!("{refused} of {all} mailboxes refused it, with {code}"),
        };
        Tried::Refused { detail, has_been_taken: !settled.taken.is_empty() }
    }
}
