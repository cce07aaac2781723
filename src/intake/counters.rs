//! Counters with their labels resolved once: the hot path only adds one.

use std::sync::Arc;

use dashmap::DashMap;
use foldhash::fast::RandomState;
use prometheus::{IntCounter, IntCounterVec};

use crate::message::{Decision, DepartmentName};
use crate::telemetry::Metrics;

/// What became of one text; the label of `sms_router_messages_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Published,
    Duplicate,
    DeadLetter,
    Deferred,
}

impl Fate {
    const ALL: [Self; 4] = [Self::Published, Self::Duplicate, Self::DeadLetter, Self::Deferred];

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Duplicate => "duplicate",
            Self::DeadLetter => "dead_letter",
            Self::Deferred => "deferred",
        }
    }
}

/// A number's label, and what it counts.
type OfNumber = (Box<str>, IntCounter);

/// Departments and keywords come from the routes only, so these maps are bounded by them.
pub struct Counters {
    messages: IntCounterVec,
    keywords: IntCounterVec,
    by_department: DashMap<DepartmentName, Arc<[IntCounter; 4]>, RandomState>,
    by_keyword: DashMap<Arc<str>, Vec<OfNumber>, RandomState>,
}

impl Counters {
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            messages: metrics.messages.clone(),
            keywords: metrics.keyword_messages.clone(),
            by_department: DashMap::default(),
            by_keyword: DashMap::default(),
        }
    }

    pub fn text(&self, department: &DepartmentName, fate: Fate) {
        if let Some(counters) = self.by_department.get(department) {
            counters[fate as usize].inc();
            return;
        }
        let resolve = |fate: Fate| self.messages.with_label_values(&[department.as_str(), fate.label()]);
        let counters = Arc::new(Fate::ALL.map(resolve));
        counters[fate as usize].inc();
        self.by_department.insert(department.clone(), counters);
    }

    /// Counts the keyword that decided, under the table's own word and number.
    pub fn keyword(&self, number: &str, decision: &Decision) {
        let Some(keyword) = &decision.keyword else { return };
        if let Some(numbers) = self.by_keyword.get(keyword)
            && let Some((_, counter)) = numbers.iter().find(|(known, _)| **known == *number)
        {
            counter.inc();
            return;
        }
        let counter = self.keywords.with_label_values(&[number, keyword]);
        counter.inc();
        self.by_keyword.entry(keyword.clone()).or_default().push((number.into(), counter));
    }
}
