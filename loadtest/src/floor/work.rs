//! What the contract asks of every text, and nothing else: proven, read, normalised, decided, named, encoded.
//!
//! Comes in: a request as the generator signs it. Goes out: the value of the record that the service would make of it,
//! and its topic; key and headers the floor copies, which is less than the work.
//! Always true: the steps are the service's own functions, and nothing of the service is around them. Not here: bounds,
//! claims, deadlines, counters, a breaker, a journal, a client that leaves: they are what is measured.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, anyhow};
use hyper::http::request::Parts;
use sms_router::app::build_table;
use sms_router::carrier::{Account, Delivery, Webhook, authenticate};
use sms_router::config::Config;
use sms_router::intake::{InboundText, Label, encode};
use sms_router::keyword::Table;
use sms_router::message::{Body, Destination, EventId, SenderKey, Timestamp};

use super::mark;

/// Everything that stands still between two requests.
pub struct Work {
    account: Account,
    table: Table,
    key: SenderKey,
    namespace: EventId,
    /// Which of the measurement's floors it is.
    number: usize,
}

impl Work {
    /// For the folder's one account.
    pub fn new(config: &Config, number: usize) -> anyhow::Result<Self> {
        let (account, _) = config.accounts.first().context("the settings have an account")?;
        let table = build_table(config).map_err(|problems| anyhow!("{} problems in the routes", problems.len()))?;
        let namespace = EventId::new_v5(&EventId::NAMESPACE_URL, account.name.as_str().as_bytes());
        let key = config.standing.sender_key.clone();
        Ok(Self { account: account.clone(), table, key, namespace, number })
    }

    /// Value and topic of a request with one text; none if any step refuses it.
    pub fn record(&self, head: &Parts, body: &[u8]) -> Option<(Vec<u8>, &str)> {
        let webhook = Webhook {
            method: &head.method,
            query: head.uri.query().unwrap_or_default(),
            headers: &head.headers,
            body,
            path_secret: None,
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            received_at: Timestamp::now(),
        };
        authenticate(&self.account, &webhook).ok()?;
        let Delivery::Texts(texts) = self.account.carrier.parse(&webhook, &self.account).ok()? else { return None };
        let inbound = texts.into_iter().next()?;
        let text = InboundText::new(&self.account, inbound, webhook.received_at, None, &self.key);
        let Body::Text(words) = &text.inbound.body else { return None };
        let decision = self.table.decide(&text.to, words.as_str())?;
        let id = EventId::new_v5(&self.namespace, text.carrier_identity()?.as_bytes());
        let mut event = encode(&text, &decision, Label::message(id, Vec::new()), &self.key).into_iter().next()?;
        mark(&mut event.value, self.number)?;
        let Destination::Department(department) = &event.destination else { return None };
        let topic = self.table.topic(department)?;
        Some((event.value, topic))
    }
}
