//! Parse → run → exit code: 0, 1 (what was asked about is wrong or failed), 64 usage, 78 configuration.

use std::process::ExitCode;

fn main() -> ExitCode {
    sms_router::cli::main()
}
