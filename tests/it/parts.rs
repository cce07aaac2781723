//! Long texts that come in pieces, in the embedded profile: joined, whatever happens to the process.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::harness::{Folder, ROUTES, SETTINGS, Server, feed, push_body, wait_until};

/// One piece as the `generic` carrier pushes it.
#[derive(Debug, Clone)]
pub struct Piece {
    pub id: String,
    pub from: String,
    pub text: String,
    pub reference: String,
    pub number: usize,
    pub total: usize,
}

impl Piece {
    /// The text of a sender cut into as many pieces as there are words.
    pub fn cut(reference: &str, words: &[&str]) -> Vec<Self> {
        let piece = |(index, text): (usize, &&str)| Self {
            id: format!("{reference}/{}", index + 1),
            from: "+447700900123".to_owned(),
            text: (*text).to_owned(),
            reference: reference.to_owned(),
            number: index + 1,
            total: words.len(),
        };
        words.iter().enumerate().map(piece).collect()
    }

    fn data(&self) -> Value {
        let part = json!({ "reference": self.reference, "total": self.total, "number": self.number });
        json!({ "id": self.id, "from": self.from, "to": "86555", "text": self.text, "part": part })
    }

    /// Several pieces in one request, so that no time passes between them.
    pub fn push_together(pieces: &[&Self], server: &Server) {
        push_data(server.inbound, json!(pieces.iter().map(|piece| piece.data()).collect::<Vec<_>>()));
    }

    pub fn push(&self, server: &Server) {
        self.push_to(server.inbound);
    }

    pub fn push_to(&self, inbound: SocketAddr) {
        push_data(inbound, self.data());
    }
}

fn push_data(inbound: SocketAddr, data: Value) {
    let body = json!({ "type": "sms.received", "timestamp": "2026-11-21T10:00:00Z", "data": data });
    let body = serde_json::to_vec(&body).expect("JSON");
    assert_eq!(push_body(inbound, "demo", &body).status, 200, "{body:?}");
}

fn settings(lines: &str) -> String {
    format!("{SETTINGS}[parts]\n{lines}\n")
}

fn joined(server: &Server, outcome: &str) -> f64 {
    server.metric(&format!("sms_router_joined_texts_total{{outcome=\"{outcome}\"}}"))
}

/// The records of a department once there are so many.
fn records(server: &Server, department: &str, count: usize) -> Vec<Value> {
    let mut records = Vec::new();
    wait_until("the records are there", || {
        records = feed::records(server.api, department);
        records.len() >= count
    });
    assert_eq!(records.len(), count);
    records
}

#[test]
fn pieces_in_any_order_are_one_text_by_the_keyword_of_the_first() {
    let server = Server::start(Folder::new()).ready();
    let pieces = Piece::cut("204", &["Snow on Ma", "in St, and on the bri", "dge as well 🌨"]);
    for index in [2, 0, 0, 1, 2] {
        pieces[index].push(&server);
    }
    let record = records(&server, "highways", 1).remove(0);
    assert_eq!(record["text"], "Snow on Main St, and on the bridge as well 🌨");
    assert_eq!(
        (&record["keyword"], &record["rest"]),
        (&json!("snow"), &json!("on Main St, and on the bridge as well 🌨"))
    );
    assert_eq!((&record["parts"], &record["flags"]), (&json!({ "received": 3, "total": 3 }), &Value::Null));
    assert_eq!((&record["carrier_message_id"], &record["from"]), (&json!("204/1"), &json!("+447700900123")));
    wait_until("it is counted", || joined(&server, "complete") == 1.0);
    wait_until("nothing is held", || server.metric("sms_router_pieces_held") == 0.0);
    assert_eq!(server.metric("sms_router_pieces_total{outcome=\"published\"}"), 3.0);
    assert_eq!(server.metric("sms_router_pieces_total{outcome=\"duplicate\"}"), 2.0);
    assert_eq!(server.metric("sms_router_messages_total{department=\"highways\",outcome=\"published\"}"), 1.0);
}

