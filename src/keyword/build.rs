//! From the routes to a table, or to every reason why not.
//!
//! Comes in: a `Spec`. Goes out: a `Table` whose own tests passed, or refusals in the order of lines,
//! each with its remedy. Always true: no word of a table can be matched by two keywords of one number,
//! every department and number a keyword names is there.
//! Time and memory grow with the number of words, not with words times numbers.
//! Not here: whether topics exist at a broker (above), the words of each number (`vocabulary`),
//! where a department's texts go (`delivery`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::delivery::{self, Deliveries};
use super::matcher::Matcher;
use super::spec::{Expected, KeywordSpec, Refusal, Spec, TestSpec};
use super::table::{Own, Route, Table};
use super::vocabulary::{EVERYWHERE, Numbers, Vocabularies, Vocabulary};
use crate::message::{DepartmentName, Number};

/// Problems as they are found.
#[derive(Default)]
pub(super) struct Refusals(Vec<Refusal>);

impl Refusals {
    pub(super) fn add(&mut self, line: usize, reason: impl Into<String>) {
        self.0.push(Refusal { line, reason: reason.into() });
    }
}

pub(super) fn build(spec: Spec) -> Result<Table, Vec<Refusal>> {
    let mut refusals = Refusals::default();
    let deliveries = delivery::collect(&spec.departments, &mut refusals);
    let mut numbers = Numbers::new(spec.country);
    let defaults = defaults(&spec, &deliveries, &mut numbers, &mut refusals);
    let vocabularies = Vocabularies::collect(&spec, &mut numbers, &deliveries, &defaults, &mut refusals);
    let warnings = warnings(&spec, &defaults);
    if let Some(table) = assemble(&spec, deliveries, defaults, vocabularies, warnings, &mut refusals) {
        for test in &spec.tests {
            run(test, &table, &spec, &mut refusals);
        }
        if refusals.0.is_empty() {
            return Ok(table);
        }
    }
    refusals.0.sort();
    refusals.0.dedup();
    Err(refusals.0)
}

/// The default department of each number, by normalised number or `*`.
pub(super) type Defaults = HashMap<Arc<str>, DepartmentName>;

fn defaults(spec: &Spec, deliveries: &Deliveries, numbers: &mut Numbers, refusals: &mut Refusals) -> Defaults {
    let mut defaults = Defaults::new();
    for number in &spec.numbers {
        let (written, default, line) = (&number.number, &number.default, number.line);
        if !deliveries.contains_key(default) {
            refusals.add(line, unknown(default, &format!("the default of number {written}")));
        }
        let key = numbers.normalise(written);
        if key.is_empty() {
            refusals.add(line, "the number is empty: write the number that residents text, or \"*\"");
        } else if defaults.insert(key, default.clone()).is_some() {
            refusals.add(line, format!("number {written} is there already: remove one of them"));
        }
    }
    if spec.numbers.is_empty() {
        refusals.add(1, "no [[number]]: add one with the number that residents text and its default department");
    }
    defaults
}

pub(super) fn unknown(department: &DepartmentName, what: &str) -> String {
    format!("{what} is department {department}, which no [[department]] names: add it or correct the name")
}

fn warnings(spec: &Spec, defaults: &Defaults) -> Vec<Refusal> {
    let mut warnings = Vec::new();
    if !defaults.contains_key(EVERYWHERE) {
        let reason = "no [[number]] with number = \"*\": texts to a number that is not in this table go to dead-letter";
        warnings.push(Refusal { line: 1, reason: reason.to_owned() });
    }
    let from_keywords = spec.keywords.iter().flat_map(KeywordSpec::every_department);
    let from_failover = spec.departments.iter().filter_map(|other| other.failover.as_ref().map(|it| &it.department));
    let from_numbers = spec.numbers.iter().map(|number| &number.default);
    let reached: HashSet<_, RandomState> = from_numbers.chain(from_keywords).chain(from_failover).collect();
    for department in spec.departments.iter().filter(|department| !reached.contains(&department.name)) {
        let reason = format!("department {} gets no texts: no keyword and no number leads to it", department.name);
        warnings.push(Refusal { line: department.line, reason });
    }
    warnings.extend(delivery::warnings(&spec.departments));
    warnings
}

