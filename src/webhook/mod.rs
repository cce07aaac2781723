//! The door carriers knock at: a request → its texts, each durable, → the answer.
//!
//! Comes in: HTTP requests on the inbound listener. Goes out: statuses that tell carriers the truth.
//! Always true: no 2xx before every text of the request is durable; a text that was taken in is
//! followed to its end, whether the client stays or not; answers have no body unless the carrier needs
//! one.
//! Not here: what becomes of a text once it is understood, how carriers sign.
//!
//! ```text
//! service: path, method, bounds, body ─→ accept: admit → parse → intake
//!                                  │         └─→ verdict: status, metric, log level
//!                                  └ a certificate is wanted ─→ outward ─→ accept once more
//! ```

mod accept;
mod flood;
mod limits;
mod outward;
mod proxies;
mod service;
mod unstoppable;
mod verdict;
mod within;

pub use accept::{Door, Settings, patience};
pub use flood::Rate;
pub use limits::Limits;
pub use outward::{LIMITS as OUTWARD_LIMITS, Outward};
pub use proxies::{ForwardedHeader, Proxies};
pub use service::Service;
pub use verdict::{Deferral, Refusal, Verdict};
