//! A dead letter called back: read again, routed by the routes in force, under the id and the time of
//! receipt that its texts would have had.
//!
//! Comes in: a letter, and the account it came to. Goes out: where its texts went, or why it stays.
//! Always true: calling back twice adds nothing, because the ids are the same; what fails again is not
//! kept a second time; no text lives longer for having been called back.
//! Not here: where letters are read from, and that one has been called back (above). The proof of a
//! request was looked at when it came; its headers, where a secret may be, were not kept.

use std::net::{IpAddr, Ipv4Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::dead_letter::TextContent;
use super::{Deferral, InboundText, Intake, Label, NotRerouted, Reason, Rerouted, Way};
use crate::carrier::{Account, Delivery, Webhook};
use crate::dedup::Claim;
use crate::keyword::Table;
use crate::log::{LogError, Logged};
use crate::message::{
    Body, DeadLetterRecord, Decision, DepartmentName, EventId, EventKind, Flag, Inbound, Open, Record, Several,
    Timestamp, expires_at, time_to_live,
};

/// One text that is where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recalled {
    pub id: EventId,
    pub department: DepartmentName,
    /// All that got it, where they are several.
    pub departments: Several,
    /// It was there before.
    pub known: bool,
}

/// Why a letter stays in dead-letter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRecalled {
    #[error("it still cannot be read: {0}")]
    Unreadable(&'static str),
    #[error("the routes still do not know the number it was sent to")]
    UnknownNumber,
    #[error("the log still refuses it for good")]
    Refused,
    #[error("its 12 months are over")]
    Expired,
    #[error("it is a record that the archive could not read, and lies on its topic as it was published")]
    Published,
    #[error(transparent)]
    NotAgain(#[from] NotRerouted),
    #[error("the log does not take it now ({}): try again", .0.reason())]
    Deferred(Deferral),
}

/// A text of a letter, and what it is called.
type Named = (InboundText, Label);

impl Intake {
    /// Calls a letter back. `Ok` once every text in it is durable; else it stays as it is, and those of
    /// its texts that are durable already will be known the next time.
    pub async fn recall(
        &self,
        letter: &DeadLetterRecord,
        account: &Account,
        now: Timestamp,
    ) -> Result<Vec<Recalled>, NotRecalled> {
        if time_to_live(expires_at(letter.received_at), now).is_none() {
            return Err(NotRecalled::Expired);
        }
        if Reason::parse(&letter.reason) == Some(Reason::Undelivered) {
            return self.deliver_again(letter).await;
        }
        let mut recalled = Vec::new();
        for (text, label) in self.texts_of(letter, account)? {
            recalled.push(self.take_again(text, label).await?);
        }
        Ok(recalled)
    }

    fn texts_of(&self, letter: &DeadLetterRecord, account: &Account) -> Result<Vec<Named>, NotRecalled> {
        let content = content_of(letter)?;
        match Reason::parse(&letter.reason) {
            Some(Reason::Malformed) => self.texts_of_request(letter, account, &content),
            Some(Reason::UnknownNumber | Reason::Refused) => Ok(vec![self.text_of(letter, account, &content)?]),
            Some(Reason::UnreadableRecord | Reason::Undelivered) => Err(NotRecalled::Published),
            None => Err(NotRecalled::Unreadable("its reason is none of this release")),
        }
    }

    /// The text is on its topic or in its feed: it goes there once more, under an id that it gets from the letter, and
    /// from there to whoever did not take it.
    async fn deliver_again(&self, letter: &DeadLetterRecord) -> Result<Vec<Recalled>, NotRecalled> {
        let json = content_of(letter)?;
        let record = Record::from_json(&json).map_err(|_| NotRecalled::Unreadable("its content is no record"))?;
        let id = EventId::new_v5(&letter.id, b"delivered again");
        let Rerouted { id, department, known } = self.publish_again(&json, &record, id, &record.department).await?;
        Ok(vec![Recalled { id, department, departments: None, known }])
    }

    /// The carrier's adapter reads the request again. A text without a carrier's id is called by its
    /// place in the letter, which is the same each time.
    fn texts_of_request(
        &self,
        letter: &DeadLetterRecord,
        account: &Account,
        content: &[u8],
    ) -> Result<Vec<Named>, NotRecalled> {
        let request = Request::of(letter, content)?;
        let delivery = account.carrier.parse(&request.webhook(letter.received_at), account);
        let texts = match delivery.map_err(|malformed| NotRecalled::Unreadable(malformed.0))? {
            Delivery::Texts(texts) => texts,
            Delivery::Nothing(_) | Delivery::Subscription(_) => return Ok(Vec::new()),
        };
        let named = texts.into_iter().enumerate().map(|(place, inbound)| {
            let text = self.read(account, inbound, letter.received_at, None);
            let id = match &text.inbound.carrier_message_id {
                Some(_) => self.event_id(&text),
                None => EventId::new_v5(&letter.id, &place.to_be_bytes()),
            };
            (text, Label::message(id, letter.flags.clone()))
        });
        Ok(named.collect())
    }

    /// A text that was read and had nowhere to go: as it came, or as the record it had become.
    fn text_of(&self, letter: &DeadLetterRecord, account: &Account, content: &[u8]) -> Result<Named, NotRecalled> {
        if let Ok(record) = Record::from_json(content) {
            let parts = record.parts;
            let (inbound, label) = of_record(record)?;
            let text = self.read(account, inbound, letter.received_at, None);
            return Ok((InboundText { parts, ..text }, label));
        }
        let content: TextContent = serde_json::from_slice(content)
            .map_err(|_| NotRecalled::Unreadable("its content is no text of this release"))?;
        let inbound = content.inbound().ok_or(NotRecalled::Unreadable("its text is not base64"))?;
        let text = self.read(account, inbound, letter.received_at, content.traceparent.as_deref());
        let parts = content.parts.or(text.parts);
        let text = InboundText { parts, ..text };
        let id = match (letter.relates_to, &text.inbound.carrier_message_id) {
            (Some(id), _) => id,
            // Letters of releases that did not write the id down.
            (None, Some(_)) => self.event_id(&text),
            (None, None) => EventId::new_v5(&letter.id, b"text"),
        };
        Ok((text, label(id, content.flags, content.completes)))
    }

    async fn take_again(&self, text: InboundText, mut label: Label) -> Result<Recalled, NotRecalled> {
        let table = self.settings.routes.snapshot();
        let decision = Self::decide(&table, &text).ok_or(NotRecalled::UnknownNumber)?;
        let mut logged = self.log_again(&table, &text, &decision, &label).await?;
        if logged == Logged::Reused {
            label = self.label_of_reused(&text, label);
            logged = self.log_again(&table, &text, &decision, &label).await?;
        }
        match logged {
            Logged::Reused => Err(NotRecalled::Deferred(Deferral::Log)),
            Logged::Stored | Logged::Known => {
                let Decision { department, departments, .. } = decision;
                Ok(Recalled { id: label.id, department, departments, known: logged == Logged::Known })
            }
        }
    }

    async fn log_again(
        &self,
        table: &Table,
        text: &InboundText,
        decision: &Decision,
        label: &Label,
    ) -> Result<Logged, NotRecalled> {
        let ticket = match self.settings.claims.claim(label.id, text.fingerprint) {
            Claim::First(ticket) => ticket,
            Claim::Reused => return Ok(Logged::Reused),
            Claim::Known | Claim::Twin(_) => return Ok(Logged::Known),
        };
        let logged =
            self.append(Way::Department(table, decision), text, label.clone()).await.map_err(|error| match error {
                LogError::Department => NotRecalled::Deferred(Deferral::Department),
                LogError::Unavailable => NotRecalled::Deferred(Deferral::Log),
                LogError::Never => NotRecalled::Refused,
            })?;
        if logged != Logged::Reused {
            ticket.confirm();
        }
        Ok(logged)
    }
}

fn content_of(letter: &DeadLetterRecord) -> Result<Vec<u8>, NotRecalled> {
    STANDARD.decode(letter.body.as_str()).map_err(|_| NotRecalled::Unreadable("its body is not base64"))
}

/// What completes another text came too late to be part of it.
fn label(id: EventId, flags: Vec<Open<Flag>>, completes: Option<EventId>) -> Label {
    let kind = if completes.is_some() { EventKind::Addendum } else { EventKind::Message };
    Label { id, kind, flags, relates_to: completes }
}

/// What a record was made of. Flags that say where it went, or that are found again, are left out; of what one of
/// several departments got, the text.
fn of_record(record: Record) -> Result<(Inbound, Label), NotRecalled> {
    let id = record.text_id();
    let completes = record.relates_to.filter(|other| *other != id);
    let body = match &record.raw {
        None => Body::Text(record.text),
        Some(raw) => {
            let bytes = STANDARD.decode(raw.as_str());
            Body::Undecodable(bytes.map_err(|_| NotRecalled::Unreadable("its text is not base64"))?)
        }
    };
    let is_found_again = |flag: &Open<Flag>| matches!(flag, Open::Known(Flag::Undecodable | Flag::Failover));
    let flags = record.flags.into_iter().filter(|flag| !is_found_again(flag)).collect();
    let inbound = Inbound {
        carrier_message_id: record.carrier_message_id,
        from: record.from_raw,
        to: Some(record.to_raw),
        body,
        sent_at: record.sent_at,
        part: None,
        segments: 1,
        media: record.media,
    };
    Ok((inbound, label(id, flags, completes)))
}

/// A request as the letter kept it.
struct Request<'a> {
    method: Method,
    query: &'a str,
    body: &'a [u8],
    headers: HeaderMap,
}

