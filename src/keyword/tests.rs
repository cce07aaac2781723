//! Which texts meet which keywords, row by row, and which routes are refused with what words.

mod properties;
mod refusals;

use super::*;
use crate::message::{Consent, Country, Decision, DepartmentName, Number, RuleKind};

pub(super) fn department(name: &str) -> DepartmentName {
    DepartmentName::parse(name).unwrap()
}

pub(super) fn number(number: &str) -> Number {
    Number::normalise(number, Country::GB)
}

pub(super) fn keyword(number: &str, word: &str, department_name: &str, mode: Mode) -> KeywordSpec {
    let department = department(department_name);
    let (number, word, departments) = (number.into(), word.into(), None);
    KeywordSpec { number, word, aliases: vec![], department, departments, mode, line: 20 }
}

/// Departments a to d; number 86555 with default a, `*` with default b.
pub(super) fn spec(keywords: Vec<KeywordSpec>) -> Spec {
    let departments = ["a", "b", "c", "d"];
    let departments = departments.iter().zip(1..).map(|(name, line)| DepartmentSpec {
        name: department(name),
        topic: None,
        shares_topic: false,
        hold: false,
        failover: None,
        line,
    });
    let number = |number: &str, default, line| NumberSpec { number: number.into(), default: department(default), line };
    Spec {
        departments: departments.collect(),
        numbers: vec![number("86555", "a", 10), number("*", "b", 11)],
        keywords,
        consent: vec![],
        tests: vec![],
        fold_accents: true,
        version: "v1".into(),
        country: Country::GB,
    }
}

/// A whole word that leads to all of them.
pub(super) fn several(word: &str, names: &[&str]) -> KeywordSpec {
    let departments = names.iter().map(|name| department(name)).collect();
    KeywordSpec { departments: Some(departments), ..keyword("86555", word, names[0], Mode::Word) }
}

fn table(keywords: &[(&str, Mode)], fold_accents: bool) -> Table {
    let keywords = keywords.iter().map(|(word, mode)| keyword("86555", word, "c", *mode)).collect();
    Table::build(Spec { fold_accents, ..spec(keywords) }).unwrap()
}

/// Each row: a text, the keyword it meets, and the rest of it.
fn check(table: &Table, rows: &[(&str, Option<(&str, &str)>)]) {
    for (text, expected) in rows {
        let decision = table.decide(&number("86555"), text).unwrap();
        let rest = decision.rest.map(|rest| &text[rest..]);
        assert_eq!(decision.keyword.as_deref().zip(rest), *expected, "{text:?}");
        assert_eq!(decision.department.as_str(), if expected.is_some() { "c" } else { "a" }, "{text:?}");
    }
}

#[test]
fn a_keyword_is_a_whole_word_at_the_start() {
    let table =
        table(&[("snow", Mode::Word), ("bin", Mode::Word), ("What's on", Mode::Word), ("A&E", Mode::Word)], true);
    check(
        &table,
        &[
            ("Snow on Main St", Some(("snow", "on Main St"))),
            ("SNOW", Some(("snow", ""))),
            ("SNOW:", Some(("snow", ""))),
            ("snow.", Some(("snow", ""))),
            ("Snow-main st", Some(("snow", "main st"))),
            ("snow\non\tmain", Some(("snow", "on\tmain"))),
            ("#snow, now", Some(("snow", "now"))),
            ("snow's deep", Some(("snow", "s deep"))),
            ("\0snow\0here", Some(("snow", "here"))),
            ("bin", Some(("bin", ""))),
            ("bingo", None),
            ("bin2", None),
            ("the bin", None),
            ("sno", None),
            ("snows", None),
            ("", None),
            (" ... ", None),
            ("what\u{2019}s on today", Some(("What's on", "today"))),
            ("WHATS ON", None),
            ("a & e please", Some(("A&E", "please"))),
            ("ae", None),
        ],
    );
}

