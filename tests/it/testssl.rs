//! Every listener as testssl.sh sees it: versions, suites, known attacks.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::tls::all_by_tls;

/// Everything it says about a listener.
fn findings(listener: SocketAddr) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a folder");
    let report = folder.path().join("report.json");
    let mut command = Command::new("testssl");
    command.args(["--quiet", "--color", "0", "--warnings", "batch", "--nodns", "none", "--openssl-timeout", "20"]);
    // Protocols, suites by strength, forward secrecy, the certificate, known attacks.
    command.args(["-p", "-s", "-f", "-S", "-U", "--jsonfile"]).arg(&report).arg(listener.to_string());
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().expect("testssl.sh");
    let text = std::fs::read_to_string(&report).unwrap_or_else(|error| panic!("no report ({status}): {error}"));
    serde_json::from_str(&text).expect("its report")
}

#[test]
#[ignore = "needs testssl.sh: tests/run testssl"]
fn nothing_worse_than_low_is_found_on_any_listener() {
    let server = all_by_tls();
    for listener in [server.inbound, server.api, server.monitoring] {
        let findings = findings(listener);
        let of = |finding: &Value, field: &str| finding[field].as_str().unwrap_or_default().to_owned();
        let offered = |id: &str| findings.iter().find(|finding| finding["id"] == id).map(|found| of(found, "finding"));
        for (id, word) in
            [("SSLv2", "not offered"), ("SSLv3", "not offered"), ("TLS1", "not offered"), ("TLS1_1", "not offered")]
        {
            assert_eq!(offered(id).as_deref(), Some(word), "{id}: {findings:#?}");
        }
        for id in ["TLS1_2", "TLS1_3"] {
            assert!(offered(id).is_some_and(|finding| finding.starts_with("offered")), "{id}: {findings:#?}");
        }
        let is_bad =
            |finding: &&Value| ["MEDIUM", "HIGH", "CRITICAL", "FATAL"].contains(&of(finding, "severity").as_str());
        // The tests' own certificate is signed by nobody and ends in two thousand years.
        let is_of_certificate = |finding: &Value| of(finding, "id").starts_with("cert");
        let bad: Vec<&Value> = findings.iter().filter(is_bad).filter(|finding| !is_of_certificate(finding)).collect();
        assert!(bad.is_empty(), "{bad:#?}");
    }
}
