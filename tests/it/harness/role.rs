//! A running `sms-router archive run` or `deliver run` of a folder.

use std::process::{Child, Stdio};

use super::{Folder, binary, http, signal_process, wait_until};

/// A long-lived process beside the server.
pub struct Role {
    child: Child,
    pub monitoring: std::net::SocketAddr,
}

impl Role {
    pub fn archive(folder: &Folder) -> Self {
        Self::start(folder, "archive")
    }

    pub fn deliver(folder: &Folder) -> Self {
        Self::start(folder, "deliver")
    }

    fn start(folder: &Folder, role: &str) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
        let mut command = binary();
        command.args([role, "run", "-c"]).arg(folder.path("sms-router.toml"));
        command.env("SMS_ROUTER__MONITORING__LISTEN", port.to_string()).stdout(Stdio::null());
        let child = command.spawn().expect("the binary");
        wait_until("it listens", || std::net::TcpStream::connect(port).is_ok());
        Self { child, monitoring: port }
    }

    /// The value of one line of the metrics; 0 when it is not there.
    pub fn metric(&self, series: &str) -> f64 {
        let metrics = http::get(self.monitoring, "/metrics").text();
        let line = metrics.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
        line.and_then(|line| line.rsplit(' ').next()).map_or(0.0, |value| value.parse().expect("a number"))
    }

    pub fn stop(&mut self) {
        signal_process(self.child.id(), "TERM");
        assert_eq!(self.child.wait().expect("the child").code(), Some(0), "ends in good order");
    }
}

impl Drop for Role {
    /// SIGKILL, where it was not stopped.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
