//! `[accounts.NAME]`: how each carrier's requests prove themselves and are read.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::carrier::{self, Account, ApiAccess, Auth, Certificate, Certificates, Contract, HELD_MAX, Parameters};
use crate::message::{AccountName, Country, Number, PROBE_ACCOUNT};
use crate::webhook::Rate;

use super::document::{Place, Value};
use super::file::read_regular;
use super::form;
use super::listing;
use super::proxies::networks;
use super::read::Section;
use super::secrets::Vault;
use super::signature;

/// Largest body an account may be given, in bytes.
const BODY_MAX: i64 = 16 * 1024 * 1024;

/// Longest replay window, in seconds: a week.
const WINDOW_MAX: i64 = 7 * 24 * 3600;

/// Most texts a second that a rate may allow: beyond it there is nothing to control.
const RATE_MAX: i64 = 1_000_000;

/// What is known of an account beside how it works.
#[derive(Debug, Clone)]
pub struct AccountNote {
    pub place: Place,
    /// The operator accepts that an outage loses this carrier's texts.
    pub loss_accepted: bool,
    /// `parameters.id` or `fields.id` is set: the operator has thought of ids.
    pub names_id: bool,
    /// It takes texts from anybody.
    pub is_open: bool,
    /// How to ask the carrier itself for texts; only `backfill` reads the secret for it.
    pub api: Option<ApiAccess>,
    /// How many new texts it may bring.
    pub rate: Option<Rate>,
}

/// One account; `None` when something about it is wrong, which has then been noted.
pub fn read(name: &str, section: Section<'_>, inbound_url: &str, vault: &Vault<'_>) -> Option<(Account, AccountNote)> {
    let account = AccountName::parse(name).map_err(|error| section.refuse("", error.to_string())).ok();
    if name == PROBE_ACCOUNT {
        section.refuse("", "the name is the router's own: its synthetic texts come from it ([probe])");
    }
    let known = || carrier::CARRIERS.iter().map(|carrier| carrier.contract().name).collect::<Vec<_>>().join(", ");
    let carrier_word = section.required("carrier");
    let carrier = carrier_word.and_then(|word| {
        let carrier = carrier::by_name(&word);
        if carrier.is_none() {
            section.refuse("carrier", format!("{word:?} is not a carrier of this build; known: {}", known()));
        }
        carrier
    });
    let auth_word = section.parsed("auth", |word| {
        Auth::parse(word).ok_or_else(|| format!("{word:?} is none of signature, basic, bearer, path, query, none"))
    });
    let secrets = vault.several(&section, "secrets");
    let url = section.string("url").unwrap_or_else(|| format!("{}/inbound/{name}", inbound_url.trim_end_matches('/')));
    let allow = networks(&section, "allow");
    let country = section
        .parsed("country", |code| {
            Country::parse(code).ok_or_else(|| format!("{code:?} is not a country of ISO 3166 (\"GB\")"))
        })
        .unwrap_or(Country::GB);
    if !["https://", "http://"].iter().any(|scheme| url.to_ascii_lowercase().starts_with(scheme)) {
        section.refuse("url", "must begin with https:// or http://, as the carrier calls it");
    }
    let number = section.string("number").map(|number| Number::normalise(&number, country));
    let names_id = section.section("parameters").node("id").is_some();
    let parameters = parameters(section.section("parameters"));
    let unauthenticated = section.boolean("unauthenticated", false);
    let loss_accepted = section
        .parsed("loss_on_outage", |word| match word {
            "accepted" => Ok(true),
            _ => Err(format!("{word:?} is not \"accepted\"")),
        })
        .unwrap_or(false);
    let body_max = carrier.map_or(0, |carrier| carrier.contract().body_max);
    let body_max = section.count("body_max", body_max, 1024..=BODY_MAX);
    let window = carrier.and_then(|carrier| window(&section, carrier.contract()));
    let keys = carrier.map(|carrier| own_keys(&section, carrier.contract())).unwrap_or_default();
    let declaration = carrier.and_then(|carrier| form::read(&section, carrier.contract()));
    let names_id = names_id || declaration.as_ref().is_some_and(|declaration| !declaration.id.is_empty());
    let certificates = certificates(&section, &keys, vault);
    let rate = rate(&section);
    let place = section.place().clone();
    let api = section.section("api");
    let api = carrier.and_then(|carrier| listing::read(api, carrier, country, vault));

    let (account_name, carrier) = (account?, carrier?);
    let contract = carrier.contract();
    // Addresses alone may protect a carrier that signs nothing; anything less must be said.
    let bare = secrets.is_empty() && (unauthenticated || (!contract.signs && !allow.is_empty()));
    let auth = auth_word.unwrap_or(if bare { Auth::None } else { contract.auth });
    let account = Account {
        allow,
        country,
        number,
        parameters,
        body_max,
        window,
        monitor_until: signature::monitor_until(&section, auth, contract),
        keys,
        declaration: declaration.map(Arc::new),
        certificates,
        ..Account::new(account_name, carrier, auth, secrets, url)
    };
    let is_open = protect(&section, &account, unauthenticated, vault);
    check_number(&section, &account);
    section.finish();
    let note = AccountNote { place, loss_accepted, is_open, names_id, api, rate };
    Some((account, note))
}

