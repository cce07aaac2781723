//! `reroute`: moves a text to another department. The original stays where it is.
//!
//! Comes in: the text's id, the department, why. Goes out: one JSON object; no words of a resident.

use clap::Args;
use serde_json::json;

use crate::app;
use crate::clock::Clock;
use crate::config::{self, Environment, SecretsNeeded};
use crate::message::{DepartmentName, EventId};
use crate::operations::Move;

use super::{Failure, Outcome, Settings, block_on, print};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// The text: `id` of its record, or `copy_of` where several departments got it
    #[arg(long)]
    id: EventId,
    /// Who shall have it
    #[arg(long, value_name = "DEPARTMENT")]
    to: String,
    /// Why; kept in the access log
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub fn reroute(arguments: &Arguments, environment: &Environment) -> Outcome {
    let to = DepartmentName::parse(&arguments.to).map_err(|error| Failure::usage(error.to_string()))?;
    if arguments.reason.trim().is_empty() {
        return Err(Failure::usage("--reason is empty: the access log needs to know why"));
    }
    let config = arguments.settings.load(environment, SecretsNeeded::Must)?;
    let wish = Move { id: arguments.id, to, reason: arguments.reason.clone(), who: config::user(environment) };
    let work = async {
        let rerouter = app::rerouter(&config, Clock::system()).map_err(Failure::of)?;
        // Whoever may read settings and data may move any text.
        let moved = rerouter.reroute(wish, |_| true).await.map_err(Failure::of)?;
        print(
            json!({ "id": moved.id, "relates_to": arguments.id, "department": moved.department, "known": moved.known }),
        )
    };
    block_on(work)?
}
