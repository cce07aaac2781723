//! Long texts over a real Kafka: instances come, go and die between the pieces.

use std::collections::BTreeMap;

use rdkafka::message::Headers;
use rdkafka::message::Message;
use serde_json::{Value, json};

use super::{cluster_settings, consume, routes, unique, value};
use crate::harness::services::{Frozen, given};
use crate::harness::{Folder, Server, said, wait_until};
use crate::parts::Piece;

/// A folder of an instance; instances of one test share topics and group.
fn instance(prefix: &str, lines: &str) -> Folder {
    let settings = cluster_settings(&given("SMS_ROUTER_TEST_KAFKA"));
    let folder = Folder::with(&format!("{settings}[parts]\ngroup = \"{prefix}\"\n{lines}\n"), &routes(prefix));
    let (code, out, err) = said(&folder.run(&["setup"]));
    assert_eq!(code, Some(0), "{out}{err}");
    folder
}

/// Records of this test on its highways topic, until there are so many distinct ids.
fn records(prefix: &str, count: usize) -> BTreeMap<String, Value> {
    let topic = format!("{prefix}.highways");
    let mut wanted = count;
    loop {
        let all: Vec<Value> = consume(&topic, wanted).iter().map(value).collect();
        wanted = all.len() + 1;
        let mut records = BTreeMap::new();
        // Other tests' pieces lie on the same stream.
        for record in all.into_iter().filter(|record| record["text"].as_str().is_some_and(|text| text.contains(prefix)))
        {
            let id = record["id"].as_str().expect("an id").to_owned();
            if let Some(before) = records.insert(id, record.clone()) {
                assert_eq!(before["text"], record["text"], "one id, two texts");
            }
        }
        if records.len() >= count {
            assert_eq!(records.len(), count);
            return records;
        }
    }
}

/// Texts of three pieces. The prefix is in their references too: all tests share one stream.
fn texts(prefix: &str, count: usize) -> Vec<Vec<Piece>> {
    let cut =
        |number| Piece::cut(&format!("{prefix}/{number}"), &[&format!("snow {prefix} {number} "), "and ", "so on"]);
    (0..count).map(cut).collect()
}

fn nothing_is_held(servers: &[&Server]) {
    wait_until("nothing is held", || servers.iter().all(|server| server.metric("sms_router_pieces_held") == 0.0));
}

#[test]
#[ignore = "needs Kafka: tests/run kafka"]
fn instances_that_come_and_die_between_the_pieces_join_every_text_once() {
    const TEXTS: usize = 40;
    let prefix = unique("pieces");
    let texts = texts(&prefix, TEXTS);
    let one = Server::start(instance(&prefix, "")).ready();
    texts.iter().for_each(|pieces| pieces[2].push(&one));
    let open = |servers: &[&Server]| {
        servers.iter().map(|server| server.metric("sms_router_texts_open") as usize).sum::<usize>()
    };
    wait_until("the first has read them", || open(&[&one]) >= TEXTS);
    let two = Server::start(instance(&prefix, "")).ready();
    wait_until("the second has its share", || open(&[&two]) > 0);
    for (pieces, server) in texts.iter().zip([&one, &two].into_iter().cycle()) {
        pieces[0].push(server);
    }
    // The last pieces of some complete their texts, and then one of the two is gone.
    texts.iter().take(TEXTS / 2).for_each(|pieces| pieces[1].push(&two));
    drop(one.kill());
    texts.iter().skip(TEXTS / 2).for_each(|pieces| pieces[1].push(&two));
    let found = records(&prefix, TEXTS);
    for number in 0..TEXTS {
        let whole = format!("snow {prefix} {number} and so on");
        assert_eq!(found.values().filter(|record| record["text"] == whole).count(), 1, "{whole}");
    }
    nothing_is_held(&[&two]);
    // Whoever comes after them finds nothing to do.
    let joined = |server: &Server| server.metric("sms_router_joined_texts_total{outcome=\"complete\"}");
    assert_eq!(two.stop().1, Some(0));
    let three = Server::start(instance(&prefix, "")).ready();
    let more = Piece::cut(&format!("{prefix} more"), &["snow ", &format!("{prefix} more")]);
    more.iter().for_each(|piece| piece.push(&three));
    assert_eq!(records(&prefix, TEXTS + 1).len(), TEXTS + 1);
    nothing_is_held(&[&three]);
    wait_until("it is counted", || joined(&three) >= 1.0);
    assert_eq!(joined(&three), 1.0);
}

#[test]
#[ignore = "needs Kafka: tests/run kafka"]
fn a_late_piece_is_known_after_a_restart() {
    let prefix = unique("late");
    let server = Server::start(instance(&prefix, "wait_ms = 1000")).ready();
    let pieces = texts(&prefix, 1).remove(0);
    Piece::push_together(&[&pieces[0], &pieces[2]], &server);
    let (id, text) = records(&prefix, 1).pop_first().expect("a record");
    assert_eq!((&text["flags"], &text["parts"]), (&json!(["incomplete"]), &json!({ "received": 2, "total": 3 })));
    nothing_is_held(&[&server]);
    let (folder, code) = server.stop();
    assert_eq!(code, Some(0));
    let server = Server::start(folder).ready();
    let late = Piece { text: format!("and {prefix}"), ..pieces[1].clone() };
    late.push(&server);
    let found = records(&prefix, 2);
    let addendum = found.values().find(|record| record["relates_to"] == id.as_str()).expect("an addendum");
    assert_eq!(addendum["text"], late.text);
    let kinds = consume(&format!("{prefix}.highways"), 2).into_iter().filter(|record| {
        let kind = record.headers().and_then(|headers| headers.iter().find(|header| header.key == "ce_type")?.value);
        kind == Some(b"sms-router.message.addendum.v1") && value(record)["id"] == addendum["id"]
    });
    assert_eq!(kinds.count(), 1);
}

#[test]
#[ignore = "needs Kafka: tests/run kafka"]
fn pieces_of_an_outage_are_joined_when_the_broker_is_back() {
    let prefix = unique("outage-of-pieces");
    let server = Server::start(instance(&prefix, "")).ready();
    let texts = texts(&prefix, 5);
    texts.iter().for_each(|pieces| pieces[1].push(&server));
    let frozen = Frozen::broker("kafka");
    texts.iter().for_each(|pieces| pieces[2].push(&server));
    let server = Server::start(server.kill());
    texts.iter().for_each(|pieces| pieces[0].push(&server));
    drop(frozen);
    let found = records(&prefix, texts.len());
    for number in 0..texts.len() {
        let whole = format!("snow {prefix} {number} and so on");
        assert_eq!(found.values().filter(|record| record["text"] == whole).count(), 1, "{whole}");
    }
    nothing_is_held(&[&server]);
}
