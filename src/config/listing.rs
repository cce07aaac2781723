//! `[accounts.NAME.api]`: how `backfill` asks a carrier which texts it received.
//!
//! Its secret opens the account at the carrier, so only the command that uses it reads it; the rest is
//! checked by every command.

use crate::carrier::{ApiAccess, Carrier};
use crate::fetch;
use crate::message::{Country, Number};

use super::SecretsNeeded;
use super::read::Section;
use super::secrets::Vault;

/// `None` where the section is absent, wrong (which has then been noted), or its secret is not needed.
pub fn read(section: Section<'_>, carrier: &dyn Carrier, country: Country, vault: &Vault<'_>) -> Option<ApiAccess> {
    if !section.is_present() {
        return None;
    }
    let access = access(&section, carrier, country, vault);
    section.finish();
    access
}

fn access(section: &Section<'_>, carrier: &dyn Carrier, country: Country, vault: &Vault<'_>) -> Option<ApiAccess> {
    let (url, account, user) = (section.string("url"), section.string("account"), section.string("user"));
    let numbers = section.strings("numbers").unwrap_or_default();
    let has_key = section.node("key").is_some();
    let authorities = section.string("authorities");
    let Some(listing) = carrier.listing() else {
        section.refuse("", format!("{} has no API that this build can ask", carrier.contract().name));
        return None;
    };
    let url = url.unwrap_or_else(|| listing.url().to_owned());
    if let Err(error) = fetch::check_url(&url) {
        section.refuse("url", error.to_string());
    }
    if !has_key {
        section.refuse("key", "is missing: what the carrier's API asks of its customers; { file = \"PATH\" }");
    }
    let is_needed = vault.needed == SecretsNeeded::Backfill;
    let key = if is_needed { vault.one(section, "key") } else { None };
    if let Err((name, reason)) = listing.check(account.as_deref(), key.as_ref()) {
        section.refuse(name, reason);
    }
    let authorities = match authorities.filter(|_| is_needed).map(|path| vault.folder.join(path)) {
        None => None,
        Some(path) => {
            let read = std::fs::read(&path);
            let refuse = |error| section.refuse("authorities", format!("{} cannot be read: {error}", path.display()));
            Some(read.map_err(refuse).ok()?)
        }
    };
    let numbers = numbers.iter().map(|number| Number::normalise(number, country)).collect();
    Some(ApiAccess { url, account, user, key: key?, numbers, authorities })
}
