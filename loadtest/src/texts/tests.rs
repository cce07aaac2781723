//! What a mix says comes out: shares, repeats, pieces, and every carrier that may be in one.

use super::script::Told;
use super::*;
use crate::settings::{Cluster, Folder};

const TEXTS: u64 = 10_000;

fn mix(written: &str) -> Mix {
    Mix::parse(written).expect("a mix of the test")
}

fn council() -> Mix {
    mix(include_str!("../../mixes/council.toml"))
}

fn texts(mix: &Mix, seed: u64, topics: u16) -> Texts {
    let cluster = Cluster { topics, ..Cluster::small("127.0.0.1:1") };
    let folder = Folder::mixed(cluster, &entries(mix).expect("able carriers")).expect("settings");
    Texts::mixed(mix, seed, &folder.config, topics).expect("accounts")
}

/// How many of the texts are so; and so many are expected of all, give or take six standard deviations.
fn check_share(texts: &Texts, expected: f64, what: &str, is_so: impl Fn(&Told) -> bool) {
    let seen = (1..=TEXTS).filter(|number| is_so(&texts.script.text(*number))).count() as f64;
    let all = TEXTS as f64;
    let deviation = (all * expected * (1.0 - expected)).sqrt();
    assert!(
        (seen - all * expected).abs() <= 6.0 * deviation,
        "{what}: {seen} of {all}, expected a share of {expected}"
    );
}

#[test]
fn shares_come_out() {
    let written = "[carriers]\ngeneric = 3\ntwilio = 1\n[keywords]\nzipf = 1\n\
                   [shares]\nunmatched = 0.2\nunicode = 0.1\nparts = 0.4\n";
    let texts = texts(&mix(written), 7, 4);
    let generic = texts.accounts.iter().position(|account| account.name.as_str() == "demo").expect("generic");
    check_share(&texts, 0.75, "generic", |told| told.carrier == generic);
    check_share(&texts, 0.2, "unmatched", |told| !told.text.starts_with('k'));
    check_share(&texts, 0.1, "unicode", |told| !told.text.is_ascii());
    // Only generic pushes pieces.
    check_share(&texts, 0.75 * 0.4, "parts", |told| told.parts > 1);
    // Zipf over four: 12/25 of the matched for the first, and all unmatched.
    check_share(&texts, 0.8 * 0.48 + 0.2, "first department", |told| told.department == 0);
    check_share(&texts, 0.8 * 0.12, "last department", |told| told.department == 3);
}

#[test]
fn turns_have_each_department_as_often_as_its_requests() {
    assert_eq!(Script::plain(3).turns(), [0, 1, 2]);
    for (mix, topics, hot) in [(council(), 10, 0.3), (mix(include_str!("../../mixes/hot.toml")), 100, 0.96)] {
        let mut texts = texts(&mix, 1, topics);
        let turns = texts.script.turns();
        let all = texts.sign(20_000).expect("signed").len();
        // Repeats are of all alike, so they shift no share.
        let requests = |department: u16| {
            let sent = texts.sent().iter().zip(0..).skip(1);
            let of_it = sent.filter(|(_, number)| texts.script.text(*number).department == department);
            of_it.map(|(sent, _)| f64::from(*sent)).sum::<f64>() / all as f64
        };
        let share =
            |department: u16| turns.iter().filter(|turn| **turn == department).count() as f64 / turns.len() as f64;
        for department in [0, 1, topics - 1] {
            let (turns, requests) = (share(department), requests(department));
            assert!(
                (turns - requests).abs() < 0.02,
                "department {department}: {turns} of turns, {requests} of requests"
            );
        }
        assert!(share(0) > hot, "{}", share(0));
    }
}

#[test]
fn the_same_seed_says_the_same_and_another_does_not() {
    let (one, same, other) = (texts(&council(), 1, 10), texts(&council(), 1, 10), texts(&council(), 2, 10));
    let told = |texts: &Texts| (1..500).map(|number| texts.script.text(number)).collect::<Vec<_>>();
    assert_eq!(told(&one), told(&same));
    assert_ne!(told(&one), told(&other));
}

