//! One question to the brokers at a time, beside the thread that polls.
//!
//! Comes in: what takes too long for that thread. Goes out: its answer, later, once.
//! Always true: at most one question is open; one whose thread died is answered with an error.
//! Not here: what is asked, and for how long.

use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use rdkafka::error::{KafkaError, KafkaResult};
use tokio::runtime::Handle;

/// Where the answer will be.
pub struct Aside<T> {
    runtime: Handle,
    open: Option<Receiver<KafkaResult<T>>>,
}

impl<T: Send + 'static> Aside<T> {
    /// `runtime` lends the threads that wait for the brokers.
    pub fn new(runtime: Handle) -> Self {
        Self { runtime, open: None }
    }

    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Asks in place of what was asked before.
    pub fn ask(&mut self, question: impl FnOnce() -> KafkaResult<T> + Send + 'static) {
        let (answer, open) = sync_channel(1);
        self.open = Some(open);
        self.runtime.spawn_blocking(move || {
            // Whoever asked has gone: nobody wants the answer.
            let _ = answer.send(question());
        });
    }

    /// The answer, once it is there; it closes the question.
    pub fn answer(&mut self) -> Option<KafkaResult<T>> {
        let answer = match self.open.as_ref()?.try_recv() {
            Ok(answer) => answer,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Err(KafkaError::Canceled),
        };
        self.open = None;
        Some(answer)
    }
}
