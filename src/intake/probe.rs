//! What stands in a synthetic text's record where a text's has its department and why.
//!
//! Always true: no table decides it, so a change of the routes cannot lead it to a department.

use crate::keyword::Table;
use crate::message::{Decision, DepartmentName, PROBE_ACCOUNT, Rule, RuleKind};

pub(super) fn decision(table: &Table) -> Decision {
    Decision {
        department: DepartmentName::parse(PROBE_ACCOUNT).expect("the word is a name"),
        departments: None,
        keyword: None,
        rule: Rule { kind: RuleKind::Default, matched: None },
        consent: None,
        rest: None,
        routes_version: table.version().clone(),
    }
}