#[test]
fn duplicates_repeat_a_request_under_its_id() {
    let mut texts = texts(&mix("[carriers]\ngeneric = 1\n[shares]\nduplicates = 0.25\n"), 3, 2);
    let requests = texts.sign(8_000).expect("signed");
    let (all, new) = (requests.len() as f64, texts.count() as f64);
    assert!((new / all - 0.75).abs() < 0.03, "{new} of {all} are new");
    assert_eq!(texts.sent().iter().map(|sent| usize::from(*sent)).sum::<usize>(), requests.len());
    let mut bodies: Vec<_> = requests
        .iter()
        .map(|request| String::from_utf8_lossy(request).split_once("\r\n\r\n").expect("a body").1.to_owned())
        .collect();
    bodies.sort_unstable();
    bodies.dedup();
    assert_eq!(bodies.len(), texts.count(), "a repeat has the body of what it repeats");
}

#[test]
fn pieces_share_a_reference_and_make_the_whole() {
    let mix = mix("[carriers]\nvonage = 1\n[shares]\nparts = 1\nunicode = 0.5\n");
    let mut texts = texts(&mix, 5, 3);
    for number in 1..200 {
        let told = texts.script.text(number);
        assert!((2..=3).contains(&told.parts));
        let pieces: Vec<_> = (1..=told.parts).map(|piece| told.piece(piece, 1, number)).collect();
        assert_eq!(pieces.iter().map(|(words, _)| words.as_str()).collect::<String>(), told.text);
        let parts: Vec<_> = pieces.iter().filter_map(|(_, part)| part.clone()).collect();
        assert!(parts.iter().all(|part| part.reference == parts[0].reference && part.total == told.parts));
        assert_eq!(parts.iter().map(|part| part.number).collect::<Vec<_>>(), (1..=told.parts).collect::<Vec<_>>());
        assert_ne!(
            parts[0].reference,
            texts.script.text(number + 1).piece(1, 1, number + 1).1.expect("a part").reference
        );
    }
    let requests = texts.sign(100).expect("signed");
    assert!((98..=100).contains(&requests.len()));
    for (number, sent) in texts.sent().iter().enumerate().skip(1) {
        assert_eq!(u16::from(*sent), texts.script.text(number as u64).parts, "no text lacks a piece");
    }
    assert_eq!(texts.in_pieces(), texts.count() as u64);
}

#[test]
fn a_text_is_owed_once_it_was_answered_as_a_whole_or_in_all_its_pieces() {
    let owed = |texts: &Texts| texts.owed().into_iter().filter(|is_owed| *is_owed).count();
    let mut whole = texts(&mix("[carriers]\ngeneric = 1\n[shares]\nduplicates = 0.25\n"), 3, 2);
    let requests = whole.sign(1_000).expect("signed");
    assert_eq!(owed(&whole), 0, "nothing was answered");
    // Of a text that is sent again any answer will do.
    let last = (0..requests.len()).rev().find(|place| requests.parcels[..*place].contains(&requests.parcels[*place]));
    whole.acknowledge(&requests, |place| Some(place) == last);
    let repeated = requests.parcels[last.expect("a repeat")].0;
    let expected: Vec<bool> = (0..=whole.count() as u64).map(|number| number == repeated).collect();
    assert_eq!(whole.owed(), expected);
    whole.acknowledge(&requests, |_| true);
    assert_eq!(owed(&whole), whole.count());

    let mut in_pieces = texts(&mix("[carriers]\nvonage = 1\n[shares]\nparts = 1\n"), 5, 3);
    let requests = in_pieces.sign(100).expect("signed");
    let first: Vec<usize> = (0..requests.len()).filter(|place| requests.parcels[*place].0 == 1).collect();
    let (last, others) = first.split_last().expect("pieces");
    in_pieces.acknowledge(&requests, |place| others.contains(&place));
    in_pieces.acknowledge(&requests, |place| others.contains(&place));
    assert_eq!(owed(&in_pieces), 0, "a piece is missing");
    in_pieces.acknowledge(&requests, |place| place == *last);
    assert!(in_pieces.owed()[1] && owed(&in_pieces) == 1);
}

