//! Whether the embedded store takes texts in, told where it is looked for, and tried while it does not.
//!
//! Where the store is the log, every department goes by it; where it is the journal, each topic speaks
//! for itself.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::keyword::Live;
use crate::store::Store;
use crate::telemetry::Metrics;

/// How often a store in trouble is tried, and departments that came with new routes are told of.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Runs until `stop`. `departments` are those whose texts have no other log.
pub async fn watch(store: Store, departments: Option<(Live, Metrics)>, stop: CancellationToken) {
    stop.run_until_cancelled(keep_telling(&store, departments)).await;
}

async fn keep_telling(store: &Store, departments: Option<(Live, Metrics)>) {
    let mut trouble = store.trouble();
    loop {
        let is_well = trouble.borrow_and_update().is_none();
        if let Some((routes, metrics)) = &departments {
            for department in routes.load().departments() {
                metrics.department_up.with_label_values(&[department.name.as_str()]).set(i64::from(is_well));
            }
        }
        tokio::select! {
            changed = trouble.changed() => if changed.is_err() {
                return;
            },
            () = tokio::time::sleep(LOOK_INTERVAL) => if !is_well {
                // What came of it is told by `trouble`.
                let _ = store.try_writing().await;
            },
        }
    }
}
