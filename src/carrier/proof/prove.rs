//! The other direction of `authenticate`: a request built here gets the proof its account asks for.
//!
//! Comes in: a request without proof, an account with secrets. Goes out: the same request, proven by
//! the account's first secret; and, for the settings, whether a secret can be one at all.
//! Always true: what `prove` makes, `authenticate` takes.
//! Not here: each carrier's signature (its own file).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::carrier::{Account, Auth, Carrier, Signed, SigningError};
use crate::message::{Secret, Timestamp};

/// Everything but the unreserved characters of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Adds the proof that the account's `auth` asks for.
pub fn prove(request: &mut Signed, account: &Account, now: Timestamp) -> Result<(), SigningError> {
    match account.auth {
        Auth::Signature => account.carrier.sign(request, account, now)?,
        Auth::Basic => {
            let pair = STANDARD.encode(&*secret(account)?.bytes());
            request.headers.push(("authorization".to_owned(), format!("Basic {pair}")));
        }
        Auth::Bearer => {
            let token = secret(account)?.bytes();
            let token = std::str::from_utf8(&token)
                .map_err(|_| SigningError::BadSecret(account.name.clone(), "a bearer token is printable ASCII"))?;
            request.headers.push(("authorization".to_owned(), format!("Bearer {token}")));
        }
        Auth::Path => request.path_secret = Some(escaped(secret(account)?)),
        Auth::Query => {
            let parameter = format!("secret={}", escaped(secret(account)?));
            request.append_query(&parameter);
        }
        Auth::None => {}
    }
    Ok(())
}

/// The secret to prove with: the first.
pub fn secret(account: &Account) -> Result<&Secret, SigningError> {
    let usable = account.secrets.iter().find(|secret| !secret.bytes().is_empty());
    usable.ok_or_else(|| SigningError::NoSecret(account.name.clone()))
}

/// The carrier's private key, where `simulate` was given one.
pub fn signing_key(account: &Account) -> Result<&Secret, SigningError> {
    account.signing_key.as_ref().ok_or(SigningError::NoSigningKey(account.carrier.contract().name))
}

/// Whether a secret of the settings fits the way its account is proven; if not, what is wrong with it.
pub fn check_secret(carrier: &dyn Carrier, auth: Auth, secret: &Secret) -> Result<(), &'static str> {
    let bytes = secret.bytes();
    if bytes.is_empty() {
        return Err("it is empty");
    }
    match auth {
        Auth::Signature => carrier.check_secret(secret),
        Auth::Basic if !bytes.contains(&b':') => Err("HTTP Basic needs user:password"),
        Auth::Bearer | Auth::Path | Auth::Query if !bytes.iter().all(u8::is_ascii_graphic) => {
            Err("it must be printable ASCII without blanks")
        }
        Auth::Path if bytes.contains(&b'/') => Err("a slash cannot be in a path's last segment"),
        Auth::Basic | Auth::Bearer | Auth::Path | Auth::Query | Auth::None => Ok(()),
    }
}

fn escaped(secret: &Secret) -> String {
    percent_encode(&secret.bytes(), ESCAPED).to_string()
}
