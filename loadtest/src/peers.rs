//! The peers: what others would take for the work (`loadtest/peers`), installed and started.
//!
//! Comes in: the name of a folder. Goes out: a server like any other; or a script that measures a peer of another
//! shape by itself; or why it cannot be had here.
//! Always true: an installation that says it cannot be had (exit status 3) is a row of the table, any other that
//! fails ends the measurement; nothing is said on standard output. Not here: what the peers are.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::servers::{Server, with_path};
use crate::settings::Folder;

/// The exit status of an installation that is refused something.
const CANNOT: i32 = 3;
/// Texts of one round of a peer that measures itself: they take about a thousand a second.
const SCRIPT_TEXTS_MAX: usize = 10_000;
/// How many times as much CPU for each text as ours a peer is expected to take, at least.
const GOALS: [(&str, f64); 5] =
    [("go", 2.5), ("node", 2.5), ("redpanda-connect", 5.0), ("kannel", 12.0), ("fastapi", 25.0)];

/// A peer that is there, or is not.
pub enum Peer {
    Server(Server),
    Script(Script),
    /// Why not.
    Absent(String),
}

/// A peer that no request is sent to: it is fed by a script of its own, and nothing of it goes to Kafka.
pub struct Script(PathBuf);

/// What such a script prints.
#[derive(Deserialize)]
pub struct Measurement {
    pub texts: usize,
    pub seconds: f64,
    #[serde(rename = "cpu_us_per_text")]
    pub cpu_microseconds_per_text: f64,
    pub memory_mib: u64,
}

impl Peer {
    pub fn start(name: &str, folder: &Folder) -> anyhow::Result<Self> {
        let peer = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name);
        if let Err(reason) = install(name, &peer)? {
            return Ok(Self::Absent(reason));
        }
        let script = peer.join("measure");
        if script.exists() {
            return Ok(Self::Script(Script(script)));
        }
        Server::peer(&peer.join("run"), folder).map(Self::Server).with_context(|| name.to_owned())
    }
}

/// Installs a peer if it is not; the inner error is why it cannot be had.
fn install(name: &str, peer: &Path) -> anyhow::Result<Result<(), String>> {
    let install = peer.join("install");
    let output = with_path(&install).output();
    let output = output.with_context(|| format!("there is no peer {name}: {}", install.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(CANNOT) {
        return Ok(Err(reason(&said)));
    }
    ensure!(output.status.success(), "peer {name} is not installed ({}): {said}", output.status);
    Ok(Ok(()))
}

/// The last line that says so; what else was said is the installer's.
fn reason(said: &str) -> String {
    let reason = said.lines().rev().find_map(|line| line.split_once("cannot be had here: "));
    reason.map_or_else(|| "its installation does not say why".to_owned(), |(_, reason)| reason.to_owned())
}

impl Script {
    /// As many texts as a round has, or as many as it can take.
    pub fn measure(&self, texts: usize) -> anyhow::Result<Measurement> {
        let texts = texts.min(SCRIPT_TEXTS_MAX).to_string();
        let output = with_path(&self.0).arg(&texts).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).context("it prints something else than its figures")
    }
}

/// At least how many times as much CPU as ours.
pub fn goal(name: &str) -> Option<f64> {
    GOALS.iter().find(|(peer, _)| *peer == name).map(|(_, goal)| *goal)
}

#[cfg(test)]
mod tests {
    use super::reason;

    #[test]
    fn the_reason_is_what_the_installation_says_last() {
        let said = "go: 403 Forbidden\npeers/x: cannot be had here: its modules are refused\n";
        assert_eq!(reason(said), "its modules are refused");
        assert_eq!(reason("bang\n"), "its installation does not say why");
    }
}
