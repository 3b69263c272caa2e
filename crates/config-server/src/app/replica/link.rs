//! Whether the store answers, and since when it does not.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The connection to the store as readers, health and metrics see it.
#[derive(Debug)]
pub(crate) struct Link {
    started: Instant,
    /// Microseconds from the start to the last answer.
    answered: AtomicU64,
    /// Microseconds from the start to the first answer after the store was away.
    back: AtomicU64,
    available: AtomicBool,
}

impl Link {
    /// A store that has just answered.
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            answered: AtomicU64::new(0),
            back: AtomicU64::new(0),
            available: AtomicBool::new(true),
        }
    }

    /// The store has answered.
    pub(super) fn answered(&self) {
        let since = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.answered.store(since, Ordering::Relaxed);
        if !self.available.swap(true, Ordering::AcqRel) {
            self.back.store(since, Ordering::Relaxed);
        }
    }

    /// The store has failed to answer.
    pub(super) fn lost(&self) {
        self.available.store(false, Ordering::Release);
    }

    /// Says whether the store gave its last answer as it should.
    pub(crate) fn is_available(&self) -> bool {
        self.available.load(Ordering::Acquire)
    }

    /// For how long the store has been answering, as far as this server knows.
    pub(super) fn available_for(&self) -> Duration {
        let back = Duration::from_micros(self.back.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(back)
    }

    /// The time since the store last answered: how old the served state may be.
    pub(crate) fn age(&self) -> Duration {
        let answered = Duration::from_micros(self.answered.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(answered)
    }
}
