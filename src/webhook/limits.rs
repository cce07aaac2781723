//! How much is taken in at once: texts on their way and bytes of bodies being read.

use std::sync::Arc;

use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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

    /// Room for a body of that many bytes while it is read and worked on.
    pub fn read(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.body_bytes.clone().try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.in_flight.sub(self.count);
    }
}
