//! Who may write to a topic, said to a broker in the Kafka protocol's own bytes: the client library
//! has no call for it.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::harness::PATIENCE;

/// CreateAcls, version 1: the last with plain lengths, and the first that brokers still take.
const CREATE_ACLS: (i16, i16) = (30, 1);
const TOPIC: i8 = 2;
const LITERAL: i8 = 3;
const READ: i8 = 3;
const WRITE: i8 = 4;
const DESCRIBE_CONFIGS: i8 = 10;
const ALLOW: i8 = 3;

/// Leaves everybody the right to look at a topic; a topic with a rule takes nothing that no rule allows.
pub fn forbid_writing(broker: &str, topic: &str) {
    create(broker, topic, &[READ, DESCRIBE_CONFIGS]);
}

pub fn allow_writing(broker: &str, topic: &str) {
    create(broker, topic, &[WRITE]);
}

fn create(broker: &str, topic: &str, operations: &[i8]) {
    let mut body = i32::try_from(operations.len()).expect("few").to_be_bytes().to_vec();
    for operation in operations {
        body.extend(TOPIC.to_be_bytes());
        body.extend(text(topic));
        body.extend(LITERAL.to_be_bytes());
        body.extend(text("User:*"));
        body.extend(text("*"));
        body.extend(operation.to_be_bytes());
        body.extend(ALLOW.to_be_bytes());
    }
    let answer = ask(broker, CREATE_ACLS, &body);
    // Throttle time and number of results, then for each its error code and the length of its message.
    let results = &answer[8..];
    assert_eq!(results, [0; 4].repeat(operations.len()), "the broker took the rules");
}

/// One request; what follows the correlation id in the answer.
fn ask(broker: &str, (key, version): (i16, i16), body: &[u8]) -> Vec<u8> {
    let mut request = Vec::new();
    request.extend(key.to_be_bytes());
    request.extend(version.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend(text("tests"));
    request.extend(body);
    let mut stream = TcpStream::connect(broker).expect("a broker");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(&i32::try_from(request.len()).expect("short").to_be_bytes()).expect("sent");
    stream.write_all(&request).expect("sent");
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("an answer");
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length)).expect("a length")];
    stream.read_exact(&mut answer).expect("an answer");
    answer.split_off(4)
}

fn text(text: &str) -> Vec<u8> {
    let length = i16::try_from(text.len()).expect("short").to_be_bytes();
    [length.as_slice(), text.as_bytes()].concat()
}
