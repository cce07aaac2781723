//! What does a durable text cost, and how many share a commit?
//!
//! `append/N` is N callers, each of which appends one text of about 400 bytes and waits for its
//! commit: one iteration is N texts on the disk. With one caller it is the disk's fsync; what more
//! callers gain is group commit. Every text is counted in the feed before any is timed.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::try_join_all;
use sms_router::clock::Clock;
use sms_router::message::{AccountName, DepartmentName, Destination, Event, EventId, EventKind, SenderKey};
use sms_router::store::{Cursor, Settings, Store};
use tokio::runtime::Runtime;

const VALUE_BYTES: usize = 400;
const CALLERS: [usize; 5] = [1, 8, 64, 256, 1_024];

fn text(clock: &Clock) -> Event {
    let id = EventId::now_v7();
    Event {
        id,
        copy_of: None,
        kind: EventKind::Message,
        destination: Destination::Department(DepartmentName::parse("highways").expect("a name")),
        account: AccountName::parse("demo").expect("a name"),
        subject: "86555".to_owned(),
        received_at: clock.now(),
        key: id.into_bytes(),
        fingerprint: id.into_bytes(),
        traceparent: None,
        value: vec![b'x'; VALUE_BYTES],
    }
}

/// Each caller's text in a commit that it waits for.
async fn append(store: &Store, clock: &Clock, callers: usize) {
    let appends = (0..callers).map(|_| store.append(vec![text(clock)]));
    black_box(try_join_all(appends).await.expect("the disk takes it"));
}

async fn count(store: &Store) -> usize {
    let (mut after, mut count) = (Cursor::START, 0);
    loop {
        let entries = store.read("highways", after, usize::MAX).await.expect("the feed");
        let Some(last) = entries.last() else { return count };
        (after, count) = (last.position, count + entries.len());
    }
}

fn commit(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::system();
    let key = SenderKey::new(b"a key of the benchmark").expect("long enough");
    let (store, writer) = Store::open(Settings::of(folder.path()), key, clock.clone()).expect("a store");
    runtime.block_on(async {
        for callers in CALLERS {
            append(&store, &clock, callers).await;
        }
        assert_eq!(count(&store).await, CALLERS.iter().sum::<usize>());
    });
    let mut group = criterion.benchmark_group("store/append");
    group.sample_size(20);
    for callers in CALLERS {
        group.throughput(Throughput::Elements(callers as u64));
        group.bench_function(BenchmarkId::from_parameter(callers), |bencher| {
            bencher.iter(|| runtime.block_on(append(&store, &clock, callers)));
        });
    }
    group.finish();
    runtime.block_on(writer.close());
}

criterion_group!(benches, commit);
criterion_main!(benches);
