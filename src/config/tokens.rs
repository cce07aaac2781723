//! Tokens of departments and operators, and what should be known of those that open more than was meant.

use std::collections::BTreeMap;

use crate::message::{DepartmentName, Secret};

use super::read::Section;
use super::secrets::Vault;

/// A shorter token can be guessed, or was typed by somebody.
const TOKEN_MIN: usize = 16;

/// Tokens of those who may see the words in dead-letter.
pub(super) fn operators(section: &Section<'_>, vault: &Vault<'_>) -> Vec<Secret> {
    // Asked for in any case: a key that nobody asked for counts as unknown.
    if section.node("operators").is_none() || !vault.has_doors() {
        return Vec::new();
    }
    let tokens = vault.several(section, "operators");
    warn_of_short(section, "operators", &tokens, vault);
    tokens
}

/// `[departments.NAME]`: the tokens that open each feed.
pub(super) fn departments(
    root: &Section<'_>,
    operators: &[Secret],
    vault: &Vault<'_>,
) -> BTreeMap<DepartmentName, Vec<Secret>> {
    // Secrets are compared in constant time where somebody waits for the answer; here nobody does.
    let mut opens: BTreeMap<Vec<u8>, String> =
        operators.iter().map(|token| (token.bytes().to_vec(), "the words in dead-letter".to_owned())).collect();
    let mut departments = BTreeMap::new();
    for (name, section) in root.named("departments").into_iter().filter(|_| vault.has_doors()) {
        let department = DepartmentName::parse(name).map_err(|error| section.refuse("", error.to_string()));
        let tokens = vault.several(&section, "tokens");
        warn_of_short(&section, "tokens", &tokens, vault);
        let own = format!("the feed of {name}");
        for token in &tokens {
            let other = opens.entry(token.bytes().to_vec()).or_insert_with(|| own.clone());
            // Of the sample's some may not be made yet, and one value stands for all of those.
            if *other != own && !vault.is_sample {
                vault.warn(&section, "tokens", format!("holds a token that opens {other} as well: give each its own"));
            }
        }
        section.finish();
        if let Ok(department) = department {
            departments.insert(department, tokens);
        }
    }
    departments
}

fn warn_of_short(section: &Section<'_>, key: &'static str, tokens: &[Secret], vault: &Vault<'_>) {
    if tokens.iter().any(|token| token.bytes().len() < TOKEN_MIN) {
        let reason = format!("holds a token under {TOKEN_MIN} bytes, which can be guessed: openssl rand -hex 32");
        vault.warn(section, key, reason);
    }
}
