//! `dead-letter`: what nobody could read or take, and the way back once the cause is mended.
//!
//! Comes in: settings, ids or what to choose by. Goes out: one JSON object a line.
//! Always true: `list` and `replay` print no words of a resident; `show` is written to the access log
//! before it prints anything, and prints words only to who has an operator's token.
//! Not here: where letters lie and how they become texts (`app`, `intake`).

use std::collections::BTreeSet;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use crate::app::{self, DeadLetters, Letter, NotReplayed, Replayer};
use crate::clock::Clock;
use crate::config::{self, Config, Environment, SecretsNeeded};
use crate::intake::{Reason, Recalled};
use crate::message::{Access, AccountName, DeadLetterRecord, EventId, iso};

use super::{Failure, Outcome, Settings, block_on, print, say};

#[derive(Subcommand)]
pub enum Command {
    /// Open letters, oldest first; no words
    List(List),
    /// One letter; who, when and why is written down first
    Show(Show),
    /// Sends letters on their way again, by the routes in force, with their own ids and times
    Replay(Replay),
}

#[derive(Args)]
pub struct List {
    #[command(flatten)]
    settings: Settings,
    /// Only this account's
    #[arg(long)]
    account: Option<String>,
    /// Only these: malformed, unknown_number, too_large, unreadable_record, undelivered
    #[arg(long)]
    reason: Option<String>,
}

#[derive(Args)]
pub struct Show {
    #[command(flatten)]
    settings: Settings,
    id: EventId,
    /// Why; kept in the access log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Shows the content too; needs an operator's token
    #[arg(long)]
    show_text: bool,
    /// Holds the operator's token; else SMS_ROUTER_OPERATOR_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

#[derive(Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["ids", "account", "reason", "all"])))]
pub struct Replay {
    #[command(flatten)]
    settings: Settings,
    /// These letters
    #[arg(value_name = "ID")]
    ids: Vec<EventId>,
    /// All of one account
    #[arg(long)]
    account: Option<String>,
    /// All of one reason: malformed, unknown_number, too_large, unreadable_record, undelivered
    #[arg(long)]
    reason: Option<String>,
    /// All of them
    #[arg(long)]
    all: bool,
}

/// Which letters are meant.
struct Choice {
    /// `None`: any.
    ids: Option<BTreeSet<EventId>>,
    account: Option<AccountName>,
    reason: Option<Reason>,
}

pub fn run(command: &Command, environment: &Environment) -> Outcome {
    match command {
        Command::List(arguments) => list(arguments, environment),
        Command::Show(arguments) => show(arguments, environment),
        Command::Replay(arguments) => replay(arguments, environment),
    }
}

impl Choice {
    fn of(ids: &[EventId], account: Option<&str>, reason: Option<&str>) -> Result<Self, Failure> {
        let account = account.map(AccountName::parse).transpose();
        let known = || Reason::ALL.map(Reason::label).join(", ");
        let unknown = || Failure::usage(format!("--reason is none of {}", known()));
        Ok(Self {
            ids: (!ids.is_empty()).then(|| ids.iter().copied().collect()),
            account: account.map_err(|error| Failure::usage(error.to_string()))?,
            reason: reason.map(|reason| Reason::parse(reason).ok_or_else(unknown)).transpose()?,
        })
    }

    /// For a choice that took nothing. Letters outlive their accounts, so one that took something is right.
    fn must_be_of_an_account(&self, config: &Config) -> Outcome {
        let is_named = |name: &AccountName| config.accounts.iter().any(|(account, _)| account.name == *name);
        match &self.account {
            Some(name) if !is_named(name) => Err(Failure::of(format!(
                "no account {name} is known: the settings do not name it, and no letter is of it"
            ))),
            _ => Ok(()),
        }
    }

    fn takes(&self, letter: &DeadLetterRecord) -> bool {
        self.ids.as_ref().is_none_or(|ids| ids.contains(&letter.id))
            && self.account.as_ref().is_none_or(|account| *account == letter.account)
            && self.reason.is_none_or(|reason| reason.label() == &*letter.reason)
    }
}

fn list(arguments: &List, environment: &Environment) -> Outcome {
    let choice = Choice::of(&[], arguments.account.as_deref(), arguments.reason.as_deref())?;
    let config = arguments.settings.load(environment, SecretsNeeded::Must)?;
    let work = async {
        let mut letters = DeadLetters::open(&config).map_err(Failure::of)?;
        let mut taken = 0_usize;
        while let Some(letter) = letters.next().await.map_err(Failure::of)? {
            if choice.takes(&letter.record) {
                taken += 1;
                print(json!(Place::of(&letter.record)))?;
            }
        }
        warn_of_unreadable(&letters)?;
        if taken == 0 { choice.must_be_of_an_account(&config) } else { Ok(()) }
    };
    block_on(work)?
}

/// What may be told of a letter without showing anybody's words.
#[derive(Serialize)]
struct Place<'a> {
    id: EventId,
    account: &'a AccountName,
    reason: &'a str,
    received_at: String,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    relates_to: Option<EventId>,
}

