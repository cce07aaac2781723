//! Missing texts, pushed to the running server one after the other.
//!
//! Always true: the next text of a sender is pushed only after the one before it was answered; what the
//! server has no room for now is pushed again; when the server itself is away the rest is not tried.

use std::time::Duration;

use hyper::StatusCode;

use crate::carrier::{self, Listed};
use crate::message::Timestamp;

use super::super::listener::{Target, unknown_account};
use super::super::{Failure, Outcome, say};
use super::api::Api;
use super::{Counts, Job, Missing};

const TRIES: u32 = 4;
/// As long as the server asks carriers to wait, about.
const WAIT: Duration = Duration::from_secs(4);

/// Why a text was not taken in.
enum Refused {
    /// This one; others may be.
    Text(String),
    /// Any.
    Server(String),
}

pub async fn all(job: &Job<'_>, api: &Api<'_>, target: &Target, missing: Vec<Missing>, counts: &mut Counts) -> Outcome {
    for Missing { id, text } in missing {
        match one(job, api, target, text).await {
            Ok(()) => counts.taken += 1,
            Err(Refused::Text(reason)) => {
                counts.failed += 1;
                say(format_args!("{id}: {reason}"))?;
            }
            Err(Refused::Server(reason)) => {
                counts.failed = counts.missing - counts.taken;
                return say(format_args!("{id}: {reason}; the texts after it were not tried"));
            }
        }
    }
    Ok(())
}

async fn one(job: &Job<'_>, api: &Api<'_>, target: &Target, mut text: Listed) -> Result<(), Refused> {
    if let Some(what) = text.more.take() {
        let answer = api.ask(&what).await.map_err(|failure| Refused::Text(failure.said))?;
        let completed = job.listing.complete(job.access, &mut text, &answer);
        completed.map_err(|error| Refused::Text(error.to_string()))?;
    }
    let mut status = push(job, target, &text).await?;
    for _ in 1..TRIES {
        if status != StatusCode::SERVICE_UNAVAILABLE {
            break;
        }
        tokio::time::sleep(WAIT).await;
        status = push(job, target, &text).await?;
    }
    match status {
        _ if status.is_success() => Ok(()),
        StatusCode::SERVICE_UNAVAILABLE => Err(Refused::Server("the server answers 503".to_owned())),
        StatusCode::FORBIDDEN => Err(Refused::Server(
            "the server answers 403: it has other secrets, another url, or an allow without this machine".to_owned(),
        )),
        StatusCode::NOT_FOUND => Err(Refused::Server(unknown_account(job.account))),
        status => Err(Refused::Text(format!("the server answered {status}"))),
    }
}

async fn push(job: &Job<'_>, target: &Target, text: &Listed) -> Result<StatusCode, Refused> {
    let signed = carrier::relay(job.listing, text, job.account, job.access, Timestamp::now());
    let signed = signed.map_err(|error| Refused::Server(error.to_string()))?;
    let answered: Result<StatusCode, Failure> = target.push(signed).await;
    answered.map_err(|failure| Refused::Server(failure.said))
}
