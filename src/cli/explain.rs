//! `explain`: the decision of the hot path for one text, and the candidates that lost.

use clap::Args;

use crate::app::build_table;
use crate::config::{Environment, SecretsNeeded};
use crate::keyword::Explanation;
use crate::message::{Consent, DepartmentName, Number, Rule, RuleKind, Several, every};

use super::{CONFIGURATION, Failure, Outcome, Output, Settings, print, text_argument};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// The number texted
    #[arg(long)]
    to: String,
    /// The text; - reads standard input
    #[arg(allow_hyphen_values = true)]
    text: String,
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub fn explain(arguments: &Arguments, environment: &Environment) -> Outcome {
    let config = arguments.settings.load(environment, SecretsNeeded::Nowhere)?;
    let table = build_table(&config).map_err(|problems| Failure {
        code: CONFIGURATION,
        said: problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    })?;
    let text = text_argument(&arguments.text)?;
    let explanation = table.explain(&Number::normalise(&arguments.to, config.country), &text);
    match arguments.output {
        Output::Json => print(serde_json::to_string(&explanation).map_err(Failure::of)?),
        Output::Text => describe(&explanation).iter().try_for_each(print),
    }
}

fn describe(explanation: &Explanation) -> Vec<String> {
    let Explanation { department, departments, keyword, rule, consent, hold, failover, routes_version, candidates } =
        explanation;
    let mut lines = vec![match (department, departments) {
        (Some(_), Some(departments)) => format!("departments {}: each gets the text", listed(departments)),
        (Some(department), None) => format!("department  {department}"),
        (None, _) => "department  none: the routes do not know this number, the text goes to dead-letter".to_owned(),
    }];
    lines.extend(keyword.iter().map(|keyword| format!("keyword     {keyword}")));
    lines.extend(rule.iter().map(|rule| format!("rule        {}", rule_in_words(rule))));
    lines.extend(consent.iter().map(|consent| format!("consent     {}", consent_in_words(*consent))));
    if *hold {
        let whom = if departments.is_some() { "those of these departments that they hold" } else { "this department" };
        lines.push(format!("hold        the text is taken and not published until the routes no longer hold {whom}"));
    }
    let whose = |several: &Several| if several.is_some() { "the first department's" } else { "the department's" };
    lines.extend(
        failover.iter().map(|other| format!("failover    {other}, when {} topic stays away", whose(departments))),
    );
    lines.push(format!("routes      {routes_version}"));
    lines.extend(candidates.iter().map(|lost| {
        let departments = listed(every(&lost.department, &lost.departments));
        format!("not         {} ({}, {departments}): {}", lost.keyword, lost.matched, lost.reason)
    }));
    lines
}

fn listed(departments: &[DepartmentName]) -> String {
    departments.iter().map(DepartmentName::as_str).collect::<Vec<_>>().join(", ")
}

fn rule_in_words(rule: &Rule) -> String {
    let matched = rule.matched.as_deref().unwrap_or_default();
    match rule.kind {
        RuleKind::Word => format!("word: the text begins with {matched:?}"),
        RuleKind::Exact => format!("exact: the whole text is {matched:?}"),
        RuleKind::Prefix => format!("prefix: the text begins with {matched:?}"),
        RuleKind::Default => "default: no keyword, so the number's default department".to_owned(),
    }
}

fn consent_in_words(consent: Consent) -> &'static str {
    match consent {
        Consent::Stop => "stop: a consent record is published too",
        Consent::Start => "start: a consent record is published too",
        Consent::Help => "help: a consent record is published too",
    }
}
