//! sms-router: the texts people send to a public body's number, each to its department, none lost.
//!
//! A carrier pushes a text to our webhook. The leading keyword decides which department it belongs
//! to. It is made durable and only then answered 200: on the department's Kafka topic (cluster), or
//! in the embedded store that departments read over HTTP (standalone). An audit copy lives exactly 12
//! calendar months. This page is the map of how that is built; [`message`] holds the words it uses.
//!
//! # Floors
//!
//! A room uses only rooms on lower floors; rooms on one floor do not meet, a door above introduces
//! them. `tests/tidy.rs` keeps it so.
//!
//! ```text
//! 8  what a person types
//!    cli         serve · archive run · archive get · deliver run · journal · check · setup · explain · simulate ·
//!                verify · tail · backfill · dead-letter · reroute · reconcile ·
//!                schema · backup
//! 7  putting together
//!    app         settings → rooms → tasks; the order in which they start and end
//! 6  text → settings
//!    config      files and environment, every problem at once; the sample built in
//! 5  doors: someone outside calls, or a worker starts
//!    webhook     carriers: a request → its texts, each durable → the answer; certificates are asked for
//!    operations  departments' feed, moving texts; health and metrics: every route in two tables
//!    archiver    topics → audit copies
//!    reconcile   log, journal and archive held against one another, by id
//!    joiner      pieces of long texts → texts, by a stream of pieces and markers
//!    deliver     texts on the log → e-mails and pushes; progress after the destination took them
//! 4  one text
//!    intake      decide → claim → encode → log; dead-letter for what has nowhere to go
//! 3  either profile behind one door, and what comes out of topics
//!    log         the embedded store, or Kafka with a journal behind it
//!    audit       the embedded store's copies, or the archive's, and who looked at them
//!    consume     a consumer group's topics → work, an offset after each record that is done
//! 2  rooms: one job each, strangers to one another
//!    carrier     bytes ↔ texts; a file or a declaration for each carrier; why a request is not believed
//!    keyword     fold · scan · table · live: which department, and why
//!    publish     Kafka: producers, a breaker for each department, topics
//!    store       SQLite: log, feed, audit copies, dead-letter; group commit, sweeper
//!    archive     CQL: schema, writer, reader, access log
//!    dedup       what has been taken, what is on its way
//!    parts       pieces of long texts → texts: a state machine over the stream of pieces
//! 1  plumbing
//!    server      accept loop, bounds of connections, TLS, drain: for all listeners; where a connection lives
//!    fetch       one request to somebody else's server: TLS, bounds, no redirects
//!    telemetry   the catalogue of metrics, the latches of readiness, the log
//!    clock       what time it is; a test can set it
//! 0  words
//!    message     Number, Text, Record, Event, expiry: no input, no output, no async
//! ```
//!
//! # The walk of a message
//!
//! 1. [`webhook::Service`] finds the account by the path, sheds what is beyond the bounds before the
//!    body is read, and reads the body within its limits of size and time.
//! 2. [`webhook::Door::accept`]: [`carrier::admit`] checks the proof over the raw bytes, once more where a
//!    certificate had to be fetched for it; the carrier's adapter reads the texts. What is proven and
//!    cannot be read is kept in dead-letter and answered 400.
//! 3. [`intake::Intake::take`] is a text's life on one screen. From here on whether the client stays
//!    changes nothing: work that nobody waits for any more goes on in a task of its own. Numbers are
//!    normalised, [`keyword::Table::decide`] names the department, [`dedup::Claims`] gives the id to
//!    one of several copies.
//! 4. The record is encoded ([`intake::encode`]) and handed to [`log::Log`]: [`publish::Publisher`] waits
//!    for all in-sync replicas, [`store::Store`] for its commit. A text that several departments get is a record
//!    for each, under an id made of the text's ([`message::Record::copy_id`]), and durable when all are.
//! 5. The claim is confirmed, or released if the log refused. [`webhook::Verdict`] turns what
//!    happened into a status, a metric and a log level. Past the carrier's deadline the answer is 503
//!    while the task waits on for the log's report, for until then the outcome is unknown.
//!
//! # The walk of a text that Kafka does not take
//!
//! [`log::Kafka`] hands it to the publisher and waits 1.5 s, or half of its carrier's patience where that
//! is less. Not acknowledged by then, or the topic's breaker open, or earlier texts of its sender waiting
//! for that topic, or the department held: it goes to the journal, a table of the embedded store, and is
//! answered. [`log::Replay`] publishes what
//! waits, a sender's texts one after the other, as soon as the topic takes texts again, and takes each
//! out of the journal after its acknowledgement. A journal whose process is gone is emptied by the next
//! `serve` on its volume or by `sms-router journal replay`.
//!
//! # The walk of a long text that comes in pieces
//!
//! [`intake`] puts each piece on the stream `sms-router.parts`, keyed so that all pieces of one text are
//! in one order for every reader, and the carrier is answered. [`joiner`] reads the stream and asks
//! [`parts::Groups`] what follows: a text whose pieces are all there is taken in like any other, by the
//! routes in force, and then a marker on the stream says so. What is incomplete when its time is over
//! goes out as it is, closed by a marker first; a piece that comes later is an addendum. After a crash
//! the stream says it all again.
//!
//! # The walk of a keyword reload
//!
//! `app::reload` looks at the file every second, through links, and on SIGHUP. [`config`] parses it,
//! [`keyword::Table::build`] judges it and runs the tests in it, off the runtime; in the cluster
//! profile newly named topics must exist: a table that only lacks those waits until they do. Then [`keyword::Live`]
//! swaps the whole table. Any problem leaves the table in force as it is, with a line in the log for each and a gauge
//! at 0.
//!
//! # The walk of a new secret
//!
//! [`message::Secret`] is a handle, and so are a listener's certificates and [`archive::Tls`]: every clone sees a
//! replacement. `app::secrets` looks at the files every second; when they rest, [`config`] understands the
//! settings' text of the start again, and either all that its files hold now is in force, or nothing is and each
//! problem is told. Clients of Kafka keep what they were made with, so [`publish`] exchanges its producers one after
//! the other as the brokers take the new, and the consumers follow.
//!
//! # The walk of an audit copy
//!
//! Standalone: the copy is written in the transaction of the message, by [`store`], whose sweeper
//! deletes it within the hour after its expiry and gives its pages back. Cluster: [`consume`] reads
//! the departments' topics, [`archiver`] has [`archive::Archive`] write three rows whose TTL ends at
//! [`message::expires_at`], and the offset is committed after that. Of a text that several departments got there
//! is one copy, the same from whichever record comes first ([`message::Record::kept`]). `archive get` writes who, when,
//! why and which ids to the access log before it prints anything.
//!
//! # The walk of a text to a department without Kafka
//!
//! Standalone: [`deliver::embedded`] reads the department's stream after the position that [`store`] keeps for the
//! channel. Cluster: `deliver run` has one consumer for e-mail and one for push ([`consume`]), and [`deliver::kafka`]
//! finds whose text a record is. Either hands letters, in the order of the log, to the lane of the department and
//! channel, which keeps each sender's order, tries as long as it is worth it, and sends what nobody takes to
//! dead-letter. Only then is the letter done, and position or offset move past it; after a crash it goes out again under
//! the same `Message-ID` or `webhook-id`.
//!
//! # The walk of a dead letter
//!
//! [`intake`] keeps what it cannot read or route, with all that a second try needs. Once the cause is
//! mended, `dead-letter replay` takes the open letters ([`app::DeadLetters`]) one after the other:
//! [`intake::Intake::recall`] reads each again, decides by the routes in force and logs it under the id
//! and the time of receipt its text would have had. Then the letter is overwritten ([`store`]) or, as a
//! topic cannot forget, a record beside it says that it was called back.
//!
//! # The walk of a text that is moved
//!
//! [`operations::Rerouter`] reads its audit copy ([`audit`]), writes down who, why and which, and
//! [`intake::Intake::reroute`] logs the record once more for the other department, under an id made of the text's own
//! and that department's name. The original stays; the move has an audit copy of its own that ends with the original's.
//!
//! # Invariants
//!
//! 1. No 2xx before every text of a request is durable; a batch counts as its texts against every bound.
//! 2. 4xx only for what can never succeed; our own trouble is 503 with a jittered `Retry-After`.
//! 3. A client that hangs up cancels nothing.
//! 4. A text is claimed before it is published and confirmed after: a retry is never swallowed.
//! 5. Expiry is receipt by our clock plus 12 calendar months; a replay never lengthens it.
//! 6. What is stored and published is exactly what was received; folding is for matching only.
//! 7. No number, text or secret in a log line, a metric, a panic or an error.
//! 8. One department's topic in trouble holds up no other department.
//! 9. Everything that can grow has a bound.
//! 10. What is not proven is refused or, until the day that its account names, taken and flagged.
//!
//! # Deliberately absent
//!
//! A protocol between replicas: what they share lives in Kafka and the archive. Outgoing texts.

pub mod app;
pub mod archive;
pub mod archiver;
pub mod audit;
pub mod carrier;
pub mod cli;
pub mod clock;
pub mod config;
pub mod consume;
pub mod dedup;
pub mod deliver;
pub mod fetch;
pub mod intake;
pub mod joiner;
pub mod keyword;
pub mod log;
pub mod message;
pub mod operations;
pub mod parts;
pub mod publish;
pub mod reconcile;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod webhook;
