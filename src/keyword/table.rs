//! The table in use: number and text in, decision or explanation out, both by the same code.
//!
//! Always true: never changed after it was built; the longest keyword wins, a number's own word
//! overrides the same word of `*`; `rest` is a character boundary of the text as received.
//! Not here: building and refusing (`build`), walking the text (`matcher`), the swap (`live`).

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use serde::Serialize;

use super::delivery::{Deliveries, Delivery};
use super::matcher::{Found, Hit, Keyword, Lost, Matcher, Unwatched, Watch};
use super::scan::skip_separators;
use super::spec::{DepartmentSpec, Mode, Refusal, Spec};
use crate::message::{Consent, Decision, DepartmentName, Number, Rule, RuleKind, Several};

/// The keyword table, immutable.
pub struct Table {
    pub(super) departments: Vec<DepartmentSpec>,
    pub(super) deliveries: Deliveries,
    /// By normalised number. The keys are the operator's: whoever chooses a number to send to makes no chain of them
    /// longer, so the hash needs no secret.
    pub(super) routes: HashMap<String, Route, FixedState>,
    /// The `*` number, where there is one.
    pub(super) elsewhere: Option<Route>,
    /// The keywords and words of consent of `*`.
    pub(super) everywhere: Matcher,
    pub(super) keyword_count: usize,
    pub(super) version: Arc<str>,
    pub(super) warnings: Vec<Refusal>,
}

/// What one number has for itself.
pub(super) struct Route {
    pub label: Box<str>,
    pub default: DepartmentName,
    pub own: Option<Own>,
}

/// A number's own keywords, with every word of consent that holds for it.
pub(super) struct Own {
    pub matcher: Matcher,
    /// Places in `everywhere` of the words this number has for itself.
    pub hidden: Vec<usize>,
}

/// What `explain` prints: the decision, and what else could have been.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// `None` for a number outside the table: the text goes to dead-letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub department: Option<DepartmentName>,
    /// All that get it, the first of them above; absent where that is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub departments: Several,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keyword: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent: Option<Consent>,
    /// Taken and not published for now, at least for one of them; absent when it is not so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hold: bool,
    /// Who takes the text when the topic of `department` stays away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failover: Option<DepartmentName>,
    pub routes_version: Arc<str>,
    /// Those that lost, shortest first within a number.
    pub candidates: Vec<Candidate>,
}

/// A keyword that the text begins with, or nearly, and that did not win.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    pub keyword: Arc<str>,
    pub department: DepartmentName,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub departments: Several,
    /// The word or alias as the routes write it.
    pub matched: Arc<str>,
    pub mode: Mode,
    pub reason: String,
}

impl Table {
    /// Builds and tests a table. Every problem is told at once, in the order of lines; none is built then.
    /// Takes about three seconds for 1,000,000 keywords: keep it off threads that serve.
    pub fn build(spec: Spec) -> Result<Self, Vec<Refusal>> {
        super::build::build(spec)
    }

    /// What is allowed and probably not meant.
    pub fn warnings(&self) -> Vec<Refusal> {
        self.warnings.clone()
    }

    /// Where a text goes; `None` for a number outside the table when there is no `*` number.
    pub fn decide(&self, to: &Number, text: &str) -> Option<Decision> {
        Some(self.find(to, text)?.decision())
    }

