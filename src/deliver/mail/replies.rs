//! Whose fault a reply of an SMTP server is: the mailbox's or the mail's, or ours and the server's.
//!
//! A 5xx is for good only where it says something of this mailbox or this mail. What says that we may not send, or not
//! like this, is mended in the settings or at the server, and the text waits for that.
//! Sources: RFC 5321 (4.2), RFC 3463 and IANA's registry of enhanced status codes.

/// Without authentication, or with one that is not enough: nothing about a mailbox or a mail.
const OURS: [u16; 4] = [530, 534, 535, 538];
/// The server is about to close.
const CLOSING: u16 = 421;
/// How servers that send no enhanced code say that we may not send there.
const POLICY: [&str; 9] =
    ["relay", "rcpthosts", "policy", "denied", "sender", "authent", "blocked", "blacklist", "spf"];

/// What a negative reply to `RCPT`, `DATA` or the mail itself means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// No try will succeed.
    ForGood,
    /// This mailbox, or this mail, another time.
    Later,
    /// The connection ends; another one may do.
    Closing,
    /// Nothing goes through this server, whatever the mail.
    Server,
}

/// `words` are the server's, the enhanced status code among them where it sends one.
pub(super) fn of_recipient(code: u16, words: &str) -> Meaning {
    match (code, enhanced(words)) {
        // A command that is not known or out of order, an address that is not whole: a person mends that.
        (500..=504, _) => Meaning::Later,
        // "Relay access denied" and the like: a policy against us. Another mailbox may do.
        (505..=599, Some((7, _) | (1, 0))) if !OURS.contains(&code) => Meaning::Later,
        (505..=599, None) if !OURS.contains(&code) && is_policy(words) => Meaning::Later,
        (code, _) => of_mail(code, words),
    }
}

pub(super) fn of_mail(code: u16, words: &str) -> Meaning {
    match (code, enhanced(words)) {
        (CLOSING, _) => Meaning::Closing,
        (code, _) if OURS.contains(&code) => Meaning::Server,
        (500..=504, _) => Meaning::Later,
        // Our address, a mailbox that is full or may not be written to, the server's own trouble, its network.
        (505..=599, Some((1, 7 | 8) | (2, 2 | 3..) | (3, 0..=3 | 5..) | (4 | 5, _))) => Meaning::Later,
        // Who we are and where from: SPF, DKIM, DMARC, reputation, rights of the sender. 5.7.0 and 5.7.1 may be the words.
        (505..=599, Some((7, 2..))) => Meaning::Later,
        (505..=599, _) => Meaning::ForGood,
        _ => Meaning::Later,
    }
}

/// Subject and detail of `5.SUBJECT.DETAIL`, wherever it stands: some servers write it at the end, in brackets.
fn enhanced(words: &str) -> Option<(u16, u16)> {
    let is_of_code = |character: char| character.is_ascii_digit() || character == '.';
    words.split(|character: char| !is_of_code(character)).find_map(|word| {
        let parts: Vec<&str> = word.trim_end_matches('.').split('.').collect();
        let ["5", subject, detail] = parts.as_slice() else { return None };
        Some((subject.parse().ok()?, detail.parse().ok()?))
    })
}

fn is_policy(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    POLICY.iter().any(|word| words.contains(word))
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
            (552, "5.2.2 mailbox full", Meaning::Later),
            (553, "5.1.3 syntax", Meaning::ForGood),
            (556, "5.1.10 takes no mail", Meaning::ForGood),
            (554, "5.7.1 <x>: Relay access denied", Meaning::Later),
            (550, "5.7.1 not authorised", Meaning::Later),
            (550, "relay not permitted", Meaning::Later),
            (553, "sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", Meaning::Later),
            (550, "5.1.0 <from>: Sender address rejected", Meaning::Later),
            (550, "5.71.1 nonsense", Meaning::ForGood),
            (554, "5.3.5 system config error", Meaning::Later),
            (554, "5.4.6 too many hops", Meaning::Later),
            (504, "5.5.2 need fully-qualified address", Meaning::Later),
            (503, "5.5.1 bad sequence", Meaning::Later),
            (450, "4.2.0 greylisted", Meaning::Later),
            (452, "4.5.3 too many recipients", Meaning::Later),
            (421, "4.3.2 closing", Meaning::Closing),
            (530, "5.7.0 Must issue a STARTTLS command first", Meaning::Server),
        ] {
            assert_eq!(of_recipient(code, words), meaning, "{code} {words}");
        }
    }

    #[test]
    fn a_mail_is_refused_for_good_only_for_what_it_is() {
        for (code, words, meaning) in [
            (552, "", Meaning::ForGood),
            (554, "transaction failed", Meaning::ForGood),
            (552, "5.3.4 message too big", Meaning::ForGood),
            (554, "5.6.0 malformed", Meaning::ForGood),
            (554, "5.7.1 the content is spam", Meaning::ForGood),
            (554, "5.2.252 SendAsDenied", Meaning::Later),
            (550, "5.7.60 no permission to send as this sender", Meaning::Later),
            (550, "5.7.26 unauthenticated", Meaning::Later),
            (554, "5.7.708 traffic not accepted from this address", Meaning::Later),
            (554, "5.5.1 no valid recipients", Meaning::Later),
            (451, "", Meaning::Later),
            (452, "", Meaning::Later),
            (421, "", Meaning::Closing),
            (503, "", Meaning::Later),
            (530, "", Meaning::Server),
        ] {
            assert_eq!(of_mail(code, words), meaning, "{code} {words}");
        }
    }
}
