//! `setup`: topics and schema as the settings want them; running it twice changes nothing.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::app::{build_table, delivery_group};
use crate::archive;
use crate::config::{Archive, Config, Environment, Publish, SecretsNeeded};
use crate::deliver::Channel;
use crate::joiner;
use crate::keyword::DepartmentSpec;
use crate::message::{PROBE_LIFE, topics};
use crate::publish::{Change, TopicAdmin, TopicSettings};

use super::strimzi::{Delivery, Objects, Topic};
use super::{Failure, Outcome, Settings, block_on, print};

const NOTHING: &str = "nothing to set up: the standalone profile makes its own store at the first start";

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// Prints what would be made and asks nobody
    #[arg(long)]
    dry_run: bool,
    /// Half of it; of the other side nobody is asked
    #[arg(long, value_enum)]
    only: Option<Only>,
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    /// The name that the Strimzi operator knows the Kafka cluster by, for -o strimzi
    #[arg(long, value_name = "NAME", default_value = "kafka")]
    strimzi_cluster: String,
}

/// What somebody else does not make.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq)]
enum Only {
    /// The archive's schema: where an operator makes the topics
    Schema,
    /// Topics, in Kafka
    Topics,
}

/// How the plan, or what became of it, is written.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Default)]
enum Output {
    #[default]
    Text,
    Json,
    /// With --dry-run: topics and users as objects of the Strimzi operator
    Strimzi,
}

/// What is to be there.
#[derive(Serialize)]
struct Plan {
    topics: Vec<PlannedTopic>,
    schema: Vec<String>,
    /// Days from an audit copy's expiry until its bytes have left the disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_gone_after_days: Option<u32>,
}

#[derive(Serialize)]
struct PlannedTopic {
    name: String,
    partitions: i32,
    replication: i32,
    properties: Vec<(&'static str, String)>,
    #[serde(skip)]
    settings: TopicSettings,
}

impl PlannedTopic {
    fn described(&self) -> Topic<'_> {
        let Self { name, partitions, replication, properties, .. } = self;
        Topic { name, partitions: *partitions, replication: *replication, properties }
    }
}

/// What became of one topic or statement.
#[derive(Serialize)]
struct Step {
    what: String,
    result: String,
}

pub fn setup(arguments: &Arguments, environment: &Environment) -> Outcome {
    let needed = if arguments.dry_run { SecretsNeeded::Nowhere } else { SecretsNeeded::Sample };
    let config = arguments.settings.load(environment, needed)?;
    let plan = plan(&config, arguments.only)?;
    match (arguments.output, arguments.dry_run) {
        (Output::Strimzi, true) => return show_objects(&config, &plan, &arguments.strimzi_cluster),
        (Output::Strimzi, false) => {
            return Err(Failure::usage("-o strimzi only prints objects, for the operator to make: add --dry-run"));
        }
        (output, true) => return show_plan(&plan, output),
        (_, false) => {}
    }
    let steps = block_on(carry_out(&config, &plan))??;
    if arguments.output == Output::Json {
        return print(serde_json::to_string(&steps).map_err(Failure::of)?);
    }
    if steps.is_empty() {
        return print(NOTHING);
    }
    steps.iter().try_for_each(|step| print(format_args!("{}: {}", step.what, step.result)))
}

fn plan(config: &Config, only: Option<Only>) -> Result<Plan, Failure> {
    let topics = match &config.publish {
        Publish::Kafka { topics, dead_letter_retention, .. } if only != Some(Only::Schema) => {
            planned_topics(config, topics, *dead_letter_retention)?
        }
        _ => Vec::new(),
    };
    let (schema, bytes_gone_after_days) = match &config.archive {
        Archive::Cql { settings, .. } if only != Some(Only::Topics) => {
            (archive::statements(settings), Some(archive::bytes_gone_after_days(settings)))
        }
        _ => (Vec::new(), None),
    };
    Ok(Plan { topics, schema, bytes_gone_after_days })
}

