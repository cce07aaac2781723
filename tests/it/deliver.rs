//! Departments without Kafka: what is pushed to them, from the embedded log and from topics.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::harness::receiver::Receiver;
use crate::harness::role::Role;
use crate::harness::services::given;
use crate::harness::{Folder, ROUTES, SETTINGS, Server, Sms, said, wait_until};
use crate::kafka::{cluster_settings, routes, unique};

const DELIVERED: &str = "sms_router_deliveries_total{channel=\"push\",department=\"highways\",outcome=\"delivered\"}";
const OLDEST: &str = "sms_router_delivery_oldest_seconds{channel=\"push\",department=\"parking\"}";
const OLDEST_OF_HIGHWAYS: &str = "sms_router_delivery_oldest_seconds{channel=\"push\",department=\"highways\"}";

/// Settings by which a department's texts are pushed.
fn pushing(settings: &str, department: &str, receiver: &Receiver) -> String {
    let url = receiver.url();
    let section = format!("[departments.{department}]\n");
    let push =
        format!("{section}push = {{ url = \"{url}\", secrets = [{{ file = \"demo\" }}], private_network = true }}\n");
    let retries = "[deliver]\nretry_ms = 20\nretry_max_ms = 200\n";
    let settings = if settings.contains("[deliver]") { settings.to_owned() } else { format!("{settings}{retries}") };
    if settings.contains(&section) { settings.replace(&section, &push) } else { format!("{settings}{push}") }
}

/// Pushes texts of three senders to the server, numbered; all are taken.
fn text(server: &Server, word: &str, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let mut text = Sms::new(&format!("{word} {number}"), &format!("{word} {number}"));
        text.from = sender(number);
        assert_eq!(server.push(&text).status, 200);
    }
}

fn sender(number: usize) -> String {
    format!("+44770090012{}", number % 3)
}

/// What a receiver has when it has them all, each sender's in order.
fn all(word: &str, count: usize) -> BTreeMap<String, Vec<String>> {
    let mut words = BTreeMap::<String, Vec<String>>::new();
    (0..count).for_each(|number| words.entry(sender(number)).or_default().push(format!("{word} {number}")));
    words
}

#[test]
fn deliver_run_says_who_delivers_and_that_there_is_nobody_to_deliver_to() {
    let standalone = Folder::with(&pushing(SETTINGS, "highways", &Receiver::start(200)), ROUTES);
    let (code, out, err) = said(&standalone.run(&["deliver", "run"]));
    assert!(
        code == Some(78) && err.contains("in the standalone profile `serve` mails and pushes itself"),
        "{out}{err}"
    );
    let publish = "[publish]\nto = \"kafka\"\nbrokers = \"127.0.0.1:1\"\n";
    let nobody = Folder::with(&format!("{SETTINGS}{publish}"), ROUTES);
    let (code, out, err) = said(&nobody.run(&["deliver", "run"]));
    assert!(code == Some(78) && err.contains("no department has email or push"), "{out}{err}");
}

#[test]
fn check_warns_of_a_channel_that_no_text_can_reach() {
    let folder = Folder::with(&pushing(SETTINGS, "trees", &Receiver::start(200)), ROUTES);
    let (code, out, err) = said(&folder.run(&["check"]));
    let warning = "departments.trees: the routes name no such department: nothing is mailed or pushed to it";
    assert!(code == Some(0) && out.contains(warning), "{out}{err}");
}

#[test]
fn the_operator_of_kafka_gets_a_user_that_reads_what_is_delivered_and_no_more() {
    let publish = "[publish]\nto = \"kafka\"\nbrokers = \"127.0.0.1:1\"\n";
    let settings = format!("{SETTINGS}{publish}");
    let objects =
        |settings: &str| said(&Folder::with(settings, ROUTES).run(&["setup", "--dry-run", "-o", "strimzi"])).1;
    assert!(!objects(&settings).contains("sms-router-deliver"));
    let objects = objects(&pushing(&settings, "highways", &Receiver::start(200)));
    let user = objects.split("---\n").find(|object| object.contains("name: sms-router-deliver\n")).expect("a user");
    for name in ["sms.highways", "sms-router-deliver", "sms-router-deliver-push", "sms-router.dead-letter"] {
        assert!(user.contains(&format!("name: {name}\n")), "{name}: {user}");
    }
    assert!(!user.contains("sms.parking") && !user.contains("sms-router.parts"), "{user}");
}

#[test]
fn standalone_texts_are_pushed_in_order_and_again_only_under_the_same_id() {
    let receiver = Receiver::start(200);
    let server = Server::start(Folder::with(&pushing(SETTINGS, "highways", &receiver), ROUTES)).ready();
    text(&server, "snow", 0..30);
    wait_until("some are pushed", || receiver.taken() >= 10);
    receiver.answer(503);
    text(&server, "snow", 30..60);
    // The position has been kept since: it is moved as often as the age is shown.
    wait_until("what is not taken waits", || server.metric(OLDEST_OF_HIGHWAYS) > 2.0);
    let server = Server::start(server.kill()).ready();
    receiver.answer(200);
    text(&server, "snow", 60..90);
    wait_until("all are pushed", || receiver.taken() == 90);
    assert_eq!(receiver.words_by_sender(), all("snow", 90));
    let (folder, code) = server.stop();
    assert_eq!(code, Some(0));

    // In good order nothing is said again.
    let (pushes, server) = (receiver.pushes().len(), Server::start(folder).ready());
    text(&server, "snow", 90..91);
    wait_until("the next one is pushed", || receiver.taken() == 91);
    // It is counted once its answer has come, a moment after the receiver gave that.
    wait_until("it is counted", || server.metric(DELIVERED) >= 1.0);
    assert_eq!(receiver.pushes().len(), pushes + 1);
    assert_eq!(server.metric(DELIVERED), 1.0);
}