#[test]
fn what_came_in_time_goes_out_and_a_late_piece_follows_to_the_same_department() {
    let server = Server::start(Folder::with(&settings("wait_ms = 400"), ROUTES)).ready();
    let pieces = Piece::cut("7", &["snow ", "on ", "Main St"]);
    Piece::push_together(&[&pieces[0], &pieces[2]], &server);
    let text = records(&server, "highways", 1).remove(0);
    assert_eq!((&text["text"], &text["flags"]), (&json!("snow Main St"), &json!(["incomplete"])));
    assert_eq!(text["parts"], json!({ "received": 2, "total": 3 }));
    pieces[1].push(&server);
    let addendum = records(&server, "highways", 2).remove(1);
    assert_eq!((&addendum["text"], &addendum["relates_to"]), (&json!("on "), &text["id"]));
    assert_eq!(addendum["parts"], json!({ "received": 1, "total": 3 }));
    assert_ne!(addendum["id"], text["id"]);
    let batch = feed::ask(server.api, "highways", "token of highways", "").text();
    assert!(batch.contains("sms-router.message.addendum.v1"), "{batch}");
    wait_until("both are counted", || (joined(&server, "incomplete"), joined(&server, "addendum")) == (1.0, 1.0));
}

#[test]
fn without_its_first_piece_a_text_goes_to_the_default() {
    let server = Server::start(Folder::with(&settings("wait_ms = 400"), ROUTES)).ready();
    Piece::cut("7", &["what is this about ", "snow on Main St"])[1].push(&server);
    let text = records(&server, "contact-centre", 1).remove(0);
    assert_eq!((&text["text"], &text["keyword"]), (&json!("snow on Main St"), &Value::Null));
}

#[test]
fn a_reference_used_again_makes_two_texts() {
    let server = Server::start(Folder::new()).ready();
    let first = Piece::cut("7", &["snow ", "lost"]);
    let mut second = Piece::cut("7", &["grit ", "please"]);
    second.iter_mut().for_each(|piece| piece.id.push_str("/second"));
    first[0].push(&server);
    second[0].push(&server);
    let text = records(&server, "highways", 1).remove(0);
    assert_eq!((&text["text"], &text["flags"]), (&json!("snow "), &json!(["incomplete"])));
}

#[test]
fn killed_between_the_pieces_the_text_is_whole_and_there_once() {
    let pieces = Piece::cut("65535", &["Snow ", "on ", "Main ", "St"]);
    let mut folder = Folder::new();
    for piece in &pieces {
        let server = Server::start(folder).ready();
        piece.push(&server);
        folder = server.kill();
    }
    let server = Server::start(folder).ready();
    pieces[0].push(&server);
    let first = records(&server, "highways", 1);
    let server = Server::start(server.kill()).ready();
    pieces[3].push(&server);
    let other = Piece::cut("1", &["snow ", "again"]);
    other.iter().for_each(|piece| piece.push(&server));
    let both = records(&server, "highways", 2);
    assert_eq!((&both[0], &both[0]["text"]), (&first[0], &json!("Snow on Main St")));
}

#[test]
fn killed_at_any_time_every_text_is_whole_and_there_once() {
    const TEXTS: usize = 60;
    let texts: Vec<Vec<Piece>> =
        (0..TEXTS).map(|text| Piece::cut(&text.to_string(), &[&format!("snow {text} "), "and so ", "on"])).collect();
    // Each sender pushes the pieces of its texts backwards, so that many texts are open at once.
    let pieces: Vec<&Piece> = (0..3).rev().flat_map(|number| texts.iter().map(move |text| &text[number])).collect();
    let mut folder = Folder::new();
    for chunk in pieces.chunks(TEXTS / 2) {
        let server = Server::start(folder).ready();
        std::thread::scope(|scope| {
            for sender in 0..6 {
                let inbound = server.inbound;
                let mine = chunk.iter().skip(sender).step_by(6);
                scope.spawn(move || mine.for_each(|piece| piece.push_to(inbound)));
            }
        });
        folder = server.kill();
    }
    let server = Server::start(folder).ready();
    let stored = records(&server, "highways", TEXTS);
    let mut ids = BTreeMap::new();
    for record in &stored {
        ids.insert(record["text"].as_str().expect("a text").to_owned(), record["id"].to_string());
    }
    let expected: BTreeSet<String> = (0..TEXTS).map(|text| format!("snow {text} and so on")).collect();
    assert_eq!(ids.keys().cloned().collect::<BTreeSet<_>>(), expected);
    wait_until("nothing is held", || server.metric("sms_router_pieces_held") == 0.0);
    assert_eq!(feed::records(server.api, "contact-centre").len(), 0);
}