    /// What `decide` decides, borrowed from the table.
    pub fn find<'t>(&'t self, to: &Number, text: &str) -> Option<Match<'t>> {
        Some(self.find_watched(self.route(to)?, text, &mut Unwatched))
    }

    /// Where a text goes that nobody can read: the number's default department.
    pub fn default_for(&self, to: &Number) -> Option<Decision> {
        let route = self.route(to)?;
        Some(Match { table: self, route, hit: None, consent: None, rest: None }.decision())
    }

    /// What `decide` decides, with the candidates that lost.
    pub fn explain(&self, to: &Number, text: &str) -> Explanation {
        let mut losers = Losers::default();
        let decision = self.route(to).map(|route| self.find_watched(route, text, &mut losers).decision());
        let delivery = decision.as_ref().and_then(|decision| self.delivery(&decision.department));
        let all = decision.as_ref().map_or(&[][..], Decision::every_department);
        Explanation {
            hold: all.iter().filter_map(|department| self.delivery(department)).any(|delivery| delivery.hold),
            failover: delivery.and_then(|delivery| Some(delivery.standby.as_ref()?.department.clone())),
            department: decision.as_ref().map(|decision| decision.department.clone()),
            departments: decision.as_ref().and_then(|decision| decision.departments.clone()),
            keyword: decision.as_ref().and_then(|decision| decision.keyword.clone()),
            consent: decision.as_ref().and_then(|decision| decision.consent),
            rule: decision.map(|decision| decision.rule),
            routes_version: Arc::clone(&self.version),
            candidates: losers.0,
        }
    }

    pub fn departments(&self) -> &[DepartmentSpec] {
        &self.departments
    }

    /// `None` for a department that the table does not name.
    pub fn topic(&self, department: &DepartmentName) -> Option<&str> {
        self.delivery(department).map(|delivery| delivery.topic.as_str())
    }

    /// The topic, whether texts are held back, who stands in; `None` for a department that the table
    /// does not name.
    pub fn delivery(&self, department: &DepartmentName) -> Option<&Delivery> {
        self.deliveries.get(department)
    }

    pub fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// Keywords and aliases.
    pub fn keyword_count(&self) -> usize {
        self.keyword_count
    }

    /// The table's own number that served `to`, `*` where that did: safe as a label of a metric.
    pub fn number_label(&self, to: &Number) -> &str {
        self.routes.get(to.as_str()).map_or("*", |route| &route.label)
    }

    fn route(&self, to: &Number) -> Option<&Route> {
        self.routes.get(to.as_str()).or(self.elsewhere.as_ref())
    }

    /// The longest of the number's own keywords and those of `*`; two can never be equally long,
    /// for then they are the same word and the number's own hides the other.
    #[inline]
    fn find_watched<'t, W: Watch>(&'t self, route: &'t Route, text: &str, watch: &mut W) -> Match<'t> {
        let Found { mut hit, consent } = match &route.own {
            Some(own) => own.matcher.find(text, &[], watch),
            None => self.everywhere.find(text, &[], watch),
        };
        if let Some(own) = route.own.as_ref().filter(|_| self.everywhere.has_keywords()) {
            hit = longer(hit, self.everywhere.find(text, &own.hidden, watch).hit, watch);
        }
        let rest = hit.map(|hit| skip_separators(text, hit.end));
        Match { table: self, route, hit, consent, rest }
    }
}

fn longer<'m, W: Watch>(own: Option<Hit<'m>>, other: Option<Hit<'m>>, watch: &mut W) -> Option<Hit<'m>> {
    let (Some(a), Some(b)) = (own, other) else { return own.or(other) };
    let (winner, loser) = if a.word_length >= b.word_length { (a, b) } else { (b, a) };
    watch.lost(loser.keyword(), Lost::Longer);
    Some(winner)
}

/// Where a text goes, in the table's own words; `decision` gives them away.
#[derive(Clone, Copy)]
pub struct Match<'t> {
    table: &'t Table,
    route: &'t Route,
    hit: Option<Hit<'t>>,
    consent: Option<Consent>,
    rest: Option<usize>,
}

impl Match<'_> {
    /// The first of them where the text goes to several.
    pub fn department(&self) -> &DepartmentName {
        self.hit.as_ref().map_or(&self.route.default, |hit| &hit.keyword().department)
    }

    /// The keyword's own word, also when an alias matched.
    pub fn keyword(&self) -> Option<&str> {
        self.hit.as_ref().map(|hit| &*hit.keyword().word)
    }

    pub fn decision(&self) -> Decision {
        let keyword = self.hit.as_ref().map(Hit::keyword);
        Decision {
            department: self.department().clone(),
            departments: keyword.and_then(|keyword| keyword.departments.clone()),
            keyword: keyword.map(|keyword| Arc::clone(&keyword.word)),
            rule: Rule {
                kind: keyword.map_or(RuleKind::Default, |keyword| keyword.mode.into()),
                matched: keyword.map(|keyword| Arc::clone(&keyword.matched)),
            },
            consent: self.consent,
            rest: self.rest,
            routes_version: Arc::clone(&self.table.version),
        }
    }
}

impl From<Mode> for RuleKind {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Word => Self::Word,
            Mode::Exact => Self::Exact,
            Mode::Prefix => Self::Prefix,
        }
    }
}

/// Writes down who lost.
#[derive(Default)]
struct Losers(Vec<Candidate>);

impl Watch for Losers {
    const ON: bool = true;

    fn lost(&mut self, keyword: &Keyword, why: Lost) {
        self.0.push(Candidate {
            keyword: Arc::clone(&keyword.word),
            department: keyword.department.clone(),
            departments: keyword.departments.clone(),
            matched: Arc::clone(&keyword.matched),
            mode: keyword.mode,
            reason: why.reason().to_owned(),
        });
    }
}

impl Lost {
    fn reason(self) -> &'static str {
        match self {
            Self::Longer => "a longer keyword matches",
            Self::MessageGoesOn => "it must be the whole message (exact), and the message goes on",
            Self::WordGoesOn => "it must be a whole word, and the word goes on",
            Self::InsideCharacter => "a combining mark follows its last letter",
            Self::Overridden => "the number has the same word for itself",
        }
    }
}
