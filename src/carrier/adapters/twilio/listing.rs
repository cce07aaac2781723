//! Twilio's list of messages: the texts it received, whether or not a webhook ever got through.
//!
//! Comes in: pages of `/2010-04-01/Accounts/{sid}/Messages.json`, lists of a message's media. Goes out:
//! inbound texts that Twilio has wholly received, with their media links as a webhook has them.
//! Always true: a page named by an answer is asked for only below the account's own messages.
//! Not here: fetching a picture itself; bodies that Twilio was told to redact come redacted.
//!
//! Source: twilio.com/docs/messaging/api/message-resource and .../media-resource. `DateSent` of a text
//! received is when Twilio first pushed it, and is filtered by whole days; `date_created` tells when the
//! text came, and decides here.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::fmt::rfc2822;
use serde::Deserialize;

use super::{MEDIA_MAX, Push, Twilio};
use crate::carrier::Signed;
use crate::carrier::listing::{ApiAccess, Listed, Listing, Page, Query, Unreadable};
use crate::carrier::reading::form;
use crate::carrier::reading::json::Raw;
use crate::message::{Media, Secret, Timestamp};

/// Most that Twilio puts on one page.
const PAGE_SIZE: &str = "1000";
/// An account's SID: `AC` and 32 hexadecimal digits.
const SID_DIGITS: usize = 32;

impl Listing for Twilio {
    fn url(&self) -> &'static str {
        "https://api.twilio.com"
    }

    /// As long as Twilio keeps messages, which the customer decides.
    fn reach(&self) -> Option<Duration> {
        None
    }

    fn check(&self, account: Option<&str>, _key: Option<&Secret>) -> Result<(), (&'static str, &'static str)> {
        let digits = account.and_then(|sid| sid.strip_prefix("AC")).unwrap_or_default();
        let fits = digits.len() == SID_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if fits { Ok(()) } else { Err(("account", "must be the account's SID: AC and 32 hexadecimal digits")) }
    }

    /// HTTP Basic: the account's SID and its auth token, or an API key's SID and secret.
    fn authorization(&self, access: &ApiAccess, _now: Timestamp) -> String {
        let user = access.user.as_deref().or(access.account.as_deref()).unwrap_or_default();
        let pair = [user.as_bytes(), b":", &access.key.bytes()].concat();
        format!("Basic {}", STANDARD.encode(pair))
    }

    fn first(&self, access: &ApiAccess, since: Timestamp) -> Vec<String> {
        let day = since.strftime("%Y-%m-%d").to_string();
        let ask = |number: Option<&str>| {
            let to = number.map(|number| ("To", number));
            let pairs = to.into_iter().chain([("DateSent>", day.as_str()), ("PageSize", PAGE_SIZE)]);
            format!("{}.json?{}", messages(access), form::encode(pairs))
        };
        if access.numbers.is_empty() {
            return vec![ask(None)];
        }
        access.numbers.iter().map(|number| ask(Some(number.as_str()))).collect()
    }

    fn read(&self, query: &Query<'_>, answer: &[u8]) -> Result<Page, Unreadable> {
        let list: List<'_> = serde_json::from_slice(answer).map_err(|_| Unreadable("it is no list of messages"))?;
        let own = format!("{}.json?", messages(query.access));
        if list.next_page_uri.as_ref().is_some_and(|next| !next.starts_with(&own)) {
            return Err(Unreadable("its next page is not one of this account's messages"));
        }
        let mut page = Page { next: list.next_page_uri, ..Page::default() };
        for message in list.messages.into_iter().filter(|message| message.direction == "inbound") {
            let is_whole = message.status == "received";
            let text = message.into_listed(query.access);
            match (query.wants(&text), is_whole) {
                (true, true) => page.texts.push(text),
                (true, false) => page.unfinished += 1,
                (false, _) => {}
            }
        }
        Ok(page)
    }

    fn complete(&self, access: &ApiAccess, text: &mut Listed, answer: &[u8]) -> Result<(), Unreadable> {
        let list: MediaList = serde_json::from_slice(answer).map_err(|_| Unreadable("it is no list of media"))?;
        let media = list.media_list.into_iter().take(usize::from(MEDIA_MAX)).map(|item| Media {
            url: format!("{}{}", access.url.trim_end_matches('/'), item.uri.trim_end_matches(".json")),
            content_type: item.content_type,
        });
        text.media = media.collect();
        text.more = None;
        Ok(())
    }

    fn webhook(&self, text: &Listed, access: &ApiAccess) -> Signed {
        let push = Push {
            id: &text.id,
            account: access.account.as_deref(),
            from: &text.from,
            to: &text.to,
            text: &text.text,
            segments: text.segments,
            media: &text.media,
        };
        push.request()
    }
}

/// The path of an account's messages, without the form of the answer.
fn messages(access: &ApiAccess) -> String {
    format!("/2010-04-01/Accounts/{}/Messages", access.account.as_deref().unwrap_or_default())
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    messages: Vec<Message<'a>>,
    next_page_uri: Option<String>,
}

/// What counts of a message; of those sent, several fields may be null.
#[derive(Deserialize)]
struct Message<'a> {
    sid: String,
    direction: String,
    status: String,
    from: Option<String>,
    to: Option<String>,
    #[serde(borrow)]
    body: Option<Raw<'a>>,
    date_created: Option<String>,
    num_media: Option<String>,
    num_segments: Option<String>,
}

impl Message<'_> {
    fn into_listed(self, access: &ApiAccess) -> Listed {
        let has_media = self.num_media.as_deref().is_some_and(|count| count != "0");
        let more = has_media.then(|| format!("{}/{}/Media.json", messages(access), self.sid));
        let created = self.date_created.as_deref().and_then(|written| rfc2822::parse(written).ok());
        Listed {
            id: self.sid,
            from: self.from.unwrap_or_default(),
            to: self.to.unwrap_or_default(),
            text: self.body.map(|body| body.0.into_owned()).unwrap_or_default(),
            sent_at: created.map(|created| created.timestamp()),
            segments: self.num_segments.and_then(|count| count.parse().ok()).unwrap_or(1).max(1),
            media: Vec::new(),
            more,
        }
    }
}

#[derive(Deserialize)]
struct MediaList {
    media_list: Vec<MediaItem>,
}

#[derive(Deserialize)]
struct MediaItem {
    uri: String,
    content_type: Option<String>,
}
