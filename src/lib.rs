//! sms-router: the texts people send to a public body's number, each to its department, none lost.

pub mod archive;
pub mod archiver;
pub mod carrier;
pub mod clock;
pub mod keyword;
pub mod message;
pub mod publish;
pub mod server;
pub mod store;
pub mod telemetry;