#[test]
fn without_a_mix_all_requests_are_alike_and_ids_tell_numbers() {
    let folder = Folder::mixed(Cluster::small("127.0.0.1:1"), &[]).expect("settings");
    let mut texts = Texts::new(folder.config.accounts[0].0.clone(), 3);
    let requests = texts.sign(100).expect("signed");
    assert!(
        requests.iter().all(
            |request| request.len() == requests[0].len() && request.starts_with(b"POST /inbound/demo HTTP/1.1\r\n")
        )
    );
    assert_eq!(texts.sent(), [vec![0], vec![1; 100]].concat());
    assert_eq!(
        texts.script.text(5),
        Told {
            carrier: 0,
            from: "+447700900005".to_owned(),
            text: "k0002 on Main St".to_owned(),
            department: 2,
            parts: 1
        }
    );
    assert_eq!(number_of(&id(9, 2, 77), 9), Some(77));
    assert_eq!((number_of(&id(9, 2, 77), 8), number_of("SM123", 9)), (None, None));
}

#[test]
fn every_carrier_that_can_be_in_a_mix_is_taken_by_the_settings() {
    let all = carriers::able();
    for expected in
        ["generic", "twilio", "vonage", "clickatell", "infobip", "sinch", "plivo", "messagebird", "govuk-notify"]
    {
        assert!(all.contains(&expected), "{expected} is not among {all:?}");
    }
    let carriers: String = all.iter().map(|name| format!("{name} = 1\n")).collect();
    let mut texts = texts(&mix(&format!("[carriers]\n{carriers}")), 1, 2);
    assert_eq!(texts.accounts.len(), all.len());
    assert_eq!(texts.sign(200).expect("signed").len(), 200);
}

#[test]
fn what_makes_no_sense_is_refused_by_its_key_with_a_remedy() {
    for (written, parts) in [
        ("[carriers]\ngeneric = 1\n[shares]\nunmatchd = 0.1\n", &["unmatchd", "`unmatched`"][..]),
        ("[carrier]\ngeneric = 1\n", &["carrier", "`carriers`"]),
        ("[carriers]\ngeneric = 1\n[keywords]\nzipf = -1\n", &["keywords.zipf is -1", "from 0 to 5"]),
        ("[carriers]\ngeneric = 1\n[shares]\nparts = 1.5\n", &["shares.parts is 1.5", "from 0 to 1"]),
        ("[carriers]\ngeneric = -1\n", &["carriers.generic is no weight", "write 0 or a greater number"]),
        ("[carriers]\n", &["[carriers] names none", "generic = 1"]),
    ] {
        let error = format!("{:#}", Mix::parse(written).expect_err("no mix"));
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    for (carriers, parts) in [
        ("generik = 1", &["carriers.generik", "no carrier of this build", "generic"][..]),
        ("telnyx = 1", &["carriers.telnyx", "cannot be in a mix", "generic"]),
        ("firetext = 1", &["carriers.firetext", "names no id"]),
    ] {
        let error = entries(&mix(&format!("[carriers]\n{carriers}\n"))).err().expect("no entries");
        assert!(parts.iter().all(|part| format!("{error:#}").contains(part)), "{error:#}");
    }
}

#[test]
fn peers_are_given_only_what_they_read() {
    assert!(mix("[carriers]\ngeneric = 1\ntwilio = 0\n[shares]\nunmatched = 0.5\n").check_for_peers().is_ok());
    let error = council().check_for_peers().expect_err("other carriers").to_string();
    assert!(error.contains("twilio") && error.contains("leave --peers out"), "{error}");
    let error = mix("[carriers]\ngeneric = 1\n[shares]\nparts = 0.1\n").check_for_peers().expect_err("pieces");
    assert!(error.to_string().contains("shares.parts = 0"), "{error}");
}
