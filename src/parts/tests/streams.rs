//! Streams of pieces and what becomes of them, row by row.

use proptest::prelude::*;

use super::world::{Published, World};
use super::*;

/// `a2` is piece 2 of text a, which has 3; all texts share one reference. `a2*` is the same words under
/// another id, as from a carrier without ids. `+60` lets so many seconds pass for a reader that is alive.
fn run(stream: &str) -> Vec<Published> {
    let mut world = World::new(Settings::default());
    let mut reader = world.reader(0);
    for token in stream.split_whitespace() {
        if let Some(seconds) = token.strip_prefix('+') {
            world.seconds += seconds.parse::<i64>().expect("seconds");
            reader.groups.tick(world.now());
        } else {
            let words = token.trim_end_matches('*');
            let number = words[1..].parse().expect("a number");
            let body = Body::Text(Text::from(words));
            let received_at = world.now();
            world.push(&piece(&Sketch { id: token, reference: "7", number, total: 3, words: body, received_at }));
        }
        world.settle(&mut reader);
    }
    world.run_to_the_end(&mut reader);
    world.published
}

fn check(stream: &str, expected: &str) {
    let texts = run(stream).into_iter().map(|text| {
        let mark = match text.outcome {
            Outcome::Complete => "",
            Outcome::Incomplete => "?",
            Outcome::Addendum => "+",
        };
        format!("{mark}{}", text.words)
    });
    assert_eq!(texts.collect::<Vec<_>>().join(" "), expected, "{stream}");
}

#[test]
fn pieces_in_any_order_become_one_text() {
    for order in ["a1 a2 a3", "a1 a3 a2", "a2 a1 a3", "a2 a3 a1", "a3 a1 a2", "a3 a2 a1", "a3 +599 a2 a1"] {
        check(order, "a1a2a3");
    }
}

#[test]
fn a_repeated_piece_adds_nothing() {
    check("a1 a1 a2 a1 a3", "a1a2a3");
    check("a1 a1* a2 a3", "a1a2a3");
    check("a1 a2 a3 a2", "a1a2a3");
    check("a1 a3 +600 a3 a1*", "?a1a3");
    check("a1 a3 +600 a2 a2 a2*", "?a1a3 +a2");
}

#[test]
fn what_is_there_goes_out_when_its_time_is_over() {
    check("a1 a3 +599", "?a1a3");
    check("a2 +600", "?a2");
    check("a2 +600 a3 +600", "?a2 +a3");
    check("a1 a3 +600 a2", "?a1a3 +a2");
    check("a1 +600 a2 a3", "?a1 +a2 +a3");
    check("a3 +600 a1 +1000 a2", "?a3 +a1 +a2");
}

#[test]
fn a_piece_later_than_late_is_a_text_of_its_own() {
    check("a1 a3 +600 +3601 a2", "?a1a3 ?a2");
}

#[test]
fn a_reference_used_again_begins_another_text() {
    check("a1 a2 a3 b1 b2 b3", "a1a2a3 b1b2b3");
    check("a1 a2 a3 a1* a2* a3*", "a1a2a3 a1a2a3");
    // The missing piece could be of either text while both may lack it; then it is the newer one's.
    check("a1 a3 b1 b2 b3", "?a1a3 b1b2b3");
    check("a1 a3 b3 b1 b2 +600", "?a1a3 b1b2b3");
    check("a1 a2 b2 b1", "?a1a2 ?b1b2");
    check("a1 b1 c1", "?a1 ?b1 ?c1");
}

#[test]
fn one_carrier_id_for_two_texts_swallows_neither() {
    let mut world = World::new(Settings::default());
    let mut reader = world.reader(0);
    for words in ["a1", "b1", "a1"] {
        let body = Body::Text(Text::from(words));
        world.push(&piece(&Sketch { id: "1", reference: "7", number: 1, total: 2, words: body, received_at: at(0) }));
    }
    world.run_to_the_end(&mut reader);
    let words: Vec<&str> = world.published.iter().map(|text| text.words.as_str()).collect();
    assert_eq!((words, world.texts().len()), (vec!["a1", "b1"], 2));
}

#[test]
fn pieces_in_doubt_are_joined_to_neither_text() {
    check("a1 b1 a2 b2 a3 b3", "?a1 ?b1 +a2 +b2 +a3 +b3");
    check("a1 b1 b2 +600", "?a1 ?b1 +b2");
    check("a1 a2 b1 b2 b3 a3", "?a1a2 ?b1b2 +b3 +a3");
}

#[test]
fn addenda_belong_to_the_text_that_went_out_without_them() {
    let published = run("a1 a3 +600 a2");
    assert_eq!(published[1].relates_to, Some(published[0].id));
    assert_eq!((published[1].parts, published[1].received_at), ((1, 3), at(600)));
    assert_eq!((published[0].parts, published[0].received_at), ((2, 3), at(0)));
}

