//! Slow-downs made on purpose, and whether each is refused.
//!
//! Comes in: the world, where each is counted as a row; then all that was counted. Goes out: what was counted, without
//! these rows.
//! Always true: a run in which the judge lets one of them pass is no judgement, and fails.

use std::hint::black_box;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use sms_router::carrier::{Account, Webhook, authenticate};
use sms_router::webhook::Verdict;

use crate::counted::{drive, row};
use crate::judgement::{Costs, too_much};
use crate::world::{Request, World};

/// The row whose work they do, and something more.
const PLAIN: &str = "path/generic";
/// Each row, and what the judge has to find in it at least. A copy and a lock are too little to show in the instructions.
const SLOWED: [(&str, &[&str]); 3] =
    [(COPY, &["allocations"]), (LOCK, &["atomics"]), (HMAC, &["instructions", "atomics", "allocations"])];
/// The body is copied.
const COPY: &str = "slowed/copy";
/// A lock is taken that nobody else wants.
const LOCK: &str = "slowed/lock";
/// The request is proven twice.
const HMAC: &str = "slowed/hmac";

/// Counts them.
pub fn rows(world: &World) {
    let account = world.accounts.iter().find(|account| PLAIN.ends_with(account.name.as_str()));
    let account = account.expect("it is one of ours");
    slowed(world, account, COPY, |webhook| drop(black_box(webhook.body.to_vec())));
    let lock = Mutex::new(());
    slowed(world, account, LOCK, |_| drop(black_box(&lock).lock().unwrap_or_else(PoisonError::into_inner)));
    slowed(world, account, HMAC, |webhook| authenticate(account, webhook).expect("the request is proven"));
}

fn slowed(world: &World, account: &Account, name: &str, more: impl Fn(&Webhook<'_>)) {
    // Of four letters, as `path` is, or the requests would be longer than the plain row's.
    let word = name.trim_start_matches("slowed/");
    row(
        name,
        |index| Request::made(account, word, index),
        |request| {
            let webhook = request.webhook();
            let slower = async {
                more(&webhook);
                world.take(account, &webhook).await
            };
            assert_eq!(drive(slower), Verdict::Accepted);
        },
    );
}

/// Takes them out, judged by what the plain row cost in the same run.
pub fn refused(costs: &mut Costs) -> Result<()> {
    let ceiling = *costs.get(PLAIN).context("the plain row was not counted")?;
    for (row, figures) in SLOWED {
        let cost = costs.remove(row).with_context(|| format!("{row} was not counted"))?;
        let (found, wanted) = (too_much(&cost, &ceiling), figures.join(", "));
        ensure!(
            figures.iter().all(|figure| found.contains(figure)),
            "{row} is not refused for too many {wanted}: {cost:?} beside {PLAIN}'s {ceiling:?}"
        );
        println!("{row} is refused beside {PLAIN}: too many {wanted}");
    }
    Ok(())
}
