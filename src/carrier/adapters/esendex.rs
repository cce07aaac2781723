//! Esendex: push notifications of received messages.
//!
//! Comes in: POST of XML, told by its root element, or the form of older accounts, told by
//! `notificationType`. Goes out: one text.
//! Always true: a document type, and an entity that XML itself does not define, is refused, so nothing is
//! fetched or unfolded; whatever is not a received message is a receipt; only 200 is taken for yes.
//! Not here: anything that is sent through Esendex.
//!
//! Sources, 2026-11-22: developers.esendex.com/APIs/Push-Notifications; esendex/esendex-ruby-sdk,
//! `inbound_message.rb`; moretonb/EsendexPushNotifications, README. UNVERIFIED: how long it waits; whether
//! long texts come in one piece.

use std::borrow::Cow;
use std::time::Duration;

use quick_xml::Reader;
use quick_xml::escape::{escape, resolve_xml_entity};
use quick_xml::events::{BytesRef, Event};

use super::declared::{Declaration, Words};
use crate::carrier::reading::fields::filled_number;
use crate::carrier::reading::pointer::BYTE_ORDER_MARK;
use crate::carrier::reading::{charset, form};
use crate::carrier::{Account, Carrier, Contract, Delivery, Draft, Malformed, Signed, SigningError, Webhook};
use crate::message::{Inbound, Text};

static CONTRACT: Contract = Contract {
    name: "esendex",
    deadline: Duration::from_secs(10),
    // For 72 h.
    retries_503: true,
    ..Contract::USUAL
};

/// The form of older accounts.
static LEGACY: Declaration = Declaration {
    from: Words::Shipped(&["originator"]),
    to: Words::Shipped(&["recipient"]),
    text: Words::Shipped(&["body"]),
    id: Words::Shipped(&["id"]),
    time: Words::Shipped(&["sentAt", "receivedAt"]),
    texts_have: Words::Shipped(&["notificationType=MessageReceived"]),
    ..Declaration::USUAL
};

pub struct Esendex;

impl Carrier for Esendex {
    fn contract(&self) -> &'static Contract {
        &CONTRACT
    }

    fn parse(&self, webhook: &Webhook<'_>, account: &Account) -> Result<Delivery, Malformed> {
        let body = webhook.body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(webhook.body);
        let is_xml = body.trim_ascii_start().starts_with(b"<");
        if webhook.is_form() && !is_xml {
            return LEGACY.read(webhook, account);
        }
        Notification::read(webhook.body)?.into_delivery(webhook, account)
    }

    fn unsigned(&self, draft: &Draft, _account: &Account) -> Result<Signed, SigningError> {
        if draft.part.is_some() {
            return Err(SigningError::Unsupported(CONTRACT.name, "it joins long texts before it pushes them"));
        }
        let element = |name, value: &str| {
            // A line's end would be changed on the way.
            let escaped = escape(value).replace('\r', "&#13;");
            format!(" <{name}>{escaped}</{name}>\n")
        };
        let elements = [
            element("Id", &draft.id),
            element("MessageId", &draft.id),
            element("MessageText", &draft.text),
            element("From", &draft.from),
            element("To", &draft.to),
        ];
        Ok(Signed::post("application/xml", format!("<InboundMessage>\n{}</InboundMessage>\n", elements.concat())))
    }
}

/// The elements of a notification that matter.
const ELEMENTS: [&[u8]; 5] = [b"MessageId", b"Id", b"From", b"To", b"MessageText"];

/// Deepest that elements may stand in one another: a notification's are two deep, and the reader keeps the
/// name of each that is open.
const DEPTH_MAX: usize = 64;

const NOT_XML: Malformed = Malformed("not XML");
const TOO_DEEP: Malformed = Malformed("XML nested deeper than any notification");
const FOREIGN: Malformed = Malformed("XML with a document type or entities of its own");

