//! `archive get`: reads audit copies, after who, when, why and which has been written down.

use clap::Args;

use crate::app::{self, build_table};
use crate::clock::Clock;
use crate::config::{self, Config, Environment, SecretsNeeded};
use crate::message::{Access, AuditCopy, AuditQuery, DepartmentName, Number, Timestamp, iso};

use super::{Failure, Outcome, Settings, block_on, print, say};

#[derive(Args)]
#[command(group(clap::ArgGroup::new("question").required(true).args(["id", "sender", "department"])))]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// One text by its id
    #[arg(long)]
    id: Option<String>,
    /// Everything of one sender
    #[arg(long, value_name = "NUMBER")]
    sender: Option<String>,
    /// One department's texts between --since and --until
    #[arg(long, value_name = "NAME", requires_all = ["since", "until"])]
    department: Option<String>,
    /// RFC 3339, or a day in UTC
    #[arg(long, value_name = "T")]
    since: Option<String>,
    /// RFC 3339, or a day in UTC; not included
    #[arg(long, value_name = "T")]
    until: Option<String>,
    /// Why; kept in the access log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Shows numbers and texts too
    #[arg(long)]
    show_text: bool,
}

pub fn get(arguments: &Arguments, environment: &Environment) -> Outcome {
    if arguments.reason.trim().is_empty() {
        return Err(Failure::usage("--reason is empty: the access log needs to know why"));
    }
    let config = arguments.settings.load(environment, SecretsNeeded::Archive)?;
    let query = query(arguments, &config)?;
    block_on(answer(arguments, environment, &config, query))?
}

async fn answer(arguments: &Arguments, environment: &Environment, config: &Config, query: AuditQuery) -> Outcome {
    let now = Clock::system().now();
    let audit = app::audit(config);
    let found = audit.find(&query, now).await.map_err(Failure::of)?;
    let access = Access {
        at: now,
        who: config::user(environment),
        why: arguments.reason.clone(),
        query: query.describe(),
        ids: found.iter().map(|copy| copy.id).collect(),
        text_shown: arguments.show_text,
    };
    // Written down before anything is shown: a reading that cannot be accounted for does not happen.
    audit.record_access(&access).await.map_err(Failure::of)?;
    found.iter().try_for_each(|copy| show(copy, arguments.show_text))?;
    remark(&query, found.is_empty(), config)
}

/// What an empty answer, or a department of before, should not leave open. Copies outlive the routes, so a
/// department is unknown only when nothing is there of it either.
fn remark(query: &AuditQuery, is_empty: bool, config: &Config) -> Outcome {
    match query {
        AuditQuery::Department { name, .. } if !is_named(name, config) && is_empty => Err(Failure::of(format!(
            "no department {name} is known: routes and settings do not name it, and no copy is of it"
        ))),
        AuditQuery::Department { name, .. } if !is_named(name, config) => {
            say(format_args!("the routes name no department {name} any more"))
        }
        _ if is_empty => say("no audit copy answers: none was kept, or its time is over"),
        _ => Ok(()),
    }
}

/// Routes that cannot be read name everything: what they hold is unknown.
fn is_named(name: &DepartmentName, config: &Config) -> bool {
    build_table(config).map_or(true, |table| table.topic(name).is_some())
}

fn query(arguments: &Arguments, config: &Config) -> Result<AuditQuery, Failure> {
    if let Some(id) = &arguments.id {
        let id = id.parse().map_err(|_| Failure::usage("--id is not an id (a UUID, as in the record)"))?;
        return Ok(AuditQuery::Id(id));
    }
    if let Some(sender) = &arguments.sender {
        return Ok(AuditQuery::Sender(Number::normalise(sender, config.country)));
    }
    let name = arguments.department.as_deref().unwrap_or_default();
    let name = DepartmentName::parse(name).map_err(|error| Failure::usage(error.to_string()))?;
    let since = time(arguments.since.as_deref(), "--since")?;
    let until = time(arguments.until.as_deref(), "--until")?;
    if since >= until {
        return Err(Failure::usage("--since must be before --until, which is not included"));
    }
    Ok(AuditQuery::Department { name, since, until })
}

/// RFC 3339, or a day in UTC.
pub fn time(written: Option<&str>, option: &str) -> Result<Timestamp, Failure> {
    let written = written.unwrap_or_default();
    let whole = if written.len() == "2026-11-21".len() { format!("{written}T00:00:00Z") } else { written.to_owned() };
    whole.parse().map_err(|_| {
        let last = Timestamp::MAX.to_string();
        let (day, last) = (whole.get(..10), &last[..10]);
        let is_late = day.is_some_and(|day| day > last && day.parse::<jiff::civil::Date>().is_ok());
        Failure::usage(match is_late {
            true => format!("{option} is later than any time this program knows: {last} at most"),
            false => format!("{option} is not a time: 2026-11-21 or 2026-11-21T10:00:00Z"),
        })
    })
}

/// One JSON object a line: the whole record, or only what is not personal.
fn show(copy: &AuditCopy, show_text: bool) -> Outcome {
    let expires_at = iso::format(copy.expires_at);
    if show_text {
        let record: serde_json::Value = serde_json::from_str(copy.json()).map_err(Failure::of)?;
        return print(serde_json::json!({ "expires_at": expires_at, "record": record }));
    }
    let mut shown = serde_json::json!({
        "expires_at": expires_at,
        "id": copy.id,
        "department": copy.department,
        "to": copy.to,
        "received_at": iso::format(copy.received_at),
    });
    if let Some(departments) = &copy.departments {
        shown["departments"] = serde_json::json!(departments);
    }
    print(shown)
}
