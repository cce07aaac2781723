//! The ledger's command line; that it exists also has cargo build the binary for `tests/run ledger`.
//!
//! Always true: nothing is started here. Not here: a run (`tests/run ledger`).

use std::process::{Command, Output};

fn ledger(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ledger")).args(arguments).output().expect("the binary")
}

#[test]
fn a_seed_prints_the_same_plan_each_time() {
    let plan = |seed| {
        let output = ledger(&["--plan", "--seed", seed]);
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(plan("7"), plan("7"));
    assert_ne!(plan("7"), plan("8"));
    assert!(plan("7").starts_with("seed 7, profile cluster\n"));
}

#[test]
fn what_it_does_not_know_is_refused() {
    assert_eq!(ledger(&["--profile", "cloud"]).status.code(), Some(2));
}
