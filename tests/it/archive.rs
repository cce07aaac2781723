//! The archive and its worker, on a real Kafka and a real CQL node.

mod lab;
mod reconcile;
mod reroute;
mod rotation;
mod setup;
mod several;

use std::time::{Duration, Instant};

use jiff::ToSpan;
use lab::{Lab, Node, at, eventually, key, record};
use rdkafka::admin::AdminOptions;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use scylla::client::session::Session;
use sms_router::archive::{Archive, Written};
use sms_router::clock::Clock;
use sms_router::message::{
    Access, AuditQuery, Country, DepartmentName, EventId, EventKind, Number, Record, SenderKey, Timestamp, expires_at,
};

fn sender() -> Number {
    Number::normalise("+447700900123", Country::GB)
}

fn highways(since: &str, until: &str) -> AuditQuery {
    let name = DepartmentName::parse("highways").expect("a name");
    AuditQuery::Department { name, since: at(since), until: at(until) }
}

async fn write(archive: &Archive, record: &Record, key: &SenderKey, now: Timestamp) -> Written {
    let value = serde_json::to_vec(record).expect("JSON");
    archive.write(&value, record, key, now).await.expect("written")
}

async fn found(archive: &Archive, query: &AuditQuery, keys: &[SenderKey], now: Timestamp) -> Vec<Record> {
    let copies = archive.find(query, keys, now).await.expect("an answer");
    copies.into_iter().map(|copy| copy.record()).collect()
}

#[tokio::test]
#[ignore = "needs Kafka and Cassandra: tests/run archive"]
async fn a_copy_is_found_by_id_by_sender_and_by_department() {
    let lab = Lab::new("find");
    let archive = lab.setup().await;
    let now = Clock::system().now();
    let (old, new) = (key("the key before this one"), key("the key in use by now"));
    let texts = ["Snow on Main St \u{2744}", "", "ice\n\0"];
    let mut records = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let received_at = now - i64::try_from(index).expect("small").hours();
        records.insert(0, record(text, received_at));
    }
    for (index, record) in records.iter().enumerate() {
        let key = if index == 0 { &old } else { &new };
        assert_eq!(write(&archive, record, key, now).await, Written::Stored);
    }
    for record in &records {
        assert_eq!(found(&archive, &AuditQuery::Id(record.id), &[], now).await, std::slice::from_ref(record));
    }
    let everything = AuditQuery::Sender(sender());
    assert_eq!(found(&archive, &everything, &[new.clone(), old.clone()], now).await, records);
    assert_eq!(found(&archive, &everything, &[new], now).await, records[1..]);
    let department = |since: Timestamp, until: Timestamp| highways(&since.to_string(), &until.to_string());
    let (first, last) = (records[0].received_at, records[2].received_at);
    assert_eq!(found(&archive, &department(first, last), &[], now).await, records[..2]);
    assert_eq!(found(&archive, &department(Timestamp::MIN, Timestamp::MAX), &[], now).await, records);
    assert!(found(&archive, &AuditQuery::Id(EventId::now_v7()), &[], now).await.is_empty());
}

