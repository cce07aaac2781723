//! Inbound messages of the Conversation API: the same texts in another envelope.
//!
//! Comes in: a callback with a `message`. Goes out: one text. What has neither words nor a picture
//! (a location, a choice) cannot come by SMS or MMS and is malformed.
//! The number texted is `sender_id`, which not every channel fills: the account's `number` stands in.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Account, Malformed, Medium, Raw, charset, filled, members, recipient};
use crate::message::{Inbound, Media, Text};

pub(super) fn read(body: &[u8], account: &Account) -> Result<Inbound, Malformed> {
    let callback: Callback<'_> = members::read(body)?;
    callback.message.into_text(account)
}

#[derive(Deserialize)]
struct Callback<'a> {
    #[serde(borrow)]
    message: Message<'a>,
}

#[derive(Deserialize)]
struct Message<'a> {
    id: Option<String>,
    #[serde(borrow)]
    contact_message: Option<Contact<'a>>,
    channel_identity: Option<Channel>,
    sender_id: Option<String>,
    #[serde(borrow)]
    accept_time: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Channel {
    identity: Option<String>,
}

/// One of these.
#[derive(Deserialize)]
struct Contact<'a> {
    #[serde(borrow)]
    text_message: Option<Words<'a>>,
    media_message: Option<Medium>,
    #[serde(borrow)]
    media_card_message: Option<Card<'a>>,
}

#[derive(Deserialize)]
struct Words<'a> {
    #[serde(borrow)]
    text: Option<Raw<'a>>,
}

#[derive(Deserialize)]
struct Card<'a> {
    #[serde(borrow)]
    caption: Option<Raw<'a>>,
    url: Option<String>,
}

impl Message<'_> {
    fn into_text(self, account: &Account) -> Result<Inbound, Malformed> {
        let contact = self.contact_message.ok_or(Malformed("contact_message missing"))?;
        let (text, media) = contact.read();
        if text.is_none() && media.is_none() {
            return Err(Malformed("neither text nor media"));
        }
        let from = self.channel_identity.and_then(|channel| filled(channel.identity));
        Ok(Inbound {
            carrier_message_id: Some(filled(self.id).ok_or(Malformed("message.id missing"))?),
            from: Text::from(from.ok_or(Malformed("channel_identity missing"))?),
            to: recipient(self.sender_id, account, "sender_id missing: set the account's `number`")?,
            body: charset::utf8(text.map_or_else(Default::default, |text| text.0)),
            sent_at: members::time(self.accept_time),
            part: None,
            segments: 1,
            media: media.into_iter().collect(),
        })
    }
}

impl<'a> Contact<'a> {
    fn read(self) -> (Option<Raw<'a>>, Option<Media>) {
        match (self.text_message, self.media_card_message, self.media_message) {
            (Some(words), _, _) => (words.text, None),
            (None, Some(card), _) => (card.caption, Medium { url: card.url, content_type: None }.into_media()),
            (None, None, Some(medium)) => (None, medium.into_media()),
            (None, None, None) => (None, None),
        }
    }
}
