//! Jasmin's HTTP thrower: what its `httpccm` connectors push.
//!
//! Comes in: GET, or POST of a form. Goes out: one text.
//! Always true: the answer is `ACK/Jasmin`, without which Jasmin sends again and at last drops; the bytes
//! of `binary` outrank `content`, which may have been mangled on the way; names count without regard to
//! case, as programs in between write them.
//! Not here: joining, which Jasmin does itself.
//!
//! Sources, 2026-11-22: jookies/jasmin, `jasmin/routing/throwers.py` and
//! `misc/doc/sources/apis/http/index.rst`; nyaruka/courier, `handlers/jasmin`. Codings: 3GPP TS 23.038
//! and SMPP 3.4, 5.2.19.

use std::borrow::Cow;
use std::time::Duration;

use hyper::Method;

use super::declared::from_hex;
use crate::carrier::reading::fields::{Case, Fields, filled_number};
use crate::carrier::reading::{charset, form, gsm7};
use crate::carrier::{Account, Carrier, Contract, Delivery, Draft, Key, Malformed, Signed, SigningError, Webhook};
use crate::message::{Body, Inbound, Text};

static CONTRACT: Contract = Contract {
    name: "jasmin",
    methods: &[Method::POST, Method::GET],
    deadline: Duration::from_secs(30),
    // 3 times, 30 s apart, whatever was wrong; 404 is meant to be final.
    retries_503: true,
    reply: Some(("text/plain", "ACK/Jasmin")),
    keys: &[Key { name: ALPHABET, check: check_alphabet }],
    ..Contract::USUAL
};

/// What an SMSC means by its default alphabet, coding 0: `gsm`, unless it has put it into a charset.
const ALPHABET: &str = "default_alphabet";
const GSM: &str = "gsm";

pub struct Jasmin;

impl Carrier for Jasmin {
    fn contract(&self) -> &'static Contract {
        &CONTRACT
    }

    fn parse(&self, webhook: &Webhook<'_>, account: &Account) -> Result<Delivery, Malformed> {
        let fields = match (webhook.method == Method::GET, webhook.is_form()) {
            (true, _) => Fields::pairs(webhook.query.as_bytes()),
            (false, true) => Fields::pairs(webhook.body),
            (false, false) => return Err(Malformed("not a form")),
        };
        let value = |name| fields.value(name, Case::Ignored);
        let words = match (value("binary").as_deref().and_then(from_hex), value("content")) {
            // Empty beside words, it says nothing of them.
            (Some(bytes), content) if !bytes.is_empty() || content.is_none() => Cow::Owned(bytes),
            (_, Some(content)) => content,
            (_, None) if value("message_status").is_some() || value("dlvrd").is_some() || value("err").is_some() => {
                return Ok(Delivery::Nothing("receipt"));
            }
            (_, None) => return Err(Malformed("content missing")),
        };
        let to = filled_number(value("to"));
        if to.is_none() && account.number.is_none() {
            return Err(Malformed("to missing"));
        }
        Ok(Delivery::Texts(vec![Inbound {
            carrier_message_id: form::filled(value("id")),
            from: Text::from(filled_number(value("from")).ok_or(Malformed("from missing"))?),
            to: to.map(Text::from),
            body: decode(words, value("coding").as_deref(), account.key(ALPHABET)),
            sent_at: None,
            part: None,
            segments: 1,
            media: Vec::new(),
        }]))
    }

    fn unsigned(&self, draft: &Draft, account: &Account) -> Result<Signed, SigningError> {
        if draft.part.is_some() {
            return Err(SigningError::Unsupported(CONTRACT.name, "it joins long texts before it pushes them"));
        }
        let alphabet = account.key(ALPHABET).unwrap_or(GSM);
        let default =
            if is_gsm(alphabet) { gsm7::encode(&draft.text) } else { charset::encode(&draft.text, Some(alphabet)) };
        let (coding, words) = match default {
            Some(words) => ("0", words),
            None => ("8", draft.text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        };
        let binary: String = words.iter().map(|byte| format!("{byte:02x}")).collect();
        let pairs: [(&str, &[u8]); 9] = [
            ("id", draft.id.as_bytes()),
            ("from", draft.from.as_bytes()),
            ("to", draft.to.as_bytes()),
            ("origin-connector", b"simulate"),
            ("priority", b"0"),
            ("coding", coding.as_bytes()),
            ("validity", b"None"),
            ("content", &words),
            ("binary", binary.as_bytes()),
        ];
        Ok(Signed {
            method: Method::POST,
            path_secret: None,
            query: String::new(),
            headers: vec![("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())],
            body: form::encode(pairs).into_bytes(),
        })
    }
}

/// By SMPP's data coding: its default alphabet, ASCII, Latin 1, JIS, Cyrillic, Hebrew, UCS-2, Korean;
/// 2 and 4 are bytes. Another, or none, is taken for UTF-8.
fn decode(words: Cow<'_, [u8]>, coding: Option<&[u8]>, alphabet: Option<&str>) -> Body {
    let label = match coding {
        Some(b"0") => match alphabet.filter(|alphabet| !is_gsm(alphabet)) {
            None => return in_default_alphabet(words),
            label => label,
        },
        Some(b"2" | b"4") => Some("8-bit"),
        Some(b"3") => Some("iso-8859-1"),
        Some(b"5") => Some("iso-2022-jp"),
        Some(b"6") => Some("iso-8859-5"),
        Some(b"7") => Some("iso-8859-8"),
        Some(b"8") => Some("utf-16be"),
        Some(b"14") => Some("euc-kr"),
        _ => None,
    };
    charset::decode(words, label)
}

/// A byte that the alphabet does not have tells that somebody has made UTF-8 of the text already.
fn in_default_alphabet(words: Cow<'_, [u8]>) -> Body {
    match gsm7::decode(&words) {
        Some(text) => Body::Text(Text::from(text)),
        None => charset::utf8(words),
    }
}

fn is_gsm(alphabet: &str) -> bool {
    alphabet.eq_ignore_ascii_case(GSM)
}

fn check_alphabet(alphabet: &str) -> Result<(), &'static str> {
    if is_gsm(alphabet) || charset::is_known(alphabet) {
        Ok(())
    } else {
        Err("is neither \"gsm\" nor a charset (\"ISO-8859-1\")")
    }
}
