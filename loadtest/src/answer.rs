//! One answer, read from a connection as far as it goes, and not further.
//!
//! Comes in: a connection that owes an answer. Goes out: its status. Always true: a body is as long as the answer
//! says, and none is longer than fits: some carriers must be told something, but little; the next answer begins
//! where this one ended. Not here: whether the status is what was hoped for.

use anyhow::{Context, ensure};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Largest answer.
const ANSWER_MAX: usize = 1_024;

/// Waits for the whole of it.
pub async fn read(stream: &mut TcpStream) -> anyhow::Result<u16> {
    let (mut buffer, mut filled) = ([0; ANSWER_MAX], 0);
    loop {
        let count = stream.read(&mut buffer[filled..]).await.context("a connection broke")?;
        ensure!(count > 0, "the server closed a connection that was owed an answer");
        filled += count;
        if let Some(status) = complete(&buffer[..filled])? {
            return Ok(status);
        }
    }
}

/// The status once the whole answer is there.
fn complete(answer: &[u8]) -> anyhow::Result<Option<u16>> {
    let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        ensure!(answer.len() < ANSWER_MAX, "an answer has no end");
        return Ok(None);
    };
    let (head, body) = answer.split_at(end + 4);
    let length = content_length(head).unwrap_or_default();
    ensure!(head.len() + length <= ANSWER_MAX && body.len() <= length, "an answer has another body than it says");
    if body.len() < length {
        return Ok(None);
    }
    let status = head.strip_prefix(b"HTTP/1.1 ").and_then(|rest| std::str::from_utf8(rest.get(..3)?).ok());
    let status = status.and_then(|status| status.parse().ok()).context("an answer has no status")?;
    Ok(Some(status))
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let mut lines = head.split(|byte| *byte == b'\n');
    let line = lines.find(|line| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME))?;
    std::str::from_utf8(&line[NAME.len()..]).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::complete;

    #[test]
    fn only_a_whole_answer_has_a_status() {
        for (whole, status) in [
            (&b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..], 200),
            (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK", 200),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\r\n\r\n", 200),
            (b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 5\r\n\r\nlater", 503),
        ] {
            assert_eq!(complete(whole).expect("an answer"), Some(status));
            assert_eq!(complete(&whole[..whole.len() - 1]).expect("a part of it"), None);
        }
        assert_eq!(complete(b"").expect("nothing yet"), None);
        for wrong in [
            &b"HTTP/1.1 200 OK\r\n\r\nhello"[..],
            b"HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n",
            b"HTTP/1.1 nothing\r\n\r\n",
            &[b'x'; 1_024],
        ] {
            assert!(complete(wrong).is_err(), "{}", wrong.escape_ascii());
        }
    }
}
