//! Jasmin's HTTP thrower: what its `httpccm` connectors push.
//!
//! Comes in: GET, or POST of a form. Goes out: one text.
//! Always true: the answer is `ACK/Jasmin`, without which Jasmin sends again and at last drops; the bytes
//! of `binary` outrank `content`, which may have been mangled on the way; names count without regard to
//! case, as programs in between write them. Pieces that SMPP's parameters tell of, or a header whose
//! reference has 8 bits, Jasmin joins; other pieces come one by one, their header before the words.
//! Not here: joining those; headers that say anything else.
//!
//! Sources, 2026-11-22: Jasmin 0.11.1 itself, which `tests/run jasmin` runs; jookies/jasmin,
//! `jasmin/routing/throwers.py`, `jasmin/managers/listeners.py` and
//! `misc/doc/sources/apis/http/index.rst`; nyaruka/courier, `handlers/jasmin`. Codings: 3GPP TS 23.038
//! and SMPP 3.4, 5.2.19.

use std::borrow::Cow;
use std::time::Duration;

use hyper::Method;

use super::declared::{from_hex, is_bare};
use crate::carrier::reading::fields::{Case, Fields, filled_number};
use crate::carrier::reading::{charset, form, gsm7, udh};
use crate::carrier::{Account, Carrier, Contract, Delivery, Draft, Key, Malformed, Signed, SigningError, Webhook};
use crate::message::{Body, Inbound, Part, Text};

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

/// How the header of a piece begins, before reference, total and number. As letters of GSM 03.38 these
/// are é@¥ and ùòè, with which no text begins.
const HEADERS: [&[u8]; 2] = [&[5, 0, 3], &[6, 8, 4]];

pub struct Jasmin;

impl Carrier for Jasmin {
    fn contract(&self) -> &'static Contract {
        &CONTRACT
    }

    fn parse(&self, webhook: &Webhook<'_>, account: &Account) -> Result<Delivery, Malformed> {
        if webhook.method == Method::GET && is_bare(webhook.query) {
            return Ok(Delivery::Nothing("probe"));
        }
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
        let (part, words) = without_header(words);
        Ok(Delivery::Texts(vec![Inbound {
            carrier_message_id: form::filled(value("id")),
            from: Text::from(filled_number(value("from")).ok_or(Malformed("from missing"))?),
            to: to.map(Text::from),
            body: decode(words, value("coding").as_deref().and_then(octet), account.key(ALPHABET)),
            sent_at: None,
            part,
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
        let (coding, words): (&[u8], _) = match default {
            Some(words) => (&[0], words),
            None => (&[8], draft.text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        };
        let binary: String = words.iter().map(|byte| format!("{byte:02x}")).collect();
        let pairs: [(&str, &[u8]); 8] = [
            ("id", draft.id.as_bytes()),
            ("from", draft.from.as_bytes()),
            ("to", draft.to.as_bytes()),
            ("origin-connector", b"simulate"),
            ("content", &words),
            ("binary", binary.as_bytes()),
            ("priority", b"0"),
            ("coding", coding),
        ];
        Ok(Signed::post("application/x-www-form-urlencoded", form::encode(pairs)))
    }
}

/// SMPP's data coding. Jasmin's documents have digits, Jasmin 0.11.1 sends the octet itself. An octet that
/// is a digit would be none of the codings.
fn octet(coding: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(coding).ok().and_then(|digits| digits.parse().ok());
    digits.or(if let [octet] = coding { Some(*octet) } else { None })
}

/// The piece that a header before the words speaks of, and the words without it.
fn without_header(words: Cow<'_, [u8]>) -> (Option<Part>, Cow<'_, [u8]>) {
    let header = HEADERS.iter().find(|header| words.starts_with(header)).map_or(0, |header| usize::from(header[0]) + 1);
    match words.get(..header).and_then(udh::part) {
        Some(part) => (Some(part), Cow::Owned(words[header..].to_vec())),
        None => (None, words),
    }
}

/// By data coding: SMPP's default alphabet (also that of message classes), ASCII, Latin 1, JIS, Cyrillic,
/// Hebrew, UCS-2, Korean; some are bytes. Another, or none, is taken for UTF-8.
fn decode(words: Cow<'_, [u8]>, coding: Option<u8>, alphabet: Option<&str>) -> Body {
    let label = match coding {
        Some(0 | 0xf0..=0xf3) => match alphabet.filter(|alphabet| !is_gsm(alphabet)) {
            None => return in_default_alphabet(words),
            label => label,
        },
        Some(2 | 4 | 0xf4..=0xf7) => Some("8-bit"),
        Some(3) => Some("iso-8859-1"),
        Some(5) => Some("iso-2022-jp"),
        Some(6) => Some("iso-8859-5"),
        Some(7) => Some("iso-8859-8"),
        Some(8) => Some("utf-16be"),
        Some(14) => Some("euc-kr"),
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