#[test]
fn what_is_no_letter_is_skipped_before_it() {
    let table = table(&[("snow", Mode::Word)], true);
    for before in [
        " ", "\u{a0}", "\u{feff}", "\u{200b}", "\u{200e}", "\u{202b}", "\u{2066}", "\u{200d}", "\u{fe0f}", "\"", "'",
        "“", "‘", "«", "„", "*", "-", "–", "—", "•", "‣", "◦", "▪", "●", "→", "…", "¿", "¡", "(", "[", "。", "「",
        "、", "\u{3000}", "_", "/", "£", "€", "\r\n", "\u{ad}", "\u{fffd}", "!?", "\u{85}", "\u{301}",
    ] {
        check(&table, &[(&format!("{before}snow on"), Some(("snow", "on")))]);
        check(&table, &[(&format!("{before}{before} snow{before} on"), Some(("snow", "on")))]);
    }
    check(&table, &[("x snow", None), ("1. snow", None), ("😀 snow", None)]);
}

#[test]
fn case_forms_and_accents_are_folded() {
    let keywords = [("déchets", Mode::Word), ("straße", Mode::Word), ("snow", Mode::Word), ("ΟΔΟΣ", Mode::Word)];
    let folded = table(&keywords, true);
    check(
        &folded,
        &[
            ("DECHETS rue", Some(("déchets", "rue"))),
            ("De\u{301}chets rue", Some(("déchets", "rue"))),
            ("déchets", Some(("déchets", ""))),
            ("STRASSE 5", Some(("straße", "5"))),
            ("Straẞe", Some(("straße", ""))),
            ("ＳＮＯＷ　ｏｎ", Some(("snow", "ｏｎ"))),
            ("ⓈⓃⓄⓌ", Some(("snow", ""))),
            ("s\u{ad}n\u{200d}ow", Some(("snow", ""))),
            ("snöw", Some(("snow", ""))),
            ("snøw", Some(("snow", ""))),
            ("snow\u{308} x", Some(("snow", "x"))),
            ("οδός", Some(("ΟΔΟΣ", ""))),
            ("οδοσ", Some(("ΟΔΟΣ", ""))),
        ],
    );
    let exact_accents = table(&keywords, false);
    check(
        &exact_accents,
        &[
            ("DÉCHETS rue", Some(("déchets", "rue"))),
            ("De\u{301}chets rue", Some(("déchets", "rue"))),
            ("DECHETS rue", None),
            ("snöw", None),
            ("STRASSE 5", Some(("straße", "5"))),
            ("snow\u{308}", None),
            ("snow\u{308}s", None),
        ],
    );
}

#[test]
fn the_order_of_marks_does_not_matter() {
    let table = table(&[("a\u{302}\u{323}b", Mode::Word), ("กำ", Mode::Word), ("ガ", Mode::Word)], false);
    for text in ["a\u{323}\u{302}b x", "ậb x", "â\u{323}b x", "ạ\u{302}B x", "a\u{302}\u{200d}\u{323}b x"] {
        check(&table, &[(text, Some(("a\u{302}\u{323}b", "x")))]);
    }
    check(&table, &[("ก\u{e4d}\u{e32}", None), ("กำ", Some(("กำ", ""))), ("ｶﾞ x", Some(("ガ", "x"))), ("カ", None)]);
}

#[test]
fn the_longest_wins_and_the_next_when_its_mode_fails() {
    let table = table(
        &[("park", Mode::Word), ("park pay", Mode::Exact), ("park pay now please", Mode::Word), ("pot", Mode::Prefix)],
        true,
    );
    check(
        &table,
        &[
            ("park pay", Some(("park pay", ""))),
            ("Park, pay!", Some(("park pay", ""))),
            ("park pay 2", Some(("park", "pay 2"))),
            ("park pay now please 2", Some(("park pay now please", "2"))),
            ("park pay now pleased", Some(("park", "pay now pleased"))),
            ("parking", None),
            ("pothole", Some(("pot", "hole"))),
            ("pot-hole", Some(("pot", "hole"))),
            ("pot", Some(("pot", ""))),
            ("po", None),
        ],
    );
}

