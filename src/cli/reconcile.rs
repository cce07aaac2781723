//! `reconcile`: whether what was taken in is where it belongs, by id.

use clap::Args;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::app::{self, build_table};
use crate::clock::Clock;
use crate::config::{Environment, SecretsNeeded};
use crate::keyword::Live;
use crate::message::{Timestamp, iso};
use crate::reconcile::{Difference, Judgement, Kind, Sums, Verdict, Window};

use super::archive::time;
use super::{FAILED, Failure, Outcome, Output, Settings, block_on, print};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// The hour this moment lies in (2026-11-22T10:00Z); the last one that is over if left out
    #[arg(long, value_name = "T", conflicts_with_all = ["since", "until"])]
    hour: Option<String>,
    /// RFC 3339, or a day in UTC
    #[arg(long, value_name = "T", requires = "until")]
    since: Option<String>,
    /// RFC 3339, or a day in UTC; not included
    #[arg(long, value_name = "T", requires = "since")]
    until: Option<String>,
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    hours: Vec<Hour>,
}

/// One hour, or what of it was asked for.
#[derive(Serialize)]
struct Hour {
    since: String,
    until: String,
    /// `well`, `differs`, `not_yet` or `too_late`.
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sums: Option<Sums>,
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    counts: serde_json::Map<String, serde_json::Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differences: Vec<Difference>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

pub fn reconcile(arguments: &Arguments, environment: &Environment) -> Outcome {
    let now = Clock::system().now();
    let windows = windows(arguments, now)?;
    let config = arguments.settings.load(environment, SecretsNeeded::Archive)?;
    let table = build_table(&config).map_err(|problems| Failure::configuration(&problems))?;
    let judge = app::judge(&config, &Live::new(table));
    let stop = CancellationToken::new();
    let judged = block_on(async {
        let mut hours = Vec::with_capacity(windows.len());
        for window in windows {
            let verdict = judge.judge(window, now, &stop).await.map_err(Failure::of)?;
            hours.push(Hour::of(window, verdict));
        }
        Ok::<_, Failure>(hours)
    })??;
    let ok = judged.iter().all(|hour| hour.verdict == "well");
    match arguments.output {
        Output::Json => print(serde_json::to_string(&Report { ok, hours: judged }).map_err(Failure::of)?)?,
        Output::Text => judged.iter().try_for_each(Hour::show)?,
    }
    let said = "not all is well, or not all could be judged".to_owned();
    if ok { Ok(()) } else { Err(Failure { code: FAILED, said }) }
}

fn windows(arguments: &Arguments, now: Timestamp) -> Result<Vec<Window>, Failure> {
    if let Some(hour) = &arguments.hour {
        return Ok(vec![Window::hour_of(time(Some(hour), "--hour")?)]);
    }
    if arguments.since.is_none() {
        return Ok(vec![Window::last_closed(now)]);
    }
    let since = time(arguments.since.as_deref(), "--since")?;
    let until = time(arguments.until.as_deref(), "--until")?;
    Window::hours(since, until).map_err(|error| Failure::usage(error.to_string()))
}

impl Hour {
    fn of(window: Window, verdict: Verdict) -> Self {
        let (since, until) = (iso::format(window.since), iso::format(window.until));
        let hour = |verdict, reason| Self {
            since,
            until,
            verdict,
            reason,
            sums: None,
            counts: serde_json::Map::new(),
            differences: Vec::new(),
            notes: Vec::new(),
        };
        match verdict {
            Verdict::NotYet(reason) => hour("not_yet", Some(reason)),
            Verdict::TooLate(reason) => hour("too_late", Some(reason)),
            Verdict::Judged(judgement) => {
                let verdict = if judgement.all_is_well() { "well" } else { "differs" };
                let Judgement { sums, counts, differences, notes } = judgement;
                let counts = Kind::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0);
                let counts = counts.map(|(kind, count)| (kind.label().to_owned(), count.into())).collect();
                Self { sums: Some(sums), counts, differences, notes, ..hour(verdict, None) }
            }
        }
    }

    fn show(&self) -> Outcome {
        let said = match self.verdict {
            "well" => "all is well".to_owned(),
            "differs" => "DIFFERS".to_owned(),
            "not_yet" => format!("cannot be judged yet: {}", self.reason.as_deref().unwrap_or_default()),
            _ => format!("cannot be judged any more: {}", self.reason.as_deref().unwrap_or_default()),
        };
        print(format_args!("{} to {}: {said}", self.since, self.until))?;
        if let Some(sums) = &self.sums {
            print(format_args!(
                "  accepted {}, published {}, waiting {}, dead letters {}, archived {}; pieces {}, synthetic {}",
                sums.accepted, sums.published, sums.waiting, sums.dead_letters, sums.archived, sums.pieces, sums.probes
            ))?;
        }
        self.differences.iter().try_for_each(|difference| print(format_args!("  {difference}")))?;
        let named = self.differences.len() as u64;
        let all: u64 = self.counts.values().filter_map(serde_json::Value::as_u64).sum();
        if all > named {
            print(format_args!("  and {} more", all - named))?;
        }
        self.notes.iter().try_for_each(|note| print(format_args!("  note: {note}")))
    }
}
