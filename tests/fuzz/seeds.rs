//! First inputs of the carriers' targets: what carriers are documented to send.
//!
//! Comes in: `tests/carriers/vectors.json`. Goes out: the requests of its cases as the targets read them.
//! Always true: the same file makes the same bytes, so that the kept corpus changes only with it.
//! Not here: what the cases expect (`tests/it/carriers.rs`).

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    id: String,
    provider: String,
    method: String,
    url: String,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    body_hex: Option<String>,
}

/// Target, name and bytes of every seed.
pub fn all() -> Vec<(String, String, Vec<u8>)> {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../carriers/vectors.json")).expect("the list of the carriers' cases");
    cases.into_iter().map(|case| (case.provider.clone(), case.id.clone(), written(&case))).collect()
}

fn written(case: &Case) -> Vec<u8> {
    let query = case.url.split_once('?').map_or("", |(_, query)| query);
    let mut written = format!("{} /?{query}\n", case.method);
    for (name, value) in &case.headers {
        written += &format!("{name}: {value}\n");
    }
    written += "\n";
    let mut written = written.into_bytes();
    match &case.body_hex {
        Some(hex) => written.extend(bytes(hex)),
        None => written.extend_from_slice(case.body.as_deref().unwrap_or_default().as_bytes()),
    }
    written
}

fn bytes(hex: &str) -> impl Iterator<Item = u8> {
    let digits = (0..hex.len() / 2).map(|at| &hex[2 * at..2 * at + 2]);
    digits.map(|digits| u8::from_str_radix(digits, 16).expect("hexadecimal digits"))
}
