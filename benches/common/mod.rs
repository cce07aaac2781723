//! What benches share: a table of keywords that all lead to one department.
//!
//! Comes in: a number and words. Goes out: the table's parts, to be changed or built.

use sms_router::keyword::{DepartmentSpec, KeywordSpec, Mode, NumberSpec, Spec};
use sms_router::message::{Country, DepartmentName};

/// Whole words of `number`, which belongs to `highways`, and so do they.
pub fn spec(number: &str, words: impl IntoIterator<Item = String>) -> Spec {
    let department = DepartmentName::parse("highways").expect("a name");
    let keyword = |word: String| KeywordSpec {
        number: number.into(),
        word: word.into(),
        aliases: vec![],
        department: department.clone(),
        departments: None,
        mode: Mode::Word,
        line: 3,
    };
    Spec {
        departments: vec![DepartmentSpec {
            name: department.clone(),
            topic: None,
            shares_topic: false,
            hold: false,
            failover: None,
            line: 1,
        }],
        numbers: vec![NumberSpec { number: number.into(), default: department.clone(), line: 2 }],
        keywords: words.into_iter().map(keyword).collect(),
        consent: vec![],
        tests: vec![],
        fold_accents: true,
        version: "bench".into(),
        country: Country::GB,
    }
}
