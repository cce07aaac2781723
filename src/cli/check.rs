//! `check`: every problem of settings and routes at once.

use clap::Args;
use serde::Serialize;

use crate::app::build_table;
use crate::carrier::{self, Contract};
use crate::clock::Clock;
use crate::config::{self, AccountNote, Archive, Config, Environment, Origin, Place, Problem, Publish, SecretsNeeded};
use crate::keyword::{DepartmentSpec, Table};
use crate::message::{DepartmentName, iso};

use super::{FAILED, Failure, Outcome, Output, Settings, print};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// Looks at no file that may be only where the settings are for: secrets, keys, certificates, the data folder
    #[arg(long)]
    without_secrets: bool,
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    problems: Vec<Finding>,
    warnings: Vec<Finding>,
}

#[derive(Serialize)]
struct Finding {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "String::is_empty")]
    key: String,
    reason: String,
}

pub fn check(arguments: &Arguments, environment: &Environment) -> Outcome {
    let origin = Origin::choose(arguments.settings.config.clone(), environment);
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    let needed = if arguments.without_secrets { SecretsNeeded::Nowhere } else { SecretsNeeded::Sample };
    match config::load(&origin, environment, needed) {
        Err(found) => {
            problems.extend(found);
            // The settings are wrong, but where the routes are may still be known: show theirs too.
            problems.extend(routes_of_broken_settings(&origin, environment));
        }
        Ok(config) => match build_table(&config) {
            Err(found) => problems.extend(found),
            Ok(table) => {
                warnings.extend(table.warnings().into_iter().map(|warning| config.routes.problem(warning)));
                warnings.extend(config.warnings.iter().cloned());
                warnings.extend(settings_warnings(&config));
                warnings.extend(department_warnings(&config, &table));
            }
        },
    }
    report(arguments.output, &problems, &warnings)?;
    if problems.is_empty() { Ok(()) } else { Err(Failure { code: FAILED, said: summary(problems.len()) }) }
}

fn summary(count: usize) -> String {
    format!("{count} problem{}", if count == 1 { "" } else { "s" })
}

fn routes_of_broken_settings(origin: &Origin, environment: &Environment) -> Vec<Problem> {
    let Some(routes) = config::routes_named_in(origin, environment) else { return Vec::new() };
    match routes.read(crate::message::Country::GB) {
        Err(problems) => problems,
        Ok(spec) => match crate::keyword::Table::build(spec) {
            Ok(_) => Vec::new(),
            Err(refusals) => refusals.into_iter().map(|refusal| routes.problem(refusal)).collect(),
        },
    }
}

/// What works and should still be known.
fn settings_warnings(config: &Config) -> Vec<Problem> {
    let mut warnings = Vec::new();
    for (account, note) in &config.accounts {
        let contract = account.carrier.contract();
        let mut warn = |key: &str, reason: String| {
            let key = format!("accounts.{}.{key}", account.name);
            warnings.push(Problem { place: note.place.clone(), key, reason });
        };
        if note.is_open {
            warn("unauthenticated", "this account takes texts from anybody".to_owned());
        }
        if let Some(until) = account.monitor_until {
            let until = iso::format(until);
            let reason = if account.is_monitored(Clock::system().now()) {
                format!("texts are taken in although their signatures fail, flagged `unverified`, until {until}")
            } else {
                format!("signatures are enforced since {until}: take signature and monitor_until out")
            };
            warn("signature", reason);
        }
        if account.allow.iter().any(|allowed| config.inbound.proxies.overlap(allowed)) {
            warn(
                "allow",
                "holds addresses of inbound.trusted_proxies: who comes through a proxy that names nobody is taken for it"
                    .to_owned(),
            );
        }
        if let Some((key, reason)) = without_id(contract, note) {
            warn(key, reason);
        }
        if !contract.retries_503 && matches!(config.publish, Publish::Kafka { journal: None, .. }) {
            warn(
                "loss_on_outage",
                format!("{} does not send again after a 503: an outage of Kafka loses its texts", contract.name),
            );
        }
    }
    warnings
}

