//! The real servers that `tests/run` starts, and what a test may do to them.

use std::process::Command;

/// An address or setting that `tests/run` hands over.
pub fn given(name: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "the test's own settings, not the product's")]
    let value = std::env::var(name);
    value.unwrap_or_else(|_| panic!("{name} is not set: this test runs under tests/run"))
}

/// Runs `tests/services/SCRIPT ARGUMENTS…`; what it printed, trimmed.
pub fn script(script: &str, arguments: &[&str]) -> String {
    let path = format!("{}/{script}", given("SMS_ROUTER_TEST_SERVICES"));
    let output = Command::new(&path).args(arguments).output().expect("the services' script");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{path} {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Brokers that stand still until this is dropped, also by a test that fails.
pub struct Frozen(&'static str);

impl Frozen {
    pub fn broker(cluster: &'static str) -> Self {
        script("kafka.sh", &["freeze", cluster, "1"]);
        Self(cluster)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        script("kafka.sh", &["thaw", self.0, "1"]);
    }
}