fn assemble(
    spec: &Spec,
    deliveries: Deliveries,
    mut defaults: Defaults,
    mut vocabularies: Vocabularies,
    warnings: Vec<Refusal>,
    refusals: &mut Refusals,
) -> Option<Table> {
    let keyword_count = vocabularies.keyword_count();
    let shared = vocabularies.everywhere.consent();
    let mut matcher = |vocabulary: Vocabulary| {
        Matcher::build(vocabulary.into_patterns(), spec.fold_accents)
            .map_err(|_| refusals.add(1, "the keywords of one number are more than an automaton holds: remove some"))
            .ok()
    };
    let everywhere = matcher(std::mem::take(&mut vocabularies.everywhere))?;
    let elsewhere = defaults.remove(EVERYWHERE);
    let mut routes = HashMap::default();
    for number in vocabularies.own.keys().filter(|number| !defaults.contains_key(*number)).cloned().collect::<Vec<_>>()
    {
        // A number that only keywords name has the default of `*`; without one it was refused.
        if let Some(default) = &elsewhere {
            defaults.insert(number, default.clone());
        }
    }
    for (number, default) in defaults {
        let own = match vocabularies.own.remove(&number) {
            Some(mut vocabulary) => {
                let hidden = hidden(&vocabulary, &everywhere);
                vocabulary.add_consent(&shared);
                Some(Own { matcher: matcher(vocabulary)?, hidden })
            }
            None => None,
        };
        let label = Box::from(&*number);
        routes.insert(number.to_string(), Route { label, default, own });
    }
    Some(Table {
        departments: spec.departments.clone(),
        deliveries,
        routes,
        elsewhere: elsewhere.map(|default| Route { label: EVERYWHERE.into(), default, own: None }),
        everywhere,
        keyword_count,
        version: spec.version.clone(),
        warnings,
    })
}

/// Where the words that a number has for itself are among those of `*`, in order.
fn hidden(own: &Vocabulary, everywhere: &Matcher) -> Vec<usize> {
    let mut hidden: Vec<_> = own.words().flat_map(|word| everywhere.places_of(word)).collect();
    hidden.sort_unstable();
    hidden
}

/// One of the routes' own tests.
fn run(test: &TestSpec, table: &Table, spec: &Spec, refusals: &mut Refusals) {
    let TestSpec { to, text, expected, keyword, line } = test;
    let departments = expected.departments();
    if let Some(department) = departments.iter().find(|department| table.topic(department).is_none()) {
        refusals.add(*line, unknown(department, "what the test expects"));
        return;
    }
    let Some(decision) = table.decide(&Number::normalise(to, spec.country), text) else {
        refusals
            .add(*line, format!("the test's number {to} is not in this table: add a [[number]] or correct the test"));
        return;
    };
    let found = decision.keyword.as_deref();
    let keyword_differs = keyword.as_deref().is_some_and(|expected| found != Some(expected));
    if expected.is_met(decision.every_department()) && !keyword_differs {
        return;
    }
    let kind = if departments.len() > 1 { "exactly the departments" } else { "department" };
    let by = keyword.as_ref().map_or_else(String::new, |keyword| format!(" by keyword {keyword:?}"));
    let got = found.map_or_else(|| "without a keyword".to_owned(), |keyword| format!("by keyword {keyword:?}"));
    let reason = format!(
        "the test expects {kind} {}{by}, but the text goes to {} {got}: correct the keywords or the test",
        listed(departments),
        listed(decision.every_department())
    );
    refusals.add(*line, reason);
}

fn listed(departments: &[DepartmentName]) -> String {
    departments.iter().map(DepartmentName::as_str).collect::<Vec<_>>().join(", ")
}

impl Expected {
    fn departments(&self) -> &[DepartmentName] {
        match self {
            Self::Among(department) => std::slice::from_ref(department),
            Self::Exactly(departments) => departments,
        }
    }

    /// Whether a text goes where it should, that goes to `found`, each of which is there once.
    fn is_met(&self, found: &[DepartmentName]) -> bool {
        let are_found = self.departments().iter().all(|department| found.contains(department));
        match self {
            Self::Among(_) => are_found,
            Self::Exactly(departments) => are_found && found.iter().all(|department| departments.contains(department)),
        }
    }
}
