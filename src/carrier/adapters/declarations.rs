//! Carriers of which all is declared, and how firm what is known of them is.
//!
//! Always true: none signs anything, so the account's secret stands in the path, the query or an
//! `Authorization` header, or the carrier's addresses are listed; none is documented to send again, so
//! each is taken not to.
//! Not here: reading (`declared`), carriers with more to them than fields (their own files).
//!
//! Firmness, from 1 (names only) to 5 (official documents and code agree), and where each is from, all
//! looked at on 2026-11-22:
//!
//! | carrier | firm | from |
//! |---|---|---|
//! | firetext | 3 | alphagov/notifications-api, `receive_notifications.py` and its tests; FireText-PHP-SDK. The zone of `time` is not stated |
//! | mmg | 3 | alphagov/notifications-api, the same; its tests take `DateRecieved` for UTC |
//! | textlocal | 3 | api.txtlocal.com/docs/inboundmessages/postmessages |
//! | africastalking | 3 | nyaruka/courier, `handlers/africastalking`; SamuelMwangiW/africastalking-laravel; the zone of times without one UNVERIFIED, taken for UTC as both do |
//! | clicksend | 2 | names of consumers: obrienware/transport, activepieces, nyaruka/courier; the official page on pushes was not to be had |
//! | gupshup | 2 | docs.gupshup.io, "Setting a response SMS"; the names are those of the URL template, the form of its time UNVERIFIED and left out |
//! | mtarget | 2 | nyaruka/courier, `handlers/mtarget` |
//! | highconnection | 2 | nyaruka/courier, `handlers/highconnection`; ISO-8859-15 differs from -1 in eight characters, of which the euro sign is one: taken for -15. Zone UNVERIFIED, taken for UTC as courier does |
//! | burstsms | 2 | nyaruka/courier, `handlers/burstsms` |
//! | thinq | 2 | nyaruka/courier, `handlers/thinq` |

use std::borrow::Cow;
use std::time::Duration;

use hyper::Method;

use super::declared::{Declaration, Declared, Escapes, Format, TIME_ZONE, Words};
use crate::carrier::{Auth, Contract};

/// What none of their documents says: as if it were short, and a refusal final.
const UNSTATED: Contract = Contract { deadline: Duration::from_secs(10), retries_503: false, ..Contract::USUAL };

const UTC: Option<Cow<'static, str>> = Some(Cow::Borrowed("UTC"));
const QUERY_OR_FORM: Cow<'static, [Format]> = Cow::Borrowed(&[Format::Form, Format::Query]);

/// POST of a form. Its senders are written in every way, `(+44)7…` without escapes among them.
pub static FIRETEXT: Declared = Declared {
    contract: Contract {
        name: "firetext",
        // Credentials in the URL, which become HTTP Basic.
        auth: Auth::Basic,
        identifies: false,
        keys: &[TIME_ZONE],
        ..UNSTATED
    },
    declaration: Declaration {
        from: Words::Shipped(&["source"]),
        to: Words::Shipped(&["destination"]),
        text: Words::Shipped(&["message"]),
        time: Words::Shipped(&["time"]),
        ..Declaration::USUAL
    },
};

/// POST of JSON, the text and the time escaped as in a form, the text with backslashes before that.
pub static MMG: Declared = Declared {
    contract: Contract { name: "mmg", auth: Auth::Basic, keys: &[TIME_ZONE], ..UNSTATED },
    declaration: Declaration {
        formats: Cow::Borrowed(&[Format::Json]),
        from: Words::Shipped(&["MSISDN"]),
        to: Words::Shipped(&["Number"]),
        text: Words::Shipped(&["Message"]),
        id: Words::Shipped(&["ID"]),
        // As MMG spells it, and as it would if it mended that.
        time: Words::Shipped(&["DateRecieved", "DateReceived"]),
        escapes: Escapes::BackslashThenForm,
        zone: UTC,
        ..Declaration::USUAL
    },
};

/// POST of a form; the sample in its documents reads either method.
pub static TEXTLOCAL: Declared = Declared {
    contract: Contract { name: "textlocal", methods: &[Method::POST, Method::GET], identifies: false, ..UNSTATED },
    declaration: Declaration {
        formats: QUERY_OR_FORM,
        from: Words::Shipped(&["sender"]),
        to: Words::Shipped(&["inNumber"]),
        // `comments` is the same without its keyword.
        text: Words::Shipped(&["content", "comments"]),
        probes: true,
        ..Declaration::USUAL
    },
};

