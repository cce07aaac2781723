//! `backfill`: asks a carrier which texts it received, and takes in those that never came.
//!
//! Comes in: an account, since when. Goes out: each text whose id is not in the archive, pushed to the
//! running server as the carrier would have, oldest first; counts.
//! Always true: nothing is pushed before the whole list has been read; a text has the id its webhook
//! would have had, so a second run, or a webhook that comes late, changes nothing; no number of a
//! person and no word is printed.
//! Not here: how each carrier lists texts (`carrier`), what becomes of a text.

mod api;
mod push;

use std::collections::HashSet;

use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use crate::app;
use crate::audit::Audit;
use crate::carrier::{Account, ApiAccess, Listed, Listing, Query};
use crate::clock::Clock;
use crate::config::{self, Config, Environment, Publish, SecretsNeeded};
use crate::intake;
use crate::message::{AuditQuery, EventId, Timestamp, expires_at, iso};

use super::archive::time;
use super::listener::Push;
use super::{Failure, Outcome, Output, Settings, block_on, print, say, simulate};
use api::Api;

/// Most pages read of one list: a million texts.
const PAGES_MAX: usize = 1_000;
/// Most missing texts held at once, about 100 MB.
const MISSING_MAX: usize = 100_000;
/// Ids looked up at the same time.
const LOOKUPS_AT_ONCE: usize = 16;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// Whose texts
    #[arg(long)]
    account: String,
    /// A span (90m, 24h, 7d), a day in UTC or an RFC 3339 time
    #[arg(long, value_name = "T")]
    since: String,
    /// Only tells which texts are missing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    push: Push,
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// What is asked and where the answers go.
struct Job<'a> {
    account: &'a Account,
    access: &'a ApiAccess,
    listing: &'static dyn Listing,
    /// Before `accounts/NAME` in every event's source.
    origin: &'a str,
    /// `None` where no archive is kept.
    audit: Option<Audit>,
    since: Timestamp,
    now: Timestamp,
}

/// A text that never came.
struct Missing {
    id: EventId,
    text: Listed,
}

#[derive(Default, Serialize)]
struct Counts {
    /// Received by the carrier since then.
    listed: usize,
    /// In the archive already.
    known: usize,
    missing: usize,
    /// Answered 200 by the server.
    taken: usize,
    failed: usize,
    /// Still on their way to the carrier.
    unfinished: usize,
}

/// What may be told of a missing text.
#[derive(Serialize)]
struct Told<'a> {
    id: EventId,
    carrier_message_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<String>,
    to: &'a str,
}

pub fn backfill(arguments: &Arguments, environment: &Environment) -> Outcome {
    let now = Clock::system().now();
    let since = since(&arguments.since, now)?;
    let config = arguments.settings.load(environment, SecretsNeeded::Backfill)?;
    let account = simulate::account(&config, Some(&arguments.account))?;
    let (access, listing) = access(&config, &account)?;
    let target = if arguments.dry_run { None } else { Some(arguments.push.target(&config, &account)?) };
    if let Some(reach) = listing.reach()
        && since < now - reach
    {
        let (carrier, days) = (account.carrier.contract().name, reach.as_secs() / 86_400);
        say(format_args!("{carrier} lists no more than {days} days: what is older stays missing"))?;
    }
    let origin = &config.standing.source.origin;
    let work = async {
        let audit = audit(&config)?;
        let job = Job { account: &account, access, listing, origin, audit, since, now };
        let api = Api::new(listing, access)?;
        let mut counts = Counts::default();
        let missing = job.missing(&api, &mut counts).await?;
        match &target {
            None => tell(&missing, &counts, arguments.output),
            Some(target) => {
                push::all(&job, &api, target, missing, &mut counts).await?;
                finish(&counts, arguments.output)
            }
        }
    };
    block_on(work)?
}

/// A span back from now, or a time; not before what the archive still knows of.
fn since(written: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let span = [("m", 60), ("h", 3_600), ("d", 86_400)].into_iter().find_map(|(unit, seconds)| {
        let count = written.strip_suffix(unit)?.parse::<i64>().ok()?;
        (1..1_000_000).contains(&count).then_some(seconds * count)
    });
    let since = match span {
        Some(seconds) => now - jiff::SignedDuration::from_secs(seconds),
        None => time(Some(written), "--since")?,
    };
    if expires_at(since) <= now {
        return Err(Failure::usage(
            "--since is more than 12 months ago: the archive forgets texts by then, so those it had would come again",
        ));
    }
    Ok(since)
}

fn access<'a>(config: &'a Config, account: &Account) -> Result<(&'a ApiAccess, &'static dyn Listing), Failure> {
    let name = account.carrier.contract().name;
    let listing = account.carrier.listing();
    let listing =
        listing.ok_or_else(|| Failure::usage(format!("{name} lists no texts that this build could ask for")))?;
    let note = config.accounts.iter().find(|(other, _)| other.name == account.name);
    let access = note.and_then(|(_, note)| note.api.as_ref());
    let missing = || Failure::usage(format!("account {0} has no [accounts.{0}.api] in the settings", account.name));
    Ok((access.ok_or_else(missing)?, listing))
}