/// Every account is protected by something, or says that it is not. True when it is not.
fn protect(section: &Section<'_>, account: &Account, unauthenticated: bool, vault: &Vault<'_>) -> bool {
    let carrier = account.carrier;
    if account.auth == Auth::Signature && !carrier.contract().signs {
        let name = carrier.contract().name;
        section.refuse("auth", format!("{name} signs nothing: use \"path\", \"query\", \"basic\" or \"bearer\""));
    }
    let needs_none = account.auth == Auth::None || (account.auth == Auth::Signature && carrier.contract().certificates);
    if !needs_none && section.node("secrets").is_none() {
        section.refuse("secrets", "is missing: without it no request can prove where it comes from");
    }
    for secret in account.secrets.iter().filter(|_| vault.has_files()) {
        if let Err(reason) = carrier::check_secret(carrier, account.auth, secret) {
            section.refuse("secrets", format!("a secret cannot be used: {reason}"));
        }
    }
    if let Err((key, reason)) = carrier.check_account(account) {
        section.refuse(key, reason);
    }
    if unauthenticated && account.auth != Auth::None {
        section.refuse("unauthenticated", "needs auth = \"none\" beside it");
    }
    let is_open = account.auth == Auth::None && account.allow.is_empty();
    if is_open && !unauthenticated {
        section.refuse(
            "auth",
            "nothing protects this account: anybody could send texts; set secrets or allow, or unauthenticated = true",
        );
    }
    is_open
}

/// Some number must be known to route by.
fn check_number(section: &Section<'_>, account: &Account) {
    let names_number = match &account.declaration {
        Some(declaration) => !declaration.to.is_empty(),
        None => account.carrier.contract().names_number,
    };
    if !names_number && account.number.is_none() {
        let name = account.carrier.contract().name;
        section.refuse("number", format!("is missing: not all that {name} sends names the number texted"));
    }
}

/// How far a signed time may be off, where the carrier signs one.
fn window(section: &Section<'_>, contract: &Contract) -> Option<Duration> {
    let Some(window) = contract.window else {
        if section.node("window_s").is_some() {
            section.refuse("window_s", format!("{} signs no time", contract.name));
        }
        return None;
    };
    let usual = i64::try_from(window.as_secs()).unwrap_or(WINDOW_MAX);
    let seconds = section.integer("window_s", usual, 1..=WINDOW_MAX);
    Some(Duration::from_secs(seconds.unsigned_abs()))
}

/// What the carrier alone can be told.
fn own_keys(section: &Section<'_>, contract: &Contract) -> BTreeMap<&'static str, String> {
    let mut keys = BTreeMap::new();
    for key in contract.keys {
        let value = match section.node(key.name).map(|node| &node.value) {
            Some(Value::Boolean(value)) => Some(value.to_string()),
            _ => section.string(key.name),
        };
        let Some(value) = value else { continue };
        if let Err(reason) = (key.check)(&value) {
            section.refuse(key.name, reason);
        }
        keys.insert(key.name, value);
    }
    keys
}

/// The certificates in the folder that the key names, relative to that of the settings; so none need be
/// fetched.
fn certificates(section: &Section<'_>, keys: &BTreeMap<&'static str, String>, vault: &Vault<'_>) -> Certificates {
    let named = keys.get("certificates").filter(|_| vault.has_files());
    let Some(folder) = named.map(|folder| vault.folder.join(folder)) else {
        return Certificates::default();
    };
    let refuse = |path: &Path, reason: String| section.refuse("certificates", format!("{} {reason}", path.display()));
    let files = match std::fs::read_dir(&folder) {
        Ok(files) => files.flatten().map(|file| file.path()),
        Err(error) => {
            refuse(&folder, format!("cannot be read: {error}"));
            return Certificates::default();
        }
    };
    let mut read = Vec::new();
    for path in files.filter(|path| path.extension().is_some_and(|extension| extension == "pem")) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        match read_regular(&path).map_err(|error| error.to_string()) {
            Err(error) => refuse(&path, format!("cannot be read: {error}")),
            Ok(pem) => match Certificate::parse(&pem) {
                Ok(certificate) => read.push((name.to_owned(), certificate)),
                Err(reason) => refuse(&path, format!("cannot be used: {reason}")),
            },
        }
    }
    if !(1..=HELD_MAX).contains(&read.len()) {
        refuse(&folder, format!("holds {} certificates (*.pem); 1 to {HELD_MAX} are of use", read.len()));
    }
    Certificates::of_folder(read)
}

/// Flood control, off unless `rate_max` says how many texts a second; at once, a second's worth unless
/// `rate_burst` says otherwise.
fn rate(section: &Section<'_>) -> Option<Rate> {
    let number = |key, default: NonZeroU32| {
        let written = section.integer(key, i64::from(default.get()), 1..=RATE_MAX);
        u32::try_from(written).ok().and_then(NonZeroU32::new).unwrap_or(default)
    };
    if section.node("rate_max").is_none() {
        if section.node("rate_burst").is_some() {
            section.refuse("rate_burst", "says nothing without rate_max beside it");
        }
        return None;
    }
    let texts_per_second = number("rate_max", NonZeroU32::MIN);
    Some(Rate { texts_per_second, burst: number("rate_burst", texts_per_second) })
}

fn parameters(section: Section<'_>) -> Parameters {
    let standard = Parameters::default();
    let parameters = Parameters {
        sender: section.string("sender").unwrap_or(standard.sender),
        to: section.string("to").unwrap_or(standard.to),
        message: section.string("message").unwrap_or(standard.message),
        ts: section.string("ts").unwrap_or(standard.ts),
        id: section.string("id").unwrap_or(standard.id),
    };
    section.finish();
    parameters
}
