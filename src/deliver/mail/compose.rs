//! Texts as mails that staff can read.
//!
//! Comes in: one letter or several, from whom and to whom mails go. Goes out: the mail's bytes, ready for SMTP.
//! Always true: the same letters make the same bytes; nothing that a sender can write reaches a header, and in the
//! block under a text each field is one line; the text itself is as it was sent, but for its line ends, which are mail's.
//! Not here: the envelope, sending.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0};
use lettre::message::{Body, Mailbox};
use lettre::{Address, Message};

use crate::deliver::parcel::{Collected, Parcel};
use crate::deliver::{Email, Letter};
use crate::message::{DepartmentName, EventId, EventKind, Flag, Open, Record, Timestamp, iso};

/// Characters of a field that a sender, or whoever pushes texts, can write.
const FIELD_MAX: usize = 200;
/// Digits of E.164.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// Under a text.
const RULE: &str = "----------------------------------------";

/// Where mails come from and which ids they have.
pub(in crate::deliver) struct Composer {
    pub department: DepartmentName,
    pub from: Address,
    pub email: Email,
    /// Behind the @ of every message's id.
    pub host: String,
}

impl Composer {
    /// The mail of a parcel, in the form of RFC 5322.
    pub(in crate::deliver) fn compose(&self, parcel: &Parcel) -> Result<Vec<u8>, lettre::error::Error> {
        let letters: Vec<&Letter> = parcel.letters.iter().map(|held| &held.letter).collect();
        let (id, body) = match (letters.as_slice(), parcel.collected) {
            // A digest of one text is that text's mail.
            ([letter], None | Some(Collected::Digest)) => (letter.id, text_of(letter)),
            (letters, collected) => (id_of_all(letters), self.texts_of(letters, collected)),
        };
        let mut message = Message::builder()
            .from(Mailbox::new(None, self.from.clone()))
            .subject(self.subject(&letters))
            .date(system_time(last_of(&letters)))
            .message_id(Some(format!("<{id}@{}>", self.host)))
            .raw_header(header("Auto-Submitted", "auto-generated"))
            .raw_header(header("X-Auto-Response-Suppress", "All"))
            .header(MIME_VERSION_1_0)
            .header(ContentType::TEXT_PLAIN);
        for mailbox in &self.email.to {
            message = message.to(Mailbox::new(None, mailbox.clone()));
        }
        if let Some(reply_to) = &self.email.reply_to {
            message = message.reply_to(Mailbox::new(None, reply_to.clone()));
        }
        Ok(message.body(encoded(body))?.formatted())
    }

    /// Number texted and department: nothing of the sender's.
    fn subject(&self, letters: &[&Letter]) -> String {
        let numbers: Vec<String> = letters.iter().map(|letter| number_texted(&letter.record)).collect();
        let to = match numbers.first() {
            Some(first) if numbers.iter().all(|number| number == first) => format!(" to {first}"),
            _ => String::new(),
        };
        match letters {
            [_] => format!("Text{to} for {}", self.department),
            several => format!("{} texts{to} for {}", several.len(), self.department),
        }
    }

    fn texts_of(&self, letters: &[&Letter], collected: Option<Collected>) -> String {
        let mut all = match collected {
            Some(Collected::Beyond(max)) => {
                let department = &self.department;
                format!("The limit of mails in an hour ({max}) is reached for {department}.\nThe texts beyond it:\n\n")
            }
            Some(Collected::Digest) | None => String::new(),
        };
        for (index, letter) in letters.iter().enumerate() {
            let _ = write!(all, "======== {} of {} ========\n\n{}\n", index + 1, letters.len(), text_of(letter));
        }
        all
    }
}

/// One text, and under it what is known of it.
fn text_of(letter: &Letter) -> String {
    let record = &letter.record;
    let mut text = match &record.raw {
        Some(_) => "(This text could not be read. What came is below, as Base64.)".to_owned(),
        None => record.text.as_str().to_owned(),
    };
    // A sender can write a block like this one under a text, but does not know its id.
    let _ = write!(text, "\n\n{RULE}\nEnd of the text {}\n\n", letter.id);
    let keyword = record.keyword.as_deref().map_or_else(|| "none".to_owned(), one_line);
    let sent_at = record.sent_at.map_or_else(|| "not told by the carrier".to_owned(), readable);
    for (name, value) in [
        ("From", callable(record)),
        ("To", number_texted(record)),
        ("Received", readable(record.received_at)),
        ("Sent", sent_at),
        ("Keyword", keyword),
        ("Department", record.department.to_string()),
        ("Id", letter.id.to_string()),
    ] {
        let _ = writeln!(text, "{:<12}{value}", format!("{name}:"));
    }
    for note in notes(letter) {
        let _ = write!(text, "\nNote: {note}\n");
    }
    text
}