#[test]
fn prefix_ends_at_a_whole_character() {
    let words = [("bin", Mode::Prefix), ("雪", Mode::Prefix), ("k", Mode::Prefix), ("👨", Mode::Prefix)];
    let exact_accents = table(&words, false);
    check(
        &exact_accents,
        &[
            ("bins", Some(("bin", "s"))),
            ("bin\u{303}s", None),
            ("biñs", None),
            ("bin\u{200d}s", Some(("bin", "s"))),
            ("雪崩", Some(("雪", "崩"))),
            ("kg", Some(("k", "g"))),
            ("👨\u{200d}👩", None),
            ("👨🏽👩", Some(("👨", "👩"))),
        ],
    );
    check(&table(&words, true), &[("bin\u{303}s", Some(("bin", "s"))), ("biñs", Some(("bin", "s")))]);
}

#[test]
fn emoji_are_words_of_their_own() {
    let words = ["❄️", "👨", "👨\u{200d}👩\u{200d}👧", "🇬🇧", "🅿", "🗑️♻️", "snow", "👍🏽", "1", "🏴"];
    let table = table(&words.map(|word| (word, Mode::Word)), true);
    let family = "👨\u{200d}👩\u{200d}👧";
    let england = "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}";
    check(
        &table,
        &[
            ("❄", Some(("❄️", ""))),
            ("❄️❄️ Main St", Some(("❄️", "❄️ Main St"))),
            ("❄on", Some(("❄️", "on"))),
            ("snow❄️ on", Some(("snow", "❄️ on"))),
            (&format!("{family} x"), Some((family, "x"))),
            ("👨 x", Some(("👨", "x"))),
            ("👨\u{200d}x", Some(("👨", "x"))),
            ("👨\u{200d}👩", None),
            ("🇬🇧🇫🇷", Some(("🇬🇧", "🇫🇷"))),
            ("🇬🇪", None),
            ("🅿️ 2h", Some(("🅿", "2h"))),
            ("🗑♻", Some(("🗑️♻️", ""))),
            ("🗑", None),
            ("👍🏿", Some(("👍🏽", ""))),
            ("1\u{fe0f}\u{20e3} x", Some(("1", "x"))),
            ("🏴 x", Some(("🏴", "x"))),
            (england, None),
        ],
    );
}

#[test]
fn other_scripts_have_words_too() {
    let words = ["снег", "雪", "停车", "ゴミ", "ขยะ", "눈", "ثلج", "कूड़ा", "שלג"];
    let table = table(&words.map(|word| (word, Mode::Word)), true);
    check(
        &table,
        &[
            ("СНЕГ на улице", Some(("снег", "на улице"))),
            ("снегом", None),
            ("雪が降った", Some(("雪", "が降った"))),
            ("停车 2", Some(("停车", "2"))),
            ("停", None),
            ("ゴミの収集", Some(("ゴミ", "の収集"))),
            ("ｺﾞﾐ", Some(("ゴミ", ""))),
            ("ゴミ箱", Some(("ゴミ", "箱"))),
            ("ゴミバコ", None),
            ("ขยะไม่ได้เก็บ", Some(("ขยะ", "ไม่ได้เก็บ"))),
            ("눈 왔어요", Some(("눈", "왔어요"))),
            ("\u{1102}\u{116e}\u{11ab} x", Some(("눈", "x"))),
            ("누 x", None),
            ("ثَلْج هنا", Some(("ثلج", "هنا"))),
            ("कूड़ा घर", Some(("कूड़ा", "घर"))),
            ("कूड़ घर", None),
            ("שֶׁלֶג", Some(("שלג", ""))),
        ],
    );
}

#[test]
fn characters_of_several_words_stay_whole() {
    let table = table(&[("a", Mode::Word), ("1", Mode::Word), ("tm", Mode::Word), ("fi", Mode::Prefix)], true);
    check(
        &table,
        &[
            ("℀ b", None),
            ("½ b", None),
            ("⑴ b", Some(("1", "b"))),
            ("ﬁre", Some(("fi", "re"))),
            ("ﬃ", None),
            ("ﷺ", None),
        ],
    );
}

fn decide(table: &Table, to: &str, text: &str) -> Decision {
    table.decide(&number(to), text).unwrap()
}

