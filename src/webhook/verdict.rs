//! What became of a request: one enum from which status, metric label and log level follow.

use hyper::StatusCode;
use tracing::Level;

use crate::carrier::AuthFailure;
use crate::intake;

/// The answer to one webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every text in it is durable: published, known from before, or kept in dead-letter for good.
    Accepted,
    /// A well-formed request without a text: a probe, a receipt. The word names it in a metric.
    Nothing(&'static str),
    /// It can never succeed as it is.
    Refused(Refusal),
    /// Our own trouble: the carrier should send it again.
    Deferred(Deferral),
}

/// Whose fault it was: the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    NoSuchPath,
    UnknownAccount,
    Method,
    Unproven(AuthFailure),
    /// Kept in dead-letter.
    Malformed,
    TooLarge,
    TooSlow,
    /// The connection broke before the request was whole.
    BrokenOff,
}

/// Whose fault it was: ours, for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deferral {
    /// Too many texts are on their way already.
    InFlight,
    /// Too many of them are this account's.
    Account,
    /// The account brings more new texts a second than it may.
    Rate,
    /// Too many bytes of bodies are being read already.
    Bodies,
    /// The carrier's deadline passed; the text may still become durable.
    Deadline,
    /// A text of it is not durable.
    Text(intake::Deferral),
    /// The certificate that a request names could not be had.
    Certificate,
    /// A subscription could not be confirmed.
    Confirmation,
    /// A defect of ours: the text may or may not be durable, so the carrier is asked to send it again.
    Panic,
}

impl From<intake::Deferral> for Deferral {
    fn from(deferral: intake::Deferral) -> Self {
        Self::Text(deferral)
    }
}

impl From<intake::Full> for Deferral {
    fn from(full: intake::Full) -> Self {
        match full {
            intake::Full::All => Self::InFlight,
            intake::Full::Account => Self::Account,
        }
    }
}

impl Verdict {
    /// 200 and never 204, which Kannel takes for a failure; 503 and never 429, after which some
    /// carriers slow down for good.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Accepted | Self::Nothing(_) => StatusCode::OK,
            Self::Refused(Refusal::NoSuchPath | Refusal::UnknownAccount) => StatusCode::NOT_FOUND,
            Self::Refused(Refusal::Method) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Refused(Refusal::Unproven(AuthFailure::Forgotten)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Refused(Refusal::Unproven(_)) => StatusCode::FORBIDDEN,
            Self::Refused(Refusal::Malformed | Refusal::BrokenOff) => StatusCode::BAD_REQUEST,
            Self::Refused(Refusal::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Refused(Refusal::TooSlow) => StatusCode::REQUEST_TIMEOUT,
            Self::Deferred(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// A word for logs and metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Nothing(kind) => kind,
            Self::Refused(Refusal::NoSuchPath) => "no_such_path",
            Self::Refused(Refusal::UnknownAccount) => "unknown_account",
            Self::Refused(Refusal::Method) => "method",
            Self::Refused(Refusal::Unproven(failure)) => failure.reason(),
            Self::Refused(Refusal::Malformed) => "malformed",
            Self::Refused(Refusal::TooLarge) => "too_large",
            Self::Refused(Refusal::TooSlow) => "too_slow",
            Self::Refused(Refusal::BrokenOff) => "broken_off",
            Self::Deferred(Deferral::InFlight) => "in_flight",
            Self::Deferred(Deferral::Account) => "account",
            Self::Deferred(Deferral::Rate) => "rate",
            Self::Deferred(Deferral::Bodies) => "bodies",
            Self::Deferred(Deferral::Deadline) => "deadline",
            Self::Deferred(Deferral::Text(deferral)) => deferral.reason(),
            Self::Deferred(Deferral::Certificate) => "certificate",
            Self::Deferred(Deferral::Confirmation) => "confirmation",
            Self::Deferred(Deferral::Panic) => "panic",
        }
    }

    /// How loud it is in the log. What the internet does to us is quiet; what loses a carrier's
    /// patience is not.
    pub fn level(self) -> Level {
        match self {
            Self::Accepted | Self::Nothing(_) => Level::DEBUG,
            Self::Refused(
                Refusal::NoSuchPath | Refusal::UnknownAccount | Refusal::Method | Refusal::TooSlow | Refusal::BrokenOff,
            ) => Level::DEBUG,
            Self::Refused(Refusal::Unproven(_)) => Level::INFO,
            Self::Deferred(Deferral::Panic) => Level::ERROR,
            Self::Refused(Refusal::Malformed | Refusal::TooLarge) | Self::Deferred(_) => Level::WARN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_tell_carriers_the_truth() {
        for (verdict, status) in [
            (Verdict::Accepted, 200),
            (Verdict::Nothing("receipt"), 200),
            (Verdict::Refused(Refusal::NoSuchPath), 404),
            (Verdict::Refused(Refusal::UnknownAccount), 404),
            (Verdict::Refused(Refusal::Method), 405),
            (Verdict::Refused(Refusal::Unproven(AuthFailure::Mismatch)), 403),
            (Verdict::Refused(Refusal::Unproven(AuthFailure::Forgotten)), 503),
            (Verdict::Refused(Refusal::Malformed), 400),
            (Verdict::Refused(Refusal::TooLarge), 413),
            (Verdict::Refused(Refusal::TooSlow), 408),
            (Verdict::Deferred(Deferral::Deadline), 503),
            (Verdict::Deferred(Deferral::Certificate), 503),
            (Verdict::Deferred(Deferral::Panic), 503),
        ] {
            assert_eq!(verdict.status().as_u16(), status, "{verdict:?}");
        }
    }
}
