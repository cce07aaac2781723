//! Two ways to see a process's calls in their order: strace, and a library loaded before libc.
//!
//! strace sees the system calls themselves but needs the right to trace, which some containers take
//! away; the library needs a C compiler and sees the calls to libc, which is where ours come from.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{Folder, Server, binary, wait_until};

/// Longest string that is shown: a page of the database or a request, whole.
const BYTES_SHOWN: &str = "16384";
const LIBRARY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/order/order.c");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracer {
    Strace,
    Library,
}

impl Tracer {
    /// Why it cannot be used here, if it cannot.
    pub fn missing(self) -> Option<&'static str> {
        let works = |command: &mut Command| {
            command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        match self {
            Self::Strace if !works(Command::new("strace").arg("-V")) => Some("strace is not installed"),
            Self::Strace if !works(Command::new("strace").args(["-f", "-o", "/dev/null", "true"])) => {
                Some("strace is there, but tracing (ptrace) is not permitted")
            }
            Self::Library if !works(Command::new("cc").arg("--version")) => Some("there is no C compiler"),
            Self::Strace | Self::Library => None,
        }
    }

    /// Starts a server whose calls are written to a file.
    pub fn start(self, folder: Folder) -> (Server, PathBuf) {
        let trace = folder.path("trace");
        let command = match self {
            Self::Strace => {
                // With -D the server, not strace, is the process that we started and shall end.
                let calls = "trace=read,recvfrom,recvmsg,readv,write,writev,sendto,sendmsg,pwrite64,fsync,fdatasync";
                let mut command = Command::new("strace");
                command.args(["-D", "-f", "-y", "-xx", "-s", BYTES_SHOWN, "-e", calls, "-o"]).arg(&trace);
                let binary = binary();
                command.arg(binary.get_program());
                // Settings in the environment are not for it.
                binary.get_envs().filter(|(_, value)| value.is_none()).for_each(|(name, _)| {
                    command.env_remove(name);
                });
                command
            }
            Self::Library => {
                let mut command = binary();
                command.env("LD_PRELOAD", built(folder.dir.path())).env("ORDER_TRACE", &trace);
                command
            }
        };
        (Server::start_as(command, folder), trace)
    }

    /// Ends the server and gives the whole trace.
    pub fn end(self, server: Server, trace: &Path) -> String {
        let pid = server.pid().to_string();
        let is_end = |line: &str| {
            line.split_once(' ').is_some_and(|(of, said)| of == pid && said.trim_start().starts_with("+++"))
        };
        // Not asked to end, since without Kafka that takes its time; every answer has been given.
        let _folder = server.kill();
        let read = || String::from_utf8_lossy(&std::fs::read(trace).expect("a trace")).into_owned();
        if self == Self::Strace {
            wait_until("strace has written the end", || read().lines().any(is_end));
        }
        read()
    }
}

fn built(folder: &Path) -> PathBuf {
    let library = folder.join("order.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library).arg(LIBRARY);
    let built = compiler.args(["-ldl", "-lpthread"]).status().expect("the compiler");
    assert!(built.success(), "the library compiles");
    library
}
