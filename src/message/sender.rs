//! The keyed hash that stands for a sender wherever a number must not show: record keys, rows, ids.

use std::fmt;
use std::hash::Hasher;

use aws_lc_rs::{digest, hmac};
use siphasher::sip128::{Hasher128, SipHasher13};

use super::Number;

/// Shortest key taken, in bytes: below it a hash of a number could be undone by trying them all.
const KEY_LENGTH_MIN: usize = 16;

/// The secret behind every hash of a sender. The same key must serve all replicas and the archive.
#[derive(Clone)]
pub struct SenderKey {
    key: hmac::Key,
    fingerprint_key: [u8; 16],
    id: String,
}

impl SenderKey {
    /// `None` when fewer than 16 bytes are given.
    pub fn new(secret: &[u8]) -> Option<Self> {
        if secret.len() < KEY_LENGTH_MIN {
            return None;
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let fingerprint_key = first_16(hmac::sign(&key, b"sms-router fingerprint").as_ref());
        let id_digest = digest::digest(&digest::SHA256, hmac::sign(&key, b"sms-router key id").as_ref());
        let id = id_digest.as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Self { key, fingerprint_key, id })
    }

    /// 8 hexadecimal characters that name the key without telling anything of it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// HMAC-SHA256 of the normalised number, cut to 128 bits.
    pub fn hash(&self, sender: &Number) -> [u8; 16] {
        first_16(hmac::sign(&self.key, sender.as_str().as_bytes()).as_ref())
    }

    /// HMAC-SHA256 over any pieces, each preceded by its length, cut to 128 bits: ids that only
    /// holders of the key can recompute.
    pub fn digest(&self, pieces: &[&[u8]]) -> [u8; 16] {
        let mut context = hmac::Context::with_key(&self.key);
        for piece in pieces {
            context.update(&(piece.len() as u64).to_be_bytes());
            context.update(piece);
        }
        first_16(context.sign().as_ref())
    }

    /// A fast keyed hash (SipHash-1-3, 128 bits) of pieces: tells equal texts from different ones.
    pub fn fingerprint(&self, pieces: &[&[u8]]) -> [u8; 16] {
        let mut hasher = SipHasher13::new_with_key(&self.fingerprint_key);
        for piece in pieces {
            hasher.write(&(piece.len() as u64).to_be_bytes());
            hasher.write(piece);
        }
        hasher.finish128().as_bytes()
    }
}

impl fmt::Debug for SenderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SenderKey({})", self.id)
    }
}

fn first_16(bytes: &[u8]) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&bytes[..16]);
    out
}
