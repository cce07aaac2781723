//! One process of ours: started, killed, frozen, asked to stop, started again at the same place.
//!
//! Comes in: a binary, its role, its folder. Goes out: its monitoring's answers, its end.
//! Always true: its environment is empty but for what a fault needs; it is ended when the `Process` is
//! dropped; what it says goes to `log` in its folder, which only grows.
//! Not here: when any of it happens (`faults`).

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

/// Between two looks at something that gives no sign.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How long a process may take until it listens, and until it is ready with everything around it well.
const LISTEN_MAX: Duration = Duration::from_secs(60);
const READY_MAX: Duration = Duration::from_secs(60);
/// Before a process that refused to start is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
/// How long monitoring may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// A process that can be started again.
pub struct Process {
    binary: PathBuf,
    arguments: &'static [&'static str],
    folder: PathBuf,
    pub monitoring: SocketAddr,
    environment: Vec<(String, String)>,
    child: Option<Child>,
}

impl Process {
    pub fn new(binary: &Path, arguments: &'static [&'static str], folder: &Path, monitoring: SocketAddr) -> Self {
        let (binary, folder) = (binary.to_owned(), folder.to_owned());
        Self { binary, arguments, folder, monitoring, environment: Vec::new(), child: None }
    }

    /// What it finds in its environment from the next start on.
    pub fn with(mut self, environment: Vec<(String, String)>) -> Self {
        self.environment = environment;
        self
    }

    pub fn start(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = Command::new(&self.binary);
        command.args(self.arguments).arg("-c").arg("sms-router.toml").current_dir(&self.folder);
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().with_context(|| format!("{} does not start", self.binary.display()))?);
        Ok(())
    }

    /// Starts it and waits until it has read its settings and listens; what it needs may be away. It
    /// is started again while it refuses, as an orchestrator would: a full disk is a reason to.
    pub fn start_and_listen(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + LISTEN_MAX;
        loop {
            self.start()?;
            match self.wait_for("/livez", LISTEN_MAX) {
                Err(error) if Instant::now() > until => return Err(error),
                Err(_) => std::thread::sleep(RESTART_PAUSE),
                Ok(()) => return Ok(()),
            }
        }
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGTERM; `None` when it did not end in time and was killed.
    pub fn stop(&mut self, patience: Duration) -> anyhow::Result<Option<ExitStatus>> {
        self.signal("TERM")?;
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if let Some(status) = self.ended()? {
                return Ok(Some(status));
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        self.kill()?;
        Ok(None)
    }

    pub fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let child = self.child.as_ref().context("the process does not run")?;
        let done = Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()).status()?;
        ensure!(done.success(), "no process took SIG{signal}");
        Ok(())
    }

    /// How it ended, if it has: then it can be started again.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else { return Ok(None) };
        let status = child.try_wait()?;
        if status.is_some() {
            self.child = None;
        }
        Ok(status)
    }

    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    pub fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        self.wait_for("/readyz", READY_MAX)
    }

    fn wait_for(&mut self, path: &str, patience: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if get(self.monitoring, path).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 ")) {
                return Ok(());
            }
            if let Some(status) = self.ended()? {
                bail!("ended with {status}; log: {}", self.log().display());
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        bail!("{path} is not well after {patience:?}; log: {}", self.log().display())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.kill();
    }
}

/// The value of a series without labels; `None` when the process does not answer or does not have it.
pub fn metric(monitoring: SocketAddr, name: &str) -> Option<f64> {
    let answer = get(monitoring, "/metrics").ok()?;
    let line = answer.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

fn get(server: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&server, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Runs a command of the binary to its end, in the folder of a process.
pub fn run(binary: &Path, arguments: &[&str], folder: &Path) -> anyhow::Result<String> {
    let mut command = Command::new(binary);
    command.args(arguments).arg("-c").arg("sms-router.toml").current_dir(folder).env_clear().stdin(Stdio::null());
    let output = command.output().with_context(|| format!("{} does not start", binary.display()))?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "sms-router {}: {}: {said}", arguments.join(" "), output.status);
    Ok(said)
}
