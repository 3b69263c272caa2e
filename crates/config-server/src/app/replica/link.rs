//! Whether the store answers, and since when it does not.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The connection to the store as readers, health and metrics see it.
#[derive(Debug)]
pub(crate) struct Link {
    started: Instant,
    /// How old the state was at the start already.
    before: Duration,
    /// Microseconds from the state's age zero to the last answer.
    answered: AtomicU64,
    /// Microseconds from the state's age zero to the first answer after the store was away.
    back: AtomicU64,
    available: AtomicBool,
}

impl Link {
    /// A store whose last answer came `age` ago.
    pub(super) fn new(age: Duration) -> Self {
        Self {
            started: Instant::now(),
            before: age,
            answered: AtomicU64::new(0),
            back: AtomicU64::new(micros(age)),
            available: AtomicBool::new(true),
        }
    }

    /// The store has answered.
    pub(super) fn answered(&self) {
        let since = micros(self.elapsed());
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
        self.elapsed().saturating_sub(back)
    }

    /// The time since the store last answered: how old the served state may be.
    pub(crate) fn age(&self) -> Duration {
        let answered = Duration::from_micros(self.answered.load(Ordering::Relaxed));
        self.elapsed().saturating_sub(answered)
    }

    fn elapsed(&self) -> Duration {
        self.before + self.started.elapsed()
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[tokio::test(start_paused = true)]
    async fn the_age_goes_on_from_before_the_start_until_an_answer() {
        let link = Link::new(HOUR);
        tokio::time::advance(HOUR).await;
        assert_eq!(link.age(), 2 * HOUR);
        link.answered();
        tokio::time::advance(HOUR).await;
        assert_eq!(link.age(), HOUR);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_could_renew_before_the_start() {
        let link = Link::new(HOUR);
        tokio::time::advance(HOUR / 2).await;
        assert_eq!(link.available_for(), HOUR / 2);
        link.lost();
        tokio::time::advance(HOUR).await;
        link.answered();
        assert_eq!(link.available_for(), Duration::ZERO);
    }
}
