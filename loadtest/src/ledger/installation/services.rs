//! The real servers: started by `tests/services`, broken and mended by the same scripts.
//!
//! Comes in: the scripts' folder and the names that the servers have there. Goes out: their addresses.
//! Always true: nothing is signalled but through the scripts, which know their processes by pid and
//! start time. Not here: when.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// The three brokers and the CQL node of this run.
#[derive(Clone)]
pub struct Services {
    pub scripts: PathBuf,
    pub kafka: String,
    pub cassandra: String,
}

impl Services {
    /// `kafka.sh COMMAND NAME ID…`
    pub fn kafka(&self, command: &str, brokers: &[u8]) -> anyhow::Result<String> {
        let ids = brokers.iter().map(ToString::to_string);
        self.run("kafka.sh", [command.to_owned(), self.kafka.clone()].into_iter().chain(ids).collect())
    }

    /// `cassandra.sh COMMAND NAME`
    pub fn cassandra(&self, command: &str) -> anyhow::Result<String> {
        self.run("cassandra.sh", vec![command.to_owned(), self.cassandra.clone()])
    }

    fn run(&self, script: &str, arguments: Vec<String>) -> anyhow::Result<String> {
        let path = self.scripts.join(script);
        // Its standard error is ours: a pipe would be held open by the servers it leaves behind.
        let output = Command::new(&path).args(&arguments).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("{} does not start", path.display()))?;
        ensure!(output.status.success(), "{} {arguments:?}: {}", path.display(), output.status);
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}
