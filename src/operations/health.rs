//! What the process says of itself: alive, started, ready, its metrics, its version.

use std::fmt::Write;
use std::sync::Arc;

use hyper::StatusCode;

use crate::server::Answer;
use crate::telemetry::{Latches, Metrics};

use super::reply;

/// One service that texts or copies go to, and whether it takes them now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub name: String,
    pub up: bool,
    /// What else there is to say of it.
    pub note: Option<String>,
}

/// What the monitoring listener shows.
pub struct Health {
    pub latches: Latches,
    pub metrics: Metrics,
    /// Asked on `/readyz?verbose` only; never decides readiness, since an instance that cannot
    /// deliver can still tell carriers the truth.
    pub services: Arc<dyn Fn() -> Vec<Service> + Send + Sync>,
}

impl Health {
    /// Depends on nothing outside the process.
    pub fn alive(&self) -> Answer {
        reply::text(StatusCode::OK, "alive\n")
    }

    pub fn started(&self) -> Answer {
        said(self.latches.started(), "started\n", "starting\n")
    }

    pub fn ready(&self, verbose: bool) -> Answer {
        let ready = self.latches.ready();
        if !verbose {
            return said(ready, "ready\n", "not ready\n");
        }
        let mut text = String::new();
        for (condition, met) in self.latches.conditions() {
            let _ = writeln!(text, "[{}] {condition}", if met { "+" } else { "-" });
        }
        for service in (self.services)() {
            let _ = write!(text, "[{}] takes texts: {}", if service.up { "+" } else { "!" }, service.name);
            let _ = writeln!(text, "{}", service.note.map(|note| format!(" ({note})")).unwrap_or_default());
        }
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        reply::text(status, text)
    }

    pub fn metrics(&self) -> Answer {
        reply::of(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", self.metrics.render())
    }

    pub fn version(&self) -> Answer {
        reply::text(StatusCode::OK, concat!(env!("CARGO_PKG_VERSION"), "\n"))
    }
}

fn said(yes: bool, affirmed: &'static str, denied: &'static str) -> Answer {
    if yes { reply::text(StatusCode::OK, affirmed) } else { reply::text(StatusCode::SERVICE_UNAVAILABLE, denied) }
}