impl<'a> Place<'a> {
    fn of(letter: &'a DeadLetterRecord) -> Self {
        Self {
            id: letter.id,
            account: &letter.account,
            reason: &letter.reason,
            received_at: iso::format(letter.received_at),
            detail: &letter.detail,
            relates_to: letter.relates_to,
        }
    }
}

fn warn_of_unreadable(letters: &DeadLetters) -> Outcome {
    match letters.unreadable() {
        0 => Ok(()),
        count => say(format_args!("{count} entries of dead-letter cannot be read by this release")),
    }
}

fn show(arguments: &Show, environment: &Environment) -> Outcome {
    if arguments.reason.trim().is_empty() {
        return Err(Failure::usage("--reason is empty: the access log needs to know why"));
    }
    let config = arguments.settings.load(environment, SecretsNeeded::Must)?;
    if arguments.show_text {
        let token = config::operator_token(arguments.token_file.as_deref(), environment).map_err(Failure::of)?;
        if !config.api.is_operator(&token) {
            return Err(Failure::of("the token is none of [api] operators: no words are shown"));
        }
    }
    block_on(show_letter(arguments, environment, &config))?
}

async fn show_letter(arguments: &Show, environment: &Environment, config: &Config) -> Outcome {
    let found = find(config, arguments.id).await?;
    let access = Access {
        at: Clock::system().now(),
        who: config::user(environment),
        why: arguments.reason.clone(),
        query: "dead letter".to_owned(),
        ids: found.iter().map(|letter| letter.record.id).collect(),
        text_shown: arguments.show_text && found.is_some(),
    };
    // Written down before anything is shown: a reading that cannot be accounted for does not happen.
    app::audit(config).record_access(&access).await.map_err(Failure::of)?;
    let Some(letter) = found else {
        return Err(Failure::of(format!("no open letter has the id {}", arguments.id)));
    };
    print(shown(&letter.record, arguments.show_text))
}

async fn find(config: &Config, id: EventId) -> Result<Option<Letter>, Failure> {
    let mut letters = DeadLetters::open(config).map_err(Failure::of)?;
    while let Some(letter) = letters.next().await.map_err(Failure::of)? {
        if letter.record.id == id {
            return Ok(Some(letter));
        }
    }
    Ok(None)
}

fn shown(letter: &DeadLetterRecord, show_text: bool) -> serde_json::Value {
    let content = STANDARD.decode(letter.body.as_str()).unwrap_or_default();
    let mut shown = json!(Place::of(letter));
    let said = [("content_type", &letter.content_type), ("method", &letter.method)];
    for (name, value) in said.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        shown[name] = json!(value);
    }
    shown["bytes"] = json!(content.len());
    if show_text {
        match String::from_utf8(content) {
            Ok(content) => shown["content"] = json!(content),
            Err(_) => shown["body"] = json!(letter.body),
        }
        if let Some(query) = &letter.query {
            shown["query"] = json!(query);
        }
    }
    shown
}

fn replay(arguments: &Replay, environment: &Environment) -> Outcome {
    let choice = Choice::of(&arguments.ids, arguments.account.as_deref(), arguments.reason.as_deref())?;
    let config = arguments.settings.load(environment, SecretsNeeded::Must)?;
    block_on(replay_all(&config, choice))?
}

async fn replay_all(config: &Config, mut choice: Choice) -> Outcome {
    let replayer = Replayer::start(config, Clock::system()).map_err(Failure::of)?;
    let mut letters = DeadLetters::open(config).map_err(Failure::of)?;
    let (mut met, mut stay) = (0_usize, 0_usize);
    while let Some(letter) = letters.next().await.map_err(Failure::of)? {
        if choice.takes(&letter.record) {
            met += 1;
            let outcome = replayer.replay(&letter).await;
            stay += usize::from(outcome.is_err());
            print(told(&letter.record, &outcome))?;
            if let Some(ids) = &mut choice.ids {
                ids.remove(&letter.record.id);
            }
        }
        // Every letter named has been met: the rest need not be read.
        if choice.ids.as_ref().is_some_and(BTreeSet::is_empty) {
            break;
        }
    }
    warn_of_unreadable(&letters)?;
    if met == 0 {
        choice.must_be_of_an_account(config)?;
    }
    let unmet = choice.ids.unwrap_or_default();
    for id in &unmet {
        say(format_args!("no open letter has the id {id}: it was called back before, or never was one"))?;
    }
    match (stay, unmet.len()) {
        (0, 0) => Ok(()),
        (0, _) => Err(Failure::of("not every letter named was there")),
        (count, _) => Err(Failure::of(format!("{count} of them stay in dead-letter"))),
    }
}

fn told(letter: &DeadLetterRecord, outcome: &Result<Vec<Recalled>, NotReplayed>) -> serde_json::Value {
    match outcome {
        Ok(texts) => {
            let text = |text: &Recalled| {
                let mut told = json!({ "id": text.id, "department": text.department, "known": text.known });
                if let Some(departments) = &text.departments {
                    told["departments"] = json!(departments);
                }
                told
            };
            json!({ "id": letter.id, "outcome": "replayed", "texts": texts.iter().map(text).collect::<Vec<_>>() })
        }
        Err(error) => json!({ "id": letter.id, "outcome": "stays", "detail": error.to_string() }),
    }
}
