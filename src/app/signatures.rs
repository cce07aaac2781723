//! Accounts that only watch signatures for a time: said when the process starts, counted down in the
//! metrics, and said again when that time is over. Each request asks the clock itself (`carrier::admit`),
//! so nothing here decides anything.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::carrier::Account;
use crate::clock::Clock;
use crate::config::Config;
use crate::message::{AccountName, Timestamp, iso};
use crate::telemetry::Metrics;

/// How often the time that is left is written down.
const INTERVAL: Duration = Duration::from_secs(1);

/// One account, and until when it watches.
struct Watched {
    account: AccountName,
    until: Timestamp,
}

pub(super) fn watch(config: &Config, clock: &Clock, metrics: &Metrics, tasks: &TaskTracker, stop: &CancellationToken) {
    let of = |account: &Account| Some(Watched { account: account.name.clone(), until: account.monitor_until? });
    let watched: Vec<_> = config.accounts.iter().filter_map(|(account, _)| of(account)).collect();
    if watched.is_empty() {
        return;
    }
    let now = clock.now();
    for one in &watched {
        one.say(now);
        one.count(now, metrics);
    }
    tasks.spawn(count_down(watched, clock.clone(), metrics.clone(), stop.clone()));
}

async fn count_down(watched: Vec<Watched>, clock: Clock, metrics: Metrics, stop: CancellationToken) {
    let mut then = clock.now();
    while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
        let now = clock.now();
        for one in &watched {
            one.count(now, &metrics);
            if then < one.until && one.until <= now {
                one.say(now);
            }
        }
        then = now;
    }
}

impl Watched {
    fn say(&self, now: Timestamp) {
        let (account, until) = (&self.account, iso::format(self.until));
        if now < self.until {
            tracing::warn!(%account, until, "texts are taken in although their signatures fail, flagged `unverified`");
        } else {
            tracing::warn!(%account, until, "monitor_until is over: what is not signed is refused from now on");
        }
    }

    fn count(&self, now: Timestamp, metrics: &Metrics) {
        let left_ms = self.until.as_millisecond().saturating_sub(now.as_millisecond()).max(0);
        // Rounded up: 0 only once it is over.
        let left = left_ms.unsigned_abs().div_ceil(1000);
        metrics.signature_monitored.with_label_values(&[self.account.as_str()]).set(left.cast_signed());
    }
}
