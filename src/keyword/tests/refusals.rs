//! Which routes are refused, on which line, and that the reason says what to do.

use std::time::Duration;

use super::super::*;
use super::{department, keyword, number, several, spec};
use crate::message::Consent;

/// Builds `spec` and expects exactly these refusals: a line, and what its reason must hold.
fn check(spec: Spec, expected: &[(usize, &[&str])]) {
    let refusals = Table::build(spec).err().unwrap_or_default();
    assert_eq!(refusals.len(), expected.len(), "{refusals:#?}");
    for (refusal, (line, pieces)) in refusals.iter().zip(expected) {
        assert_eq!(refusal.line, *line, "{refusal}");
        for piece in *pieces {
            assert!(refusal.reason.contains(piece), "{piece:?} is not in {refusal}");
        }
    }
}

fn at(line: usize, keyword: KeywordSpec) -> KeywordSpec {
    KeywordSpec { line, ..keyword }
}

fn word(line: usize, word: &str) -> KeywordSpec {
    at(line, keyword("86555", word, "c", Mode::Word))
}

#[test]
fn the_same_word_twice_is_refused() {
    let mut aliases = word(22, "ice");
    aliases.aliases = vec!["snöw".into(), "Black Ice".into(), "black-ice".into()];
    check(
        spec(vec![word(20, "snow"), word(21, " SNOW! "), aliases, at(23, keyword("*", "snow", "d", Mode::Word))]),
        &[
            (21, &["\" SNOW! \"", "same word", "line 20", "remove one"]),
            (22, &["\"black-ice\"", "line 22"]),
            (22, &["\"snöw\"", "line 20"]),
        ],
    );
    check(spec(vec![word(20, "park"), at(21, keyword("86555", "park", "d", Mode::Prefix))]), &[(21, &["line 20"])]);
    let spelt = vec![word(20, "cafe"), word(21, "café")];
    check(Spec { fold_accents: false, ..spec(spelt.clone()) }, &[]);
    check(spec(spelt), &[(21, &["\"café\""])]);
}

#[test]
fn a_word_that_can_never_match_is_refused() {
    for empty in ["", " ", "!!!", "\u{200d}", "•", "→", "\u{301}"] {
        check(spec(vec![word(20, empty)]), &[(20, &["can never match", "a letter, a digit or an emoji"])]);
    }
    check(spec(vec![word(20, &"x".repeat(160))]), &[]);
    check(spec(vec![word(20, &"x".repeat(161))]), &[(20, &["160 characters", "shorten"])]);
}

#[test]
fn unknown_departments_and_numbers_are_refused() {
    let mut wrong =
        spec(vec![at(21, keyword("86555", "snow", "x", Mode::Word)), at(22, keyword("86556", "ice", "c", Mode::Word))]);
    wrong.numbers[0].default = department("y");
    wrong.numbers.truncate(1);
    wrong.consent =
        vec![ConsentSpec { number: "86557".into(), consent: Consent::Stop, words: vec!["arret".into()], line: 23 }];
    check(
        wrong,
        &[
            (10, &["department y", "no [[department]] names", "add it"]),
            (21, &["\"snow\"", "department x"]),
            (22, &["\"ice\"", "86556", "no [[number]]", "\"*\""]),
            (23, &["words of stop", "86557"]),
        ],
    );
    check(Spec { numbers: vec![], ..spec(vec![]) }, &[(1, &["no [[number]]", "add one"])]);
    let mut twice = spec(vec![]);
    twice.numbers.push(NumberSpec { number: " 86555".into(), default: department("b"), line: 12 });
    twice.numbers.push(NumberSpec { number: " ".into(), default: department("b"), line: 13 });
    check(twice, &[(12, &["there already"]), (13, &["empty"])]);
}

#[test]
fn a_topic_belongs_to_one_department() {
    let mut shared = spec(vec![]);
    shared.departments[1].topic = Some("sms.a".into());
    shared.departments[2].topic = Some("sms-router.consent".into());
    shared.departments[3].topic = Some("sms d".into());
    check(
        shared,
        &[
            (2, &["department b", "topic sms.a", "as a on line 1", "of its own"]),
            (3, &["router's own", "choose another"]),
            (4, &["no name for a topic"]),
        ],
    );
    let mut alike = spec(vec![]);
    alike.departments[1].topic = Some("sms_a".into());
    alike.departments.push(DepartmentSpec { line: 5, ..alike.departments[0].clone() });
    check(alike, &[(2, &["topic of its own"]), (5, &["department a is there already"])]);
}