impl<'a> Request<'a> {
    fn of(letter: &'a DeadLetterRecord, content: &'a [u8]) -> Result<Self, NotRecalled> {
        let method = match &letter.method {
            Some(method) => Method::from_bytes(method.as_bytes()).unwrap_or_default(),
            // Letters of releases that did not write it down: a body has a type.
            None if letter.content_type.is_none() => Method::GET,
            None => Method::POST,
        };
        let (query, body) = match &letter.query {
            // A body that was empty: the content is the query once more.
            Some(query) if query.as_str().as_bytes() == content => (query.as_str(), &[][..]),
            Some(query) => (query.as_str(), content),
            None if method == Method::GET => {
                let query = std::str::from_utf8(content);
                (query.map_err(|_| NotRecalled::Unreadable("its query is no text"))?, &[][..])
            }
            None => ("", content),
        };
        let mut headers = HeaderMap::new();
        let content_type = letter.content_type.as_deref().and_then(|written| HeaderValue::from_str(written).ok());
        content_type.map(|value| headers.insert(CONTENT_TYPE, value));
        Ok(Self { method, query, body, headers })
    }

    fn webhook(&self, received_at: Timestamp) -> Webhook<'_> {
        Webhook {
            method: &self.method,
            query: self.query,
            headers: &self.headers,
            body: self.body,
            path_secret: None,
            peer: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            received_at,
        }
    }
}

#[cfg(test)]
mod tests;