/// What stands directly in the elements below the root.
#[derive(Default)]
struct Notification {
    root: Vec<u8>,
    /// In the order of `ELEMENTS`.
    values: [Option<Vec<u8>>; ELEMENTS.len()],
    /// Which of them is open.
    open: Option<usize>,
    depth: usize,
    /// As the XML says it.
    charset: Option<String>,
}

impl Notification {
    fn read(body: &[u8]) -> Result<Self, Malformed> {
        let mut notification = Self::default();
        let mut reader = Reader::from_reader(body);
        loop {
            match reader.read_event().map_err(|_| NOT_XML)? {
                Event::Eof if notification.depth == 0 && !notification.root.is_empty() => return Ok(notification),
                Event::Eof => return Err(NOT_XML),
                Event::DocType(_) => return Err(FOREIGN),
                Event::Decl(declaration) => {
                    let label = declaration.encoding().and_then(Result::ok);
                    notification.charset = form::filled(label);
                }
                Event::Start(start) => notification.enter(start.local_name().as_ref())?,
                Event::Empty(start) => {
                    notification.enter(start.local_name().as_ref())?;
                    notification.leave();
                }
                Event::End(_) => notification.leave(),
                Event::Text(text) => notification.add(&text),
                Event::CData(text) => notification.add(&text),
                Event::GeneralRef(reference) => {
                    let character = referred(&reference).ok_or(FOREIGN)?;
                    notification.add_character(character);
                }
                Event::Comment(_) | Event::PI(_) => {}
            }
        }
    }

    fn enter(&mut self, name: &[u8]) -> Result<(), Malformed> {
        self.depth += 1;
        match self.depth {
            1 if !self.root.is_empty() => return Err(NOT_XML),
            1 => self.root = name.to_vec(),
            depth if depth > DEPTH_MAX => return Err(TOO_DEEP),
            // Of two the first counts.
            2 => self.open = ELEMENTS.iter().position(|known| *known == name).filter(|at| self.values[*at].is_none()),
            _ => {}
        }
        if let (2, Some(open)) = (self.depth, self.open) {
            self.values[open] = Some(Vec::new());
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        if self.depth < 2 {
            self.open = None;
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        if let (2, Some(value)) = (self.depth, self.open.and_then(|open| self.values[open].as_mut())) {
            value.extend_from_slice(bytes);
        }
    }

    /// In the charset of what stands around it; where it is not in that, the text is none of it.
    fn add_character(&mut self, character: char) {
        let mut text = [0; 4];
        let text = &*character.encode_utf8(&mut text);
        let bytes = charset::encode(text, self.charset.as_deref());
        self.add(bytes.as_deref().unwrap_or(text.as_bytes()));
    }

    fn into_delivery(self, webhook: &Webhook<'_>, account: &Account) -> Result<Delivery, Malformed> {
        if self.root != b"InboundMessage" {
            return Ok(Delivery::Nothing("receipt"));
        }
        let label = self.charset.as_deref().or_else(|| webhook.charset());
        let [message_id, id, from, to, text] = self.values.map(|value| value.map(Cow::Owned));
        let to = filled_number(to);
        if to.is_none() && account.number.is_none() {
            return Err(Malformed("To missing"));
        }
        Ok(Delivery::Texts(vec![Inbound {
            carrier_message_id: form::filled(message_id).or_else(|| form::filled(id)),
            from: Text::from(filled_number(from).ok_or(Malformed("From missing"))?),
            to: to.map(Text::from),
            body: charset::decode(text.ok_or(Malformed("MessageText missing"))?, label),
            sent_at: None,
            part: None,
            segments: 1,
            media: Vec::new(),
        }]))
    }
}

/// The character of a number, or of one of the five names that XML itself defines.
fn referred(reference: &BytesRef<'_>) -> Option<char> {
    if reference.is_char_ref() {
        return reference.resolve_char_ref().ok().flatten();
    }
    let name = std::str::from_utf8(reference).ok()?;
    resolve_xml_entity(name)?.chars().next()
}