/// The setting that would give a carrier's texts an id where they have none, and why that matters.
fn without_id(contract: &Contract, note: &AccountNote) -> Option<(&'static str, String)> {
    let name = contract.name;
    let cost = "a retry cannot be told from a second text";
    match name {
        _ if contract.identifies => None,
        carrier::FORM | "kannel" if note.names_id => None,
        carrier::FORM => Some(("fields.id", format!("names no field: without an id {cost}"))),
        "kannel" => Some((
            "parameters.id",
            format!(
                "{name} gives a text an id only if the URL set at the gateway says so (Kannel: %I): name the parameter here, or {cost}"
            ),
        )),
        _ => Some(("carrier", format!("not every text of {name} has an id: {cost}"))),
    }
}

/// Departments whose feed nobody can read, or that no text can reach.
fn department_warnings(config: &Config, table: &Table) -> Vec<Problem> {
    let warn = |name: &DepartmentName, key: &str, reason: &str| Problem {
        place: Place { file: config.name.clone(), line: 0 },
        key: format!("departments.{name}{key}"),
        reason: reason.to_owned(),
    };
    let unknown = config.departments.keys().filter(|name| table.topic(name).is_none());
    let mut warnings: Vec<_> = unknown.map(|name| warn(name, "", reason_unnamed(config, name))).collect();
    if matches!(config.publish, Publish::Local { .. }) {
        let is_delivered = |name: &DepartmentName| config.deliver.settings.departments.contains_key(name);
        let is_closed =
            |name: &&DepartmentName| config.departments.get(*name).is_none_or(Vec::is_empty) && !is_delivered(name);
        let closed = table.departments().iter().map(|department| &department.name).filter(is_closed);
        warnings.extend(closed.map(|name| warn(name, ".tokens", "no token opens this department's feed")));
    }
    warnings.extend(delivery_warnings(config, table));
    if matches!((&config.publish, &config.archive), (Publish::Kafka { .. }, Archive::Local)) {
        let place = Place { file: config.name.clone(), line: 0 };
        let reason =
            "no audit copies are kept: with publish.to = \"kafka\" they need archive.to = \"cql\" and `archive run`";
        warnings.push(Problem { place, key: "archive.to".to_owned(), reason: reason.to_owned() });
    }
    warnings
}

fn reason_unnamed(config: &Config, name: &DepartmentName) -> &'static str {
    if config.deliver.settings.departments.contains_key(name) {
        "the routes name no such department: nothing is mailed or pushed to it"
    } else {
        "the routes name no such department"
    }
}

/// What the routes ask for and these settings do not give: holding back needs a journal, standing in
/// needs topics.
fn delivery_warnings(config: &Config, table: &Table) -> Vec<Problem> {
    let (hold, failover) = match &config.publish {
        Publish::Local { .. } => (
            Some("hold holds back nothing from a feed; publish.to is \"local\""),
            Some("a standby stands in for nobody without topics; publish.to is \"local\""),
        ),
        Publish::Kafka { journal: None, .. } => {
            (Some("hold refuses its texts with 503, for there is no journal that could take them"), None)
        }
        Publish::Kafka { journal: Some(_), .. } => (None, None),
    };
    let warn = |department: &DepartmentSpec, key: &str, reason: &str| Problem {
        place: Place { file: config.routes.name(), line: department.line },
        key: format!("department.{key}"),
        reason: format!("department {}: {reason}", department.name),
    };
    let of = |department: &DepartmentSpec| {
        let hold = hold.filter(|_| department.hold).map(|reason| warn(department, "hold", reason));
        let stands_in = failover.filter(|_| department.failover.is_some());
        [hold, stands_in.map(|reason| warn(department, "failover", reason))]
    };
    table.departments().iter().flat_map(of).flatten().collect()
}

fn report(output: Output, problems: &[Problem], warnings: &[Problem]) -> Outcome {
    match output {
        Output::Json => {
            let findings = |list: &[Problem]| list.iter().map(Finding::of).collect();
            let report = Report { ok: problems.is_empty(), problems: findings(problems), warnings: findings(warnings) };
            print(serde_json::to_string(&report).map_err(Failure::of)?)
        }
        Output::Text => {
            for problem in problems {
                print(format_args!("error: {problem}"))?;
            }
            for warning in warnings {
                print(format_args!("warning: {warning}"))?;
            }
            if problems.is_empty() { print("settings and routes are good") } else { Ok(()) }
        }
    }
}

impl Finding {
    fn of(problem: &Problem) -> Self {
        let line = (problem.place.line > 0).then_some(problem.place.line);
        let Problem { place, key, reason } = problem.clone();
        Self { file: place.file.to_string(), line, key, reason }
    }
}
