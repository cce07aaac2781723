//! Requests as a `generic` sender would push them: Standard Webhooks, signed, no two alike.
//!
//! Comes in: the account of the settings. Goes out: whole HTTP requests as bytes.
//! Always true: ids never repeat within a measurement, so nothing is a duplicate; all requests, and so
//! all records, have the same length. Not here: sending them.

use sms_router::carrier::{Account, Draft, SigningError};
use sms_router::message::Timestamp;

use crate::settings::{NUMBER, keyword};

/// What follows the keyword: with it a usual text of 16 characters.
const WORDS: &str = "on Main St";
/// Senders, of the range that Ofcom keeps for drama: 07700 900000 to 900999.
const SENDERS: u64 = 1_000;

/// Makes requests, numbered through.
pub struct Texts {
    account: Account,
    /// Keywords, taken in turns.
    topics: u64,
    made: u64,
}

impl Texts {
    pub fn new(account: Account, topics: u16) -> Self {
        Self { account, topics: topics.into(), made: 0 }
    }

    /// That many requests, signed now; good for five minutes.
    pub fn sign(&mut self, count: usize) -> Result<Vec<Vec<u8>>, SigningError> {
        let now = Timestamp::now();
        (0..count).map(|_| self.next(now)).collect()
    }

    fn next(&mut self, now: Timestamp) -> Result<Vec<u8>, SigningError> {
        self.made += 1;
        let draft = Draft {
            id: format!("loadtest-{:028}", self.made),
            from: format!("+447700900{:03}", self.made % SENDERS),
            to: NUMBER.to_owned(),
            text: format!("{} {WORDS}", keyword(self.made % self.topics)),
            part: None,
            now,
        };
        let signed = self.account.carrier.compose(&draft, &self.account)?;
        let mut request = format!("{} /inbound/{} HTTP/1.1\r\nhost: localhost\r\n", signed.method, self.account.name);
        for (name, value) in &signed.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("content-length: {}\r\n\r\n", signed.body.len()));
        Ok([request.as_bytes(), &signed.body].concat())
    }
}
