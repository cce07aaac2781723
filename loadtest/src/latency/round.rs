//! One run to one server, done anew when the generator could not keep up.
//!
//! Comes in: a plan and a server. Goes out: the latencies of each stretch, and CPU of the server for each text. Always
//! true: what comes in the first half second of a constant rate counts for nothing but CPU (connections are new, the
//! server was idle); a server's texts are new to it in each attempt. Not here: whose turn it is.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::Arguments;
use super::report::{Latencies, Round};
use super::routes::{Reloads, Routes};
use crate::cpu;
use crate::pace::{self, Pace};
use crate::pour::{self, Event, Flow, Poured};
use crate::schedule::{Profile, Schedule};
use crate::servers::Server;
use crate::texts::Texts;

/// Of a constant rate: the first answers are yet to come.
const LEAD_IN: Duration = Duration::from_millis(500);
/// How long after the end answers are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What every run of one load is like.
pub struct Plan<'a> {
    arguments: &'a Arguments,
    schedule: Schedule,
    lead_in: Duration,
}

impl<'a> Plan<'a> {
    pub fn new(arguments: &'a Arguments, rate: f64) -> Self {
        let profile = arguments.profile;
        // The others begin low.
        let lead_in = if profile == Profile::Constant { LEAD_IN } else { Duration::ZERO };
        Self { arguments, schedule: Schedule { profile, rate, time: arguments.time() + lead_in }, lead_in }
    }
}

/// One run that counts.
pub fn counted(plan: &Plan<'_>, server: &Server, texts: &mut Texts, routes: &Routes) -> anyhow::Result<Round> {
    let run = || {
        let requests = texts.sign(plan.schedule.count())?;
        let before = cpu::used(server.pid())?;
        let poured = if plan.arguments.reload {
            while_reloading(plan, server, routes, &requests)?
        } else {
            pour(plan, server, &requests, &|event| plan.stretch(event))?
        };
        let used = cpu::used(server.pid())?.saturating_sub(before);
        // Whether the run counts or not; what floors acknowledge is not looked for.
        if server.is_service() {
            texts.acknowledge(&requests, |place| poured.is_acknowledged(place));
        }
        let fault = poured.pace.fault();
        Ok(((poured, cpu::each_us(used, requests.len())), fault))
    };
    let ran = pace::counted("lower --shares or --rate", run);
    let ran = ran.with_context(|| format!("at {:.0} texts a second", plan.schedule.rate))?;
    let ((poured, cpu_microseconds_per_text), discarded) = ran;
    Ok(Round { discarded, cpu_microseconds_per_text, stretches: plan.judge(&poured)? })
}

fn pour(
    plan: &Plan<'_>,
    server: &Server,
    requests: &[Vec<u8>],
    file: &(dyn Fn(&Event) -> Option<usize> + Sync),
) -> anyhow::Result<Poured> {
    let flow = Flow {
        server: server.address,
        connections: plan.arguments.connections,
        schedule: plan.schedule,
        drained: true,
        awake: plan.arguments.awake,
        over: &AtomicBool::new(false),
        patience: PATIENCE,
        pace: Pace::with(Duration::from_millis(plan.arguments.late_ms.into())),
        tallies: plan.arguments.stretches().len(),
        file,
    };
    pour::run(&flow, requests)
}

/// From the middle of the run on, routes are read anew again and again.
fn while_reloading(plan: &Plan<'_>, server: &Server, routes: &Routes, requests: &[Vec<u8>]) -> anyhow::Result<Poured> {
    let reloads = Reloads::default();
    let time = plan.schedule.time;
    std::thread::scope(|scope| {
        let reloading = scope.spawn(|| reloads.make(server, routes, time / 2, time));
        let file = |event: &Event| {
            let is_counted = event.due >= plan.lead_in;
            is_counted.then(|| reloads.stretch(event.began + event.due)).flatten()
        };
        let poured = pour(plan, server, requests, &file);
        reloading.join().expect("it returns its errors")?;
        poured
    })
}

impl Plan<'_> {
    fn stretch(&self, event: &Event) -> Option<usize> {
        // A constant rate has one stretch, so its lead-in shifts nothing.
        (event.due >= self.lead_in).then(|| self.schedule.stretch(event.due))
    }

    fn judge(&self, poured: &Poured) -> anyhow::Result<Vec<Latencies>> {
        let stretches: Vec<_> = poured.tallies.iter().map(Latencies::of).collect();
        if self.schedule.profile == Profile::Constant {
            for Latencies { refused, broken, unanswered, .. } in &stretches {
                ensure!(
                    refused + broken + unanswered == 0,
                    "{refused} texts were refused, {broken} connections broke, {unanswered} texts had no answer: lower \
                     --shares or --rate"
                );
            }
        }
        Ok(stretches)
    }
}