#[tokio::test]
#[ignore = "needs Kafka and Cassandra: tests/run archive"]
async fn a_copy_expires_after_twelve_calendar_months() {
    let lab = Lab::new("expiry");
    let archive = lab.setup().await;
    let session = lab.session().await;
    let key = key("the key of the tests");
    for (received, now, expires, days) in [
        ("2024-02-29T10:00:00Z", "2024-02-29T10:00:00Z", "2025-02-28T10:00:00Z", 365),
        ("2023-03-01T10:00:00Z", "2023-03-01T10:00:00Z", "2024-03-01T10:00:00Z", 366),
        ("2023-02-28T10:00:00Z", "2023-02-28T10:00:00Z", "2024-02-28T10:00:00Z", 365),
        ("2026-11-21T10:00:00.123Z", "2026-11-21T10:00:00.123Z", "2027-11-21T10:00:00.123Z", 365),
        // A replay a day late gets a day less, and one on the last day what is left.
        ("2026-11-21T10:00:00Z", "2026-11-22T10:00:00Z", "2027-11-21T10:00:00Z", 364),
        ("2024-02-29T10:00:00Z", "2025-02-27T10:00:00Z", "2025-02-28T10:00:00Z", 1),
    ] {
        let record = record("Snow", at(received));
        assert_eq!(write(&archive, &record, &key, at(now)).await, Written::Stored, "{received}");
        let copies = archive.find(&AuditQuery::Id(record.id), &[], at(now)).await.expect("an answer");
        assert_eq!(copies[0].expires_at, at(expires), "{received}");
        for ttl in ttls(&session, &lab, record.id).await {
            let expected = days * 86_400;
            assert!((expected - 60..=expected).contains(&ttl), "{received}: {ttl}");
        }
        // Not shown at its expiry, although the row still lives by the store's own clock.
        assert!(found(&archive, &AuditQuery::Id(record.id), &[], at(expires)).await.is_empty());
    }
}

/// What is left of the copy's rows in all three tables, in seconds.
async fn ttls(session: &Session, lab: &Lab, id: EventId) -> Vec<i32> {
    let mut all = Vec::new();
    for table in ["by_id", "by_sender", "by_department"] {
        let query = format!("SELECT id, TTL(content) FROM {}.{table}", lab.store.keyspace);
        let rows = session.query_unpaged(query, ()).await.expect("an answer").into_rows_result().expect("rows");
        let rows = rows.rows::<(EventId, i32)>().expect("typed").map(|row| row.expect("of this shape"));
        let here: Vec<_> = rows.filter(|(of, _)| *of == id).map(|(_, ttl)| ttl).collect();
        assert_eq!(here.len(), 1, "{table}");
        all.extend(here);
    }
    all
}

#[tokio::test]
#[ignore = "needs Kafka and Cassandra: tests/run archive"]
async fn a_replay_changes_nothing_and_one_past_its_expiry_writes_nothing() {
    let lab = Lab::new("replay");
    let archive = lab.setup().await;
    let session = lab.session().await;
    let key = key("the key of the tests");
    let first = record("Snow", at("2026-11-21T10:00:00Z"));
    let expires = expires_at(first.received_at);
    assert_eq!(write(&archive, &first, &key, first.received_at).await, Written::Stored);
    // The same id again with a later receipt: the first receipt and expiry stay.
    let mut second = first.clone();
    second.received_at = at("2026-11-25T10:00:00Z");
    assert_eq!(write(&archive, &second, &key, second.received_at).await, Written::Known);
    let everything = AuditQuery::Sender(sender());
    assert_eq!(
        found(&archive, &everything, std::slice::from_ref(&key), second.received_at).await,
        std::slice::from_ref(&first)
    );
    // A writer that died before the last of its rows: the id is not known, the replay completes it.
    let half = format!("DELETE FROM {}.by_id WHERE id = ?", lab.store.keyspace);
    session.query_unpaged(half, (first.id,)).await.expect("deleted");
    assert_eq!(write(&archive, &first, &key, at("2026-11-22T10:00:00Z")).await, Written::Stored);
    assert!(ttls(&session, &lab, first.id).await.iter().all(|ttl| *ttl <= 364 * 86_400));
    let copies = archive.find(&everything, std::slice::from_ref(&key), second.received_at).await.expect("an answer");
    assert_eq!((copies.len(), copies[0].expires_at), (1, expires));
    // Past its expiry: a TTL of 0 or less would keep it for ever.
    let late = record("Ice", at("2025-11-20T10:00:00Z"));
    for now in [expires_at(late.received_at), at("2027-01-01T00:00:00Z")] {
        assert_eq!(write(&archive, &late, &key, now).await, Written::Expired);
    }
    assert!(found(&archive, &AuditQuery::Id(late.id), &[], late.received_at).await.is_empty());
}

