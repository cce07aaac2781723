//! The door carriers knock at: a request → its texts, each durable, → the answer.
//!
//! Comes in: HTTP requests on the inbound listener. Goes out: statuses that tell carriers the truth.
//! Always true: no 2xx before every text of the request is durable; a text that was taken in is
//! followed to its end, whether the client stays or not; answers have no body unless the carrier needs
//! one.
//! Not here: how a log makes a text durable, how carriers sign, which keyword means what.
//!
//! ```text
//! service: path, method, bounds, body ─→ accept: authenticate → parse → route → claim → publish
//!                                            └─→ verdict: status, metric, log level
//! ```

mod accept;
mod counters;
mod dead_letter;
mod encode;
mod limits;
mod log;
mod service;
mod unstoppable;
mod verdict;

pub use accept::{Door, Settings};
pub use limits::Limits;
pub use log::Log;
pub use service::Service;
pub use verdict::{Deferral, Refusal, Verdict};

pub use encode::{InboundText, encode};
