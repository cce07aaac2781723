//! `backup`: the embedded store, or the journal, in one file.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Environment, SecretsNeeded};
use crate::store::Reader;

use super::{Failure, Outcome, Settings, print};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// Where to; refused if it is there already
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub fn backup(arguments: &Arguments, environment: &Environment) -> Outcome {
    let config = arguments.settings.load(environment, SecretsNeeded::Must)?;
    let reader = Reader::open(&config.data).map_err(Failure::of)?;
    reader.back_up(&arguments.file).map_err(Failure::of)?;
    print(format_args!("{} is in {}", config.data.display(), arguments.file.display()))
}
