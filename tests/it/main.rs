//! Tests of the binary and of its way to real services, in one binary.
//!
//! What needs a service is ignored with the part of `tests/run` that runs it; everything else runs
//! under plain `cargo test`.

mod archive;
mod authentication;
mod backfill;
mod backup;
mod budget;
mod carriers;
mod cli;
mod dead_letter;
mod declared;
mod deliver;
mod delivery_settings;
mod harness;
mod input;
mod jasmin;
mod kafka;
mod kannel;
mod keys;
mod manual;
mod operations;
mod order;
mod overload;
mod parts;
mod reconcile;
mod reroute;
mod routes;
mod secrets;
mod several;
mod standalone;
mod testssl;
mod tls;
