//! The judge is given records that somebody made up.

use super::*;
use crate::texts::{Mix, entries};

const RUN: u32 = 7;

/// Texts 1 to 3 on two topics, the second one sent twice.
const SENT: [u8; 4] = [0, 1, 2, 1];
const ALL: [bool; 4] = [false, true, true, true];

const NOBODY: Others = Others { floors: Some(0), peers: 0 };

fn value(script: &Script, number: u64, change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let told = script.text(number);
    let id = format!("{ID_PREFIX}{RUN:08x}00{number:018}");
    let mut record = serde_json::json!({"id": "x", "carrier_message_id": id, "from": told.from, "text": told.text});
    change(&mut record);
    record.to_string().into_bytes()
}

/// What the judge says of the service when these records lie there: number, topic, id; and so many texts went into
/// the journal.
fn judged_of(records: &[(u64, usize, &str)], journalled: u64) -> Verdict {
    let script = Script::plain(2);
    let mut judge = Judge::new(&script, RUN, (&SENT, &ALL), &NOBODY);
    for (number, topic, id) in records {
        judge.take(*topic, true, &value(&script, *number, |record| record["id"] = (*id).into()));
    }
    judge.verdict(journalled)
}

/// The same of records with an id each, without a journal: number, topic.
fn judged(records: &[(u64, usize)]) -> Verdict {
    let ids: Vec<String> = (0..records.len()).map(|id| id.to_string()).collect();
    let records: Vec<_> =
        records.iter().zip(&ids).map(|((number, topic), id)| (*number, *topic, id.as_str())).collect();
    judged_of(&records, 0)
}

#[test]
fn each_once_on_its_topic_is_clean_however_often_it_was_sent() {
    let verdict = judged(&[(1, 1), (2, 0), (3, 1)]);
    assert!(verdict.is_clean() && verdict.nothing_missing() && verdict.texts == 3, "{verdict}");
}

#[test]
fn lost_doubled_and_misrouted_are_found_and_counted() {
    for (records, expected) in [
        (&[(1, 1), (2, 0)][..], Verdict { texts: 3, lost: 1, ..Verdict::default() }),
        (&[], Verdict { texts: 3, lost: 3, ..Verdict::default() }),
        // A repeat that was taken for a new text.
        (&[(1, 1), (2, 0), (2, 0), (3, 1)], Verdict { texts: 3, doubled: 1, ..Verdict::default() }),
        (&[(1, 0), (2, 0), (3, 1)], Verdict { texts: 3, misrouted: 1, ..Verdict::default() }),
        // Once here, once there: both.
        (&[(1, 0), (1, 1), (2, 0), (3, 1)], Verdict { texts: 3, doubled: 1, misrouted: 1, ..Verdict::default() }),
        // Never sent.
        (&[(1, 1), (2, 0), (3, 1), (9, 1)], Verdict { texts: 3, changed: 1, ..Verdict::default() }),
        (&[(1, 1), (2, 0), (3, 1), (0, 0)], Verdict { texts: 3, changed: 1, ..Verdict::default() }),
    ] {
        let verdict = judged(records);
        assert_eq!(verdict, expected);
        assert!(!verdict.is_clean());
    }
}

