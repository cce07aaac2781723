//! What can differ between a request and the settings, and the sentence for each.
//!
//! Always true: no sentence carries a secret, a number or a text of the request.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::carrier::Auth;
use crate::message::AccountName;

/// One thing that differs. `Display` is a sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The signature is one for this URL, which differs from the account's in these parts.
    Url {
        url: String,
        differs: Vec<&'static str>,
    },
    /// Everything fits but the time, which is so many seconds before the request came; after it, if negative.
    Time {
        seconds: i64,
        window: Duration,
    },
    /// The proof ended by its own word.
    Over,
    /// The header is there that often, not once.
    Header {
        name: &'static str,
        count: usize,
    },
    /// Something else of the proof is missing: a parameter, or a token within.
    Elsewhere,
    /// The secret is there in another way than the settings say.
    Auth(Auth),
    /// It fits a secret of another account, perhaps with that account's or another spelling of the URL.
    OtherAccount(AccountName),
    /// It fits with the body changed like this.
    Body(&'static str),
    /// It fits without this parameter of the body; `None` when its name is not to be shown.
    Parameter(Option<String>),
    /// It fits with the query changed like this.
    Query(&'static str),
    /// So many bytes of the body are missing.
    Cut(usize),
    TooLarge {
        bytes: usize,
        max: usize,
    },
    /// The carrier calls with others.
    Method,
    /// Not the account's path, as far as is known; the account whose it is.
    Path {
        account: AccountName,
        other: Option<AccountName>,
    },
    /// A segment behind the account's name, which belongs to `auth = "path"`.
    PathSecret,
    /// Not among those allowed; `None` when it is not known.
    Address(Option<IpAddr>),
    /// The certificate that it names is not one of the account's folder; this command fetches none.
    Certificate,
    /// None of what was tried makes it fit.
    Nothing,
}

impl Finding {
    /// The URL for which the request was signed.
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Url { url, .. } => Some(url),
            _ => None,
        }
    }

    /// How far its time is off.
    pub fn seconds(&self) -> Option<i64> {
        match self {
            Self::Time { seconds, .. } => Some(*seconds),
            _ => None,
        }
    }

    /// A word for it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Url { .. } => "url",
            Self::Time { .. } | Self::Over => "time",
            Self::Header { .. } => "header",
            Self::Elsewhere => "missing",
            Self::Auth(_) => "auth",
            Self::OtherAccount(_) => "account",
            Self::Body(_) | Self::Parameter(_) | Self::Cut(_) | Self::TooLarge { .. } => "body",
            Self::Query(_) => "query",
            Self::Method => "method",
            Self::Path { .. } | Self::PathSecret => "path",
            Self::Address(_) => "address",
            Self::Certificate => "certificate",
            Self::Nothing => "unknown",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { url, differs } => {
                write!(f, "the signature fits {url}: the account's url should be that; it differs in: {}", differs.join(", "))
            }
            Self::Time { seconds, window } => {
                let (side, off, window) = (if *seconds > 0 { "before" } else { "after" }, seconds.unsigned_abs(), window.as_secs());
                write!(f, "the signature fits, and its time is {off} s {side} the request came, with {window} s allowed: ")?;
                f.write_str("a request sent again, or a clock that is wrong; a capture of earlier needs --at")
            }
            Self::Over => f.write_str("the signature fits, and ended before the request came; a capture of earlier needs --at"),
            Self::Header { name, count: 0 } => {
                write!(f, "there is no header {name}: the carrier does not send it, or something on the way drops it")
            }
            Self::Header { name, count } => write!(f, "there are {count} headers {name}: of several nobody knows which counts"),
            Self::Elsewhere => f.write_str("a part of the proof is missing that is not a header of its own, or is not of its form"),
            Self::Auth(auth) => {
                write!(f, "a secret of the account is there as auth = \"{0}\" has it: the account's auth should be \"{0}\"", auth.word())
            }
            Self::OtherAccount(other) => {
                write!(f, "it fits a secret of the account {other}: the carrier calls the wrong account, or secrets are mixed up")
            }
            Self::Body(how) => write!(f, "it fits {how}: the body was changed on its way, or in the capture"),
            Self::Parameter(name) => {
                let name = name.as_deref().unwrap_or("(not shown)");
                write!(f, "it fits without the parameter {name} of the body: something on the way added it")
            }
            Self::Query(how) => write!(f, "it fits {how}: something on the way changed the query"),
            Self::Cut(missing) => {
                write!(f, "{missing} bytes of the body are missing: the capture is not whole, or the body was changed")
            }
            Self::TooLarge { bytes, max } => write!(f, "the body has {bytes} bytes, {max} are taken: answered 413"),
            Self::Method => f.write_str("the carrier does not call with this method: answered 405"),
            Self::Path { account, other: None } => {
                write!(f, "the path is not /inbound/{account}: answered 404, unless something on the way rewrites it")
            }
            Self::Path { other: Some(other), .. } => write!(f, "the path is that of the account {other}"),
            Self::PathSecret => {
                f.write_str("a segment follows the account's name in the path, which only auth = \"path\" has: refused")
            }
            Self::Address(Some(peer)) => write!(f, "{peer} is none of the account's allow: refused before any proof"),
            Self::Address(None) => {
                f.write_str("the account allows certain addresses only; --peer says which one to judge")
            }
            Self::Certificate => f.write_str("the certificate that it names is not in the account's folder of certificates: put it there to have the signature checked; nothing is fetched here"),
            Self::Nothing => f.write_str(
                "nothing that was tried makes it fit: the secret is not the carrier's, or the body was changed on its way",
            ),
        }
    }
}
