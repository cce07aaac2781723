//! libFuzzer, driving one target of `tests/fuzz/target.rs`: the one that SMS_ROUTER_FUZZ names.
//!
//! `tests/fuzz/run` builds and runs it. By hand, from the top folder:
//!
//! ```text
//! RUSTC_WORKSPACE_WRAPPER=$PWD/tests/fuzz/instrument cargo build -p fuzz --features libfuzzer
//! SMS_ROUTER_FUZZ=twilio target/debug/fuzz -max_total_time=600 -dict=tests/fuzz/words FOLDER tests/fuzz/corpus/twilio
//! ```

#![no_main]

use std::sync::LazyLock;

use target::Target;

#[path = "../target.rs"]
#[expect(dead_code, reason = "sizes are the shapes' part, which cargo test tries")]
mod target;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    #[expect(clippy::disallowed_methods, reason = "the driver's own setting; its arguments are libFuzzer's")]
    let name = std::env::var("SMS_ROUTER_FUZZ").expect("SMS_ROUTER_FUZZ names a target");
    let found = Target::all().into_iter().find(|target| target.name() == name);
    found.unwrap_or_else(|| panic!("there is no target {name}"))
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    TARGET.one(input);
});
