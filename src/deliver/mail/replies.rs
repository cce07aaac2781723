//! Whose fault a reply of an SMTP server is: the mailbox's or the mail's, or ours and the server's.
//!
//! A 5xx is for good only where it says something of this mailbox or this mail. What says that we may not send, or not
//! like this, is mended in the settings or at the server, and the text waits for that.
//! Sources: RFC 5321 (4.2), RFC 3463 and IANA's registry of enhanced status codes.

/// Commands out of order, not known, or without authentication: nothing about a mailbox.
const OURS: [u16; 8] = [500, 502, 503, 504, 530, 534, 535, 538];
/// The server is about to close.
const CLOSING: u16 = 421;

/// What a negative reply to `RCPT`, `DATA` or the mail itself means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// No try will succeed.
    ForGood,
    /// This mailbox, or this mail, another time.
    Later,
    /// Nothing goes through this connection, whatever the mail.
    Server,
}

/// `words` begin with the enhanced status code, where the server sends one.
pub(super) fn of_recipient(code: u16, words: &str) -> Meaning {
    match code {
        // "Relay access denied" and the like: a policy against us, mended by a person. Another mailbox may do.
        550..=559 if is_policy(words) => Meaning::Later,
        code => of_mail(code),
    }
}

pub(super) fn of_mail(code: u16) -> Meaning {
    match code {
        CLOSING => Meaning::Server,
        code if OURS.contains(&code) => Meaning::Server,
        500..=599 => Meaning::ForGood,
        _ => Meaning::Later,
    }
}

/// X.7.Y: security or policy.
fn is_policy(words: &str) -> bool {
    let mut parts = words.trim_start().splitn(3, '.');
    let (class, subject) = (parts.next(), parts.next());
    class == Some("5") && subject == Some("7")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_reply_says_of_the_mailbox_is_for_good() {
        for (code, words, meaning) in [
            (550, "5.1.1 no such mailbox", Meaning::ForGood),
            (550, "no such mailbox", Meaning::ForGood),
            (551, "User not local", Meaning::ForGood),
            (552, "5.2.2 mailbox full", Meaning::ForGood),
            (553, "5.1.3 syntax", Meaning::ForGood),
            (556, "5.1.10 takes no mail", Meaning::ForGood),
            (554, "5.7.1 <x>: Relay access denied", Meaning::Later),
            (550, "5.7.1 not authorised", Meaning::Later),
            (550, "5.71.1 nonsense", Meaning::ForGood),
            (450, "4.2.0 greylisted", Meaning::Later),
            (452, "4.5.3 too many recipients", Meaning::Later),
            (421, "4.3.2 closing", Meaning::Server),
            (530, "5.7.0 Must issue a STARTTLS command first", Meaning::Server),
            (503, "5.5.1 bad sequence", Meaning::Server),
        ] {
            assert_eq!(of_recipient(code, words), meaning, "{code} {words}");
        }
    }

    #[test]
    fn a_mail_that_is_refused_is_refused_for_good_whatever_the_policy() {
        for (code, meaning) in [
            (552, Meaning::ForGood),
            (554, Meaning::ForGood),
            (550, Meaning::ForGood),
            (451, Meaning::Later),
            (452, Meaning::Later),
            (421, Meaning::Server),
            (503, Meaning::Server),
            (530, Meaning::Server),
        ] {
            assert_eq!(of_mail(code), meaning, "{code}");
        }
    }
}