#[test]
fn a_number_overrides_the_same_word_of_every_number() {
    let keywords = vec![
        keyword("*", "snow", "c", Mode::Word),
        keyword("*", "snow plough", "d", Mode::Word),
        keyword("*", "bin", "d", Mode::Word),
        keyword("86555", "SNOW", "b", Mode::Exact),
        keyword("86555", "bin day", "c", Mode::Word),
        keyword("07700 900123", "tree", "d", Mode::Word),
    ];
    let table = Table::build(spec(keywords)).unwrap();
    for (to, text, expected, matched) in [
        ("86555", "snow", "b", Some("SNOW")),
        ("86555", "snow on", "a", None),
        ("86555", "snow plough", "d", Some("snow plough")),
        ("86555", "bin", "d", Some("bin")),
        ("86555", "bin day", "c", Some("bin day")),
        ("86555", "tree", "a", None),
        ("12345", "snow on", "c", Some("snow")),
        ("12345", "bin day", "d", Some("bin")),
        ("12345", "tree", "b", None),
        ("+447700900123", "tree", "d", Some("tree")),
        ("+447700900123", "snow on", "c", Some("snow")),
        ("+447700900123", "hello", "b", None),
    ] {
        let decision = decide(&table, to, text);
        assert_eq!((decision.department.as_str(), decision.keyword.as_deref()), (expected, matched), "{to} {text}");
    }
    assert_eq!(table.keyword_count(), 6);
    let labels = ["86555", "12345", "07700900123"].map(|to| table.number_label(&number(to)).to_owned());
    assert_eq!(labels, ["86555", "*", "+447700900123"]);
}

#[test]
fn the_decision_names_word_alias_rule_and_version() {
    let mut snow = keyword("86555", "Snow", "c", Mode::Word);
    snow.aliases = vec!["Grit".into(), "black ice".into()];
    let table = Table::build(spec(vec![snow, keyword("86555", "pot", "d", Mode::Prefix)])).unwrap();
    let decision = decide(&table, "86555", "«black  ICE» here");
    assert_eq!(decision.keyword.as_deref(), Some("Snow"));
    assert_eq!((decision.rule.kind, decision.rule.matched.as_deref()), (RuleKind::Word, Some("black ice")));
    assert_eq!((decision.rest, decision.routes_version.as_ref()), (Some("«black  ICE» ".len()), "v1"));
    assert_eq!(decide(&table, "86555", "pothole").rule.kind, RuleKind::Prefix);
    assert_eq!(table.keyword_count(), 4);

    let default = table.default_for(&number("86555")).unwrap();
    assert_eq!((default.department.as_str(), default.rule.kind), ("a", RuleKind::Default));
    assert_eq!((default.keyword, default.rest, default.rule.matched), (None, None, None));
    assert_eq!(table.topic(&department("c")), Some("sms.c"));
    assert_eq!(table.topic(&department("x")), None);
}

#[test]
fn a_number_outside_the_table_is_told_apart() {
    let mut spec = spec(vec![keyword("*", "snow", "c", Mode::Word)]);
    spec.numbers.retain(|number| number.number != "*");
    let table = Table::build(spec).unwrap();
    assert_eq!(decide(&table, "86555", "snow").department.as_str(), "c");
    assert_eq!(table.decide(&number("12345"), "snow"), None);
    assert_eq!(table.default_for(&number("12345")), None);
    let explanation = serde_json::to_value(table.explain(&number("12345"), "snow")).unwrap();
    assert_eq!(explanation, serde_json::json!({"routes_version": "v1", "candidates": []}));
    assert!(table.warnings()[0].reason.contains("dead-letter"), "{:?}", table.warnings());
}

