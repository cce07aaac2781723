//! The servers that are measured: started, asked for their address, ended.
//!
//! Comes in: a folder with settings. Goes out: a running server, ready for requests.
//! Always true: a server is a group of processes, and the group is ended when its `Server` is dropped; none
//! inherits this process's environment, where settings could hide, but for the path of its programs.
//! Not here: what is sent to them; what a peer is (`loadtest/peers`).

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::floor::Kind;
use crate::settings::Folder;
use crate::statistics::Heard;

/// How long a server may take until it is ready.
const START_MAX: Duration = Duration::from_secs(60);
/// Between two looks whether it is.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// A floor, and its place in the measurement.
pub struct Floor<'a> {
    pub kind: Kind,
    /// Which of those that publish it is.
    pub number: usize,
    /// What is sent, where that is a mix.
    pub mix: Option<&'a Path>,
    pub seed: u64,
    /// Whether it tells librdkafka's statistics, which costs CPU.
    pub tells: bool,
}

/// A running server; dropping it ends the process.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    /// Health and metrics; only the service has them.
    pub monitoring: SocketAddr,
    /// What it says of librdkafka; only a floor that tells.
    pub heard: Heard,
}

impl Server {
    /// `sms-router serve`, its topics made, ready.
    pub fn service(binary: &Path, folder: &Folder) -> anyhow::Result<Self> {
        let settings = folder.settings_file();
        let setup = bare(binary).arg("setup").arg("-c").arg(&settings).output();
        let setup = setup.with_context(|| format!("{} does not start", binary.display()))?;
        ensure!(setup.status.success(), "sms-router setup: {}", String::from_utf8_lossy(&setup.stderr));
        let mut command = bare(binary);
        command.arg("serve").arg("-c").arg(&settings).current_dir(folder.path());
        let mut server = Self::start(command.stdout(Stdio::null()).stderr(Stdio::piped()))?;
        let greeting = server.child.stderr.take().context("no pipe")?;
        let mut greeting = BufReader::new(greeting);
        server.address = address_after(&mut greeting, "carriers push to")?;
        server.monitoring = address_after(&mut greeting, "health, metrics")?;
        std::thread::spawn(move || std::io::copy(&mut greeting, &mut std::io::sink()));
        wait_until_ready(server.monitoring)?;
        Ok(server)
    }

    /// This program as the floor, with records like those on the service's topics.
    pub fn floor(folder: &Folder, floor: &Floor<'_>) -> anyhow::Result<Self> {
        let mut command = bare(&std::env::current_exe()?);
        command.arg("floor").arg("--config").arg(folder.settings_file());
        command.args(["--prefix", folder.prefix(), "--topics", &folder.topics().len().to_string()]);
        command.args(["--kind", &floor.kind.to_string(), "--number", &floor.number.to_string()]);
        command.args(["--seed", &floor.seed.to_string()]);
        command.args(floor.mix.into_iter().flat_map(|file| [OsStr::new("--mix"), file.as_os_str()]));
        command.args(floor.tells.then_some("--statistics"));
        let mut server = Self::start(command.stdout(Stdio::piped()))?;
        let greeting = server.child.stdout.take().context("no pipe")?;
        let mut greeting = BufReader::new(greeting);
        server.address = address_after(&mut greeting, "http://")?;
        let heard = server.heard.clone();
        std::thread::spawn(move || heard.listen(greeting));
        Ok(server)
    }