#[test]
fn a_text_again_under_its_id_is_no_fault_of_as_many_as_the_journal_took() {
    let once = [(1, 1, "a"), (2, 0, "b"), (3, 1, "c")];
    let verdict = |more: &[(u64, usize, &'static str)], journalled| judged_of(&[&once[..], more].concat(), journalled);
    for (more, journalled, repeated, doubled, is_clean) in [
        (&[(1, 1, "a")][..], 1, 1, 0, true),
        // Texts count, not records.
        (&[(1, 1, "a"), (1, 1, "a")], 1, 1, 0, true),
        (&[(1, 1, "a"), (3, 1, "c")], 5, 2, 0, true),
        // More than went that way.
        (&[(1, 1, "a")], 0, 1, 0, false),
        (&[(1, 1, "a"), (3, 1, "c")], 1, 2, 0, false),
        // Other ids stay a fault, whatever the journal took and whatever else lies there.
        (&[(1, 1, "d")], 5, 0, 1, false),
        (&[(1, 1, "a"), (1, 1, "d")], 5, 0, 1, false),
        (&[(1, 1, "d"), (1, 1, "a")], 5, 0, 1, false),
        // Under its id on another topic.
        (&[(1, 0, "a")], 5, 1, 0, false),
    ] {
        let verdict = verdict(more, journalled);
        assert_eq!((verdict.repeated, verdict.doubled, verdict.lost), (repeated, doubled, 0), "{more:?}");
        assert_eq!(verdict.is_clean(), is_clean, "{more:?}, {journalled} in the journal: {verdict}");
    }
}

#[test]
fn what_lies_there_again_is_told_with_what_the_journal_took() {
    let again = "; 1 lie there more than once, each under one id, and the journal took";
    let records = [(1, 1, "a"), (1, 1, "a"), (2, 0, "b"), (3, 1, "c")];
    for (journalled, said) in [
        (4, format!("each of 3 acknowledged texts lies on its topic, unchanged{again} 4 texts")),
        (0, format!("of the others' records 0 are missing, 0 too many{again} 0 texts")),
    ] {
        let verdict = judged_of(&records, journalled).to_string();
        assert!(verdict.contains(&said), "{verdict}");
    }
}

#[test]
fn other_words_another_sender_and_what_cannot_be_read_are_changes() {
    let script = Script::plain(2);
    let texts: [fn(&mut serde_json::Value); 4] = [
        |record| record["text"] = "k0001 on Main Street".into(),
        |record| record["from"] = "+447700900999".into(),
        |record| record["carrier_message_id"] = "somebody's".into(),
        |record| record["id"] = "".into(),
    ];
    for change in texts {
        let mut judge = Judge::new(&script, RUN, (&SENT, &ALL), &NOBODY);
        judge.take(1, true, &value(&script, 1, change));
        assert_eq!(judge.verdict(0).changed, 1);
    }
    let mut judge = Judge::new(&script, RUN, (&SENT, &ALL), &NOBODY);
    judge.take(1, true, b"{");
    judge.take(
        1,
        true,
        &value(&script, 1, |record| record["carrier_message_id"] = format!("{ID_PREFIX}0000000800{:018}", 1).into()),
    );
    assert_eq!((judge.verdict(0).changed, judge.verdict(0).foreign), (1, 1));
}

#[test]
fn floors_and_peers_owe_a_record_for_each_request() {
    let script = Script::plain(2);
    let mut judge = Judge::new(&script, RUN, (&SENT, &ALL), &Others { floors: Some(2), peers: 1 });
    let of_floor = |floor: usize| {
        value(&script, 1, |record| record["carrier_message_id"] = format!("floor-{floor:02}-00000007").into())
    };
    // Four requests: four records of the first floor, five of the second.
    (0..4).for_each(|_| judge.take(0, true, &of_floor(0)));
    (0..5).for_each(|_| judge.take(1, true, &of_floor(1)));
    // The peer has the repeated text once only.
    [(1, 1), (2, 0), (3, 1)]
        .iter()
        .for_each(|(number, topic)| judge.take(*topic, false, &value(&script, *number, |_| ())));
    let verdict = judge.verdict(0);
    assert_eq!((verdict.others_missing, verdict.others_too_many, verdict.lost), (1, 1, 3));
    judge.take(0, false, &value(&script, 2, |_| ()));
    assert!(judge.verdict(0).others_missing == 0);
}

#[test]
fn what_was_not_acknowledged_may_be_there_once_and_need_not() {
    let script = Script::plain(2);
    for (owed, records, expected, is_clean) in [
        // The last two were refused or never answered.
        (2, &[(1, 1, "a")][..], Verdict { texts: 1, ..Verdict::default() }, true),
        (2, &[(1, 1, "a"), (2, 0, "b")], Verdict { texts: 1, unacknowledged: 1, ..Verdict::default() }, true),
        (2, &[(2, 0, "b")], Verdict { texts: 1, lost: 1, unacknowledged: 1, ..Verdict::default() }, false),
        (
            2,
            &[(1, 1, "a"), (2, 0, "b"), (2, 0, "c")],
            Verdict { texts: 1, unacknowledged: 1, doubled: 1, ..Verdict::default() },
            false,
        ),
        (
            2,
            &[(1, 1, "a"), (3, 0, "b")],
            Verdict { texts: 1, unacknowledged: 1, misrouted: 1, ..Verdict::default() },
            false,
        ),
        (1, &[], Verdict::default(), true),
    ] {
        let owed: Vec<bool> = (0..SENT.len()).map(|number| (1..owed).contains(&number)).collect();
        let mut judge = Judge::new(&script, RUN, (&SENT, &owed), &Others::LEFT_ASIDE);
        for (number, topic, id) in records {
            judge.take(*topic, true, &value(&script, *number, |record| record["id"] = (*id).into()));
        }
        let verdict = judge.verdict(0);
        assert_eq!(verdict, expected);
        assert_eq!(verdict.is_clean(), is_clean, "{verdict}");
        assert_eq!(verdict.to_string().contains("; 1 texts without a 200 are there too"), expected.unacknowledged == 1);
    }
}

#[test]
fn of_a_text_whose_pieces_were_not_all_acknowledged_nothing_is_said() {
    let mix = Mix::parse("[carriers]\nvonage = 1\n[shares]\nparts = 1\n").expect("a mix");
    let script = Script::mixed(&mix, &entries(&mix).expect("able carriers"), 1, 1);
    for (owed, changed) in [([false; 4], 0), (ALL, 1)] {
        let mut judge = Judge::new(&script, RUN, (&SENT, &owed), &NOBODY);
        judge.take(0, true, &value(&script, 1, |record| record["text"] = "the first piece".into()));
        assert_eq!((judge.verdict(0).changed, judge.verdict(0).unacknowledged), (changed, 0));
    }
}

#[test]
fn floors_that_are_left_aside_owe_nothing_and_their_records_are_known() {
    let script = Script::plain(2);
    let mut judge = Judge::new(&script, RUN, (&SENT, &[false; 4]), &Others::LEFT_ASIDE);
    judge.take(0, true, &value(&script, 1, |record| record["carrier_message_id"] = "floor-05-00000007".into()));
    assert_eq!(judge.verdict(0), Verdict::default());
}

#[test]
fn what_is_told_names_nobody() {
    let said = judged(&[(1, 0)]).to_string();
    assert!(said.contains("of 3 acknowledged texts 2 are lost, 0 doubled, 1 misrouted, 0 changed"), "{said}");
    assert!(!said.contains("+44") && !said.contains(ID_PREFIX), "{said}");
}
