//! A real Jasmin gateway, fed by a message centre over SMPP, pushes texts to the standalone profile: each is
//! stored as it was sent, also long ones, and again where it was refused.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::services::script;
use crate::harness::{self, Folder, Server, feed, wait_until};
use crate::kafka::unique;

/// Texts that arrive at once where `RATE` a second are let in: the last gets in at its fourth try.
const HURRIED: usize = 70;
const RATE: usize = 20;

/// Department and text by sender.
type Expected = BTreeMap<String, (&'static str, String)>;

#[test]
#[ignore = "needs Jasmin, RabbitMQ and Redis: tests/run jasmin"]
fn texts_from_a_real_gateway_are_stored_as_they_were_sent() {
    let server = server("");
    let gateway = Gateway::start(&server, &[]);
    let mut expected = Expected::new();
    let mut pushes = 0;
    // How the message centre sends what is too long for one piece, and whether Jasmin joins it.
    for (index, (how, is_joined)) in
        [("udh", true), ("udh16", false), ("sar", true), ("payload", true)].into_iter().enumerate()
    {
        let texts = texts(index * 100);
        gateway.send(&texts, how);
        pushes += if is_joined { texts.len() } else { texts.len() + PIECES_MORE };
        gateway.settle(pushes);
        expected.extend(texts);
    }
    assert_eq!(gateway.pushes("failed").len(), 0, "none was refused");
    check_feeds(&server, &expected);
}

#[test]
#[ignore = "needs Jasmin, RabbitMQ and Redis: tests/run jasmin"]
fn a_real_gateway_pushes_again_what_was_refused_and_each_text_arrives_once() {
    let server = server(&format!("rate_max = {RATE}\n"));
    // A slow machine may need more tries than the 3 that Jasmin grants unless it is told otherwise.
    let gateway = Gateway::start(&server, &["--get", "--retries", "100"]);
    let text = |number| (format!("447700{number:06}"), ("highways", format!("Snow on street {number}, café £5 €2")));
    let expected: Expected = (0..HURRIED).map(text).collect();
    gateway.send(&expected, "udh");
    gateway.settle(HURRIED);
    let refused = server.metric("sms_router_shed_total{reason=\"rate\"}");
    assert!(refused >= 1.0, "none was refused, so none was pushed again");
    assert_eq!(gateway.pushes("failed").len() as f64, refused, "what we refused is what Jasmin tried again");
    let acknowledged: BTreeSet<_> = gateway.pushes("ok").into_iter().collect();
    assert_eq!(check_feeds(&server, &expected), acknowledged);
}

/// Pushes that `texts` needs beyond one each if nobody joins: two texts of two pieces, one of three.
const PIECES_MORE: usize = 4;

/// Short and long texts in the alphabets that phones use, from senders that begin at a number.
fn texts(first: usize) -> Expected {
    let texts = [
        ("highways", "Snow on Main St @ No 5: £€[é]".to_owned()),
        ("highways", "SNOW ❄️ on Main St 👩‍👩‍👧 Снег".to_owned()),
        ("parking", "park pay ABC123 ".to_owned()),
        ("contact-centre", "When is my street swept?".to_owned()),
        ("contact-centre", format!("A long one: {}", "Ångström € {ñ} ".repeat(12))),
        ("highways", format!("snow {}", "Снег на дороге 😀 ".repeat(5))),
        ("highways", format!("Grit {}", "the pavement at number 27, please. ".repeat(10))),
    ];
    let numbered = texts.into_iter().enumerate();
    numbered.map(|(index, text)| (format!("447700{:06}", first + index), text)).collect()
}

/// A server with one account of Jasmin's.
fn server(more: &str) -> Server {
    let account = format!("[accounts.jasmin]\ncarrier = \"jasmin\"\nsecrets = [{{ file = \"jasmin\" }}]\n{more}");
    let folder = Folder::with(&format!("{}{account}", harness::SETTINGS), harness::ROUTES);
    folder.write("jasmin", "jasmin-path-secret");
    Server::start(folder).ready()
}

/// Every text is in its department, once and unchanged; the ids that Jasmin gave them.
fn check_feeds(server: &Server, expected: &Expected) -> BTreeSet<String> {
    let departments = ["highways", "parking", "contact-centre"];
    let mut found = Vec::new();
    // A text that came in pieces is stored after its last piece was answered.
    wait_until("every text is stored", || {
        let records =
            |department| feed::records(server.api, department).into_iter().map(move |text| (department, text));
        found = departments.into_iter().flat_map(records).collect();
        found.len() >= expected.len()
    });
    assert_eq!(found.len(), expected.len(), "a text is there twice");
    let mut ids = BTreeSet::new();
    for (department, record) in found {
        let from = record["from"].as_str().expect("a sender");
        let (wanted, text) = &expected[from.trim_start_matches('+')];
        assert_eq!((department, record["text"].as_str()), (*wanted, Some(text.as_str())), "{record}");
        ids.insert(record["carrier_message_id"].as_str().expect("an id").to_owned());
    }
    assert_eq!(ids.len(), expected.len(), "each has an id of its own");
    ids
}

/// A gateway that pushes to a server; stopped when this is dropped.
struct Gateway<'a> {
    name: String,
    server: &'a Server,
}

impl<'a> Gateway<'a> {
    fn start(server: &'a Server, options: &[&str]) -> Self {
        let gateway = Self { name: unique("jasmin"), server };
        let url = format!("http://{}/inbound/jasmin/jasmin-path-secret", server.inbound);
        script("jasmin.sh", &[&["start", &gateway.name, &url], options].concat());
        gateway
    }

    fn send(&self, texts: &Expected, how: &str) {
        let lines: String = texts.iter().map(|(from, (_, text))| format!("{from} 86555 {text}\n")).collect();
        self.server.folder.write("texts", &lines);
        let file = self.server.folder.path("texts");
        script("jasmin.sh", &["send", &self.name, file.to_str().expect("a path"), how]);
    }

    /// Waits until so many pushes have been acknowledged and Jasmin has nothing left.
    fn settle(&self, pushes: usize) {
        script("jasmin.sh", &["settle", &self.name, &pushes.to_string(), "60"]);
        assert_eq!(self.pushes("ok").len(), pushes, "no push is acknowledged twice");
        assert_eq!(self.pushes("lost").len(), 0);
    }

    /// The ids of the pushes that ended so.
    fn pushes(&self, end: &str) -> Vec<String> {
        let pushes = script("jasmin.sh", &["pushes", &self.name]);
        pushes.lines().filter_map(|line| line.strip_prefix(end)?.strip_prefix(' ')).map(str::to_owned).collect()
    }
}

impl Drop for Gateway<'_> {
    fn drop(&mut self) {
        script("jasmin.sh", &["stop", &self.name]);
    }
}
