//! `journal status` and `journal replay`: what waits on a volume, until nothing does, and getting it to its topics.

use std::path::Path;
use std::time::{Duration, Instant};

use clap::builder::RangedU64ValueParser;
use clap::{Args, Subcommand, value_parser};

use crate::app;
use crate::clock::Clock;
use crate::config::{Environment, Publish, SecretsNeeded};
use crate::message::iso;
use crate::store::{JournalState, Reader, StoreError};

use super::{Failure, Outcome, Settings, print};

/// Between two looks at a journal that a running `serve` empties.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Nobody waits longer for a journal in one go.
fn up_to_a_day() -> RangedU64ValueParser {
    value_parser!(u64).range(..=86_400)
}

#[derive(Subcommand)]
pub enum Command {
    /// What waits, for which topic and since when; beside a running `serve` or without one
    Status(Status),
    /// Publishes what a `serve` that is gone has left in the data folder
    Replay(Arguments),
}

#[derive(Args)]
pub struct Status {
    #[command(flatten)]
    settings: Settings,
    /// Ends with 0 as soon as nothing waits, with 1 if something still does after so long
    #[arg(long, value_name = "SECONDS", value_parser = up_to_a_day())]
    wait: Option<u64>,
    /// Looks only after so long: with --wait, until nobody sends this instance new texts
    #[arg(long, value_name = "SECONDS", default_value_t = 0, requires = "wait", value_parser = up_to_a_day())]
    delay: u64,
}

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// How long to try
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = up_to_a_day())]
    timeout: u64,
}

pub fn journal(command: &Command, environment: &Environment) -> Outcome {
    match command {
        Command::Status(arguments) => status(arguments, environment),
        Command::Replay(arguments) => replay(arguments, environment),
    }
}

fn status(arguments: &Status, environment: &Environment) -> Outcome {
    // First, so that settings with a problem do not cut it short: others rely on it.
    std::thread::sleep(Duration::from_secs(arguments.delay));
    let config = arguments.settings.load(environment, SecretsNeeded::Archive)?;
    let patience = Duration::from_secs(arguments.wait.unwrap_or(0));
    let state = empty_or_late(&config.data, patience).map_err(Failure::of)?;
    for (topic, line) in &state.topics {
        let since = line.oldest.map(|oldest| iso::format(oldest.journalled_at)).unwrap_or_default();
        print(format_args!("{topic}: {} texts, {} bytes, since {since}", line.messages, line.bytes))?;
    }
    let (left, data) = (state.all.messages, config.data.display());
    print(format_args!("{left} texts wait in {data}"))?;
    match arguments.wait {
        Some(waited) if left > 0 => Err(Failure::of(format_args!(
            "{left} texts still wait in {data} after {waited} s, and only this volume has them: keep it, see that their \
             topics take texts, then start `serve` on it again or run `sms-router journal replay`"
        ))),
        _ => Ok(()),
    }
}

/// What the journal holds when it is empty, or when patience has run out; looks once at least.
fn empty_or_late(data: &Path, patience: Duration) -> Result<JournalState, StoreError> {
    let reader = Reader::open(data)?;
    let end = Instant::now() + patience;
    loop {
        let state = reader.journal_state()?;
        let left = end.saturating_duration_since(Instant::now());
        if state.all.messages == 0 || left.is_zero() {
            return Ok(state);
        }
        std::thread::sleep(left.min(LOOK_EVERY));
    }
}

fn replay(arguments: &Arguments, environment: &Environment) -> Outcome {
    let config = arguments.settings.load(environment, SecretsNeeded::Must)?;
    if !matches!(config.publish, Publish::Kafka { journal: Some(_), .. }) {
        return Err(Failure::of(app::StartError::NoJournal));
    }
    let patience = Duration::from_secs(arguments.timeout);
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::of)?;
    let emptied = runtime.block_on(app::empty_journal(&config, &Clock::system(), patience)).map_err(Failure::of)?;
    print(format_args!("{} texts published, {} left", emptied.published, emptied.left))?;
    match emptied.left {
        0 => Ok(()),
        left => Err(Failure::of(format_args!(
            "{left} texts still wait in {}: see that their topics take texts and run this again",
            config.data.display()
        ))),
    }
}
