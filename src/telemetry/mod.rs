//! What an SRE sees: the catalogue of metrics, the latches of readiness, the log.
//!
//! Comes in: counts and states from every room, as closed labels. Goes out: the Prometheus text,
//! `/readyz`'s answer, JSON lines.
//! Always true: no number, text or secret reaches a label or a line.
//! Not here: the listener that serves them (`operations`).

mod latches;
mod logging;
mod metrics;
mod told;

pub use latches::{Latch, Latches};
pub use logging::{LogLevel, check_directives, start_logging};
pub use metrics::Metrics;
pub use told::Told;
