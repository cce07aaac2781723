//! A department's own receiver on loopback: notes every push that is signed, and answers as it is told.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::SECRET;

/// One request, in the order of arrival.
#[derive(Debug, Clone)]
pub struct Push {
    /// `webhook-id`.
    pub id: String,
    pub body: Value,
    /// What it was answered.
    pub status: u16,
}

/// Listens until the test ends.
#[derive(Clone)]
pub struct Receiver {
    address: SocketAddr,
    status: Arc<AtomicU16>,
    pushes: Arc<Mutex<Vec<Push>>>,
}

impl Receiver {
    /// One that answers with this status until told otherwise.
    pub fn start(status: u16) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("an address");
        let receiver = Self { address, status: Arc::new(AtomicU16::new(status)), pushes: Arc::default() };
        let of_thread = receiver.clone();
        std::thread::spawn(move || {
            for stream in socket.incoming().flatten() {
                let receiver = of_thread.clone();
                std::thread::spawn(move || receiver.serve(&stream));
            }
        });
        receiver
    }

    pub fn url(&self) -> String {
        format!("http://{}/texts", self.address)
    }

    pub fn answer(&self, status: u16) {
        self.status.store(status, Ordering::Release);
    }

    pub fn pushes(&self) -> Vec<Push> {
        self.pushes.lock().expect("a lock").clone()
    }

    /// How many texts it has taken, repeats not counted.
    pub fn taken(&self) -> usize {
        self.first_taken().len()
    }

    /// The words of the texts it has taken, in the order in which each first came, by sender. A repeat must be the same
    /// text.
    pub fn words_by_sender(&self) -> BTreeMap<String, Vec<String>> {
        let mut words = BTreeMap::<String, Vec<String>>::new();
        for body in self.first_taken() {
            let field = |name: &str| body[name].as_str().expect("a string").to_owned();
            words.entry(field("from")).or_default().push(field("text"));
        }
        words
    }

    fn first_taken(&self) -> Vec<Value> {
        let (mut seen, mut first) = (BTreeMap::new(), Vec::new());
        for push in self.pushes().into_iter().filter(|push| push.status == 200) {
            assert_eq!(push.body["id"], push.id.as_str(), "a repeat can be told by its id");
            if let Some(before) = seen.insert(push.id, push.body.clone()) {
                assert_eq!(before, push.body);
            } else {
                first.push(push.body);
            }
        }
        first
    }

    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some((headers, body)) = read(&mut reader) {
            let status = if is_signed(&headers, &body) { self.status.load(Ordering::Acquire) } else { 401 };
            let push =
                Push { id: headers["webhook-id"].clone(), body: serde_json::from_slice(&body).expect("JSON"), status };
            self.pushes.lock().expect("a lock").push(push);
            let mut stream = stream;
            if write!(stream, "HTTP/1.1 {status} So\r\ncontent-length: 0\r\n\r\n").is_err() {
                return;
            }
        }
    }
}

/// Headers by their names in small letters, and the body; `None` at the end of the connection.
fn read(reader: &mut impl BufRead) -> Option<(BTreeMap<String, String>, Vec<u8>)> {
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(": ") {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let length = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((headers, body))
}

/// As Standard Webhooks says, by this test's own hand.
fn is_signed(headers: &BTreeMap<String, String>, body: &[u8]) -> bool {
    let key = STANDARD.decode(SECRET.trim_start_matches("whsec_")).expect("base64");
    let mut signed = format!("{}.{}.", headers["webhook-id"], headers["webhook-timestamp"]).into_bytes();
    signed.extend_from_slice(body);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &signed);
    headers["webhook-signature"].split(' ').any(|said| said == format!("v1,{}", STANDARD.encode(tag)))
}
