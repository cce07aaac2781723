//! Who sent a request.
//!
//! Comes in: a request as it was sent and the account it came to. Goes out: whether it is believed, or why
//! not; and the other way a request with its proof.
//! Always true: secrets are compared in constant time, and no failure tells anything of them.
//! Not here: each carrier's own signature (`adapters`).
//!
//! `authenticate` checks; `prove` makes what it takes; `jwt` (signed tokens) and `certificates` (keys named by a
//! URL) are what several signatures are made of.

pub mod authenticate;
pub(crate) mod certificates;
pub mod jwt;
mod prove;

pub use prove::{check_secret, prove};
pub(super) use prove::{secret, signing_key};
