//! A text of several departments on real topics: answered when all have it, whichever of them is away.

use super::{cluster_settings, consume, consume_all, routes, unique, value};
use crate::harness::services::given;
use crate::harness::{Folder, Server, Sms, http, said, wait_until};

/// A keyword of two departments. The second one's topic is not there when the others are set up.
fn folder(prefix: &str, publish: &str) -> Folder {
    let settings = cluster_settings(&given("SMS_ROUTER_TEST_KAFKA"));
    let folder = Folder::with(&settings.replace("[publish]\n", &format!("[publish]\n{publish}\n")), &routes(prefix));
    assert_eq!(said(&folder.run(&["setup"])).0, Some(0));
    let flood = "[[keyword]]\nnumber = \"86555\"\nword = \"flood\"\ndepartments = [\"highways\", \"parking\"]\n";
    let lacking = routes(prefix).replace(&format!("{prefix}.parking"), &format!("{prefix}.later"));
    folder.write("routes.toml", &format!("{lacking}{flood}"));
    folder
}

fn ids(records: &[serde_json::Value], field: &str) -> std::collections::BTreeSet<String> {
    records.iter().map(|record| record[field].as_str().expect("an id").to_owned()).collect()
}

#[test]
#[ignore = "needs Kafka: tests/run kafka"]
fn without_a_journal_it_is_answered_200_when_both_topics_have_it() {
    let prefix = unique("several");
    let server = Server::start(folder(&prefix, "journal = false")).ready();
    let sms = Sms::new("1", "Flood in Mill Lane");
    assert_eq!(server.push(&sms).status, 503, "one of them has no topic");
    assert_eq!(said(&server.folder.run(&["setup"])).0, Some(0));
    wait_until("the carrier's retry is taken", || server.push(&sms).status == 200);
    let second = value(&consume(&format!("{prefix}.later"), 1)[0]);
    let first = consume_all(&format!("{prefix}.highways"));
    assert_eq!(ids(&first, "id").len(), 1, "each try was the same record: {first:?}");
    assert_eq!(ids(&first, "copy_of"), ids(std::slice::from_ref(&second), "copy_of"));
    assert_eq!((second["department"].as_str(), second["id"] == first[0]["id"]), (Some("parking"), false));
}

#[test]
#[ignore = "needs Kafka: tests/run kafka"]
fn with_a_journal_the_one_has_it_at_once_and_the_other_when_its_topic_is_there() {
    let prefix = unique("several");
    let server = Server::start(folder(&prefix, "")).ready();
    assert_eq!(server.push(&Sms::new("1", "Flood in Mill Lane")).status, 200);
    let first = value(&consume(&format!("{prefix}.highways"), 1)[0]);
    wait_until("the gauge shows the other's record", || server.metric("sms_router_journal_messages") == 1.0);
    assert_eq!(http::get(server.monitoring, "/readyz").status, 200);
    let server = Server::start(server.kill()).ready();
    assert_eq!(said(&server.folder.run(&["setup"])).0, Some(0));
    let second = value(&consume(&format!("{prefix}.later"), 1)[0]);
    assert_eq!((&second["copy_of"], second["department"].as_str()), (&first["copy_of"], Some("parking")));
    wait_until("the journal is empty", || server.metric("sms_router_journal_messages") == 0.0);
    assert_eq!(consume_all(&format!("{prefix}.highways")), [first], "once");
}
