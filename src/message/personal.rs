//! What must never show by accident: the words of a resident and the secrets of an account.

use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, Guard};
use serde::{Deserialize, Serialize};

/// What a resident wrote, exactly as received. `Debug` shows its length only.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(String);

impl Text {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

/// A password, token or signing key, cheap to clone; every clone sees a replacement. `Debug` shows nothing of it;
/// compared in constant time.
#[derive(Clone)]
pub struct Secret(Arc<ArcSwap<Content>>);

struct Content {
    bytes: Box<[u8]>,
    prepared: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// What a secret was when it was asked for.
pub struct SecretBytes(Guard<Arc<Content>>);

impl Deref for SecretBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl Secret {
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Content { bytes: bytes.into(), prepared: OnceLock::new() })))
    }

    /// From now on every clone is the other secret, and whoever is being compared with the old one is done with that
    /// first. Whether that changed anything.
    pub fn become_as(&self, other: &Self) -> bool {
        let is_new = !self.matches(&other.bytes());
        if is_new {
            self.0.store(other.0.load_full());
        }
        is_new
    }

    /// As `SecretBytes::with_key`, of what it is now.
    pub fn with_key<K: Any + Send + Sync, R>(&self, make: impl Fn(&[u8]) -> K, with: impl FnOnce(&K) -> R) -> R {
        self.bytes().with_key(make, with)
    }

    /// What it is now: whoever asks more than one thing of it asks that.
    pub fn bytes(&self) -> SecretBytes {
        SecretBytes(self.0.load())
    }

    /// As `SecretBytes::matches`, of what it is now.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        self.bytes().matches(candidate)
    }
}

impl SecretBytes {
    /// The key made of this secret, made once: setting one up costs as much as checking a short
    /// request with it. A secret is one kind of key; asked for a second kind it makes that each time.
    pub fn with_key<K: Any + Send + Sync, R>(&self, make: impl Fn(&[u8]) -> K, with: impl FnOnce(&K) -> R) -> R {
        let prepared = self.0.prepared.get_or_init(|| Box::new(make(self)));
        match prepared.downcast_ref() {
            Some(key) => with(key),
            None => with(&make(self)),
        }
    }

    /// Whether `candidate` is this secret, in a time that tells nothing of where they differ.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        use subtle::ConstantTimeEq;
        self.ct_eq(candidate).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_secrets_key_is_made_once_and_a_second_kind_each_time() {
        let made = Cell::new(0);
        let count = |bytes: &[u8]| {
            made.set(made.get() + 1);
            bytes.len()
        };
        let secret = Secret::new(*b"hush");
        assert_eq!(secret.with_key(count, |length| *length), 4);
        assert_eq!(secret.with_key(count, |length| *length), 4);
        assert_eq!(made.get(), 1);
        assert_eq!(secret.with_key(<[u8]>::to_vec, Vec::clone), b"hush");
        assert_eq!(secret.clone().with_key(count, |length| *length), 4);
        assert_eq!(made.get(), 1);
    }

    #[test]
    fn every_clone_of_a_secret_sees_its_replacement_and_so_does_its_key() {
        let secret = Secret::new(*b"hush");
        let clone = secret.clone();
        assert_eq!(clone.with_key(<[u8]>::len, |length| *length), 4);
        assert!(secret.become_as(&Secret::new(*b"silence")));
        assert!(clone.matches(b"silence") && !clone.matches(b"hush"));
        assert_eq!(clone.with_key(<[u8]>::len, |length| *length), 7);
        assert!(!secret.become_as(&Secret::new(*b"silence")), "nothing new");
    }

    #[test]
    fn debug_hides_secrets_and_texts() {
        assert_eq!(format!("{:?}", Secret::new(*b"hush")), "Secret(hidden)");
        assert_eq!(format!("{:?}", Text::from("hush")), "Text(4 bytes)");
    }
}
