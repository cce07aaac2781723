//! Where a department's texts go: its topic, whether they are held back, and who stands in for it.
//!
//! Comes in: the departments as the routes write them. Goes out: a `Delivery` for each, or refusals.
//! Always true: every topic belongs to one department unless both say otherwise; a standby is another
//! department of the same table with another topic and no standby of its own, so a text moves at most
//! once.
//! Not here: whether a topic exists or is away (`publish`), holding and moving texts (`log`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::build::{Refusals, unknown};
use super::spec::{DepartmentSpec, Refusal};
use crate::message::{DepartmentName, topics};

/// Longest name of a topic, and the characters Kafka takes.
const TOPIC_LENGTH_MAX: usize = 249;

/// Where a department's texts go by the table in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub topic: String,
    /// Taken and kept, not published, until the routes no longer say so. Outranks the standby.
    pub hold: bool,
    /// Absent too while the department that stands in is itself held.
    pub standby: Option<Standby>,
}

/// Who takes a department's texts when its topic stays away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standby {
    pub department: DepartmentName,
    /// Of that department.
    pub topic: Arc<str>,
    /// How long the department's own topic has been away before its texts go there.
    pub after: Duration,
}

/// By department; asked once for each keyword while a table is built, so the hash is a quick one.
pub(super) type Deliveries = HashMap<DepartmentName, Delivery, foldhash::fast::RandomState>;

/// Each department's delivery.
pub(super) fn collect(departments: &[DepartmentSpec], refusals: &mut Refusals) -> Deliveries {
    let mut deliveries = Deliveries::default();
    // Kafka takes `a.b` and `a_b` for the same topic, because its metrics cannot tell them apart.
    let mut taken: HashMap<String, &DepartmentSpec> = HashMap::new();
    for department in departments {
        let (name, line, topic) = (&department.name, department.line, department.topic());
        let delivery = Delivery { topic: topic.clone(), hold: department.hold, standby: None };
        if deliveries.insert(name.clone(), delivery).is_some() {
            refusals.add(line, format!("department {name} is there already: remove one of them"));
            continue;
        }
        if let Some(why) = unfit(&topic) {
            refusals.add(line, format!("topic {topic:?} of department {name} {why}"));
        } else if let Some(other) = taken.insert(alike(&topic), department)
            && !(department.shares_topic && other.shares_topic)
        {
            let reason = format!(
                "department {name} has the topic {topic}, as {} on line {} has: give each a topic of its own, or say shared_topic = true of both",
                other.name, other.line
            );
            refusals.add(line, reason);
        }
    }
    for department in departments {
        match standby(department, departments) {
            Ok(None) => {}
            Ok(Some(standby)) => {
                if let Some(delivery) = deliveries.get_mut(&department.name) {
                    delivery.standby = Some(standby);
                }
            }
            Err(reason) => refusals.add(department.line, reason),
        }
    }
    deliveries
}

fn alike(topic: &str) -> String {
    topic.replace('_', ".")
}

fn unfit(topic: &str) -> Option<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if topic.is_empty() || topic.len() > TOPIC_LENGTH_MAX || !topic.bytes().all(fits) || matches!(topic, "." | "..") {
        return Some(format!("is no name for a topic: use 1 to {TOPIC_LENGTH_MAX} of a-z, A-Z, 0-9, '.', '_' and '-'"));
    }
    let is_ours = topics::OWN.iter().any(|own| alike(own) == alike(topic));
    is_ours.then(|| "is one of the router's own: choose another".to_owned())
}

/// Who stands in for `department` now, or why nobody can.
fn standby(department: &DepartmentSpec, departments: &[DepartmentSpec]) -> Result<Option<Standby>, String> {
    let Some(failover) = &department.failover else { return Ok(None) };
    let name = &department.name;
    if failover.department == *name {
        return Err(format!("department {name} is its own failover: name another department"));
    }
    let Some(other) = departments.iter().find(|other| other.name == failover.department) else {
        return Err(unknown(&failover.department, &format!("the failover of department {name}")));
    };
    if other.failover.is_some() {
        return Err(format!(
            "the failover of department {name} is {}, which has a failover itself: a text moves once, so name the last of the chain",
            other.name
        ));
    }
    if alike(&other.topic()) == alike(&department.topic()) {
        return Err(format!(
            "the failover of department {name} is {}, which has the same topic and would be away with it: name another",
            other.name
        ));
    }
    let standby = Standby { department: other.name.clone(), topic: other.topic().into(), after: failover.after };
    Ok((!other.hold).then_some(standby))
}

/// What is allowed and probably not meant.
pub(super) fn warnings(departments: &[DepartmentSpec]) -> Vec<Refusal> {
    let is_held = |name: &DepartmentName| departments.iter().any(|other| other.name == *name && other.hold);
    let mut warnings = Vec::new();
    for department in departments {
        let (name, line) = (&department.name, department.line);
        if department.hold {
            let reason = format!("department {name} is held: remove hold when its maintenance is over");
            warnings.push(Refusal { line, reason });
        }
        if let Some(failover) = department.failover.as_ref().filter(|failover| is_held(&failover.department)) {
            let reason = format!(
                "the failover of department {name} is {}, which is held: nobody stands in until that hold is gone",
                failover.department
            );
            warnings.push(Refusal { line, reason });
        }
    }
    warnings
}
