//! Lanes of e-mail against a real server on loopback.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::smtp::{Script, Server, Way};
use super::{Lab, email, letter, retry};
use crate::clock::Clock;
use crate::deliver::{Channel, Delivery, Email, Retry, Smtp, SmtpTls};
use crate::fetch::tests::tls_for;
use crate::message::{Secret, Timestamp};

const EMAIL: Channel = Channel::Email;

fn usual() -> Script {
    Arc::new(|_, _| None)
}

/// Another answer, so often, to lines that hold some word; "mail" means the end of a mail that does.
fn at_first(times: usize, place: &'static str, word: &'static str, answer: &'static str) -> Script {
    let said = AtomicUsize::new(0);
    Arc::new(move |line, data| {
        let is_it = line.starts_with(place) && (line.contains(word) || data.contains(word));
        (is_it && said.fetch_add(1, Ordering::SeqCst) < times).then(|| answer.to_owned())
    })
}

fn smtp(port: u16) -> Smtp {
    Smtp {
        host: "127.0.0.1".to_owned(),
        port,
        tls: SmtpTls::None,
        credentials: None,
        from: "sms-router@example.gov.uk".parse().unwrap(),
        authorities: None,
        timeout: Duration::from_secs(20),
    }
}

fn by(email: Email) -> Delivery {
    Delivery { email: Some(email), push: None }
}

async fn plain(script: Script) -> (Server, Lab) {
    let server = Server::start(Way::Plain, script).await;
    let lab = Lab::open(vec![("highways", by(email()))], Some(smtp(server.port)), retry(), Clock::system());
    (server, lab)
}