/// POST of a form. Deliveries are told to another URL, with a `status`.
pub static AFRICASTALKING: Declared = Declared {
    contract: Contract { name: "africastalking", ..UNSTATED },
    declaration: Declaration {
        from: Words::Shipped(&["from"]),
        to: Words::Shipped(&["to"]),
        text: Words::Shipped(&["text"]),
        id: Words::Shipped(&["id"]),
        time: Words::Shipped(&["date"]),
        texts_lack: Words::Shipped(&["status"]),
        words_outrank: true,
        zone: UTC,
        ..Declaration::USUAL
    },
};

/// As the inbound rule says: a form, a query or JSON, with older names beside the newer.
pub static CLICKSEND: Declared = Declared {
    contract: Contract { name: "clicksend", methods: &[Method::POST, Method::GET], identifies: false, ..UNSTATED },
    declaration: Declaration {
        formats: Cow::Borrowed(&[Format::Form, Format::Query, Format::Json]),
        from: Words::Shipped(&["from", "sms"]),
        to: Words::Shipped(&["to"]),
        text: Words::Shipped(&["body", "message"]),
        id: Words::Shipped(&["message_id", "messageid"]),
        time: Words::Shipped(&["timestamp", "timestamp_send"]),
        times: Words::Shipped(&["unix", "iso"]),
        probes: true,
        ..Declaration::USUAL
    },
};

/// GET of a URL template that the operator writes, with the names of the documents' sample. What is
/// answered becomes a text to the resident: nothing.
pub static GUPSHUP: Declared = Declared {
    contract: Contract { name: "gupshup", methods: &[Method::GET, Method::POST], identifies: false, ..UNSTATED },
    declaration: Declaration {
        formats: Cow::Borrowed(&[Format::Query, Format::Form]),
        from: Words::Shipped(&["msisdn"]),
        to: Words::Shipped(&["phonecode"]),
        text: Words::Shipped(&["content"]),
        probes: true,
        ..Declaration::USUAL
    },
};

/// POST of a form; the pieces of a long text come apart, in any order. It names no number.
pub static MTARGET: Declared = Declared {
    // Pieces come without an id.
    contract: Contract { name: "mtarget", identifies: false, names_number: false, ..UNSTATED },
    declaration: Declaration {
        from: Words::Shipped(&["Msisdn"]),
        text: Words::Shipped(&["Content"]),
        id: Words::Shipped(&["MsgId"]),
        reference: Words::Shipped(&["msglong.id"]),
        total: Words::Shipped(&["msglong.msgcount"]),
        number: Words::Shipped(&["msglong.msgref"]),
        texts_lack: Words::Shipped(&["Status"]),
        words_outrank: true,
        ..Declaration::USUAL
    },
};

/// POST of a form whose escapes are not UTF-8.
pub static HIGHCONNECTION: Declared = Declared {
    contract: Contract { name: "highconnection", ..UNSTATED },
    declaration: Declaration {
        from: Words::Shipped(&["FROM"]),
        to: Words::Shipped(&["TO"]),
        text: Words::Shipped(&["MESSAGE"]),
        id: Words::Shipped(&["ID"]),
        time: Words::Shipped(&["RECEPTION_DATE"]),
        texts_lack: Words::Shipped(&["ret_id"]),
        words_outrank: true,
        charset: Some(Cow::Borrowed("ISO-8859-15")),
        zone: UTC,
        ..Declaration::USUAL
    },
};

/// GET with two fields. It names no number.
pub static BURSTSMS: Declared = Declared {
    contract: Contract {
        name: "burstsms",
        methods: &[Method::GET, Method::POST],
        identifies: false,
        names_number: false,
        ..UNSTATED
    },
    declaration: Declaration {
        formats: Cow::Borrowed(&[Format::Query, Format::Form]),
        from: Words::Shipped(&["mobile"]),
        text: Words::Shipped(&["response"]),
        texts_lack: Words::Shipped(&["status"]),
        words_outrank: true,
        ..Declaration::USUAL
    },
};

/// POST of a form. A picture comes in the place of the text, as a link or in base64.
pub static THINQ: Declared = Declared {
    contract: Contract { name: "thinq", identifies: false, ..UNSTATED },
    declaration: Declaration {
        from: Words::Shipped(&["from"]),
        to: Words::Shipped(&["to"]),
        text: Words::Shipped(&["message"]),
        texts_lack: Words::Shipped(&["send_status", "status"]),
        words_outrank: true,
        text_is_media: Words::Shipped(&["type=mms"]),
        ..Declaration::USUAL
    },
};
