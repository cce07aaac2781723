//! What is sent, as a file says it: carriers, keywords, and how many texts are of the less usual kinds.
//!
//! Comes in: TOML. Goes out: a `Mix` whose figures all make sense. Always true: what is wrong is told by the
//! key it is at and what to write there. Not here: whether a carrier can be part of a mix (`carriers`).
//!
//! ```toml
//! [carriers]            # weights; each is sent by an account of its own
//! generic = 60
//! twilio = 40
//! [keywords]
//! zipf = 1.0            # the nth department's weight is 1 ÷ n to this power; 0: all alike
//! [shares]              # each from 0 to 1
//! unmatched = 0.1       # of the texts: no keyword, so they go to the default, the first department
//! unicode = 0.1         # of the texts: emoji, Greek, the characters of GSM's extension
//! parts = 0.05          # of the texts of carriers that push pieces: two or three pieces
//! duplicates = 0.02     # of the requests: one of the latest 1,000 again, under its id
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

/// The only carrier without a mix, and the only one that peers read.
pub const PLAIN: &str = "generic";
/// Steeper than this all texts are for the first few departments.
const ZIPF_MAX: f64 = 5.0;
/// More duplicates than this and hardly anything is new.
const DUPLICATES_MAX: f64 = 0.9;

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// Weights by the carriers' words in the settings.
    pub carriers: BTreeMap<String, f64>,
    #[serde(default)]
    pub keywords: Keywords,
    #[serde(default)]
    pub shares: Shares,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keywords {
    pub zipf: f64,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shares {
    pub unmatched: f64,
    pub unicode: f64,
    pub parts: f64,
    pub duplicates: f64,
}

impl Mix {
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let written = std::fs::read_to_string(file).with_context(|| format!("--mix {}", file.display()))?;
        Self::parse(&written).with_context(|| format!("--mix {}", file.display()))
    }

    pub fn parse(written: &str) -> anyhow::Result<Self> {
        // An unknown key is named, with the line it is in and the keys there are.
        let mix: Self = toml::from_str(written).map_err(|error| anyhow::anyhow!("{}", error.to_string().trim_end()))?;
        let problems = mix.problems();
        ensure!(problems.is_empty(), "{}", problems.join("\n"));
        Ok(mix)
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let weight = |weight: &f64| weight.is_finite() && *weight >= 0.0;
        for (carrier, _) in self.carriers.iter().filter(|(_, written)| !weight(written)) {
            problems.push(format!("carriers.{carrier} is no weight: write 0 or a greater number"));
        }
        if !self.carriers.values().any(|weight| *weight > 0.0) {
            problems.push(format!("[carriers] names none: write {PLAIN} = 1 for the simplest"));
        }
        let Shares { unmatched, unicode, parts, duplicates } = self.shares;
        for (key, value, most) in [
            ("keywords.zipf", self.keywords.zipf, ZIPF_MAX),
            ("shares.unmatched", unmatched, 1.0),
            ("shares.unicode", unicode, 1.0),
            ("shares.parts", parts, 1.0),
            ("shares.duplicates", duplicates, DUPLICATES_MAX),
        ] {
            if !(0.0..=most).contains(&value) {
                problems.push(format!("{key} is {value}: write a number from 0 to {most}"));
            }
        }
        problems
    }

    /// Peers read one carrier's requests, and join nothing.
    pub fn check_for_peers(&self) -> anyhow::Result<()> {
        let others: Vec<_> = self
            .carriers
            .iter()
            .filter(|(name, weight)| *name != PLAIN && **weight > 0.0)
            .map(|(name, _)| name.as_str())
            .collect();
        if !others.is_empty() {
            bail!(
                "peers read only {PLAIN}, and the mix has {}: leave --peers out, or {PLAIN} alone in [carriers]",
                others.join(", ")
            );
        }
        ensure!(self.shares.parts == 0.0, "peers join no pieces: leave --peers out, or write shares.parts = 0");
        Ok(())
    }
}
