//! A department's feed, read as a department would.

use std::net::SocketAddr;

use serde_json::Value;

use super::http;

/// Asks the feed once; `parameters` as in the query.
pub fn ask(api: SocketAddr, department: &str, token: &str, parameters: &str) -> http::Answer {
    let headers = [("authorization".to_owned(), format!("Bearer {token}"))];
    http::request(api, "GET", &format!("/v1/departments/{department}/messages?{parameters}"), &headers, b"")
}

/// All records of a department, oldest first.
pub fn records(api: SocketAddr, department: &str) -> Vec<Value> {
    let (mut records, mut last) = (Vec::new(), String::new());
    loop {
        let answer = ask(api, department, &format!("token of {department}"), &format!("lastEventId={last}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let events: Vec<Value> = serde_json::from_slice(&answer.body).expect("a batch");
        let Some(event) = events.last() else { return records };
        last = event["id"].as_str().expect("an id").to_owned();
        records.extend(events.into_iter().map(|mut event| event["data"].take()));
    }
}
