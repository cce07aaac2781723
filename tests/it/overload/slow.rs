//! Clients that hold a connection and do little with it, and what they cost.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::harness::http;

/// Descriptors of a test process for everything but these connections.
const OTHERS: usize = 500;
/// Clients whose head is large and never ends: as many as the server lets have such heads at once.
const LARGE_HEADS_MAX: usize = 250;

/// How many connections this process can open, at most `wanted`. Says so when it is fewer.
pub fn allowed(wanted: usize) -> usize {
    let files = sms_router::server::allow_open_files(wanted + OTHERS);
    // The server runs under the same hard limit and needs descriptors of its own besides.
    let count = wanted.min(files.saturating_sub(2 * OTHERS + 1_500).max(100));
    if count < wanted {
        println!("ONLY {count} CONNECTIONS, not {wanted}: this machine allows {files} open files; raise ulimit -Hn");
    }
    count
}

/// Opens that many, of every slow kind in turn.
pub fn open(inbound: SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count).map(|number| one(inbound, number)).collect()
}

fn one(inbound: SocketAddr, number: usize) -> TcpStream {
    let head = "POST /inbound/demo HTTP/1.1\r\nhost: t\r\nwebhook-signature: v1,x\r\n";
    let mut stream = http::connect(inbound);
    let sent = match number % 5 {
        0 => Ok(()),
        1 => stream.write_all(head.as_bytes()),
        2 if number / 5 < LARGE_HEADS_MAX => stream.write_all(format!("{head}x: {}", "y".repeat(60_000)).as_bytes()),
        2 => stream.write_all(format!("{head}x: {}", "y".repeat(7_000)).as_bytes()),
        3 => stream.write_all(format!("{head}content-length: 60000\r\n\r\n{}", "z".repeat(7_500)).as_bytes()),
        // Answered once, and then idle.
        _ => stream.write_all(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n").and_then(|()| stream.read(&mut [0; 512]).map(drop)),
    };
    sent.expect("a server that listens");
    stream
}

/// One connection after the other: closed by the server, by the client, torn off, or never used.
pub fn short_connections(inbound: SocketAddr, count: usize) {
    for number in 0..count {
        let mut stream = from(inbound, number);
        // Connections are cut short here on purpose: what cannot be sent any more is no failure.
        match number % 4 {
            0 => {
                let request = "GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_end(&mut Vec::new()));
            }
            1 => drop(stream.write_all(b"POST /inbound/demo HTTP/1.1\r\nhost: t\r\ncontent-le")),
            2 => {
                let _ = stream.write_all(b"POST /inbound/demo HTTP/1.1\r\nhost: t\r\ncontent-length: 9\r\n\r\nhalf");
                socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).expect("a socket");
            }
            _ => {}
        }
    }
}

/// From one of many addresses of this host, so that its ports last.
fn from(inbound: SocketAddr, number: usize) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let own = Ipv4Addr::new(127, 0, 1, u8::try_from(1 + number % 200).expect("small"));
    socket.bind(&SocketAddr::from((own, 0)).into()).expect("an address of this host");
    socket.connect(&inbound.into()).expect("a server that listens");
    socket.into()
}

/// The most memory the process ever had resident, in MiB.
pub fn memory_peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a running server");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024
}
