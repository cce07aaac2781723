//! How much is taken in at once: texts on their way and bytes of bodies being read.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Deferral, Refusal, Verdict};

/// The bounds of the door, shared by all requests.
#[derive(Clone)]
pub struct Limits {
    texts: Arc<Semaphore>,
    body_bytes: Arc<Semaphore>,
    in_flight: IntGauge,
}

/// A request's places among the texts on their way, given back when it is dropped.
pub struct Places {
    _permit: OwnedSemaphorePermit,
    count: i64,
    in_flight: IntGauge,
}

/// A whole body and the room it takes, given back when it is dropped.
pub struct HeldBody {
    bytes: Bytes,
    room: Option<OwnedSemaphorePermit>,
}

impl Limits {
    /// `texts_max` texts and `body_bytes_max` bytes at once, for the whole process.
    pub fn new(texts_max: usize, body_bytes_max: usize, in_flight: IntGauge) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self { texts: semaphore(texts_max), body_bytes: semaphore(body_bytes_max), in_flight }
    }

    /// Whether a request could get in at all: asked before its body is read.
    pub fn has_room(&self) -> bool {
        self.texts.available_permits() > 0
    }

    /// Places for all texts of a request, or none.
    pub fn enter(&self, texts: usize) -> Option<Places> {
        let permits = u32::try_from(texts).ok()?;
        let permit = self.texts.clone().try_acquire_many_owned(permits).ok()?;
        let count = i64::from(permits);
        self.in_flight.add(count);
        Some(Places { _permit: permit, count, in_flight: self.in_flight.clone() })
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

impl Drop for Places {
    fn drop(&mut self) {
        self.in_flight.sub(self.count);
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

    #[test]
    fn places_are_counted_by_text_and_given_back() {
        let gauge = IntGauge::new("in_flight", "texts").expect("a gauge");
        let limits = Limits::new(3, 0, gauge.clone());
        let two = limits.enter(2).expect("room for two");
        assert!(limits.enter(2).is_none() && limits.has_room());
        let one = limits.enter(1).expect("room for one more");
        assert!(!limits.has_room() && gauge.get() == 3);
        drop((two, one));
        assert!(limits.enter(3).is_some());
        assert_eq!(gauge.get(), 0);
    }
}
