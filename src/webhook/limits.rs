//! How much is taken in at once: texts on their way, an account's texts a second, bytes of bodies being
//! read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::intake::{Place, Places, Turn};
use crate::message::AccountName;

use super::flood::{Flood, Rate};
use super::{Deferral, Refusal, Verdict};

/// The bounds of the door, shared by all requests.
#[derive(Clone)]
pub struct Limits {
    places: Places,
    floods: Arc<HashMap<AccountName, Flood>>,
    body_bytes: Arc<Semaphore>,
}

/// A whole body and the room it takes, given back when it is dropped.
pub struct HeldBody {
    bytes: Bytes,
    room: Option<OwnedSemaphorePermit>,
}

impl Limits {
    /// `body_bytes_max` bytes of bodies at once, for the whole process; `rates` of the accounts that have one.
    pub fn new(places: Places, body_bytes_max: usize, rates: impl IntoIterator<Item = (AccountName, Rate)>) -> Self {
        let floods = rates.into_iter().map(|(account, rate)| (account, Flood::new(rate))).collect();
        let body_bytes = Arc::new(Semaphore::new(body_bytes_max.min(Semaphore::MAX_PERMITS)));
        Self { places, floods: Arc::new(floods), body_bytes }
    }

    /// Whether a request of the account could get in at all: asked before its body is read.
    fn check(&self, account: &AccountName) -> Result<(), Deferral> {
        self.places.check(account)?;
        if self.is_flooding(account) { Err(Deferral::Rate) } else { Ok(()) }
    }

    fn is_flooding(&self, account: &AccountName) -> bool {
        self.floods.get(account).is_some_and(Flood::is_shut)
    }

    /// Waits until a request of the account could get in, `longest` at most. `None` if it need not wait.
    pub async fn wait_for_room(
        &self,
        account: &AccountName,
        longest: impl FnOnce() -> Duration,
    ) -> Result<Option<Turn>, Deferral> {
        if self.check(account).is_ok() {
            return Ok(None);
        }
        let until = Instant::now() + longest();
        if self.is_flooding(account) {
            sleep_until(until).await;
            return self.check(account).map(|()| None);
        }
        let turn = timeout_at(until, self.places.wait(account)).await.ok();
        self.check(account).map(|()| turn)
    }

    /// Places for all texts of a request, or none.
    pub fn enter(&self, account: &AccountName, texts: usize) -> Result<Place, Deferral> {
        Ok(self.places.enter(account, texts)?)
    }

    /// Counts new texts against the account's rate. Whoever has none is not asked how many they are.
    pub fn spend(&self, account: &AccountName, new: impl FnOnce() -> usize) -> Result<(), Deferral> {
        let flood = self.floods.get(account);
        if flood.is_none_or(|flood| flood.let_in(new())) { Ok(()) } else { Err(Deferral::Rate) }
    }

    /// Reads a body of at most `max` bytes. Room is taken as bytes arrive, not as they are announced:
    /// whoever sends nothing holds nothing.
    pub async fn read_body(&self, mut body: Incoming, max: usize) -> Result<HeldBody, Verdict> {
        let (mut pieces, mut room) = (Pieces::default(), None);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Verdict::Refused(Refusal::BrokenOff))?;
            let Ok(data) = frame.into_data() else { continue };
            if pieces.length() + data.len() > max {
                return Err(Verdict::Refused(Refusal::TooLarge));
            }
            self.take_room(&mut room, data.len())?;
            pieces.push(data);
            // Known by its length: its end need not be waited for.
            if body.is_end_stream() {
                break;
            }
        }
        Ok(HeldBody { bytes: pieces.join(), room })
    }

    fn take_room(&self, room: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<(), Verdict> {
        let full = || Verdict::Deferred(Deferral::Bodies);
        let bytes = u32::try_from(bytes).map_err(|_| full())?;
        let more = self.body_bytes.clone().try_acquire_many_owned(bytes).map_err(|_| full())?;
        match room {
            Some(room) => room.merge(more),
            None => *room = Some(more),
        }
        Ok(())
    }
}

impl HeldBody {
    /// Lets go of the bytes but not of the room.
    pub fn into_room(self) -> impl Send {
        self.room
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A body as it arrives. Most come in one piece, which is then not copied.
#[derive(Default)]
struct Pieces {
    first: Bytes,
    all: BytesMut,
}

impl Pieces {
    fn length(&self) -> usize {
        self.first.len().max(self.all.len())
    }

    fn push(&mut self, data: Bytes) {
        if self.first.is_empty() {
            self.first = data;
            return;
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&self.first);
        }
        self.all.extend_from_slice(&data);
    }

    fn join(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_together_in_order() {
        for pieces in [&[][..], &["one"], &["one", "two"], &["one", "two", "three"]] {
            let mut body = Pieces::default();
            pieces.iter().for_each(|piece| body.push(Bytes::from_static(piece.as_bytes())));
            assert_eq!(body.length(), pieces.concat().len());
            assert_eq!(body.join(), pieces.concat());
        }
    }
}
