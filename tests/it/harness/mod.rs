//! A running `sms-router serve` of one's own, texts for it, and the proof that none got lost.

pub mod feed;
pub mod http;
pub mod receiver;
pub mod role;
pub mod services;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use http::Answer;

/// The secret of account `demo` in every test's settings: `whsec_` and 32 bytes.
pub const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
/// How long anything may take before the test fails instead of hanging.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Routes that most tests use.
pub const ROUTES: &str = r#"
[[department]]
name = "contact-centre"
[[department]]
name = "highways"
[[department]]
name = "parking"
[[number]]
number = "86555"
default = "contact-centre"
[[keyword]]
number = "86555"
word = "snow"
aliases = ["grit"]
department = "highways"
[[keyword]]
number = "86555"
word = "park pay"
department = "parking"
"#;

/// The settings of a standalone server, ports chosen by the system.
pub const SETTINGS: &str = r#"
routes = "routes.toml"
data = "data"
[inbound]
listen = "127.0.0.1:0"
url = "https://sms.example.gov.uk"
[api]
listen = "127.0.0.1:0"
[monitoring]
listen = "127.0.0.1:0"
[archive]
sender_key = { file = "sender-key" }
[accounts.demo]
carrier = "generic"
secrets = [{ file = "demo" }]
[departments.highways]
tokens = [{ file = "token-highways" }]
[departments.contact-centre]
tokens = [{ file = "token-contact-centre" }]
[departments.parking]
tokens = [{ file = "token-parking" }]
"#;

/// A folder with settings, routes and secrets.
pub struct Folder {
    pub dir: TempDir,
}

impl Folder {
    pub fn new() -> Self {
        Self::with(SETTINGS, ROUTES)
    }

    pub fn with(settings: &str, routes: &str) -> Self {
        let folder = Self { dir: tempfile::tempdir().expect("a folder for the test") };
        folder.write("sms-router.toml", settings);
        folder.write("routes.toml", routes);
        folder.write("sender-key", "a key of 32 characters for tests");
        folder.write("demo", SECRET);
        for department in ["highways", "contact-centre", "parking"] {
            folder.write(&format!("token-{department}"), &format!("token of {department}"));
        }
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).expect("a file of the test");
    }

    /// Runs a command of the binary to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary")
    }

    /// A command of the binary, with the settings of this folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = binary();
        command.args(arguments).arg("-c").arg(self.path("sms-router.toml")).current_dir(self.dir.path());
        command
    }
}

/// The binary, in an environment without settings of its own.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sms-router"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SMS_ROUTER_") {
            command.env_remove(name);
        }
    }
    command
}

/// A running server. Dropping it kills the process; `finish` proves that it answered for every text.
pub struct Server {
    pub folder: Folder,
    child: Child,
    pub inbound: SocketAddr,
    pub api: SocketAddr,
    pub monitoring: SocketAddr,
    /// Everything it logged so far, filled by a thread that ends with the process.
    log: mpsc::Receiver<String>,
    seen: Vec<String>,
}

impl Server {
    pub fn start(folder: Folder) -> Self {
        Self::start_with(folder, &[])
    }

    pub fn start_with(folder: Folder, environment: &[(&str, &str)]) -> Self {
        let mut command = binary();
        command.envs(environment.iter().copied());
        Self::start_as(command, folder)
    }

