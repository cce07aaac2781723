//! Which carriers a mix may have, and what each needs in the settings.
//!
//! Comes in: a mix. Goes out: its carriers, each with an account's name, lines of settings and a secret.
//! Always true: a carrier of a mix has composed and read back every kind of text that the mix has, believed
//! by its secret and known by its id, before anything is started. Not here: the texts.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, ensure};
use sms_router::carrier::{
    Account, Auth, CARRIERS, Carrier, Contract, Delivery, Draft, FORM, Signed, Webhook, authenticate, by_name,
    check_secret,
};
use sms_router::message::{AccountName, Body, Country, Inbound, Number, Part, Secret, Timestamp};

use super::mix::{Mix, PLAIN};
use crate::settings::NUMBER;

/// Secrets of nobody, one for each form that a carrier wants.
const SECRETS: [&str; 3] = [
    "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "loadtest:0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef",
];
/// A round's requests are signed before it begins, so their times may be this old: as long as a run may take.
const WINDOW_SECONDS: u64 = 300;
const URL: &str = "https://sms.example.gov.uk/inbound";

/// One carrier of a mix.
pub struct Entry {
    pub account: String,
    pub weight: f64,
    pub pushes_parts: bool,
    secret: &'static str,
    carrier: &'static dyn Carrier,
}

/// The carriers of a mix, or why one of them cannot be in it.
pub fn entries(mix: &Mix) -> anyhow::Result<Vec<Entry>> {
    let written = mix.carriers.iter().filter(|(_, weight)| **weight > 0.0);
    written.map(|(name, weight)| Entry::new(name, *weight, mix).with_context(|| format!("carriers.{name}"))).collect()
}

impl Entry {
    fn new(name: &str, weight: f64, mix: &Mix) -> anyhow::Result<Self> {
        let carrier = by_name(name)
            .with_context(|| format!("is no carrier of this build; a mix may have {}", able().join(", ")))?;
        let unable = || format!("cannot be in a mix; one may have {}", able().join(", "));
        let secret = secret_for(carrier).context("proves itself by nothing that is shared").with_context(unable)?;
        let mut entry = Self { account: account_name(name), weight, pushes_parts: false, secret, carrier };
        entry.carry("k0000 on Main St", None).with_context(unable)?;
        if mix.shares.unicode > 0.0 {
            let carried = entry.carry("k0000 \u{3b4}\u{3c1}\u{3cc}\u{3bc}\u{3bf}\u{3c2} \u{1f6a7} [\u{20ac}]", None);
            carried.context("cannot carry all alphabets: leave it out, or write shares.unicode = 0")?;
        }
        let part = Part { reference: "0123456700000001".to_owned(), total: 2, number: 1 };
        entry.pushes_parts = entry.carry("k0000 on Main St", Some(part)).is_ok();
        Ok(entry)
    }

    /// What the settings say of it; its secret is in a file of the account's name.
    pub fn settings(&self) -> String {
        let Contract { name, window, .. } = self.carrier.contract();
        let mut lines =
            format!("[accounts.{0}]\ncarrier = \"{name}\"\nsecrets = [{{ file = \"{0}\" }}]\n", self.account);
        if window.is_some_and(|window| window.as_secs() < WINDOW_SECONDS) {
            lines += &format!("window_s = {WINDOW_SECONDS}\n");
        }
        if !self.carrier.contract().names_number {
            lines += &format!("number = \"{NUMBER}\"\n");
        }
        if !self.carrier.contract().retries_503 {
            lines += "loss_on_outage = \"accepted\"\n";
        }
        lines
    }

    pub fn secret(&self) -> &'static str {
        self.secret
    }

    /// Composes a request, and reads it as the router does.
    fn carry(&self, text: &str, part: Option<Part>) -> anyhow::Result<()> {
        let account = self.account()?;
        let now = Timestamp::now();
        let id = super::id(0, 0, 1);
        let (from, to) = ("+447700900123".to_owned(), NUMBER.to_owned());
        let draft = Draft { id: id.clone(), from: from.clone(), to, text: text.to_owned(), part: part.clone(), now };
        let read = read(&account, &account.carrier.compose(&draft, &account)?, now)?;
        let is_same = matches!(&read.body, Body::Text(words) if words.as_str() == text);
        ensure!(
            is_same && Number::normalise(read.from.as_str(), Country::GB).as_str() == from,
            "changes a text on its way"
        );
        ensure!(read.part == part, "does not push pieces");
        ensure!(read.carrier_message_id == Some(id), "names no id, so that a text is not known again");
        Ok(())
    }

    fn account(&self) -> anyhow::Result<Account> {
        let contract = self.carrier.contract();
        let secrets = vec![Secret::new(self.secret.as_bytes().to_vec())];
        let url = format!("{URL}/{}", self.account);
        let number = Some(Number::normalise(NUMBER, Country::GB)).filter(|_| !contract.names_number);
        let account = Account::new(AccountName::parse(&self.account)?, self.carrier, contract.auth, secrets, url);
        Ok(Account { number, ..account })
    }
}

fn read(account: &Account, signed: &Signed, now: Timestamp) -> anyhow::Result<Inbound> {
    let mut headers = hyper::HeaderMap::new();
    for (name, value) in &signed.headers {
        headers.append(hyper::header::HeaderName::try_from(name.as_str())?, value.parse()?);
    }
    let webhook = Webhook {
        method: &signed.method,
        query: &signed.query,
        headers: &headers,
        body: &signed.body,
        path_secret: signed.path_secret.as_deref(),
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        received_at: now,
    };
    authenticate(account, &webhook).map_err(|failure| anyhow::anyhow!("is not believed: {failure:?}"))?;
    match account.carrier.parse(&webhook, account)? {
        Delivery::Texts(texts) if texts.len() == 1 => texts.into_iter().next().context("one text"),
        _ => anyhow::bail!("does not read back what it composes"),
    }
}

/// The account of a carrier: peers answer at the first one's path.
fn account_name(carrier: &str) -> String {
    if carrier == PLAIN { "demo".to_owned() } else { carrier.to_owned() }
}

fn secret_for(carrier: &dyn Carrier) -> Option<&'static str> {
    let contract = carrier.contract();
    let fits = |secret: &&str| check_secret(carrier, contract.auth, &Secret::new(secret.as_bytes().to_vec())).is_ok();
    // What an operator declares has no form of its own to be composed in.
    let is_usable = !contract.certificates && contract.auth != Auth::None && contract.name != FORM;
    SECRETS.into_iter().find(fits).filter(|_| is_usable)
}

/// The carriers that a mix may have.
pub fn able() -> Vec<&'static str> {
    let able = |carrier: &'static dyn Carrier| {
        let secret = secret_for(carrier)?;
        let name = carrier.contract().name;
        let entry = Entry { account: account_name(name), weight: 1.0, pushes_parts: false, secret, carrier };
        entry.carry("k0000 on Main St", None).is_ok().then_some(name)
    };
    CARRIERS.iter().copied().filter_map(able).collect()
}