fn planned_topics(
    config: &Config,
    settings: &TopicSettings,
    dead_letter_retention: Duration,
) -> Result<Vec<PlannedTopic>, Failure> {
    let table = build_table(config).map_err(|problems| Failure::configuration(&problems))?;
    let departments = table.departments().iter().map(DepartmentSpec::topic);
    let letters = TopicSettings { retention: dead_letter_retention, ..*settings };
    let wanted = departments.chain([topics::CONSENT.to_owned()]).map(|name| (name, *settings));
    let partitions = settings.partitions.max(joiner::PARTITIONS_MIN);
    let parts = TopicSettings { partitions, retention: joiner::RETENTION, ..*settings };
    let wanted = wanted.chain([(topics::DEAD_LETTER.to_owned(), letters), (topics::PARTS.to_owned(), parts)]);
    let probes = TopicSettings { retention: PROBE_LIFE, ..*settings };
    let wanted = wanted.chain(config.probe.map(|_| (topics::PROBE.to_owned(), probes)));
    let planned = |(name, settings): (String, TopicSettings)| PlannedTopic {
        name,
        partitions: settings.partitions,
        replication: settings.replication,
        properties: settings.properties().into(),
        settings,
    };
    Ok(wanted.map(planned).collect())
}

fn show_plan(plan: &Plan, output: Output) -> Outcome {
    if output == Output::Json {
        return print(serde_json::to_string(plan).map_err(Failure::of)?);
    }
    if plan.topics.is_empty() && plan.schema.is_empty() {
        return print(NOTHING);
    }
    for topic in &plan.topics {
        let properties: Vec<String> = topic.properties.iter().map(|(name, value)| format!("{name}={value}")).collect();
        print(format_args!(
            "topic {} partitions={} replication={} {}",
            topic.name,
            topic.partitions,
            topic.replication,
            properties.join(" ")
        ))?;
    }
    for statement in &plan.schema {
        print(format_args!("{};", statement.trim_end_matches(';')))?;
    }
    match plan.bytes_gone_after_days {
        Some(days) => print(format_args!(
            "-- a copy cannot be read after its 12 months; its bytes have left the disks {days} days later at the latest"
        )),
        None => Ok(()),
    }
}

fn show_objects(config: &Config, plan: &Plan, cluster: &str) -> Outcome {
    if plan.topics.is_empty() {
        return Err(Failure::of("there are no topics: publish.to is \"local\", or only the schema is asked for"));
    }
    let archive_group = match &config.archive {
        Archive::Local => None,
        Archive::Cql { group, .. } => Some(group.as_str()),
    };
    let topics = plan.topics.iter().map(PlannedTopic::described).collect();
    let (parts_group, delivery) = (config.joiner.group.as_str(), delivery(config)?);
    let objects = Objects { cluster, topics, parts_group, archive_group, delivery };
    print(objects.to_string().trim_end())
}

/// The topics of the departments that have e-mail or push.
fn delivery(config: &Config) -> Result<Option<Delivery>, Failure> {
    let deliver = &config.deliver;
    if deliver.settings.departments.is_empty() {
        return Ok(None);
    }
    let table = build_table(config).map_err(|problems| Failure::configuration(&problems))?;
    let topics = deliver.settings.departments.keys().filter_map(|department| table.topic(department));
    let groups = Channel::ALL.map(|channel| delivery_group(&deliver.group, channel));
    Ok(Some(Delivery { topics: topics.map(str::to_owned).collect(), groups: groups.into() }))
}

async fn carry_out(config: &Config, plan: &Plan) -> Result<Vec<Step>, Failure> {
    let mut steps = Vec::new();
    if let Publish::Kafka { settings, .. } = &config.publish
        && !plan.topics.is_empty()
    {
        let admin = TopicAdmin::new(settings).map_err(Failure::of)?;
        for topic in &plan.topics {
            let change = admin.ensure(&topic.name, &topic.settings).await;
            let change = change.map_err(|error| Failure::of(format!("topic {}: {error}", topic.name)))?;
            steps.push(Step { what: format!("topic {}", topic.name), result: said(change) });
        }
    }
    if let Archive::Cql { settings, .. } = &config.archive
        && !plan.schema.is_empty()
    {
        let done = archive::setup(settings).await.map_err(Failure::of)?;
        steps.extend(done.into_iter().map(|result| Step { what: "schema".to_owned(), result }));
    }
    Ok(steps)
}

fn said(change: Change) -> String {
    match change {
        Change::Created => "created".to_owned(),
        Change::Altered(names) => format!("changed {}", names.join(", ")),
        Change::AlreadyRight => "already there".to_owned(),
        Change::Differs(how) => how,
    }
}