fn audit(config: &Config) -> Result<Option<Audit>, Failure> {
    if matches!((&config.publish, &config.archive), (Publish::Kafka { .. }, config::Archive::Local)) {
        say("no archive is kept, so every text listed counts as missing; its id is the one it always had")?;
        return Ok(None);
    }
    Ok(Some(app::audit(config)))
}

impl Job<'_> {
    /// Reads the whole list and keeps what the archive does not know, oldest first.
    async fn missing(&self, api: &Api<'_>, counts: &mut Counts) -> Result<Vec<Missing>, Failure> {
        let mut missing = Vec::new();
        for first in self.listing.first(self.access, self.since) {
            self.follow(api, first, &mut missing, counts).await?;
        }
        // Carriers list the newest first.
        missing.reverse();
        missing.sort_by_key(|missing| missing.text.sent_at);
        let mut seen = HashSet::new();
        missing.retain(|missing| seen.insert(missing.id));
        counts.missing = missing.len();
        Ok(missing)
    }

    /// Reads pages, from the first to the one that names no next.
    async fn follow(
        &self,
        api: &Api<'_>,
        first: String,
        missing: &mut Vec<Missing>,
        counts: &mut Counts,
    ) -> Result<(), Failure> {
        let query = Query { account: self.account, access: self.access, since: self.since };
        let mut next = Some(first);
        for _ in 0..PAGES_MAX {
            let Some(what) = next else { return Ok(()) };
            let page = self.listing.read(&query, &api.ask(&what).await?).map_err(Failure::of)?;
            next = page.next;
            let listed = page.texts.len();
            let unknown = self.unknown(page.texts).await?;
            counts.unfinished += page.unfinished;
            counts.listed += listed;
            counts.known += listed - unknown.len();
            missing.extend(unknown);
            if missing.len() > MISSING_MAX {
                return Err(Failure::of(format!(
                    "more than {MISSING_MAX} texts are missing: choose a later --since first"
                )));
            }
        }
        Err(Failure::of(format!("the carrier's list has {PAGES_MAX} pages or more: choose a later --since")))
    }

    async fn unknown(&self, texts: Vec<Listed>) -> Result<Vec<Missing>, Failure> {
        let looked_up = texts.into_iter().map(|text| async move {
            let id = intake::event_id(self.origin, &self.account.name, &text.id);
            let Some(audit) = &self.audit else { return Ok(Some(Missing { id, text })) };
            let found = audit.find(&AuditQuery::Id(id), self.now).await.map_err(Failure::of)?;
            Ok::<_, Failure>(found.is_empty().then_some(Missing { id, text }))
        });
        let found: Vec<_> = stream::iter(looked_up).buffered(LOOKUPS_AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }
}

impl Missing {
    fn told(&self) -> Told<'_> {
        let sent_at = self.text.sent_at.map(iso::format);
        Told { id: self.id, carrier_message_id: &self.text.id, sent_at, to: &self.text.to }
    }
}

fn tell(missing: &[Missing], counts: &Counts, output: Output) -> Outcome {
    if output == Output::Json {
        let texts: Vec<_> = missing.iter().map(Missing::told).collect();
        return print(serde_json::json!({ "counts": counts, "texts": texts }));
    }
    for told in missing.iter().map(Missing::told) {
        let sent_at = told.sent_at.as_deref().unwrap_or("at an unknown time");
        print(format_args!("{} {} to {} {sent_at}", told.id, told.carrier_message_id, told.to))?;
    }
    print(format_args!("{counts} (dry run: nothing was sent)"))
}

fn finish(counts: &Counts, output: Output) -> Outcome {
    match output {
        Output::Text => print(counts)?,
        Output::Json => print(serde_json::json!({ "counts": counts }))?,
    }
    match counts.failed {
        0 => Ok(()),
        failed => Err(Failure::of(format!("{failed} texts were not taken in: run the same again"))),
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { listed, known, missing, taken, failed, unfinished } = self;
        write!(f, "listed {listed}, known {known}, missing {missing}, taken {taken}, failed {failed}")?;
        match unfinished {
            0 => Ok(()),
            unfinished => write!(f, ", still arriving at the carrier {unfinished}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_span_or_a_time_within_twelve_months() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().expect("a time");
        for (written, expected) in [
            ("24h", Some("2026-11-20T10:00:00Z")),
            ("90m", Some("2026-11-21T08:30:00Z")),
            ("7d", Some("2026-11-14T10:00:00Z")),
            ("2026-11-20", Some("2026-11-20T00:00:00Z")),
            ("2026-11-20T10:30:00Z", Some("2026-11-20T10:30:00Z")),
            ("364d", Some("2025-11-22T10:00:00Z")),
            ("365d", None),
            ("0h", None),
            ("-1h", None),
            ("h", None),
            ("", None),
            ("é", None),
            ("99999999999999999999d", None),
            ("yesterday", None),
        ] {
            let read = since(written, now).ok();
            assert_eq!(read, expected.map(|time| time.parse().expect("a time")), "{written}");
        }
    }
}