/// What staff should know besides, in plain words.
fn notes(letter: &Letter) -> Vec<String> {
    let record = &letter.record;
    let mut notes: Vec<String> = record.flags.iter().filter_map(|flag| note(flag, record)).collect();
    let is_addendum = letter.event_type.ends_with(EventKind::Addendum.suffix());
    match record.relates_to {
        Some(first) if is_addendum => notes.push(format!("a part that came late. It belongs to the text {first}.")),
        Some(first) => notes.push(format!("it belongs to the text {first}.")),
        None => {}
    }
    if let Some(consent) = record.consent.as_ref().and_then(|consent| serde_json::to_value(consent).ok()) {
        let word = consent.as_str().map_or_else(|| "something newer".to_owned(), one_line);
        notes.push(format!("the sender asks about being contacted at all: {word}."));
    }
    for media in &record.media {
        let kind = media.content_type.as_deref().map(|kind| format!(" ({})", one_line(kind))).unwrap_or_default();
        notes.push(format!("a picture or file came with it{kind}: {}", one_line(&media.url)));
    }
    if let Some(raw) = &record.raw {
        notes.push(format!("what came, as Base64:\n{}", lines_of(raw.as_str())));
    }
    notes
}

fn note(flag: &Open<Flag>, record: &Record) -> Option<String> {
    let (received, total) = record.parts.map_or((1, 0), |parts| (parts.received, parts.total));
    Some(match flag.known() {
        // Told where the text would be.
        Some(Flag::Undecodable) => return None,
        Some(Flag::PossibleRepeat) => "perhaps a repeat: an equal text came a few minutes before.".to_owned(),
        Some(Flag::Part) => format!("one piece of a long text of {total} pieces, which could not be joined."),
        Some(Flag::Incomplete) => {
            format!("only {received} of {total} pieces of this long text came in time. More may follow.")
        }
        Some(Flag::CarrierIdReused) => "its carrier gave it the id of another text.".to_owned(),
        Some(Flag::Failover) => "it came by another department's way, because that of its own was closed.".to_owned(),
        Some(Flag::Unverified) => {
            "NOT PROVEN to come from the carrier. Anybody may have written it: do not act on it alone.".to_owned()
        }
        Some(Flag::Rerouted) => "moved to this department by a person, or sent to it again.".to_owned(),
        None => "flagged with a word that this release does not know; see the record.".to_owned(),
    })
}

/// The sender, so that staff can phone back: a phone number as a link too.
fn callable(record: &Record) -> String {
    let from = record.from.as_str();
    let is_phone = from
        .strip_prefix('+')
        .is_some_and(|digits| DIGITS.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()));
    match is_phone {
        true => format!("{from}   tel:{from}"),
        false if from.is_empty() => "not told".to_owned(),
        false => one_line(from),
    }
}

/// For the subject too, so only what numbers and short names are made of.
fn number_texted(record: &Record) -> String {
    let to = record.to.as_str();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b' ');
    if (1..=20).contains(&to.len()) && to.bytes().all(is_plain) { to.to_owned() } else { "our number".to_owned() }
}

/// At most so many characters, of which none ends a line, hides or turns what stands around it.
fn one_line(value: &str) -> String {
    let is_odd = |character: char| {
        character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let shown = value.chars().map(|character| if is_odd(character) { '\u{fffd}' } else { character });
    let mut line: String = shown.take(FIELD_MAX).collect();
    if value.chars().nth(FIELD_MAX).is_some() {
        line.push('…');
    }
    line
}

fn lines_of(base64: &str) -> String {
    let characters: Vec<char> = base64.chars().filter(char::is_ascii_graphic).collect();
    let lines = characters.chunks(72).map(|line| line.iter().collect::<String>());
    lines.collect::<Vec<_>>().join("\n")
}

/// In UTC, to the second, as people write it.
fn readable(time: Timestamp) -> String {
    let whole = iso::format(time);
    let (day, clock) = whole.split_once('T').unwrap_or((&whole, ""));
    format!("{day} {} UTC", clock.get(..8).unwrap_or(clock))
}

/// As quoted-printable, or plainly where that is the same; in Base64 where there are characters that mail servers may
/// take for ends of lines.
fn encoded(text: String) -> Body {
    let is_risky = |(index, character): (usize, char)| {
        (character == '\r' && !text[index..].starts_with("\r\n"))
            || (character.is_control() && !matches!(character, '\r' | '\n' | '\t'))
    };
    if text.char_indices().any(is_risky) {
        Body::new_with_encoding(text, ContentTransferEncoding::Base64).expect("anything can be Base64")
    } else {
        Body::new(text)
    }
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

fn system_time(time: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_second().max(0).unsigned_abs())
}

/// The same whenever the same texts share a mail.
fn id_of_all(letters: &[&Letter]) -> EventId {
    let ids: Vec<u8> = letters.iter().flat_map(|letter| letter.id.into_bytes()).collect();
    EventId::new_v5(&letters.first().map_or(EventId::nil(), |first| first.id), &ids)
}

fn last_of(letters: &[&Letter]) -> Timestamp {
    letters.iter().map(|letter| letter.record.received_at).max().unwrap_or(Timestamp::UNIX_EPOCH)
}
