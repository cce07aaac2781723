//! `simulate`: a webhook as an account's carrier would send it, pushed to the running server.

use std::path::PathBuf;

use clap::Args;
use hyper::StatusCode;

use crate::carrier::{Account, Draft};
use crate::config::{self, Config, Environment, SecretsNeeded};
use crate::message::{AccountName, EventId, Timestamp};

use super::listener::{Push, unknown_account};
use super::{Failure, Outcome, Output, Settings, block_on, print, text_argument};

/// The account of the sample.
const SAMPLE_ACCOUNT: &str = "demo";

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// Whose carrier to be; else demo, or the only account there is
    #[arg(long)]
    account: Option<String>,
    /// The number texted
    #[arg(long)]
    to: String,
    /// The sender
    #[arg(long)]
    from: String,
    /// The carrier's id of the text; a new one if left out, the same again to play a retry
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    push: Push,
    /// The carrier's private key, where it signs with one: PKCS#8 in PEM, or for Ed25519 the seed in base64
    #[arg(long, value_name = "FILE")]
    signing_key: Option<PathBuf>,
    /// The text; - reads standard input
    #[arg(allow_hyphen_values = true)]
    text: String,
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub fn simulate(arguments: &Arguments, environment: &Environment) -> Outcome {
    let config = arguments.settings.load(environment, SecretsNeeded::Must)?;
    let mut account = account(&config, arguments.account.as_deref())?;
    if let Some(file) = &arguments.signing_key {
        account.signing_key = Some(config::signing_key(file).map_err(Failure::usage)?);
    }
    let id = arguments.id.clone().unwrap_or_else(|| EventId::now_v7().to_string());
    let draft = Draft {
        id: id.clone(),
        from: arguments.from.clone(),
        to: arguments.to.clone(),
        text: text_argument(&arguments.text)?,
        part: None,
        now: Timestamp::now(),
    };
    let signed = account.carrier.compose(&draft, &account).map_err(Failure::of)?;
    let target = arguments.push.target(&config, &account)?;
    let status = block_on(target.push(signed))??;
    match arguments.output {
        Output::Text => print(format_args!("{} id {id}", status.as_u16()))?,
        Output::Json => print(serde_json::json!({ "status": status.as_u16(), "id": id }))?,
    }
    match status {
        _ if status.is_success() => Ok(()),
        StatusCode::NOT_FOUND => Err(Failure::of(unknown_account(&account))),
        _ => Err(Failure::of(format!("the server answered {status}"))),
    }
}

/// The account of that name; without one the sample's, or the only one there is.
pub fn account(config: &Config, name: Option<&str>) -> Result<Account, Failure> {
    let known = || config.accounts.iter().map(|(account, _)| account);
    let names = || known().map(|account| account.name.as_str()).collect::<Vec<_>>().join(", ");
    let find = |name: &str| known().find(|account| account.name.as_str() == name);
    let found = match name {
        Some(name) => {
            AccountName::parse(name).map_err(|error| Failure::usage(error.to_string()))?;
            find(name).ok_or_else(|| {
                format!("account {name} is not in the settings; there are: {}: choose by --account", names())
            })
        }
        None => match (find(SAMPLE_ACCOUNT), config.accounts.as_slice()) {
            (Some(account), _) | (None, [(account, _)]) => Ok(account),
            (None, []) => Err("the settings have no account: add [accounts.NAME]".to_owned()),
            (None, _) => Err(format!("the settings have several accounts: choose by --account: {}", names())),
        },
    };
    found.cloned().map_err(Failure::usage)
}
