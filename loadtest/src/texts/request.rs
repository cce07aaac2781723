//! A signed request of a carrier as the bytes of HTTP/1.1.
//!
//! Comes in: an account and what its carrier composed. Goes out: bytes, ready to be written to a connection.
//! Not here: what it says.

use sms_router::carrier::{Account, Signed};

pub fn whole(account: &Account, signed: &Signed) -> Vec<u8> {
    let mut head = format!("{} /inbound/{}", signed.method, account.name);
    if let Some(secret) = &signed.path_secret {
        head.push('/');
        head.push_str(secret);
    }
    if !signed.query.is_empty() {
        head.push('?');
        head.push_str(&signed.query);
    }
    head.push_str(" HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in &signed.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    // A GET has no body, and says nothing of it.
    if signed.method == "POST" {
        head.push_str(&format!("content-length: {}\r\n", signed.body.len()));
    }
    head.push_str("\r\n");
    [head.as_bytes(), &signed.body].concat()
}