#[test]
fn a_department_that_comes_with_new_routes_is_pushed_to_and_one_that_is_away_holds_up_nobody() {
    let (parking, trees) = (Receiver::start(503), Receiver::start(200));
    let settings = pushing(&pushing(SETTINGS, "parking", &parking), "trees", &trees);
    let server = Server::start(Folder::with(&settings, ROUTES)).ready();
    text(&server, "park pay", 0..3);
    wait_until("it is tried", || parking.pushes().len() >= 4);
    let more =
        "[[department]]\nname = \"trees\"\n[[keyword]]\nnumber = \"86555\"\nword = \"tree\"\ndepartment = \"trees\"\n";
    server.folder.write("routes.toml", &format!("{ROUTES}{more}"));
    server.signal("HUP");
    let explained = || said(&server.folder.run(&["explain", "--to", "86555", "tree"])).1;
    assert!(explained().contains("trees"));
    wait_until("the routes are in force", || {
        text(&server, &format!("tree {}", server.metrics().len()), 0..1);
        trees.taken() >= 1
    });
    wait_until("who is away shows", || server.metric(OLDEST) > 0.0);
    parking.answer(200);
    wait_until("and is served", || parking.taken() == 3 && server.metric(OLDEST) == 0.0);
    assert_eq!(parking.words_by_sender(), all("park pay", 3));
}

/// What a group has committed on a topic of one partition.
fn committed(group: &str, topic: &str) -> Option<i64> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", given("SMS_ROUTER_TEST_KAFKA")).set("group.id", group);
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition(topic, 0);
    let committed = consumer.committed_offsets(wanted, Duration::from_secs(30)).expect("an answer of the broker");
    match committed.elements().first().map(|element| element.offset()) {
        Some(Offset::Offset(offset)) => Some(offset),
        _ => None,
    }
}

#[test]
#[ignore = "needs Kafka: tests/run deliver"]
fn topics_are_pushed_in_order_committed_after_that_and_again_only_under_the_same_id() {
    let (prefix, highways, parking) = (unique("deliver"), Receiver::start(200), Receiver::start(503));
    let settings = cluster_settings(&given("SMS_ROUTER_TEST_KAFKA"))
        .replace("[publish.topics]\n", "[publish.topics]\npartitions = 1\n");
    let settings = pushing(&pushing(&settings, "highways", &highways), "parking", &parking);
    let settings = settings.replace("[deliver]\n", &format!("[deliver]\ngroup = \"{prefix}\"\n"));
    let folder = Folder::with(&settings, &routes(&prefix));
    let (code, out, err) = said(&folder.run(&["setup"]));
    assert_eq!(code, Some(0), "{out}{err}");
    let server = Server::start(folder).ready();
    let (group, topic) = (format!("{prefix}-push"), |department: &str| format!("{prefix}.{department}"));

    let deliverer = Role::deliver(&server.folder);
    text(&server, "park pay", 0..3);
    text(&server, "snow", 0..40);
    wait_until("some are pushed, whoever else is away", || highways.taken() >= 20);
    // SIGKILL: what was not committed is pushed again.
    drop(deliverer);
    text(&server, "snow", 40..80);
    let mut deliverer = Role::deliver(&server.folder);
    wait_until("all are pushed", || highways.taken() == 80);
    assert_eq!(highways.words_by_sender(), all("snow", 80));
    wait_until("and committed", || committed(&group, &topic("highways")) == Some(80));
    wait_until("the other is tried", || parking.pushes().len() >= 4);
    assert_eq!(committed(&group, &topic("parking")), None, "nothing is, before its receiver took it");
    wait_until("who is away shows", || deliverer.metric(OLDEST) > 0.0);

    deliverer.stop();
    let (pushes, mut deliverer) = (highways.pushes().len(), Role::deliver(&server.folder));
    parking.answer(200);
    wait_until("it is served", || parking.taken() == 3 && deliverer.metric(OLDEST) == 0.0);
    wait_until("and committed", || committed(&group, &topic("parking")) == Some(3));
    assert_eq!(parking.words_by_sender(), all("park pay", 3));
    text(&server, "snow", 80..81);
    wait_until("the next one is pushed", || highways.taken() == 81);
    assert_eq!(highways.pushes().len(), pushes + 1, "what was committed is not said again");
    deliverer.stop();
    assert_eq!(committed(&group, &topic("highways")), Some(81));
    assert_eq!(server.stop().1, Some(0));
}
