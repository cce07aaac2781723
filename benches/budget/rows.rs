//! The rows: stages one by one, and the whole path of a text.
//!
//! Comes in: the world. Goes out: each row's name on standard output, in the order in which they were counted.
//! `STAGE/CARRIER` or `STAGE/TEXT` is one stage; `path/CARRIER` is all of a request that `Door` and what is behind it
//! do, to the report and the counters; `served/CARRIER` is the same with socket, HTTP and runtime around it. What
//! librdkafka does with a record once it has it counts nowhere. `slowed/…` are made to be refused (`slowed.rs`).
//! Always true: each row asserts its results, and none of its texts was seen before.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;

use sms_router::carrier::{Account, Delivery, authenticate};
use sms_router::dedup::Claim;
use sms_router::intake::{InboundText, Label, encode};
use sms_router::message::{Body, Decision, Event, EventId, Inbound, Record};
use sms_router::server;
use sms_router::webhook::Verdict;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use crate::counted::{TEXTS, TEXTS_BEFORE, begin, counted, drive, end, row, stage};
use crate::slowed;
use crate::world::{self, Request, World};

/// Every row, in this order.
pub fn all() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    // Timers are made and dropped, and nobody waits for one: only `served` drives the runtime.
    let entered = runtime.enter();
    let world = World::made(&runtime);
    for account in &world.accounts {
        of_carrier(&world, account);
    }
    of_any_carrier(&world);
    drop(entered);
    for carrier in ["generic", "twilio"] {
        let account = world.accounts.iter().find(|account| account.name.as_str() == carrier);
        served(&world, &runtime, account.expect("it is one of ours"));
    }
    let _entered = runtime.enter();
    slowed::rows(&world);
}

fn of_carrier(world: &World, account: &Account) {
    let name = account.name.as_str();
    let request = |row: &'static str| move |index| Request::made(account, row, index);
    stage(&format!("authenticate/{name}"), request("authenticate"), |request| {
        authenticate(account, &request.webhook()).expect("the request is proven");
    });
    stage(&format!("parse/{name}"), request("parse"), |request| parse(account, request));
    row(&format!("path/{name}"), request("path"), |request| {
        assert_eq!(drive(world.take(account, &request.webhook())), Verdict::Accepted);
    });
}

fn parse(account: &Account, request: &Request) -> Inbound {
    match account.carrier.parse(&request.webhook(), account) {
        Ok(Delivery::Texts(mut texts)) if texts.len() == 1 => texts.remove(0),
        _ => panic!("one text was sent"),
    }
}

/// What is the same for all of them once a request has been read.
fn of_any_carrier(world: &World) {
    let account = &world.accounts[0];
    let inbound = |index| parse(account, &Request::made(account, "stage", index));
    let read = |inbound| InboundText::new(account, inbound, world::now(), None, &world.key);
    let text = |index| read(inbound(index));
    row("normalise", inbound, |inbound| drop(counted(|| read(inbound))));
    stage("match", text, |text| decide(world, text));
    let claims = world::claims(&world.clock);
    stage("claim/first", text, |text| match claims.claim(id(text), text.fingerprint) {
        Claim::First(ticket) => ticket.confirm(),
        _ => panic!("nobody had it"),
    });
    stage("claim/again", text, |text| {
        assert!(matches!(claims.claim(id(text), text.fingerprint), Claim::Known));
    });
    let decided = |index| {
        let text = text(index);
        let decision = decide(world, &text);
        (text, decision)
    };
    stage("encode", decided, |(text, decision)| event(world, text, decision));
    let encoded = |index| {
        let (text, decision) = decided(index);
        event(world, &text, &decision)
    };
    let record = Record::from_json(&encoded(0).value).expect("a record");
    assert_eq!((record.text.as_str(), record.keyword.as_deref()), (world::TEXTS[0], Some("snow")));
    row("publish", encoded, |event| drive(world.publisher.publish(world::TOPIC, &event)).expect("it is taken"));
}

fn decide(world: &World, text: &InboundText) -> Decision {
    let Body::Text(words) = &text.inbound.body else { panic!("the text can be decoded") };
    world.routes.load().decide(&text.to, words.as_str()).expect("the number is in the table")
}

fn id(text: &InboundText) -> EventId {
    EventId::new_v5(&EventId::NAMESPACE_URL, text.carrier_identity().expect("it has one").as_bytes())
}

fn event(world: &World, text: &InboundText, decision: &Decision) -> Event {
    encode(text, decision, Label::message(id(text), Vec::new()), &world.key).remove(0)
}

/// Over a connection of the listener, one request after the other. A thread of its own is the carrier.
fn served(world: &World, runtime: &Runtime, account: &Account) {
    let settings = server::Settings {
        name: "webhook",
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        connections_max: 10,
        header_timeout: world::LONG,
        answers_half_closed: true,
        certificates: None,
    };
    let listener = runtime.block_on(async { server::bind(settings) }).expect("a port");
    let (address, service) = (listener.address(), world.service());
    let handler = move |request, caller| service.clone().call(request, caller);
    runtime.spawn(listener.serve(handler, world.metrics.clone(), CancellationToken::new()));

    let requests = |from, count| -> Vec<_> {
        (from..from + count).map(|index| Request::made(account, "served", index).bytes(account)).collect()
    };
    let (before, after) = (requests(0, TEXTS_BEFORE), requests(TEXTS_BEFORE, TEXTS));
    let connection = Arc::new(TcpStream::connect(address).expect("a connection"));
    let round = |requests: Vec<Vec<u8>>| {
        let connection = connection.clone();
        let (tell, told) = tokio::sync::oneshot::channel();
        let carrier = thread::spawn(move || {
            requests.iter().for_each(|request| push(&connection, request));
            tell.send(()).expect("somebody waits");
        });
        counted(|| runtime.block_on(told)).expect("all are answered");
        carrier.join().expect("all are answered 200");
    };
    round(before);
    begin();
    round(after);
    end(&format!("served/{}", account.name));
}

fn push(mut connection: &TcpStream, request: &[u8]) {
    connection.write_all(request).expect("it is read");
    let mut answer = [0; 4_096];
    let length = connection.read(&mut answer).expect("it is answered");
    assert!(answer[..length].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..length]));
}
