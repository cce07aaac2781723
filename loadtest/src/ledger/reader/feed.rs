//! The feed, read as a department reads it: over HTTP, page after page, with its token.
//!
//! Comes in: the api's address; the folder, for streams that no feed shows. Goes out: every record, oldest first.
//! Always true: what a page ends with is where the next begins. Not here: long polls.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::value::RawValue;

use sms_router::store::{self, Cursor};

use crate::installation::token;

/// Entries of one look at a stream.
const PAGE_ENTRIES: usize = 1_000;
/// How long one page may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Event {
    id: String,
    data: Box<RawValue>,
}

/// Hands over every record's JSON.
pub fn drain(api: SocketAddr, department: &str, mut take: impl FnMut(&[u8])) -> anyhow::Result<()> {
    let mut last = String::new();
    loop {
        let page = page(api, department, &last).with_context(|| format!("the feed of {department}"))?;
        let events: Vec<Event> = serde_json::from_slice(&page)?;
        let Some(end) = events.last() else { return Ok(()) };
        last.clone_from(&end.id);
        events.iter().for_each(|event| take(event.data.get().as_bytes()));
    }
}

/// Hands over every value of one of the router's own streams, which no feed shows.
pub fn stream(data: &Path, name: &str, mut take: impl FnMut(&[u8])) -> anyhow::Result<()> {
    let reader = store::Reader::open(data)?;
    let mut after = Cursor::START;
    loop {
        let entries = reader.read(name, after, PAGE_ENTRIES)?;
        let Some(last) = entries.last() else { return Ok(()) };
        after = last.position;
        entries.iter().for_each(|entry| take(&entry.value));
    }
}

fn page(api: SocketAddr, department: &str, last: &str) -> anyhow::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(api)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!(
        "GET /v1/departments/{department}/messages?lastEventId={last} HTTP/1.1\r\nhost: localhost\r\n\
         authorization: Bearer {}\r\nconnection: close\r\n\r\n",
        token(department)
    );
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("an answer without a head")?;
    let status = String::from_utf8_lossy(answer.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
    ensure!(status.starts_with("HTTP/1.1 200 "), "answered {status}");
    Ok(answer.split_off(end + 4))
}
