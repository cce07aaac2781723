//! SMSPortal: replies and short codes of South Africa.
//!
//! Comes in: GET in the form of webhooks V1 (website, older interfaces, short codes), or POST of JSON in
//! that of V2. Goes out: one text.
//! Always true: names count without regard to case, as its own pages differ in it; a status of a text
//! sent, which has a `Status` and no words, is a receipt.
//! Not here: templates of the current portal beyond these names: `carrier = "form"` declares any.
//!
//! Sources, 2026-11-22: docs.smsportal.com, "Webhooks V1 (GET)", "Webhooks V2 (POST)", "Build webhooks",
//! "Best practices". UNVERIFIED: the keys of a V2 reply after `Message`, taken from those of its status;
//! the zone of V1's times, which `time_zone` names; whether long texts come in one piece.

use std::borrow::Cow;
use std::time::Duration;

use hyper::Method;

use super::declared::{Declaration, Format, TIME_ZONE, Words, compose};
use crate::carrier::reading::fields::Case;
use crate::carrier::{Account, Carrier, Contract, Delivery, Draft, Malformed, Signed, SigningError, Webhook};

static CONTRACT: Contract = Contract {
    name: "smsportal",
    methods: &[Method::POST, Method::GET],
    // Anything but 2xx within it is tried again, 5 times in all.
    deadline: Duration::from_secs(10),
    retries_503: true,
    keys: &[TIME_ZONE],
    // V1 does not, and nothing in the settings says which of the two the carrier was given.
    names_number: false,
    ..Contract::USUAL
};

static V1: Declaration = Declaration {
    formats: Cow::Borrowed(&[Format::Query]),
    case: Case::Ignored,
    from: Words::Shipped(&["Phonenumber"]),
    // The documents of V1 name none; a short code's may.
    to: Words::Shipped(&["ShortCode", "To"]),
    text: Words::Shipped(&["IncomingData"]),
    id: Words::Shipped(&["IncomingID"]),
    time: Words::Shipped(&["IncomingDataTime"]),
    times: Words::Shipped(&["%d/%b/%Y %H:%M:%S"]),
    texts_lack: Words::Shipped(&["Status"]),
    words_outrank: true,
    // The portal tries an endpoint before it is used.
    probes: true,
    ..Declaration::USUAL
};

static V2: Declaration = Declaration {
    formats: Cow::Borrowed(&[Format::Json]),
    case: Case::Ignored,
    from: Words::Shipped(&["Msisdn", "From", "Phonenumber"]),
    to: Words::Shipped(&["To"]),
    text: Words::Shipped(&["Message", "IncomingData"]),
    id: Words::Shipped(&["Id", "IncomingID"]),
    time: Words::Shipped(&["Received", "IncomingDataTime"]),
    times: Words::Shipped(&["unix", "unix-ms", "iso", "%d/%b/%Y %H:%M:%S"]),
    segments: Words::Shipped(&["MsgCount"]),
    texts_lack: Words::Shipped(&["Status"]),
    words_outrank: true,
    ..Declaration::USUAL
};

pub struct SmsPortal;

impl Carrier for SmsPortal {
    fn contract(&self) -> &'static Contract {
        &CONTRACT
    }

    fn parse(&self, webhook: &Webhook<'_>, account: &Account) -> Result<Delivery, Malformed> {
        let declaration = if webhook.method == Method::GET { &V1 } else { &V2 };
        declaration.read(webhook, account)
    }

    fn unsigned(&self, draft: &Draft, _account: &Account) -> Result<Signed, SigningError> {
        compose(&V2, CONTRACT.name, draft)
    }
}