#[test]
fn consent_is_the_whole_message_and_the_text_is_routed_all_the_same() {
    let mut spec = spec(vec![keyword("86555", "help", "c", Mode::Word), keyword("86555", "stop", "d", Mode::Prefix)]);
    let consent = |number: &str, consent, words: &[&str]| ConsentSpec {
        number: number.into(),
        consent,
        words: words.iter().map(|&word| word.into()).collect(),
        line: 30,
    };
    spec.consent = vec![
        consent("86555", Consent::Stop, &["arrêt", "opt out", "停止", "STOP"]),
        consent("*", Consent::Help, &["aide"]),
    ];
    let table = Table::build(spec).unwrap();
    for (to, text, consent, expected) in [
        ("86555", "STOP", Some(Consent::Stop), "d"),
        ("86555", " \u{201c}Stop.\u{201d} ", Some(Consent::Stop), "d"),
        ("86555", "stopall", Some(Consent::Stop), "d"),
        ("86555", "stop it", None, "d"),
        ("86555", "stop 🛑", None, "d"),
        ("86555", "Opt-Out", Some(Consent::Stop), "a"),
        ("86555", "ARRET", Some(Consent::Stop), "a"),
        ("86555", "停止。", Some(Consent::Stop), "a"),
        ("86555", "help!", Some(Consent::Help), "c"),
        ("86555", "help me", None, "c"),
        ("86555", "aide", Some(Consent::Help), "a"),
        ("86555", "yes", None, "a"),
        ("12345", "arret", None, "b"),
        ("12345", "Aide", Some(Consent::Help), "b"),
        ("12345", "UNSTOP", Some(Consent::Start), "b"),
        ("12345", "unsubscribe", Some(Consent::Stop), "b"),
    ] {
        let decision = decide(&table, to, text);
        assert_eq!((decision.consent, decision.department.as_str()), (consent, expected), "{to} {text}");
    }
}

#[test]
fn explain_tells_who_lost_and_why() {
    let keywords = vec![
        keyword("86555", "park", "b", Mode::Word),
        keyword("86555", "park pay", "c", Mode::Exact),
        keyword("86555", "park pay zone", "d", Mode::Word),
        keyword("*", "park", "d", Mode::Word),
        keyword("86555", "park pay zon", "d", Mode::Word),
    ];
    let table = Table::build(spec(keywords)).unwrap();
    let explained = |text| {
        let explanation = table.explain(&number("86555"), text);
        let losers = explanation.candidates.iter();
        let losers = losers.map(|loser| format!("{} {}: {}", loser.matched, loser.department, loser.reason));
        (explanation.keyword.as_deref().map(str::to_owned), losers.collect::<Vec<_>>())
    };
    let exact = "park pay c: it must be the whole message (exact), and the message goes on";
    let inside = "park pay zon d: it must be a whole word, and the word goes on";
    let longer = "park b: a longer keyword matches";
    let hidden = "park d: the number has the same word for itself";
    let own = |losers: &[&str]| losers.iter().map(|&loser| loser.to_owned()).collect::<Vec<_>>();
    assert_eq!(explained("park pay 2"), (Some("park".into()), own(&[exact, hidden])));
    assert_eq!(explained("park pay zone 2"), (Some("park pay zone".into()), own(&[exact, inside, longer, hidden])));
    assert_eq!(
        explained("parks"),
        (
            None,
            own(&[
                "park b: it must be a whole word, and the word goes on",
                "park d: it must be a whole word, and the word goes on"
            ])
        )
    );
    assert_eq!(explained("hello"), (None, vec![]));
}

#[test]
fn a_swap_is_seen_at_once_and_leaves_old_readers_their_table() {
    let live = Live::new(table(&[("snow", Mode::Word)], true));
    let other = live.clone();
    let before = live.snapshot();
    let _ = other.swap(table(&[("tree", Mode::Word)], true));
    assert_eq!(live.load().decide(&number("86555"), "snow").unwrap().keyword, None);
    assert_eq!(before.decide(&number("86555"), "snow").unwrap().keyword.as_deref(), Some("snow"));
}

#[test]
fn texts_of_any_length_are_decided() {
    let table = table(&[("snow", Mode::Prefix), ("a", Mode::Exact), ("❄", Mode::Word)], false);
    for (piece, keyword) in [
        ("\u{301}", Some("❄")),
        ("\u{200d}", Some("❄")),
        (" ", Some("❄")),
        ("\0", Some("❄")),
        ("a\u{301}", None),
        ("a ", None),
        ("ﷺ", None),
        ("👨\u{200d}", None),
        ("snow\u{200d}", Some("snow")),
        ("❄\u{301}", None),
        ("❄ ", Some("❄")),
    ] {
        let text = format!("{}❄", piece.repeat(64 * 1024));
        assert_eq!(table.find(&number("86555"), &text).unwrap().keyword(), keyword, "{piece:?}");
    }
}
