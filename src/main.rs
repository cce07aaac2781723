//! Parse → run → exit code: 0, 1 (what was asked about is wrong or failed), 64 usage, 78 configuration.
//!
//! The allocator is jemalloc, for librdkafka too: glibc's spent a sixth of the service's time on the kilobytes
//! that each text needs while it is on its way. CPU a text ÷ the floor's, in turns: at 64 connections 1.90 and 1.66
//! where glibc's had 2.12 and 2.18, at 512 connections 1.76 and 1.84 for 1.94 and 2.12; 6 to 10 MiB more memory.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    sms_router::cli::main()
}
