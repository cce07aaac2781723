//! Secrets: from files or the environment, never from the settings themselves.

use std::cell::RefCell;
use std::path::Path;

use crate::message::Secret;

use super::document::{Node, Place, Value};
use super::file::{Stamped, read_small};
use super::read::{Problems, Section};
use super::{Environment, SecretsNeeded, sample};

/// A secret and the file it came from.
#[derive(Debug, Clone)]
pub struct Followed {
    /// In the settings.
    pub key: String,
    pub file: Stamped,
    pub secret: Secret,
}

/// Everything needed to follow `{ file = … }` and `{ env = … }`.
pub struct Vault<'a> {
    pub folder: &'a Path,
    pub environment: &'a Environment,
    pub is_sample: bool,
    pub needed: SecretsNeeded,
    /// Of the settings; secrets below it are the owner's alone.
    pub data: &'a Path,
    /// What works and should be known all the same.
    pub warnings: &'a Problems,
    /// What came from files so far.
    pub followed: &'a RefCell<Vec<Followed>>,
    /// Certificates and keys towards the archive.
    pub files: &'a RefCell<Vec<Stamped>>,
}

impl Vault<'_> {
    /// Whether anybody will knock at a door for carriers or departments.
    pub fn has_doors(&self) -> bool {
        !matches!(self.needed, SecretsNeeded::Archive | SecretsNeeded::Deliver)
    }

    /// Whether texts will be mailed or pushed: by a process of its own, or by `serve` where it has the log itself.
    pub fn is_delivering(&self, log_is_embedded: bool) -> bool {
        match self.needed {
            SecretsNeeded::Deliver | SecretsNeeded::Sample | SecretsNeeded::Nowhere => true,
            SecretsNeeded::Make => log_is_embedded,
            SecretsNeeded::Must | SecretsNeeded::Backfill | SecretsNeeded::Archive => false,
        }
    }

    /// Whether secrets, keys, certificates and the data folder are to be looked at.
    pub fn has_files(&self) -> bool {
        self.needed != SecretsNeeded::Nowhere
    }

    pub fn warn(&self, section: &Section<'_>, key: &str, reason: impl Into<String>) {
        self.warnings.push(&section.place_of(key), section.key(key), reason);
    }

    /// One secret; `None` when it is absent (no problem) or wrong (a problem).
    pub fn one(&self, section: &Section<'_>, key: &'static str) -> Option<Secret> {
        let node = section.node(key)?;
        self.follow(section, key, node)
    }

    /// A list of secrets, for rotation; a single one may stand without the brackets.
    pub fn several(&self, section: &Section<'_>, key: &'static str) -> Vec<Secret> {
        match section.node(key) {
            None => Vec::new(),
            Some(Node { value: Value::Array(items), .. }) => {
                items.iter().filter_map(|item| self.follow(section, key, item)).collect()
            }
            Some(node) => self.follow(section, key, node).into_iter().collect(),
        }
    }

    fn follow(&self, section: &Section<'_>, key: &str, node: &Node) -> Option<Secret> {
        let found = match &node.value {
            Value::Table(table) if table.len() == 1 => match table.first_key_value() {
                Some((kind, Node { value: Value::String(path) | Value::Override(path), .. })) if kind == "file" => {
                    self.warn_of_readers(section, key, &node.place, path);
                    let file = Stamped::now(self.folder.join(path));
                    self.in_file(path).map(|secret| (secret, Some(file)))
                }
                Some((kind, Node { value: Value::String(name) | Value::Override(name), .. })) if kind == "env" => {
                    self.in_environment(name).map(|secret| (secret, None))
                }
                _ => Err(HOW.to_owned()),
            },
            _ => Err(HOW.to_owned()),
        };
        match found {
            Ok((secret, file)) => {
                let followed = |file| Followed { key: section.key(key), file, secret: secret.clone() };
                self.followed.borrow_mut().extend(file.map(followed));
                Some(secret)
            }
            Err(reason) => {
                section.refuse_at(&node.place, key, reason);
                None
            }
        }
    }

    fn in_file(&self, path: &str) -> Result<Secret, String> {
        if !self.has_files() {
            return Ok(stand_in(path));
        }
        let full = self.folder.join(path);
        if self.is_sample {
            match self.needed {
                SecretsNeeded::Make => {
                    sample::make_secret(&full)
                        .map_err(|error| format!("{} cannot be made: {error}", full.display()))?;
                }
                SecretsNeeded::Must | SecretsNeeded::Backfill | SecretsNeeded::Archive | SecretsNeeded::Deliver => {}
                SecretsNeeded::Sample if full.exists() => {}
                // The command does not use it: any value does.
                SecretsNeeded::Sample | SecretsNeeded::Nowhere => {
                    return Ok(Secret::new(*b"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
                }
            }
        }
        let bytes = read_small(&full).map_err(|error| {
            let hint = if self.is_sample { "; start `sms-router serve` once, which makes it" } else { "" };
            format!("{} cannot be read: {error}{hint}", full.display())
        })?;
        trimmed(bytes).ok_or_else(|| format!("{} is empty", full.display()))
    }

    fn warn_of_readers(&self, section: &Section<'_>, key: &str, place: &Place, path: &str) {
        let full = self.folder.join(path);
        if let Some(mode) = open_to_others(&full).filter(|_| full.starts_with(self.data)) {
            let (path, key) = (full.display(), section.key(key));
            self.warnings.push(place, key, format!("{path} is open to others (mode {mode:04o}): chmod 600 {path}"));
        }
    }

    fn in_environment(&self, name: &str) -> Result<Secret, String> {
        if !self.has_files() {
            return Ok(stand_in(name));
        }
        let value = self.environment.variable(name).ok_or_else(|| format!("the variable {name} is not set"))?;
        trimmed(value.as_bytes().to_vec()).ok_or_else(|| format!("the variable {name} is empty"))
    }
}

/// For a secret that is not looked at: one for each place, and long enough for each use.
fn stand_in(place: &str) -> Secret {
    Secret::new(format!("instead of what is in {place}").into_bytes())
}

/// The mode of what is there, if anybody but its owner may do anything with it.
pub(super) fn open_to_others(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then_some(mode)
}

/// The variable with an operator's token, for commands that show residents' words.
const OPERATOR_VARIABLE: &str = "SMS_ROUTER_OPERATOR_TOKEN";

/// The token a caller shows: from a file, else from the environment. The error says which was missing.
pub fn operator_token(file: Option<&Path>, environment: &Environment) -> Result<Secret, String> {
    match file {
        Some(path) => {
            let bytes = std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
            trimmed(bytes).ok_or_else(|| format!("{} is empty", path.display()))
        }
        None => environment
            .variable(OPERATOR_VARIABLE)
            .and_then(|value| trimmed(value.as_bytes().to_vec()))
            .ok_or_else(|| format!("an operator's token is needed: --token-file FILE, or {OPERATOR_VARIABLE}")),
    }
}

/// A carrier's private key, for `simulate`.
pub fn signing_key(file: &Path) -> Result<Secret, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    trimmed(bytes).ok_or_else(|| format!("{} is empty", file.display()))
}

const HOW: &str = "is not a secret: write { file = \"PATH\" } or { env = \"NAME\" }";

/// Editors end files with a newline that is no part of the secret.
fn trimmed(bytes: Vec<u8>) -> Option<Secret> {
    let secret = bytes.trim_ascii();
    (!secret.is_empty()).then(|| Secret::new(secret))
}
