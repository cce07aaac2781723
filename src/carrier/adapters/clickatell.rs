//! Clickatell: the platform's replies, those of One API, and the older Central's.
//!
//! Comes in: POST of JSON, GET, or POST of a form. Goes out: the texts of it.
//! Always true: a text in a charset of its own is bytes of that charset, escaped as in a form; Central's
//! times are two hours ahead of UTC all year round; a status of a text sent is a receipt.
//! Not here: Central's XML and SOAP; its other channels' events, which are passed over.
//!
//! Sources, 2026-11-22: clickatell.com/developers, "HTTP API reply callback"; clickatell/clickatell-php,
//! `Rest.php`; docs.clickatell.com, "Customer callbacks"; nyaruka/courier, `handlers/clickatell`;
//! kolypto/py-smsframework-clickatell, `receiver.py`. UNVERIFIED: how long it waits and when it sends
//! again; that the pieces of a long text come apart wherever a `udh` comes.

use std::borrow::Cow;
use std::time::Duration;

use hyper::Method;

use super::declared::{Declaration, Escapes, Format, Words, compose};
use crate::carrier::reading::pointer::Document;
use crate::carrier::{Account, Carrier, Contract, Delivery, Draft, Malformed, Signed, SigningError, Webhook};

static CONTRACT: Contract = Contract {
    name: "clickatell",
    methods: &[Method::POST, Method::GET],
    deadline: Duration::from_secs(10),
    // Whatever is neither 2xx nor a redirect is tried again.
    retries_503: true,
    ..Contract::USUAL
};

/// The platform's names first; Central's are others, so one declaration holds both.
const REPLY: Declaration = Declaration {
    from: Words::Shipped(&["fromNumber", "from"]),
    to: Words::Shipped(&["toNumber", "to"]),
    text: Words::Shipped(&["text"]),
    // `messageId` is that of the text replied to, where the reply has one of its own.
    id: Words::Shipped(&["replyMessageId", "moMsgId", "messageId"]),
    time: Words::Shipped(&["timestamp"]),
    times: Words::Shipped(&["unix-ms", "iso"]),
    zone: Some(Cow::Borrowed("+02:00")),
    text_charset: Words::Shipped(&["charset"]),
    udh: Words::Shipped(&["udh"]),
    texts_lack: Words::Shipped(&["statusCode", "status"]),
    words_outrank: true,
    ..Declaration::USUAL
};

static JSON: Declaration =
    Declaration { formats: Cow::Borrowed(&[Format::Json]), escapes: Escapes::FormIfCharset, ..REPLY };

/// Here the escapes of the charset's bytes are those of the query or form.
static PAIRS: Declaration =
    Declaration { formats: Cow::Borrowed(&[Format::Form, Format::Query]), probes: true, ..REPLY };

/// One API, whose list has held one text since its beginning.
static ONE_API: Declaration = Declaration {
    formats: Cow::Borrowed(&[Format::Json]),
    texts: Some(Cow::Borrowed("/event/moText")),
    from: Words::Shipped(&["from"]),
    to: Words::Shipped(&["to"]),
    text: Words::Shipped(&["content"]),
    id: Words::Shipped(&["messageId"]),
    time: Words::Shipped(&["timestamp"]),
    times: Words::Shipped(&["unix-ms", "iso"]),
    text_charset: Words::Shipped(&["charset"]),
    escapes: Escapes::FormIfCharset,
    ..Declaration::USUAL
};

pub struct Clickatell;

impl Carrier for Clickatell {
    fn contract(&self) -> &'static Contract {
        &CONTRACT
    }

    fn parse(&self, webhook: &Webhook<'_>, account: &Account) -> Result<Delivery, Malformed> {
        if webhook.method == Method::GET || !webhook.looks_like_json() {
            return PAIRS.read(webhook, account);
        }
        let document = Document::parse(webhook.body)?;
        let Some(event) = document.at("event", false) else { return JSON.read_json(document, webhook, account) };
        match event.at("moText", false) {
            Some(_) => ONE_API.read_json(document, webhook, account),
            None => Ok(Delivery::Nothing("event")),
        }
    }

    fn unsigned(&self, draft: &Draft, _account: &Account) -> Result<Signed, SigningError> {
        compose(&JSON, CONTRACT.name, draft)
    }
}
