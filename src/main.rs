//! Parse → run → exit code: 0, 1 (what was asked about is wrong or failed), 64 usage, 78 configuration.

use std::process::ExitCode;

/// CPU for each text, in that of a bare hyper with a bare producer, at 64 and 512 connections: 2.13 and 2.02 with
/// glibc's malloc, which tidies up whenever somebody asks for over 1 KiB, as hyper does for each request; 1.58 and 1.85
/// with mimalloc, and 25 MiB more; 1.66 and 1.62 with this one, and 5 MiB more. Since connections have runtimes of
/// their own (`server::Cores`), mimalloc in its place takes as much CPU, and 20 MiB more.
///
/// C libraries have it too, for it takes the name `malloc`: librdkafka allocates a dozen times for each record, once a
/// header, and frees in another thread. Over 64 connections that makes 1.51 of 1.59, over 512 1.59 of 1.70, on another
/// machine (`loadtest/README.md`), in the same memory.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    sms_router::cli::main()
}