    /// Another program that does the work, started by a script (`loadtest/peers`).
    pub fn peer(run: &Path, folder: &Folder) -> anyhow::Result<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut command = with_path(run);
        command.env("PORT", port.to_string()).env("BROKERS", folder.brokers()).env("ROUTES", folder.peer_routes()?);
        let mut server = Self::start(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
        server.address = SocketAddr::from(([127, 0, 0, 1], port));
        wait_until(|| TcpStream::connect(server.address).is_ok(), "the peer does not listen")?;
        Ok(server)
    }

    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let child = command.stdin(Stdio::null()).process_group(0).spawn().context("a server does not start")?;
        // Not known before the server says it; nothing listens on port 0.
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Ok(Self { child, address: nowhere, monitoring: nowhere, heard: Heard::default() })
    }

    /// A metric without labels.
    pub fn metric(&self, name: &str) -> anyhow::Result<f64> {
        self.metric_if_any(name)?.with_context(|| format!("there is no metric {name}"))
    }

    /// A metric without labels that earlier builds lack.
    pub fn metric_if_any(&self, name: &str) -> anyhow::Result<Option<f64>> {
        let answer = get(self.monitoring, "/metrics")?;
        let line = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.and_then(|value| value.parse().ok()))
    }

    /// All metrics of a name, whatever their labels, added up.
    pub fn metric_sum(&self, name: &str) -> anyhow::Result<f64> {
        let answer = get(self.monitoring, "/metrics")?;
        let of_name = answer.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
        Ok(of_name.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum())
    }

    /// Neither a floor nor a peer.
    pub fn is_service(&self) -> bool {
        self.monitoring.port() != 0
    }

    /// The version of the routes in force; none at the moment of a swap.
    pub fn routes_version(&self) -> anyhow::Result<Option<String>> {
        let answer = get(self.monitoring, "/metrics")?;
        let line = answer.lines().find_map(|line| line.strip_prefix("sms_router_routes_info{version=\""));
        Ok(line.and_then(|line| line.split('"').next()).map(str::to_owned))
    }

    /// Asks the service to read its routes again.
    pub fn reload(&self) -> anyhow::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::HUP)?)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// A program without this process's environment.
fn bare(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    command
}

/// A program with as much of it as scripts need.
pub fn with_path(program: &Path) -> Command {
    let mut command = bare(program);
    command.envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME"));
    command
}

/// The address in the first line that has `what` in it; what was said instead, if there is none.
fn address_after(lines: &mut impl BufRead, what: &str) -> anyhow::Result<SocketAddr> {
    let mut said = String::new();
    loop {
        let mut line = String::new();
        ensure!(lines.read_line(&mut line)? > 0, "the server ended: {said}");
        if line.contains(what) {
            let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
            return address.and_then(|address| address.parse().ok()).context("no address in the greeting");
        }
        said.push_str(&line);
    }
}

fn wait_until_ready(monitoring: SocketAddr) -> anyhow::Result<()> {
    let is_ready = || get(monitoring, "/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "));
    wait_until(is_ready, "the service is not ready: does a Kafka broker answer at --brokers?")
}

fn wait_until(is_so: impl Fn() -> bool, otherwise: &str) -> anyhow::Result<()> {
    let until = Instant::now() + START_MAX;
    while Instant::now() < until {
        if is_so() {
            return Ok(());
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    bail!("{otherwise} ({START_MAX:?} have passed)")
}

fn get(server: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(START_MAX))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// What the service is called in a table.
pub fn name_of(client: Option<&str>) -> String {
    client.map_or("sms-router serve".to_owned(), |client| format!("sms-router serve, {client}"))
}

/// The binary that was named, or else this workspace's.
pub fn binary(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    named.map_or_else(build, |named| Ok(named.to_owned()))
}

/// The router as this program was built: with its profile, into its folder, built now if it is not up to date.
fn build() -> anyhow::Result<PathBuf> {
    ensure!(!cfg!(debug_assertions), "a debug build measures nothing: cargo run --profile dist -p loadtest");
    let own = std::env::current_exe()?;
    let folder = own.parent().context("no folder of binaries")?;
    let target = folder.parent().context("no folder of builds")?;
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut build = Command::new("cargo");
    build.args(["build", "--quiet", "--package", "sms-router", "--bin", "sms-router"]);
    build.arg("--profile").arg(profile_of(folder)?).arg("--target-dir").arg(target);
    let built = build.current_dir(workspace).status().context("cargo does not start")?;
    ensure!(built.success(), "sms-router does not build");
    Ok(folder.join("sms-router"))
}

/// The profile that cargo builds into a folder: both have one name, but for `dev`.
fn profile_of(folder: &Path) -> anyhow::Result<&str> {
    let name = folder.file_name().and_then(OsStr::to_str).context("the folder of binaries has no name")?;
    Ok(if name == "debug" { "dev" } else { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_router_is_built_with_the_profile_of_the_folder() {
        for (folder, profile) in [
            ("target/debug", "dev"),
            ("/builds/release", "release"),
            ("target/dist", "dist"),
            ("target/x86_64-unknown-linux-gnu/slim", "slim"),
        ] {
            assert_eq!(profile_of(Path::new(folder)).ok(), Some(profile), "{folder}");
        }
        assert!(profile_of(Path::new("/")).is_err());
    }
}