fn failover(to: &str) -> Option<FailoverSpec> {
    Some(FailoverSpec { department: department(to), after: Duration::from_secs(60) })
}

#[test]
fn a_standby_is_another_department_with_another_topic_and_none_of_its_own() {
    let mut wrong = spec(vec![]);
    wrong.departments[0].failover = failover("nobody");
    wrong.departments[1].failover = failover("b");
    wrong.departments[2].failover = failover("d");
    wrong.departments[3].failover = failover("a");
    check(
        wrong,
        &[
            (1, &["the failover of department a is department nobody", "no [[department]] names"]),
            (2, &["department b is its own failover", "another"]),
            (3, &["the failover of department c is d, which has a failover itself", "last of the chain"]),
            (4, &["the failover of department d is a, which has a failover itself"]),
        ],
    );
    let mut shared = spec(vec![]);
    shared.departments[0].failover = failover("b");
    for department in &mut shared.departments[..2] {
        (department.topic, department.shares_topic) = (Some("sms.both".into()), true);
    }
    check(shared, &[(1, &["which has the same topic", "another"])]);
}

#[test]
fn a_delivery_names_the_standby_unless_that_is_held() {
    let mut routes = spec(vec![word(20, "snow")]);
    routes.departments[0].failover = failover("b");
    routes.departments[2].hold = true;
    let table = Table::build(routes.clone()).unwrap();
    let delivery = table.delivery(&department("a")).unwrap();
    let standby = Standby { department: department("b"), topic: "sms.b".into(), after: Duration::from_secs(60) };
    assert_eq!(*delivery, Delivery { topic: "sms.a".into(), hold: false, standby: Some(standby) });
    let held = Delivery { topic: "sms.c".into(), hold: true, standby: None };
    assert_eq!(*table.delivery(&department("c")).unwrap(), held);
    let explained = table.explain(&number("86555"), "hello");
    assert_eq!((explained.hold, explained.failover), (false, Some(department("b"))));
    let explained = table.explain(&number("86555"), "snow");
    assert_eq!((explained.hold, explained.failover), (true, None));
    routes.departments[1].hold = true;
    let table = Table::build(routes).unwrap();
    assert_eq!(table.delivery(&department("a")).unwrap().standby, None);
    let said: Vec<_> = table.warnings().iter().map(|warning| (warning.line, warning.reason.clone())).collect();
    for (line, piece) in [(1, "b, which is held"), (2, "department b is held"), (3, "department c is held")] {
        assert!(said.iter().any(|(at, reason)| *at == line && reason.contains(piece)), "{piece}: {said:?}");
    }
}

#[test]
fn words_of_consent_are_reserved() {
    let exact = |line, number, word| at(line, keyword(number, word, "c", Mode::Exact));
    let mut reserved = spec(vec![
        exact(20, "86555", "Stop"),
        exact(21, "*", "INFO"),
        exact(22, "*", "arret"),
        exact(23, "86555", "yes"),
        word(24, "help"),
    ]);
    let consent = |consent, words: &[&str], line| ConsentSpec {
        number: "86555".into(),
        consent,
        words: words.iter().map(|&word| word.into()).collect(),
        line,
    };
    reserved.consent = vec![consent(Consent::Stop, &["arrêt", "quit"], 30), consent(Consent::Help, &["Quit", "!"], 31)];
    check(
        reserved,
        &[
            (20, &["\"Stop\"", "word of consent", "match = \"word\""]),
            (21, &["\"INFO\""]),
            (22, &["\"arret\""]),
            (31, &["\"Quit\"", "word of stop already"]),
            (31, &["\"!\"", "can never match"]),
        ],
    );
}

