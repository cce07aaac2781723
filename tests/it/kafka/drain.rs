//! Ending under load: what was accepted is answered, what was answered 200 is on its topic.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::{cluster_settings, consume_all, consume_until, routes, set_up, unique};
use crate::harness::services::given;
use crate::harness::{Folder, Server, Sms, http, said, signature, wait_until};

/// Clients that push one text after the other, each on a connection of its own, until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
    outcomes: Arc<Outcomes>,
}

#[derive(Default)]
struct Outcomes {
    /// Texts answered 200.
    taken: Mutex<BTreeSet<String>>,
    /// Answered with something else than 200.
    failed: AtomicUsize,
    /// Texts whose connection broke without an answer.
    unanswered: Mutex<BTreeSet<String>>,
    /// Found nobody listening.
    refused: AtomicUsize,
}

impl Load {
    fn start(target: SocketAddr, clients: usize) -> Self {
        let (stop, outcomes) = (Arc::new(AtomicBool::new(false)), Arc::new(Outcomes::default()));
        let client = |client: usize| {
            let (stop, outcomes) = (stop.clone(), outcomes.clone());
            std::thread::spawn(move || {
                let going_on = |_: &usize| !stop.load(Ordering::Acquire);
                let numbers = (0..).take_while(going_on);
                numbers.for_each(|number| outcomes.note(target, format!("snow {client} {number}")));
            })
        };
        let clients = (0..clients).map(client).collect();
        Self { stop, clients, outcomes }
    }

    fn taken(&self) -> usize {
        self.outcomes.taken.lock().expect("a lock").len()
    }

    /// Waits until more texts have been taken than now.
    fn goes_on(&self) {
        let before = self.taken();
        wait_until("texts are taken", || self.taken() > before + 50);
    }

    fn stop(self) -> Arc<Outcomes> {
        self.stop.store(true, Ordering::Release);
        self.clients.into_iter().for_each(|client| client.join().expect("a client"));
        self.outcomes
    }
}

impl Outcomes {
    fn note(&self, target: SocketAddr, text: String) {
        let Ok(stream) = TcpStream::connect(target) else {
            self.refused.fetch_add(1, Ordering::AcqRel);
            return;
        };
        match status(stream, &Sms::new(&text, &text)) {
            Some(200) => drop(self.taken.lock().expect("a lock").insert(text)),
            Some(_) => drop(self.failed.fetch_add(1, Ordering::AcqRel)),
            None => drop(self.unanswered.lock().expect("a lock").insert(text)),
        }
    }

    /// Every text answered 200 is on the topic.
    fn are_on(&self, topic: &str) {
        let mut missing = self.taken.lock().expect("a lock").clone();
        consume_until(topic, |record| {
            missing.remove(record["text"].as_str().expect("a text"));
            missing.is_empty()
        });
    }

    fn assert_all_200(&self) {
        assert_eq!(self.failed.load(Ordering::Acquire), 0, "answered with something else than 200");
    }
}