#[tokio::test]
#[ignore = "needs Kafka and Cassandra: tests/run archive"]
async fn accesses_are_on_record_without_anything_personal() {
    let lab = Lab::new("access");
    let archive = lab.setup().await;
    let access = Access {
        at: Clock::system().now(),
        who: "auditor@host".to_owned(),
        why: "request 42".to_owned(),
        query: AuditQuery::Sender(sender()).describe(),
        ids: (0..2500).map(|_| EventId::now_v7()).collect(),
        text_shown: true,
    };
    archive.record_access(&access).await.expect("written");
    let nothing = Access { ids: Vec::new(), text_shown: false, ..access.clone() };
    archive.record_access(&nothing).await.expect("written");
    let query = format!("SELECT who, why, query, ids, text_shown, TTL(who) FROM {}.access_log", lab.store.keyspace);
    let rows = lab.session().await.query_unpaged(query, ()).await.expect("an answer").into_rows_result().expect("rows");
    let rows: Vec<(String, String, String, Vec<EventId>, bool, i32)> =
        rows.rows().expect("typed").collect::<Result<_, _>>().expect("rows of this shape");
    assert_eq!(rows.len(), 4);
    for (who, why, query, _, _, ttl) in &rows {
        assert_eq!((who.as_str(), why.as_str(), query.as_str()), ("auditor@host", "request 42", "sender"));
        assert!((729 * 86_400..=732 * 86_400).contains(ttl), "{ttl}");
    }
    let shown: Vec<EventId> = rows.iter().filter(|row| row.4).flat_map(|row| row.3.clone()).collect();
    assert_eq!(shown, access.ids);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and Cassandra: tests/run archive"]
async fn what_was_published_is_archived_once_and_offsets_follow() {
    let lab = Lab::new("work");
    let archive = lab.setup().await;
    let (one, two) = (lab.topic("one").await, lab.topic("two").await);
    let now = Clock::system().now();
    let mut records: Vec<Record> = (0..600).map(|index| record(&format!("text {index}"), now)).collect();
    let (even, odd): (Vec<_>, Vec<_>) = records.iter().enumerate().partition(|(index, _)| index % 2 == 0);
    lab.publish_all(&one, even.iter().map(|(_, record)| *record)).await;
    lab.publish_all(&two, odd.iter().map(|(_, record)| *record)).await;
    // A retry that slipped past a replica: the same id, received later.
    let mut again = records[0].clone();
    again.received_at = now + 1.minute();
    lab.publish(&one, &again).await;
    // Long over, and not a text at all.
    lab.publish(&one, &record("of old", now - (400 * 24).hours())).await;
    lab.publish_raw(&one, EventKind::Consent, b"{}".to_vec()).await;
    let work = lab.work(&[&one, &two]);
    work.until("stored", 600).await;
    work.until("known", 1).await;
    work.until("expired", 1).await;
    eventually("no lag", || async { work.metrics.archive_lag.get() == 0.0 }).await;
    let late = record("after the others", now);
    lab.publish(&two, &late).await;
    work.until("stored", 601).await;
    work.stop().await;
    // Committed to the end: another worker finds nothing to do but what is new.
    assert_eq!((committed(&lab, &one), committed(&lab, &two)), (Some(303), Some(301)));
    let work = lab.work(&[&one, &two]);
    let last = record("for the second worker", now);
    lab.publish(&two, &last).await;
    work.until("stored", 1).await;
    assert_eq!((work.count("known"), work.count("dead_letter")), (0, 0));
    work.stop().await;
    records.extend([late, last]);
    let keys = [key("the key of the tests")];
    let mut copies = found(&archive, &AuditQuery::Sender(sender()), &keys, now).await;
    copies.sort_by_key(|record| record.id);
    records.sort_by_key(|record| record.id);
    assert!(copies == records, "{} copies of {} texts", copies.len(), records.len());
}

fn committed(lab: &Lab, topic: &str) -> Option<i64> {
    let consumer: BaseConsumer = lab.consumer().create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, 0);
    let list = consumer.committed_offsets(list, Duration::from_secs(30)).expect("an answer");
    match list.elements()[0].offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and Cassandra: tests/run archive"]
async fn a_store_outage_longer_than_the_poll_interval_means_lag_and_no_loss() {
    let node = Node::start("archive-outage");
    let lab = Lab::with_store("outage", node.address.clone());
    lab.setup().await;
    let topic = lab.topic("one").await;
    let now = Clock::system().now();
    let work = lab.work(&[&topic]);
    // Connected, and nothing written: a node of its own loses the last second when it is killed,
    // which in a cluster the other copies make up for.
    lab.publish(&topic, &record("of old", now - (400 * 24).hours())).await;
    work.until("expired", 1).await;
    node.kill();
    let records: Vec<Record> = (0..1000).map(|index| record(&format!("text {index}"), now)).collect();
    lab.publish_all(&topic, &records).await;
    let away = Instant::now();
    // Twice the interval after which a silent consumer would be thrown out, counted from when all
    // was published; the lag grows meanwhile.
    eventually("lag of 12 s", || async {
        work.metrics.archive_lag.get() >= 12.0 && away.elapsed() > Duration::from_secs(12)
    })
    .await;
    assert_eq!(work.count("stored"), 0);
    assert_eq!(members(&lab), 1, "the worker was thrown out of its group");
    node.restart();
    work.until("stored", 1000).await;
    assert_eq!(work.count("known"), 0, "records came twice: the group had changed");
    eventually("no lag", || async { work.metrics.archive_lag.get() == 0.0 }).await;
    assert_eq!(work.metrics.archive_stopped_partitions.get(), 0);
    work.stop().await;
    assert_eq!(committed(&lab, &topic), Some(1001));
    let archive = Archive::connect(&lab.store).await.expect("a connection");
    let keys = [key("the key of the tests")];
    let copies = found(&archive, &AuditQuery::Sender(sender()), &keys, now).await;
    assert_eq!(copies.len(), 1000);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and Cassandra: tests/run archive"]
async fn workers_that_come_and_go_lose_nothing_and_keep_each_copy_once() {
    let lab = Lab::new("group");
    let archive = lab.setup().await;
    let topic = lab.topic_of("one", 4).await;
    let now = Clock::system().now();
    let records: Vec<Record> = (0..3000).map(|index| record(&format!("text {index}"), now)).collect();
    let first = lab.work(&[&topic]);
    lab.publish_all(&topic, &records[..1000]).await;
    eventually("the first works", || async { first.ended() > 0 }).await;
    let second = lab.work(&[&topic]);
    eventually("two members", || async { members(&lab) == 2 }).await;
    lab.publish_all(&topic, &records[1000..2000]).await;
    eventually("the second works", || async { second.ended() > 0 }).await;
    first.stop().await;
    lab.publish_all(&topic, &records[2000..]).await;
    let keys = [key("the key of the tests")];
    let everything = AuditQuery::Sender(sender());
    eventually("all copies", || async { found(&archive, &everything, &keys, now).await.len() == 3000 }).await;
    eventually("no lag", || async { second.metrics.archive_lag.get() == 0.0 }).await;
    second.stop().await;
    let rows = format!("SELECT COUNT(*) FROM {}.by_department", lab.store.keyspace);
    let rows = lab.session().await.query_unpaged(rows, ()).await.expect("an answer").into_rows_result().expect("rows");
    assert_eq!(rows.single_row::<(i64,)>().expect("a count"), (3000,));
}

fn members(lab: &Lab) -> usize {
    let consumer: BaseConsumer = lab.consumer().create().expect("a consumer");
    let group = format!("{}-archive", lab.name);
    let groups = consumer.fetch_group_list(Some(&group), Duration::from_secs(30)).expect("an answer");
    groups.groups()[0].members().len()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and Cassandra: tests/run archive"]
async fn an_offset_out_of_range_stops_its_partition_and_no_other() {
    let lab = Lab::new("range");
    let archive = lab.setup().await;
    let (gone, fine, past_the_end) = (lab.topic("gone").await, lab.topic("fine").await, lab.topic("end").await);
    let now = Clock::system().now();
    for index in 0..5 {
        lab.publish(&gone, &record(&format!("text {index}"), now)).await;
    }
    commit(&lab, &gone, 2);
    commit(&lab, &past_the_end, 9);
    let mut until = TopicPartitionList::new();
    until.add_partition_offset(&gone, 0, Offset::Offset(4)).expect("an offset");
    lab.admin().delete_records(&until, &AdminOptions::new()).await.expect("deleted");
    let work = lab.work(&[&gone, &fine, &past_the_end]);
    eventually("two partitions stopped", || async { work.metrics.archive_stopped_partitions.get() == 2 }).await;
    let other = record("another department", now);
    lab.publish(&fine, &other).await;
    lab.publish(&gone, &record("not before somebody decides", now)).await;
    work.until("stored", 1).await;
    eventually("lag that grows", || async { work.metrics.archive_lag.get() >= 1.0 }).await;
    let keys = [key("the key of the tests")];
    assert_eq!(found(&archive, &AuditQuery::Sender(sender()), &keys, now).await, [other]);
    work.stop().await;
    assert_eq!((committed(&lab, &gone), committed(&lab, &past_the_end)), (Some(2), Some(9)));
    // Somebody decides: from the earliest that is left.
    commit(&lab, &gone, 4);
    let work = lab.work(&[&gone]);
    work.until("stored", 2).await;
    work.stop().await;
}

fn commit(lab: &Lab, topic: &str, offset: i64) {
    let consumer: BaseConsumer = lab.consumer().create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset)).expect("an offset");
    consumer.commit(&list, CommitMode::Sync).expect("committed");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and Cassandra: tests/run archive"]
async fn records_deleted_under_a_waiting_worker_stop_the_partition() {
    let node = Node::start("archive-retention");
    let lab = Lab::with_store("retention", node.address.clone());
    lab.setup().await;
    let topic = lab.topic("one").await;
    let now = Clock::system().now();
    node.kill();
    let work = lab.work(&[&topic]);
    let records: Vec<Record> = (0..1000).map(|index| record(&format!("text {index}"), now)).collect();
    lab.publish_all(&topic, &records).await;
    eventually("lag", || async { work.metrics.archive_lag.get() >= 3.0 }).await;
    // Kafka's retention overtakes an outage: what the worker holds is saved, what it never read is
    // reported, not passed over.
    let mut until = TopicPartitionList::new();
    until.add_partition_offset(&topic, 0, Offset::Offset(900)).expect("an offset");
    lab.admin().delete_records(&until, &AdminOptions::new()).await.expect("deleted");
    node.restart();
    eventually("a stopped partition", || async { work.metrics.archive_stopped_partitions.get() == 1 }).await;
    eventually("256 copies", || async { work.count("stored") >= 256 }).await;
    assert!(work.count("stored") < 900, "{}", work.count("stored"));
    work.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and Cassandra: tests/run archive"]
async fn a_record_that_cannot_be_understood_goes_to_dead_letter_with_its_reason() {
    let lab = Lab::new("letter");
    lab.setup().await;
    let topic = lab.topic("one").await;
    let now = Clock::system().now();
    lab.publish_raw(&topic, EventKind::Message, b"Snow on Main St".to_vec()).await;
    lab.publish(&topic, &record("fine", now)).await;
    lab.publish(&topic, &record("of next week", now + (7 * 24).hours())).await;
    // As large as a record may be: in base64 it no longer fits.
    lab.publish_raw(&topic, EventKind::Message, vec![b'x'; 900_000]).await;
    let work = lab.work(&[&topic]);
    work.until("dead_letter", 3).await;
    work.until("stored", 1).await;
    work.stop().await;
    assert_eq!(committed(&lab, &topic), Some(4));
    let mut letters = lab.letters_about(&topic, 3);
    letters.sort_by(|one, other| one.detail.cmp(&other.detail));
    assert_eq!((letters[0].reason.as_ref(), letters[0].account.as_str()), ("unreadable_record", "demo"));
    assert_eq!(
        letters[0].detail,
        format!("topic {topic} partition 0 offset 0: the value is not a record: line 1 column 1; 15 bytes")
    );
    assert_eq!(letters[0].body.as_str(), "U25vdyBvbiBNYWluIFN0");
    assert!(letters[1].detail.contains("offset 2: the record's receipt lies in the future"), "{}", letters[1].detail);
    assert!(letters[2].detail.ends_with("900000 bytes; too large to be copied here"), "{}", letters[2].detail);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and Cassandra: tests/run archive"]
async fn a_record_with_words_of_a_later_release_is_archived_as_it_is() {
    let lab = Lab::new("later");
    lab.setup().await;
    let topic = lab.topic("one").await;
    let now = Clock::system().now();
    let (mut value, id) = (serde_json::to_value(record("Snow", now)).expect("JSON"), EventId::now_v7());
    value["id"] = id.to_string().into();
    value["rule"] = serde_json::json!({ "kind": "phrase", "phrase": ["snow", "main st"] });
    value["consent"] = "pause".into();
    value["flags"] = serde_json::json!(["translated"]);
    value["language"] = "cy".into();
    lab.publish_raw(&topic, EventKind::Message, value.to_string().into_bytes()).await;
    let work = lab.work(&[&topic]);
    work.until("stored", 1).await;
    work.stop().await;
    let copies = Archive::connect(&lab.store)
        .await
        .expect("a connection")
        .find(&AuditQuery::Id(id), &[], now)
        .await
        .expect("an answer");
    assert_eq!(copies.iter().map(|copy| copy.json().to_owned()).collect::<Vec<_>>(), [value.to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and Cassandra: tests/run archive"]
async fn a_removed_department_is_archived_to_its_end() {
    let lab = Lab::new("removed");
    lab.setup().await;
    let (stays, leaves) = (lab.topic("stays").await, lab.topic("leaves").await);
    let now = Clock::system().now();
    let work = lab.work(&[&stays, &leaves]);
    lab.publish(&leaves, &record("one", now)).await;
    work.until("stored", 1).await;
    work.routes.send(vec![stays.clone()]).expect("a worker that listens");
    lab.publish(&leaves, &record("two", now)).await;
    lab.publish(&stays, &record("three", now)).await;
    work.until("stored", 3).await;
    work.stop().await;
    // What came while no worker ran is found by the next, whose routes never named the topic.
    lab.publish(&leaves, &record("four", now)).await;
    let work = lab.work(&[&stays]);
    work.until("stored", 1).await;
    eventually("the topic is let go", || async { subscribed(&lab, &leaves).is_some_and(|is| !is) }).await;
    work.stop().await;
}

/// Whether a member of the group subscribes to the topic; `None` while the group rebalances.
fn subscribed(lab: &Lab, topic: &str) -> Option<bool> {
    let consumer: BaseConsumer = lab.consumer().create().expect("a consumer");
    let group = format!("{}-archive", lab.name);
    let groups = consumer.fetch_group_list(Some(&group), Duration::from_secs(30)).ok()?;
    let group = groups.groups().first().filter(|group| group.state() == "Stable")?;
    let member = group.members().first()?;
    // The consumer protocol's member metadata has the names of the topics in plain bytes.
    let metadata = member.metadata()?;
    Some(metadata.windows(topic.len()).any(|bytes| bytes == topic.as_bytes()))
}
