//! `journal status` and `journal replay`: what waits on a volume, and getting it to its topics.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::app;
use crate::clock::Clock;
use crate::config::{Environment, Publish, SecretsNeeded};
use crate::message::iso;
use crate::store::Reader;

use super::{Failure, Outcome, Settings, print};

#[derive(Subcommand)]
pub enum Command {
    /// What waits, for which topic and since when; beside a running `serve` or without one
    Status(Settings),
    /// Publishes what a `serve` that is gone has left in the data folder
    Replay(Arguments),
}

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// How long to try
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
}

pub fn journal(command: &Command, environment: &Environment) -> Outcome {
    match command {
        Command::Status(settings) => status(settings, environment),
        Command::Replay(arguments) => replay(arguments, environment),
    }
}

fn status(settings: &Settings, environment: &Environment) -> Outcome {
    let config = settings.load(environment, SecretsNeeded::Must)?;
    let state = Reader::open(&config.data).and_then(|reader| reader.journal_state()).map_err(Failure::of)?;
    for (topic, line) in &state.topics {
        let since = line.oldest.map(|oldest| iso::format(oldest.journalled_at)).unwrap_or_default();
        print(format_args!("{topic}: {} texts, {} bytes, since {since}", line.messages, line.bytes))?;
    }
    print(format_args!("{} texts wait in {}", state.all.messages, config.data.display()))
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
