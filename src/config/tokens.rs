//! Tokens of departments and operators, and what should be known of those that open more than was meant.

use std::collections::BTreeMap;

use crate::message::Secret;

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

/// What each token opens. Secrets are compared in constant time where somebody waits for the answer; here nobody does.
pub(super) struct Opened(BTreeMap<Vec<u8>, String>);

impl Opened {
    pub(super) fn by(operators: &[Secret]) -> Self {
        let opens = |token: &Secret| (token.bytes().to_vec(), "the words in dead-letter".to_owned());
        Self(operators.iter().map(opens).collect())
    }
}

/// The tokens that open a department's feed.
pub(super) fn department(name: &str, section: &Section<'_>, opened: &mut Opened, vault: &Vault<'_>) -> Vec<Secret> {
    if section.node("tokens").is_none() || !vault.has_doors() {
        return Vec::new();
    }
    let tokens = vault.several(section, "tokens");
    warn_of_short(section, "tokens", &tokens, vault);
    let own = format!("the feed of {name}");
    for token in &tokens {
        let other = opened.0.entry(token.bytes().to_vec()).or_insert_with(|| own.clone());
        // Of the sample's some may not be made yet, and one value stands for all of those.
        if *other != own && !vault.is_sample {
            vault.warn(section, "tokens", format!("holds a token that opens {other} as well: give each its own"));
        }
    }
    tokens
}

fn warn_of_short(section: &Section<'_>, key: &'static str, tokens: &[Secret], vault: &Vault<'_>) {
    if tokens.iter().any(|token| token.bytes().len() < TOKEN_MIN) {
        let reason = format!("holds a token under {TOKEN_MIN} bytes, which can be guessed: openssl rand -hex 32");
        vault.warn(section, key, reason);
    }
}