#[test]
fn a_test_that_fails_refuses_the_table() {
    let mut tested = spec(vec![word(20, "snow"), at(21, keyword("*", "bin", "d", Mode::Word))]);
    let test = |to: &str, text: &str, name, keyword: Option<&str>, line| TestSpec {
        to: to.into(),
        text: text.into(),
        expected: Expected::Among(department(name)),
        keyword: keyword.map(str::to_owned),
        line,
    };
    tested.tests = vec![
        test("86555", "Snow on Main St", "c", None, 40),
        test("86555", "Snow on Main St", "c", Some("snow"), 41),
        test("12345", "Bin!", "d", Some("bin"), 42),
        test("86555", "snowy", "c", None, 43),
        test("86555", "Snow", "c", Some("bin"), 44),
        test("86555", "Snow", "x", None, 45),
    ];
    check(
        tested.clone(),
        &[
            (43, &["expects department c,", "goes to a without a keyword"]),
            (44, &["by keyword \"bin\"", "by keyword \"snow\"", "correct"]),
            (45, &["department x"]),
        ],
    );
    tested.numbers.truncate(1);
    tested.tests.drain(3..);
    check(tested.clone(), &[(42, &["12345", "not in this table"])]);
    tested.tests.pop();
    let table = Table::build(tested).unwrap();
    assert_eq!(table.decide(&number("12345"), "bin"), None);
}

#[test]
fn departments_of_a_keyword_are_several_known_and_different() {
    let many: Vec<_> = (0..17).map(|place| format!("d{place}")).collect();
    let mut crowded = spec(vec![
        at(21, several("flood", &["a", "x"])),
        at(22, several("ice", &["a", "b", "a"])),
        at(23, several("snow", &["c"])),
        at(24, several("storm", &many.iter().map(String::as_str).collect::<Vec<_>>())),
        at(25, several("grit", &many[1..].iter().map(String::as_str).collect::<Vec<_>>())),
    ]);
    let model = crowded.departments[0].clone();
    let named = |name: &String| DepartmentSpec { name: department(name), line: 5, ..model.clone() };
    crowded.departments.extend(many.iter().map(named));
    check(
        crowded,
        &[
            (21, &["\"flood\"", "one of its departments", "department x, which no [[department]] names"]),
            (22, &["\"ice\" names department a twice"]),
            (23, &["\"snow\"", "at least two", "department = "]),
            (24, &["\"storm\" names 17 departments", "16 at most"]),
        ],
    );
}

#[test]
fn a_test_names_one_of_several_departments_or_all_of_them() {
    let mut tested = spec(vec![at(20, several("flood", &["c", "d"])), at(21, keyword("*", "bin", "d", Mode::Word))]);
    let test =
        |text: &str, expected, line| TestSpec { to: "86555".into(), text: text.into(), expected, keyword: None, line };
    let all = |names: &[&str]| Expected::Exactly(names.iter().map(|name| department(name)).collect());
    let among = |name| Expected::Among(department(name));
    tested.tests = vec![
        test("Flood!", among("c"), 40),
        test("Flood!", among("d"), 41),
        test("Flood!", all(&["d", "c"]), 42),
        test("Bin", all(&["d"]), 43),
    ];
    assert!(Table::build(tested.clone()).is_ok());
    tested.tests = vec![
        test("Flood!", among("a"), 44),
        test("Flood!", all(&["c"]), 45),
        test("Flood!", all(&["c", "d", "a"]), 46),
        test("Bin", all(&["c", "d"]), 47),
        test("Flood!", all(&["c", "x"]), 48),
    ];
    check(
        tested,
        &[
            (44, &["expects department a,", "goes to c, d by keyword \"flood\""]),
            (45, &["goes to c, d"]),
            (46, &["expects exactly the departments c, d, a, but"]),
            (47, &["goes to d by keyword \"bin\""]),
            (48, &["department x"]),
        ],
    );
}

#[test]
fn a_department_that_gets_nothing_is_a_warning() {
    let led_to = Table::build(spec(vec![several("snow", &["c", "d"])])).unwrap().warnings();
    assert_eq!(led_to, [], "the second of several gets texts too");
    let warnings = Table::build(spec(vec![word(20, "snow")])).unwrap().warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!((warnings[0].line, warnings[0].reason.contains("department d gets no texts")), (4, true));
}

#[test]
fn ten_thousand_keywords_are_one_table() {
    let words: Vec<_> = (0..10_000).map(|place| word(20 + place, &format!("word {place}"))).collect();
    let table = Table::build(spec(words)).unwrap();
    assert_eq!(table.keyword_count(), 10_000);
    for place in [0, 1, 99, 9_999] {
        let decision = table.decide(&number("86555"), &format!("WORD-{place}, please")).unwrap();
        assert_eq!(decision.keyword.as_deref(), Some(format!("word {place}").as_str()));
    }
}
