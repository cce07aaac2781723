//! Readiness as a set of latches: ready when every latch is set and nobody is draining.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// One condition of readiness, set once by whoever brings it about.
#[derive(Clone)]
pub struct Latch(Arc<AtomicBool>);

impl Latch {
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// All conditions of readiness of this process.
#[derive(Clone, Default)]
pub struct Latches {
    latches: Arc<Mutex<Vec<(&'static str, Latch)>>>,
    draining: Arc<AtomicBool>,
}

impl Latches {
    /// Adds a condition that is not yet met.
    pub fn latch(&self, name: &'static str) -> Latch {
        let latch = Latch(Arc::new(AtomicBool::new(false)));
        self.latches.lock().unwrap_or_else(PoisonError::into_inner).push((name, latch.clone()));
        latch
    }

    /// From now on not ready, for good.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Each condition and whether it is met; `draining` is one of them.
    pub fn conditions(&self) -> Vec<(&'static str, bool)> {
        let mut conditions: Vec<_> = self
            .latches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|(name, latch)| (*name, latch.0.load(Ordering::Acquire)))
            .collect();
        conditions.push(("not draining", !self.draining.load(Ordering::Acquire)));
        conditions
    }

    pub fn ready(&self) -> bool {
        self.conditions().iter().all(|(_, met)| *met)
    }

    /// Whether the process has once come up: every latch set, draining or not.
    pub fn started(&self) -> bool {
        let latches = self.latches.lock().unwrap_or_else(PoisonError::into_inner);
        latches.iter().all(|(_, latch)| latch.0.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_all_are_set_and_until_draining() {
        let latches = Latches::default();
        let routes = latches.latch("routes");
        let listener = latches.latch("listener");
        assert!(!latches.ready());
        routes.set();
        assert!(!latches.ready());
        listener.set();
        assert!(latches.ready() && latches.started());
        latches.drain();
        assert!(!latches.ready() && latches.started());
    }
}