#[test]
fn a_text_is_as_old_as_its_first_piece() {
    let published = run("a2 +60 a1 +60 a3");
    assert_eq!((published[0].received_at, published[0].parts), (at(0), (3, 3)));
}

#[test]
fn what_cannot_be_decoded_makes_the_whole_text_bytes() {
    let mut world = World::new(Settings::default());
    let mut reader = world.reader(0);
    let bodies = [Body::Undecodable(vec![0xff, 0xfe]), Body::Text(Text::from("é"))];
    for (number, words) in (1..).zip(bodies) {
        let id = format!("piece {number}");
        world.push(&piece(&Sketch { id: &id, reference: "300", number, total: 2, words, received_at: at(0) }));
    }
    world.settle(&mut reader);
    assert_eq!(world.published[0].words, "[255, 254, 195, 169]");
}

#[test]
fn beyond_the_bounds_the_oldest_text_goes_out_as_it_is() {
    for settings in [
        Settings { groups_max: 2, ..Settings::default() },
        Settings { bytes_max: 3 * size_of::<PartRecord>(), ..Settings::default() },
    ] {
        let mut world = World::new(settings);
        let mut reader = world.reader(0);
        for reference in ["1", "2", "3"] {
            let words = Body::Text(Text::from(reference));
            let sketch = Sketch { id: reference, reference, number: 1, total: 2, words, received_at: at(0) };
            world.push(&piece(&sketch));
        }
        world.settle(&mut reader);
        assert_eq!((reader.groups.open_groups(), reader.groups.evicted()), (2, 1));
        assert_eq!((world.published.len(), world.published[0].words.as_str()), (1, "1"));
    }
}

#[test]
fn nothing_is_given_out_before_the_end_of_the_stream_is_known() {
    let mut world = World::new(Settings::default());
    for number in 1..=3 {
        let (words, id) = (Body::Text(Text::from("a")), number.to_string());
        world.push(&piece(&Sketch { id: &id, reference: "7", number, total: 3, words, received_at: at(0) }));
    }
    let mut reader = world.reader(0);
    while reader.next < 3 {
        assert!(world.read(&mut reader));
        assert!(reader.groups.next_todo().is_none());
    }
    assert!(!world.read(&mut reader));
    assert!(matches!(reader.groups.next_todo(), Some(Todo::Publish(_))));
}

#[test]
fn values_of_the_stream_are_read_back_or_refused_without_their_content() {
    let words = Body::Undecodable(vec![1, 2, 3]);
    let record = piece(&Sketch { id: "a", reference: "65535", number: 2, total: 2, words, received_at: at(0) });
    let value = record.event().value;
    assert!(PartRecord::from_json(&value).is_ok_and(|read| read == record));
    let json = String::from_utf8(value).expect("JSON");
    for (from, to, reason) in [
        ("\"number\":2", "\"number\":3", "the value is not a record: a number outside its total"),
        ("\"AQID\"", "\"A\"", "the value is not a record: raw is not base64"),
        ("\"schema_version\":1", "\"schema_version\":2", "the record's schema version 2 is newer than this build"),
        ("\"total\":2", "\"total\":\"2\"", "the value is not a record: line 1 column"),
    ] {
        let error = PartRecord::from_json(json.replace(from, to).as_bytes()).expect_err(from).to_string();
        assert!(error.starts_with(reason), "{error}");
    }
    assert!(!format!("{record:?}").contains("65535"));
}

#[test]
fn what_a_later_release_says_of_pieces_stays_with_their_text() {
    let mut world = World::new(Settings::default());
    for number in 1..=2 {
        let (words, id) = (Body::Text(Text::from("a")), number.to_string());
        let mut piece = piece(&Sketch { id: &id, reference: "7", number, total: 2, words, received_at: at(0) });
        piece.flags = vec![Open::Later("translated".into()), Flag::Unverified.into()];
        let json = String::from_utf8(piece.event().value).expect("JSON");
        let later = json.replace("\"reference\"", "\"language\":\"cy\",\"reference\"");
        world.push(&PartRecord::from_json(later.as_bytes()).expect("a piece"));
    }
    let mut reader = world.reader(0);
    while world.read(&mut reader) {}
    let Some(Todo::Publish(joined)) = reader.groups.next_todo() else { panic!("the text is whole") };
    assert_eq!(serde_json::to_value(&joined.flags).expect("JSON"), serde_json::json!(["translated", "unverified"]));
}

