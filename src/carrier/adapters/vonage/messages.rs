//! The Messages API: JSON, with a bearer token that covers the body.
//!
//! Comes in: a token and the body it came with. Goes out: one text with its media, or nothing to route.
//! Always true: a token that covers no body proves none; one without a time of issue is as good as old.
//! Not here: channels' own fields (profiles, contexts, buttons), which are passed over.
//!
//! Sources: those of the carrier; the test of the PHP SDK's webhook factory for MMS.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::signature::Keys;
use crate::carrier::proof::authenticate::{one_of_them, within_window};
use crate::carrier::proof::jwt::{self, Algorithm, Token};
use crate::carrier::reading::charset;
use crate::carrier::reading::json::Raw;
use crate::carrier::{Account, AuthFailure, Delivery, Malformed, Signed, Webhook};
use crate::message::{Inbound, Media, Secret, Text, Timestamp};

/// Whether one of the account's secrets signed the token, and the token this body, within the window.
pub fn verify(token: &str, webhook: &Webhook<'_>, account: &Account) -> Result<(), AuthFailure> {
    let token = Token::parse(token).filter(|token| token.algorithm == Algorithm::Hs256);
    let token = token.ok_or(AuthFailure::Mismatch)?;
    one_of_them(account, |secret| secret.with_key(Keys::new, |keys| token.is_signed_with(&keys.sha256)))?;
    let claims = token.claims().ok_or(AuthFailure::Mismatch)?;
    let hash = claims.payload_hash.as_deref().ok_or(AuthFailure::Mismatch)?;
    if !jwt::is_hash_of(hash, &[webhook.body]) {
        return Err(AuthFailure::Mismatch);
    }
    let issued_at = claims.iat.ok_or(AuthFailure::Expired)?;
    within_window(account, issued_at as i64, webhook.received_at)?;
    let is_in_force = account.window.is_none_or(|window| claims.are_in_force(webhook.received_at, window));
    if is_in_force { Ok(()) } else { Err(AuthFailure::Expired) }
}

/// Adds the token that Vonage would send with this body.
pub fn sign(request: &mut Signed, secret: &Secret, now: Timestamp) {
    let hash = jwt::hash_of(&[&request.body]);
    let claims = serde_json::json!({
        "iat": now.as_second(), "jti": &hash[..32], "iss": "Vonage", "payload_hash": hash,
    });
    let token = secret.with_key(Keys::new, |keys| jwt::encode(&keys.sha256, &claims));
    request.headers.push(("authorization".to_owned(), format!("Bearer {token}")));
}

/// Reads the texts of a callback.
pub fn parse(body: &[u8], account: &Account) -> Result<Delivery, Malformed> {
    let callback: Callback<'_> = serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Data => Malformed("a field is not of its type"),
        Category::Syntax | Category::Eof | Category::Io => Malformed("not JSON"),
    })?;
    if callback.message_type.is_none() && callback.text.is_none() && callback.status.is_some() {
        return Ok(Delivery::Nothing("status"));
    }
    callback.into_text(account).map(|text| Delivery::Texts(vec![text]))
}

#[derive(Deserialize)]
struct Callback<'a> {
    message_uuid: Option<String>,
    from: Option<String>,
    to: Option<String>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    message_type: Option<String>,
    #[serde(borrow)]
    text: Option<Raw<'a>>,
    #[serde(borrow)]
    image: Option<Attachment<'a>>,
    #[serde(borrow)]
    audio: Option<Attachment<'a>>,
    #[serde(borrow)]
    video: Option<Attachment<'a>>,
    #[serde(borrow)]
    file: Option<Attachment<'a>>,
    #[serde(borrow)]
    vcard: Option<Attachment<'a>>,
    #[serde(borrow)]
    sms: Option<&'a RawValue>,
    /// Progress of a text we sent has it, texts received do not.
    #[serde(borrow)]
    status: Option<&'a RawValue>,
}

/// A picture or the like.
#[derive(Deserialize)]
struct Attachment<'a> {
    url: Option<String>,
    #[serde(borrow)]
    caption: Option<Raw<'a>>,
}

impl<'a> Callback<'a> {
    fn into_text(mut self, account: &Account) -> Result<Inbound, Malformed> {
        let filled = |field: Option<String>| field.filter(|value| !value.is_empty());
        let to = filled(self.to.take()).map(Text::from);
        if to.is_none() && account.number.is_none() {
            return Err(Malformed("to missing"));
        }
        let (media, caption) = self.attachments();
        let text = self.text.map(|text| text.0).or(caption);
        if text.is_none() && media.is_empty() {
            return Err(Malformed("neither text nor media"));
        }
        Ok(Inbound {
            carrier_message_id: Some(filled(self.message_uuid).ok_or(Malformed("message_uuid missing"))?),
            from: Text::from(filled(self.from).ok_or(Malformed("from missing"))?),
            to,
            body: charset::utf8(text.unwrap_or_default()),
            // Anything but a time is no reason to refuse a text.
            sent_at: self.timestamp.and_then(|json| json.get().trim_matches('"').parse().ok()),
            part: None,
            segments: self.sms.and_then(segments).unwrap_or(1),
            media,
        })
    }

    /// The links, and the first of the words that came with them.
    fn attachments(&mut self) -> (Vec<Media>, Option<Cow<'a, [u8]>>) {
        let all = [&mut self.image, &mut self.audio, &mut self.video, &mut self.file, &mut self.vcard];
        let (mut media, mut caption) = (Vec::new(), None);
        for attachment in all.into_iter().filter_map(Option::take) {
            let url = attachment.url.filter(|url| !url.is_empty());
            media.extend(url.map(|url| Media { url, content_type: None }));
            caption = caption.or(attachment.caption.map(|caption| caption.0));
        }
        (media, caption)
    }
}

/// `num_messages`, a number or the digits of one.
fn segments(sms: &RawValue) -> Option<u16> {
    #[derive(Deserialize)]
    struct Sms<'a> {
        #[serde(borrow)]
        num_messages: &'a RawValue,
    }
    let sms: Sms<'_> = serde_json::from_str(sms.get()).ok()?;
    sms.num_messages.get().trim_matches('"').parse().ok().filter(|segments| *segments > 0)
}