fn first_line(data: &str) -> String {
    data.split("\r\n\r\n").nth(1).and_then(|body| body.lines().next()).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn every_text_is_mailed_each_senders_in_order_and_then_done() {
    let (mut server, mut lab) = plain(usual()).await;
    for number in 0..20 {
        for sender in ["+447700900001", "+447700900002", "+447700900003"] {
            lab.give("highways", EMAIL, letter(sender, &format!("{sender} {number:02}")));
        }
    }
    let mut of_sender = BTreeMap::<String, Vec<String>>::new();
    for _ in 0..60 {
        let text = first_line(&server.mail().await.data);
        of_sender.entry(text[..13].to_owned()).or_default().push(text);
    }
    for texts in of_sender.values() {
        assert!(texts.len() == 20 && texts.is_sorted(), "{texts:?}");
    }
    for _ in 0..60 {
        lab.done().await;
    }
    assert_eq!((lab.counted("highways", EMAIL, "delivered"), lab.lane("highways", EMAIL).held()), (60, 0));
    assert!(lab.dead_letters().await.is_empty());
    assert!((1..=3).contains(&connections(&mut server)));
}

/// How many clients have begun to talk to it.
fn connections(server: &mut Server) -> usize {
    let lines = std::iter::from_fn(|| server.lines.try_recv().ok());
    lines.filter(|line| line.starts_with("EHLO")).count()
}

#[tokio::test]
async fn a_text_that_has_to_wait_holds_up_its_sender_and_nobody_else() {
    let (mut server, mut lab) = plain(at_first(3, "mail", "greylisted", "451 4.7.1 later")).await;
    lab.give("highways", EMAIL, letter("+447700900001", "greylisted"));
    lab.give("highways", EMAIL, letter("+447700900001", "second of the same"));
    lab.give("highways", EMAIL, letter("+447700900002", "of another"));
    let mut texts = Vec::new();
    for _ in 0..3 {
        texts.push(first_line(&server.mail().await.data));
        lab.done().await;
    }
    assert_eq!(texts, ["of another", "greylisted", "second of the same"]);
    assert_eq!((lab.counted("highways", EMAIL, "retried"), lab.counted("highways", EMAIL, "failed")), (3, 0));
}

#[tokio::test]
async fn what_is_refused_for_good_is_kept_in_dead_letter_and_the_next_goes_on() {
    let (mut server, mut lab) = plain(at_first(9, "mail", "too much", "552 5.3.4 too large")).await;
    lab.give("highways", EMAIL, letter("+447700900001", "too much"));
    lab.give("highways", EMAIL, letter("+447700900001", "less"));
    assert_eq!((lab.done().await.as_str(), lab.done().await.as_str()), ("too much", "less"));
    assert_eq!(first_line(&server.mail().await.data), "less");
    let letters = lab.dead_letters().await;
    let [kept] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!((&*kept.reason, kept.detail.as_str()), ("undelivered", "email to highways: refused with 552"));
    let refused = letter("+447700900001", "too much");
    assert_eq!(kept.relates_to, Some(refused.id));
    use base64::Engine;
    assert_eq!(base64::engine::general_purpose::STANDARD.decode(kept.body.as_str()).unwrap(), refused.value);
    assert_eq!((lab.counted("highways", EMAIL, "failed"), lab.counted("highways", EMAIL, "delivered")), (1, 1));
}

#[tokio::test]
async fn of_several_mailboxes_each_gets_a_text_once_whatever_becomes_of_the_others() {
    let later = at_first(2, "RCPT", "later@", "450 4.2.0 later");
    let script: Script = Arc::new(move |line, data| match line.contains("gone@") {
        true => Some("550 5.1.1 no such mailbox".to_owned()),
        false => later(line, data),
    });
    let mut server = Server::start(Way::Plain, script).await;
    let to = ["here@example.org", "gone@example.org", "later@example.org"].map(|to| to.parse().unwrap()).to_vec();
    let delivery = by(Email { to, ..email() });
    let mut lab = Lab::open(vec![("highways", delivery)], Some(smtp(server.port)), retry(), Clock::system());
    lab.give("highways", EMAIL, letter("+447700900001", "Snow"));
    let (first, second) = (server.mail().await, server.mail().await);
    assert_eq!((first.to, second.to), (vec!["here@example.org".to_owned()], vec!["later@example.org".to_owned()]));
    assert_eq!(first.data, second.data, "the same message to everybody");
    lab.done().await;
    let letters = lab.dead_letters().await;
    let [kept] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!(kept.detail, "email to highways: 1 of 3 mailboxes refused it, with 550");
    assert_eq!((lab.counted("highways", EMAIL, "failed"), lab.counted("highways", EMAIL, "delivered")), (1, 1));
    let mut asked = 0;
    while let Ok(line) = server.lines.try_recv() {
        asked += usize::from(line.contains("gone@"));
    }
    assert_eq!(asked, 1, "who refused for good is not asked again");
}

/// Replies that are not those of their commands: a text is taken when the server says so of it, not of something else.
#[tokio::test]
async fn an_answer_to_something_else_is_no_yes() {
    // One reply too many, so that each is taken for the next one's: the mail itself is then refused, unheard.
    check_mended(at_first(2, "RCPT", "", "250 2.1.5 fine\r\n250 2.1.5 fine"), None).await;
    check_mended(at_first(2, "mail", "", "354 go ahead"), None).await;
    check_mended(at_first(2, "DATA", "", "250 2.0.0 fine"), None).await;
}

#[tokio::test]
async fn one_mailbox_that_ends_the_connection_makes_nobody_elses_mails_wait() {
    let script: Script = Arc::new(|line, _| line.contains("desk@").then(|| "421 4.3.2 closing".to_owned()));
    let mut server = Server::start(Way::Plain, script).await;
    let desk = by(Email { to: vec!["desk@example.org".parse().unwrap()], ..email() });
    let both = vec![("parking", desk), ("highways", by(email()))];
    // Whoever waited for the pause of a server that is away would wait longer than the test.
    let slow = Retry { first: Duration::from_secs(3600), longest: Duration::from_secs(3600), ..retry() };
    let mut lab = Lab::open(both, Some(smtp(server.port)), slow, Clock::system());
    lab.give("parking", EMAIL, letter("+447700900001", "to the desk"));
    while !server.lines.recv().await.unwrap().contains("desk@") {}
    lab.give("highways", EMAIL, letter("+447700900002", "Snow"));
    assert_eq!(first_line(&server.mail().await.data), "Snow");
    assert_eq!(lab.done().await, "Snow");
}

#[tokio::test]
async fn a_collected_mail_that_is_refused_for_one_text_costs_only_that_one() {
    let clock = Clock::fixed(at("2026-11-21T10:00:00Z"));
    let mut server = Server::start(Way::Plain, at_first(9, "mail", "poison", "554 5.6.0 not this")).await;
    let delivery = by(Email { digest: Some(Duration::from_secs(900)), ..email() });
    let mut lab = Lab::open(vec![("highways", delivery)], Some(smtp(server.port)), retry(), clock.clone());
    for (sender, text) in [("+447700900001", "a1"), ("+447700900002", "poison"), ("+447700900001", "a2")] {
        lab.give("highways", EMAIL, letter(sender, text));
    }
    all_seen().await;
    clock.set(at("2026-11-21T10:15:00Z"));
    lab.give("highways", EMAIL, letter("+447700900003", "c1"));
    let mut mails = vec![first_line(&server.mail().await.data), first_line(&server.mail().await.data)];
    mails.retain(|text| text.starts_with('a'));
    assert_eq!(mails, ["a1", "a2"], "each sender's in order");
    let mut done = vec![lab.done().await, lab.done().await, lab.done().await];
    done.sort();
    assert_eq!(done, ["a1", "a2", "poison"]);
    let letters = lab.dead_letters().await;
    let [kept] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!(kept.relates_to, Some(letter("+447700900002", "poison").id));
}

/// What says that we may not send is no text's fault: it waits, and goes when that is mended.
async fn check_mended(script: Script, credentials: Option<(String, Secret)>) {
    let mut server = Server::start(Way::Plain, script).await;
    let smtp = Smtp { credentials, ..smtp(server.port) };
    let mut lab = Lab::open(vec![("highways", by(email()))], Some(smtp), retry(), Clock::system());
    lab.give("highways", EMAIL, letter("+447700900001", "Snow"));
    assert_eq!(first_line(&server.mail().await.data), "Snow");
    lab.done().await;
    assert!(lab.dead_letters().await.is_empty());
    assert!(lab.counted("highways", EMAIL, "retried") >= 2 && lab.is_up("highways", EMAIL));
}

#[tokio::test]
async fn our_own_mistakes_cost_no_text() {
    let credentials = || Some(("sms-router".to_owned(), Secret::new(*b"hush")));
    check_mended(at_first(2, "AUTH", "", "535 5.7.8 wrong password"), credentials()).await;
    check_mended(at_first(2, "EHLO", "", "550 5.7.1 go away"), None).await;
    check_mended(at_first(2, "MAIL", "", "550 5.7.1 not you"), None).await;
    check_mended(at_first(2, "MAIL", "", "530 5.7.0 authenticate"), None).await;
    check_mended(at_first(2, "RCPT", "", "530 5.7.0 authenticate"), None).await;
    check_mended(at_first(2, "RCPT", "", "554 5.7.1 relay access denied"), None).await;
    check_mended(at_first(2, "RCPT", "", "553 not in my list of allowed rcpthosts (#5.7.1)"), None).await;
    check_mended(at_first(2, "RCPT", "", "504 5.5.2 need fully-qualified address"), None).await;
    check_mended(at_first(2, "RCPT", "", "421 4.3.2 closing"), None).await;
    check_mended(at_first(2, "mail", "", "554 5.2.252 SendAsDenied"), None).await;
    check_mended(at_first(2, "DATA", "", "421 4.3.2 closing"), None).await;
    check_mended(at_first(2, "DATA", "", "close"), None).await;
    check_mended(at_first(2, "mail", "", "close"), None).await;
}

#[tokio::test]
async fn what_waits_for_a_server_goes_when_it_is_back_each_mail_once() {
    let script = at_first(30, "MAIL", "", "451 4.3.0 not now");
    let mut server = Server::start(Way::Plain, script).await;
    let both = ["highways", "parking"].map(|name| (name, by(email()))).to_vec();
    let mut lab = Lab::open(both, Some(smtp(server.port)), retry(), Clock::system());
    for number in 0..10 {
        let sender = format!("+44770090{number:04}");
        lab.give("highways", EMAIL, letter(&sender, &format!("h{number}")));
        lab.give("parking", EMAIL, letter(&sender, &format!("p{number}")));
    }
    let mut texts = std::collections::BTreeSet::new();
    for _ in 0..20 {
        texts.insert(first_line(&server.mail().await.data));
        lab.done().await;
    }
    assert_eq!(texts.len(), 20, "{texts:?}");
    let tries = lab.counted("highways", EMAIL, "retried") + lab.counted("parking", EMAIL, "retried");
    assert_eq!(tries, 30, "each failure was one try");
    assert!(lab.is_up("highways", EMAIL) && lab.is_up("parking", EMAIL) && lab.dead_letters().await.is_empty());
}

#[tokio::test]
async fn after_its_time_a_text_goes_to_dead_letter() {
    let patience = Retry { give_up: Duration::from_millis(30), ..retry() };
    let server = Server::start(Way::Plain, at_first(usize::MAX, "MAIL", "", "451 4.3.0 not now")).await;
    let mut lab = Lab::open(vec![("highways", by(email()))], Some(smtp(server.port)), patience, Clock::system());
    lab.give("highways", EMAIL, letter("+447700900001", "Snow"));
    assert_eq!(lab.done().await, "Snow");
    let [kept] = &lab.dead_letters().await[..] else { panic!("one letter") };
    assert_eq!(kept.detail, "email to highways: not taken within 0 s, at last: MAIL FROM 451");
    assert!(!lab.is_up("highways", EMAIL));
}

fn encrypted(port: u16, tls: SmtpTls, authorities: Option<String>) -> Smtp {
    let credentials = Some(("sms-router".to_owned(), Secret::new(*b"hush")));
    Smtp { tls, credentials, authorities: authorities.map(String::into_bytes), ..smtp(port) }
}

#[tokio::test]
async fn mails_and_passwords_go_by_tls_whichever_way_it_begins() {
    let (tls, authority) = tls_for("127.0.0.1");
    for (way, mode) in [(Way::StartTls(tls.clone(), ""), SmtpTls::StartTls), (Way::Implicit(tls), SmtpTls::Implicit)] {
        let mut server = Server::start(way, usual()).await;
        let smtp = encrypted(server.port, mode, Some(authority.clone()));
        let mut lab = Lab::open(vec![("highways", by(email()))], Some(smtp), retry(), Clock::system());
        for text in ["one", "two"] {
            lab.give("highways", EMAIL, letter("+447700900001", text));
            let mail = server.mail().await;
            assert!(mail.is_encrypted && first_line(&mail.data) == text, "{mode:?}");
            lab.done().await;
        }
        let mut lines = Vec::new();
        while let Ok(line) = server.lines.try_recv() {
            lines.push(line.split([' ', ':']).next().unwrap_or_default().to_owned());
        }
        assert_eq!(lines.iter().filter(|line| *line == "AUTH").count(), 1, "one connection for both: {lines:?}");
    }
}

/// Whatever is wrong with the way, neither the password nor a mail goes over it.
async fn check_untrusted(way: Way, mode: SmtpTls, authorities: Option<String>) {
    let mut server = Server::start(way, usual()).await;
    let smtp = encrypted(server.port, mode, authorities);
    let lab = Lab::open(vec![("highways", by(email()))], Some(smtp), retry(), Clock::system());
    lab.give("highways", EMAIL, letter("+447700900001", "Snow"));
    let retried = lab.parts.metrics.deliveries.with_label_values(&["highways", "email", "retried"]);
    while retried.get() < 2 {
        tokio::task::yield_now().await;
        while let Ok(line) = server.lines.try_recv() {
            assert!(line.starts_with("EHLO") || line.starts_with("STARTTLS"), "{mode:?}: {line}");
        }
    }
    assert!(lab.dead_letters().await.is_empty() && lab.stop().await.try_recv().is_err());
}

#[tokio::test]
async fn a_way_that_is_not_safe_is_not_gone() {
    let ((tls, authority), (_, other)) = (tls_for("127.0.0.1"), tls_for("127.0.0.1"));
    let (elsewhere, its_authority) = tls_for("smtp.example.org");
    // A server, or whoever sits before it, that offers no STARTTLS.
    check_untrusted(Way::Plain, SmtpTls::StartTls, Some(authority.clone())).await;
    for (mode, with) in [
        (SmtpTls::StartTls, (|tls| Way::StartTls(tls, "")) as fn(_) -> Way),
        (SmtpTls::Implicit, Way::Implicit as fn(_) -> Way),
    ] {
        check_untrusted(with(tls.clone()), mode, Some(other.clone())).await;
        check_untrusted(with(tls.clone()), mode, None).await;
        check_untrusted(with(elsewhere.clone()), mode, Some(its_authority.clone())).await;
    }
    // Answers that somebody put into the connection before it was encrypted.
    let injected = "250-mail.test\r\n250 AUTH PLAIN LOGIN\r\n235 2.7.0 welcome\r\n";
    check_untrusted(Way::StartTls(tls, injected), SmtpTls::StartTls, Some(authority)).await;
}

#[tokio::test]
async fn a_connection_that_was_closed_while_it_stood_idle_is_nobodys_failure() {
    let begun = AtomicUsize::new(0);
    let script: Script = Arc::new(move |line, _| {
        let is_second = line.starts_with("MAIL") && begun.fetch_add(1, Ordering::SeqCst) == 1;
        is_second.then(|| "close".to_owned())
    });
    let (mut server, mut lab) = plain(script).await;
    for text in ["one", "two"] {
        lab.give("highways", EMAIL, letter("+447700900001", text));
        assert_eq!(first_line(&server.mail().await.data), text);
        lab.done().await;
    }
    assert_eq!(lab.counted("highways", EMAIL, "retried"), 0);
    assert_eq!(connections(&mut server), 2, "another connection took its place");
}

fn at(written: &str) -> Timestamp {
    written.parse().unwrap()
}

/// The runtime has one thread, and a lane's task does all that it can before it waits.
async fn all_seen() {
    tokio::task::yield_now().await;
}

#[tokio::test]
async fn a_digest_is_one_mail_and_all_its_texts_are_done_with_it() {
    let clock = Clock::fixed(at("2026-11-21T10:00:00Z"));
    let mut server = Server::start(Way::Plain, usual()).await;
    let delivery = by(Email { digest: Some(Duration::from_secs(900)), ..email() });
    let mut lab = Lab::open(vec![("highways", delivery)], Some(smtp(server.port)), retry(), clock.clone());
    for (sender, text) in [("+447700900001", "a1"), ("+447700900002", "b1"), ("+447700900001", "a2")] {
        lab.give("highways", EMAIL, letter(sender, text));
    }
    all_seen().await;
    clock.set(at("2026-11-21T10:14:59Z"));
    lab.give("highways", EMAIL, letter("+447700900003", "c1"));
    all_seen().await;
    assert!(server.mails.try_recv().is_err());
    clock.set(at("2026-11-21T10:15:00Z"));
    lab.give("highways", EMAIL, letter("+447700900003", "c2"));
    let mail = server.mail().await;
    assert!(mail.data.contains("Subject: 4 texts to 86555 for highways"), "{}", mail.data);
    let done = [lab.done().await, lab.done().await, lab.done().await, lab.done().await];
    assert_eq!(done, ["a1", "b1", "a2", "c1"]);
}

#[tokio::test]
async fn beyond_an_hours_mails_one_notice_has_the_rest() {
    let clock = Clock::fixed(at("2026-11-21T10:00:00Z"));
    let mut server = Server::start(Way::Plain, usual()).await;
    let delivery = by(Email { hourly_max: 1, ..email() });
    let mut lab = Lab::open(vec![("highways", delivery)], Some(smtp(server.port)), retry(), clock.clone());
    for (sender, text) in [("+447700900001", "a1"), ("+447700900002", "b1"), ("+447700900001", "a2")] {
        lab.give("highways", EMAIL, letter(sender, text));
    }
    assert_eq!(first_line(&server.mail().await.data), "a1");
    assert_eq!(lab.done().await, "a1");
    all_seen().await;
    clock.set(at("2026-11-21T11:00:00Z"));
    lab.give("highways", EMAIL, letter("+447700900003", "c1"));
    let mut firsts = [first_line(&server.mail().await.data), first_line(&server.mail().await.data)];
    firsts.sort();
    assert_eq!(firsts, ["The limit of mails in an hour (1) is reached for highways.", "c1"]);
    let mut done = [lab.done().await, lab.done().await, lab.done().await];
    done.sort();
    assert_eq!(done, ["a2", "b1", "c1"]);
}

#[tokio::test]
async fn what_is_not_done_at_the_end_is_dropped_undone() {
    let (mut server, lab) = plain(at_first(usize::MAX, "mail", "later", "451 4.3.0 not now")).await;
    lab.give("highways", EMAIL, letter("+447700900001", "later"));
    lab.give("highways", EMAIL, letter("+447700900001", "behind it"));
    lab.give("highways", EMAIL, letter("+447700900002", "goes"));
    server.mail().await;
    let mut done = lab.stop().await;
    let mut texts = Vec::new();
    while let Ok(text) = done.try_recv() {
        texts.push(text);
    }
    assert_eq!(texts, ["goes"]);
}