#[test]
fn a_marker_of_a_later_release_says_nothing_and_a_later_outcome_says_that_the_text_is_sent() {
    let mut world = World::new(Settings::default());
    let words = || Body::Text(Text::from("a"));
    let sketch = |number, id| Sketch { id, reference: "7", number, total: 2, words: words(), received_at: at(0) };
    world.push(&piece(&sketch(1, "1")));
    world.push(&piece(&sketch(2, "2")));
    let mut reader = world.reader(0);
    while world.read(&mut reader) {}
    let Some(Todo::Publish(joined)) = reader.groups.next_todo() else { panic!("the text is whole") };
    let sent = String::from_utf8(joined.sent(None, None).event(&joined.to).value).expect("JSON");
    let check = |from: &str, to: &str, is_given_out_again: bool| {
        let mut reader = world.reader(0);
        while reader.next < 2 {
            assert!(world.read(&mut reader));
        }
        let marker = Entry::marker(sent.replace(from, to).as_bytes()).expect("a marker");
        reader.groups.read(2, marker, at(1));
        reader.groups.go_live();
        assert_eq!(reader.groups.next_todo().is_some(), is_given_out_again, "{to}");
    };
    check("\"sent\"", "\"translated\"", true);
    check("\"complete\"", "\"shortened\"", false);
    check("\"sent\"", "\"sent\"", false);
    assert!(Entry::marker(sent.replace("\"pieces\"", "\"peaces\"").as_bytes()).is_err());
}

/// Texts with references of their own, some pieces lost, some repeated, in any order.
fn shuffled() -> impl Strategy<Value = (Vec<Vec<bool>>, Vec<(usize, usize)>)> {
    let texts = proptest::collection::vec(proptest::collection::vec(any::<bool>(), 2..6), 1..6);
    texts.prop_flat_map(|texts| {
        let arrived = texts.iter().enumerate().flat_map(|(text, pieces)| {
            let there = pieces.iter().enumerate().filter(|(_, there)| **there);
            there.map(move |(number, _)| (text, number))
        });
        let mut arrived: Vec<(usize, usize)> = arrived.collect();
        arrived.extend(arrived.clone().into_iter().step_by(3));
        (Just(texts), Just(arrived).prop_shuffle())
    })
}

proptest! {
    #[test]
    fn texts_apart_become_what_their_pieces_spell((texts, arrived) in shuffled()) {
        let mut world = World::new(Settings::default());
        let mut reader = world.reader(0);
        for (text, index) in arrived {
            let (id, number) = (format!("<{text}.{index}>"), u16::try_from(index).expect("small") + 1);
            let (words, reference) = (Body::Text(Text::from(id.as_str())), text.to_string());
            let total = u16::try_from(texts[text].len()).expect("small");
            let (id, reference, received_at) = (id.as_str(), reference.as_str(), at(0));
            world.push(&piece(&Sketch { id, reference, number, total, words, received_at }));
        }
        world.run_to_the_end(&mut reader);
        let mut published: Vec<String> = world.published.iter().map(|text| text.words.clone()).collect();
        let spell = |(text, pieces): (usize, &Vec<bool>)| {
            let there = pieces.iter().enumerate().filter(|(_, there)| **there);
            there.map(|(index, _)| format!("<{text}.{index}>")).collect::<String>()
        };
        let mut expected: Vec<String> = texts.iter().enumerate().map(spell).filter(|text| !text.is_empty()).collect();
        published.sort();
        expected.sort();
        prop_assert_eq!(published, expected);
    }

    /// The second text begins with a number that the first has: from then on they are known to differ.
    #[test]
    fn texts_that_are_known_to_differ_are_never_mixed(
        first in 1..=3_u16,
        rest in Just(vec!["a1", "a2", "a3", "b1", "b2", "b3"]).prop_shuffle(),
    ) {
        let (a, b) = (format!("a{first}"), format!("b{first}"));
        let rest: Vec<&str> = rest.into_iter().filter(|token| *token != a && *token != b).collect();
        let published = run(&format!("{a} {b} {}", rest.join(" ")));
        for text in &published {
            prop_assert!(!(text.words.contains('a') && text.words.contains('b')), "{}", text.words);
        }
        prop_assert_eq!(published.iter().map(|text| text.words.len()).sum::<usize>(), 12);
    }
}

/// The reader that let the text go, and published what came late, died before it said so; who reads again
/// meets another text's piece before it learns where the first one ended.
#[test]
fn what_came_late_for_a_text_without_room_is_late_to_every_reader() {
    let mut world = World::new(Settings { groups_max: 1, ..Settings::default() });
    for (id, reference, number) in [("a1", "7", 1), ("c1", "8", 1), ("a3", "7", 3), ("b3", "7", 3)] {
        let words = Body::Text(Text::from(id));
        world.push(&piece(&Sketch { id, reference, number, total: 3, words, received_at: at(0) }));
    }
    let mut reader = world.reader(0);
    assert!(world.read(&mut reader) && world.read(&mut reader));
    assert!(world.act(&mut reader, usize::MAX), "no room: a1 goes out");
    while world.read(&mut reader) {}
    assert!(world.act(&mut reader, usize::MAX), "no room: c1 goes out");
    assert!(world.act(&mut reader, 1), "the addendum a3, unmarked");
    let mut again = world.reader(reader.needed);
    world.run_to_the_end(&mut again);
    let words: Vec<_> = world.texts().into_values().map(|text| text.words).collect();
    assert_eq!(words.iter().filter(|words| words.contains("a3")).count(), 1, "{words:?}");
    assert_eq!(words.len(), 4);
}