    /// Starts `command`, which is the binary or a program that becomes it.
    pub fn start_as(mut command: Command, folder: Folder) -> Self {
        command.arg("serve").arg("-c").arg(folder.path("sms-router.toml")).current_dir(folder.dir.path());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary");
        let (say, log) = mpsc::channel();
        let stdout = child.stdout.take().expect("a pipe");
        std::thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            // Ends with the process, or when nobody listens any more.
            let _ = lines.into_iter().try_for_each(|line| say.send(line));
        });
        let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let address = |stderr: &mut BufReader<_>, what| address_after(stderr, what, &log);
        let inbound = address(&mut stderr, "carriers push to");
        let api = address(&mut stderr, "departments read");
        let monitoring = address(&mut stderr, "health, metrics");
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Self { folder, child, inbound, api, monitoring, log, seen: Vec::new() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the server says that it is ready.
    pub fn ready(self) -> Self {
        let server = self;
        wait_until("the server is ready", || http::get(server.monitoring, "/readyz").status == 200);
        server
    }

    pub fn metrics(&self) -> String {
        http::get(self.monitoring, "/metrics").text()
    }

    /// The value of one line of the metrics; 0 when it is not there.
    pub fn metric(&self, series: &str) -> f64 {
        let metrics = self.metrics();
        let line = metrics.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
        line.and_then(|line| line.rsplit(' ').next()).map_or(0.0, |value| value.parse().expect("a number"))
    }

    pub fn push(&self, text: &Sms) -> Answer {
        push(self.inbound, text)
    }

    pub fn signal(&self, signal: &str) {
        signal_process(self.pid(), signal);
    }

    /// SIGTERM, and the exit code it ends with.
    pub fn stop(mut self) -> (Folder, Option<i32>) {
        self.signal("TERM");
        let status = self.child.wait().expect("the child");
        (std::mem::replace(&mut self.folder, Folder { dir: tempfile::tempdir().expect("a folder") }), status.code())
    }

    /// SIGKILL: nothing is flushed, nothing is said.
    pub fn kill(mut self) -> Folder {
        self.child.kill().expect("the child");
        self.child.wait().expect("the child");
        std::mem::replace(&mut self.folder, Folder { dir: tempfile::tempdir().expect("a folder") })
    }

    /// Everything logged up to now.
    pub fn log(&mut self) -> &[String] {
        self.seen.extend(self.log.try_iter());
        &self.seen
    }

    /// Waits for a line of the log that contains `words`.
    pub fn wait_for_log(&mut self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().iter().any(|line| line.contains(words)) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.log.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(_) => panic!("the log never said {words:?}: {:#?}", self.seen),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone after `stop` and `kill`.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server's log: {:#?}", self.log());
        }
    }
}

pub fn signal_process(pid: u32, signal: &str) {
    let status = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status().expect("kill");
    assert!(status.success(), "the process was there");
}

fn address_after(stderr: &mut impl BufRead, what: &str, log: &mpsc::Receiver<String>) -> SocketAddr {
    let mut said = String::new();
    loop {
        let mut line = String::new();
        if stderr.read_line(&mut line).expect("text") == 0 {
            panic!("the server ended: {said}\n{:#?}", log.try_iter().collect::<Vec<_>>());
        }
        if line.contains(what) {
            let address = line.split("://").nth(1).and_then(|rest| rest.split('/').next());
            return address.and_then(|address| address.parse().ok()).expect("an address in the greeting");
        }
        said.push_str(&line);
    }
}

/// Waits until `done`; asks it again and again, since not everything gives an event to wait for.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "never came about: {what}");
        std::thread::yield_now();
    }
}

/// A text as the `generic` carrier pushes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sms {
    pub id: String,
    pub from: String,
    pub to: String,
    pub text: String,
}

impl Sms {
    pub fn new(id: &str, text: &str) -> Self {
        Self { id: id.to_owned(), from: "+447700900123".to_owned(), to: "86555".to_owned(), text: text.to_owned() }
    }

    pub fn to(mut self, number: &str) -> Self {
        number.clone_into(&mut self.to);
        self
    }

    pub fn body(&self) -> Vec<u8> {
        let data = serde_json::json!({ "id": self.id, "from": self.from, "to": self.to, "text": self.text });
        let body = serde_json::json!({ "type": "sms.received", "timestamp": "2026-11-21T10:00:00Z", "data": data });
        serde_json::to_vec(&body).expect("JSON")
    }
}

pub fn push(server: SocketAddr, text: &Sms) -> Answer {
    push_body(server, "demo", &text.body())
}

/// Pushes any body, signed as Standard Webhooks says, by this test's own hand.
pub fn push_body(server: SocketAddr, account: &str, body: &[u8]) -> Answer {
    http::request(server, "POST", &format!("/inbound/{account}"), &signature(body), body)
}

/// Standard Webhooks headers for a body, made now.
pub fn signature(body: &[u8]) -> Vec<(String, String)> {
    signature_with(SECRET, body)
}

/// The same with another secret.
pub fn signature_with(secret: &str, body: &[u8]) -> Vec<(String, String)> {
    let timestamp = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs();
    let id = format!("msg_{timestamp}_{}", body.len());
    let key = STANDARD.decode(secret.trim_start_matches("whsec_")).expect("base64");
    let mut signed = format!("{id}.{timestamp}.").into_bytes();
    signed.extend_from_slice(body);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &signed);
    vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("webhook-id".to_owned(), id),
        ("webhook-timestamp".to_owned(), timestamp.to_string()),
        ("webhook-signature".to_owned(), format!("v1,{}", STANDARD.encode(tag))),
    ]
}

/// Whether the long forms of tests are asked for: `tests/run extended`.
pub fn is_extended() -> bool {
    #[expect(clippy::disallowed_methods, reason = "the test's own settings, not the product's")]
    let said = std::env::var_os("SMS_ROUTER_TEST_EXTENDED");
    said.is_some()
}

/// What a command said, as text.
pub fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}
