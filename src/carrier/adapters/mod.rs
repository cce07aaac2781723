//! The carriers themselves, a file each.
//!
//! Comes in: a request, or a draft of one. Goes out: its texts, or the request as the carrier writes it.
//! Always true: a file begins with its sources and says what in it is unverified; nothing outside this folder
//! knows one carrier from another.
//! Not here: what several carriers share (`reading`, `proof`).
//!
//! The next one: a file that implements `Carrier` (a contract, `parse`, `unsigned`, and for one that signs
//! `verify`, `sign` and `check_secret`; `listing` where its API lists received texts) and a line in `CARRIERS`; the
//! README ("The next adapter") says it step by step. One whose requests are nothing but fields is a row of
//! `declarations`; `declared` reads those, and what an operator declares.

mod aws_sns;
mod bandwidth;
mod bird;
mod clickatell;
mod declarations;
mod declared;
mod esendex;
mod forty_six_elks;
mod generic;
mod infobip;
mod jasmin;
mod kannel;
mod messagebird;
mod notify;
mod plivo;
mod sinch;
mod smsportal;
mod telnyx;
mod twilio;
mod vonage;

pub use aws_sns::string_to_sign;
pub use declared::{Declaration, Escapes, FORM, Format, Reply, Words, check_time_form};

/// Signing by Standard Webhooks, for what we push ourselves.
pub mod standard_webhooks {
    pub use super::generic::{check_secret, signature};
}

use super::Carrier;

/// Every carrier this build speaks to. The next one is a file beside these and a line here.
pub static CARRIERS: &[&dyn Carrier] = &[
    &aws_sns::AwsSns,
    &bandwidth::Bandwidth,
    &bird::Bird,
    &clickatell::Clickatell,
    &&declarations::AFRICASTALKING,
    &&declarations::BURSTSMS,
    &&declarations::CLICKSEND,
    &&declarations::FIRETEXT,
    &&declarations::GUPSHUP,
    &&declarations::HIGHCONNECTION,
    &&declarations::MMG,
    &&declarations::MTARGET,
    &&declarations::TEXTLOCAL,
    &&declarations::THINQ,
    &&declared::OPERATOR_DECLARED,
    &esendex::Esendex,
    &&forty_six_elks::FORTY_SIX_ELKS,
    &generic::Generic,
    &infobip::Infobip,
    &jasmin::Jasmin,
    &kannel::Kannel,
    &messagebird::MessageBird,
    &notify::Notify,
    &plivo::Plivo,
    &sinch::Sinch,
    &smsportal::SmsPortal,
    &telnyx::Telnyx,
    &twilio::Twilio,
    &vonage::Vonage,
];

/// The carrier of that name in the settings.
pub fn by_name(name: &str) -> Option<&'static dyn Carrier> {
    CARRIERS.iter().copied().find(|carrier| carrier.contract().name == name)
}