/// The status of a push over an open connection; `None` when it broke without one.
fn status(mut stream: TcpStream, text: &Sms) -> Option<u16> {
    let body = text.body();
    let mut head =
        format!("POST /inbound/demo HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in signature(&body) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).and_then(|()| stream.write_all(&body)).ok()?;
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

#[test]
#[ignore = "needs Kafka: tests/run kafka"]
fn sigterm_under_load_answers_everything_it_accepted() {
    let prefix = unique("drain");
    let server = Server::start(set_up(&prefix)).ready();
    let load = Load::start(server.inbound, 8);
    load.goes_on();
    let (_folder, code) = server.stop();
    assert_eq!(code, Some(0));
    wait_until("clients find nobody", || load.outcomes.refused.load(Ordering::Acquire) > 0);
    let outcomes = load.stop();
    outcomes.assert_all_200();
    let topic = format!("{prefix}.highways");
    outcomes.are_on(&topic);
    // A port that closes resets who is just connecting, which to a client is like finding nobody. What
    // was accepted was answered: nothing is on the topic whose client does not know.
    let unanswered = outcomes.unanswered.lock().expect("a lock");
    for record in consume_all(&topic) {
        assert!(!unanswered.contains(record["text"].as_str().expect("a text")), "taken in, and no answer");
    }
}

#[test]
#[ignore = "needs Kafka: tests/run kafka"]
fn a_second_sigterm_ends_the_wait_for_load_balancers() {
    let prefix = unique("hurry");
    let folder = set_up(&prefix);
    let settings = cluster_settings(&given("SMS_ROUTER_TEST_KAFKA"));
    folder.write("sms-router.toml", &format!("drain_delay_ms = 120000\n{settings}"));
    let server = Server::start(folder).ready();
    server.signal("TERM");
    wait_until("it is not ready", || http::get(server.monitoring, "/readyz").status == 503);
    let answer = server.push(&Sms::new("late", "snow late"));
    assert_eq!(answer.status, 200, "still answered while load balancers take notice");
    let (_folder, code) = server.stop();
    assert_eq!(code, Some(0));
}

/// A real load balancer before two routers.
struct Proxy {
    process: Child,
    address: SocketAddr,
    /// Where it tells what it knows of the routers.
    state: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Proxy {
    fn start(servers: [&Ports; 2]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (address, state) = (free_address(), free_address());
        let mut config = format!(
            "defaults\n mode http\n timeout connect 1s\n timeout client 30s\n timeout server 30s\n timeout check 5s\n \
             option redispatch\n retries 3\n retry-on conn-failure\n\
             frontend state\n bind {state}\n stats enable\n stats uri /\n\
             frontend carriers\n bind {address}\n default_backend routers\n\
             backend routers\n option httpchk GET /readyz\n"
        );
        for (index, ports) in servers.iter().enumerate() {
            let check = ports.monitoring.port();
            config.push_str(&format!(
                " server router{index} {} check port {check} inter 100ms fall 1 rise 1\n",
                ports.inbound
            ));
        }
        let path = folder.path().join("haproxy.cfg");
        std::fs::write(&path, config).expect("a file");
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("haproxy, which tests/run installs");
        Self { process, address, state, _folder: folder }
    }

    /// Waits until it would send requests to so many routers.
    fn has_found(&self, count: usize) {
        wait_until("the load balancer has found the routers", || {
            if TcpStream::connect(self.state).is_err() {
                return false;
            }
            let servers = http::get(self.state, "/;csv").text();
            servers.lines().filter(|line| line.starts_with("routers,router") && line.contains(",UP,")).count() == count
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where one router listens, also after it was started again.
struct Ports {
    inbound: SocketAddr,
    monitoring: SocketAddr,
}

impl Ports {
    fn find() -> Self {
        Self { inbound: free_address(), monitoring: free_address() }
    }

    fn settings(&self) -> String {
        let Self { inbound, monitoring } = self;
        let settings = cluster_settings(&given("SMS_ROUTER_TEST_KAFKA"))
            .replace("[inbound]\nlisten = \"127.0.0.1:0\"", &format!("[inbound]\nlisten = \"{inbound}\""))
            .replace("[monitoring]\nlisten = \"127.0.0.1:0\"", &format!("[monitoring]\nlisten = \"{monitoring}\""));
        format!("drain_delay_ms = 1500\n{settings}")
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("its address")
}

#[test]
#[ignore = "needs Kafka and haproxy: tests/run kafka"]
fn a_rolling_restart_behind_a_load_balancer_fails_no_request() {
    let prefix = unique("rolling");
    let ports = [Ports::find(), Ports::find()];
    let mut servers: Vec<Server> = ports
        .iter()
        .map(|ports| {
            let folder = Folder::with(&ports.settings(), &routes(&prefix));
            assert_eq!(said(&folder.run(&["setup"])).0, Some(0));
            Server::start(folder).ready()
        })
        .collect();
    let proxy = Proxy::start([&ports[0], &ports[1]]);
    proxy.has_found(2);
    let load = Load::start(proxy.address, 4);
    for _ in 0..2 {
        load.goes_on();
        let (folder, code) = servers.remove(0).stop();
        assert_eq!(code, Some(0));
        load.goes_on();
        servers.push(Server::start(folder).ready());
        proxy.has_found(2);
        load.goes_on();
    }
    let outcomes = load.stop();
    outcomes.assert_all_200();
    assert!(outcomes.unanswered.lock().expect("a lock").is_empty(), "requests that a carrier would have to send again");
    assert_eq!(outcomes.refused.load(Ordering::Acquire), 0);
    outcomes.are_on(&format!("{prefix}.highways"));
}
