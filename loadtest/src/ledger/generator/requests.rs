//! Requests as each carrier makes them, signed now.
//!
//! Comes in: texts of the script. Goes out: whole HTTP requests as bytes. Always true: the same texts
//! give the same ids and bodies every time; only times and signatures differ, as in a carrier's retry.
//! Not here: sending.

use anyhow::Context;
use sms_router::carrier::{Account, Draft, Signed, prove};
use sms_router::config::Config;
use sms_router::message::{Part, Timestamp};

use crate::installation::account;
use crate::script::{Carrier, Key, Script, Told};

/// What one request carries.
#[derive(Debug, Clone)]
pub enum Parcel {
    One(Key),
    /// Several texts of several senders: `generic` only.
    Batch(Vec<Key>),
    /// The piece of that number, counted from 1, of a text in parts: `generic` only.
    Piece(Key, u16),
}

/// The accounts, and what to write for them.
pub struct Requests {
    pub script: Script,
    accounts: Vec<Account>,
}

impl Requests {
    pub fn new(script: Script, config: &Config) -> Self {
        Self { script, accounts: config.accounts.iter().map(|(account, _)| account.clone()).collect() }
    }

    pub fn write(&self, parcel: &Parcel) -> anyhow::Result<Vec<u8>> {
        let now = Timestamp::now();
        match parcel {
            Parcel::One(key) => {
                let told = self.script.text(*key);
                let account = self.account(told.carrier)?;
                Ok(whole(account, &account.carrier.compose(&draft(told, now), account)?))
            }
            Parcel::Batch(keys) => self.batch(keys, now),
            Parcel::Piece(key, number) => {
                let mut told = self.script.text(*key);
                let account = self.account(told.carrier)?;
                let part = Part { reference: (key.sequence % 256).to_string(), total: told.parts, number: *number };
                told.body = piece(&told.body, told.parts, *number);
                told.id = format!("{}-{number}", told.id);
                let draft = Draft { part: Some(part), ..draft(told, now) };
                Ok(whole(account, &account.carrier.compose(&draft, account)?))
            }
        }
    }

    fn batch(&self, keys: &[Key], now: Timestamp) -> anyhow::Result<Vec<u8>> {
        let account = self.account(Carrier::Generic)?;
        let told = keys.iter().map(|key| self.script.text(*key));
        let data: Vec<_> = told
            .map(|told| serde_json::json!({"id": told.id, "from": told.from, "to": told.to, "text": told.body}))
            .collect();
        let body = serde_json::json!({"type": "sms.received", "timestamp": now.to_string(), "data": data});
        let mut signed = Signed {
            method: "POST".parse()?,
            path_secret: None,
            query: String::new(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.to_string().into_bytes(),
        };
        prove(&mut signed, account, now)?;
        Ok(whole(account, &signed))
    }

    fn account(&self, carrier: Carrier) -> anyhow::Result<&Account> {
        let name = account(carrier);
        self.accounts.iter().find(|account| account.name.as_str() == name).context("the settings lack an account")
    }
}

fn draft(told: Told, now: Timestamp) -> Draft {
    Draft { id: told.id, from: told.from, to: told.to.to_owned(), text: told.body, part: None, now }
}

/// One of `total` nearly equal pieces, cut between characters.
fn piece(body: &str, total: u16, number: u16) -> String {
    let characters: Vec<char> = body.chars().collect();
    let cut = |at: u16| characters.len() * usize::from(at) / usize::from(total);
    characters[cut(number - 1)..cut(number)].iter().collect()
}

fn whole(account: &Account, signed: &Signed) -> Vec<u8> {
    let mut target = format!("/inbound/{}", account.name);
    if let Some(secret) = &signed.path_secret {
        target.push('/');
        target.push_str(secret);
    }
    if !signed.query.is_empty() {
        target.push('?');
        target.push_str(&signed.query);
    }
    let mut head = format!("{} {target} HTTP/1.1\r\nhost: localhost\r\n", signed.method);
    for (name, value) in &signed.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !signed.body.is_empty() {
        head.push_str(&format!("content-length: {}\r\n", signed.body.len()));
    }
    [head.as_bytes(), b"\r\n", &signed.body].concat()
}

#[cfg(test)]
mod tests {
    use super::piece;

    #[test]
    fn pieces_make_the_whole() {
        let body = "a na\u{ef}ve \u{1f6a7} story of several pieces";
        for total in 1..=5 {
            let joined: String = (1..=total).map(|number| piece(body, total, number)).collect();
            assert_eq!(joined, body);
        }
    }
}
