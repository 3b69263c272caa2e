//! Growing, jittered pauses for loops that try again.

use std::time::Duration;

/// Pauses between tries: each is up to twice the one before, never longer than a maximum.
///
/// A pause is drawn between half and the whole of its step, so that many processes that lost the
/// same server do not come back to it in step.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Pauses that start at `first` and stay at `max`; a `first` above `max` counts as `max`.
    pub fn new(first: Duration, max: Duration) -> Self {
        let first = first.min(max);
        Self {
            first,
            max,
            next: first,
        }
    }

    /// The pause before the next try.
    pub fn next_delay(&mut self) -> Duration {
        self.delay_at(rand::random())
    }

    /// Waits until the next try is due; dropping the future only shortens this pause.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next_delay()).await;
    }

    /// Starts again at the first pause, because a try succeeded.
    pub fn reset(&mut self) {
        self.next = self.first;
    }

    fn delay_at(&mut self, fraction: f64) -> Duration {
        let step = self.next;
        self.next = step.saturating_mul(2).min(self.max);
        step.mul_f64(0.5 + fraction / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn pauses_double_up_to_the_maximum() {
        let mut backoff = Backoff::new(ms(100), ms(450));
        let pauses: Vec<_> = (0..4).map(|_| backoff.delay_at(1.0)).collect();
        assert_eq!(pauses, [ms(100), ms(200), ms(400), ms(450)]);
    }

    #[test]
    fn a_pause_is_at_least_half_of_its_step() {
        let mut backoff = Backoff::new(ms(100), ms(800));
        assert_eq!(backoff.delay_at(0.0), ms(50));
        assert_eq!(backoff.delay_at(0.5), ms(150));
        for _ in 0..1000 {
            assert!((ms(200)..=ms(800)).contains(&backoff.next_delay()));
        }
    }

    #[test]
    fn reset_starts_at_the_first_pause() {
        let mut backoff = Backoff::new(ms(100), ms(800));
        backoff.next_delay();
        backoff.next_delay();
        backoff.reset();
        assert_eq!(backoff.delay_at(1.0), ms(100));
    }

    #[test]
    fn a_first_pause_above_the_maximum_is_the_maximum() {
        assert_eq!(Backoff::new(ms(900), ms(100)).delay_at(1.0), ms(100));
    }

    #[tokio::test(start_paused = true)]
    async fn wait_takes_the_pause() {
        let before = tokio::time::Instant::now();
        Backoff::new(ms(100), ms(100)).wait().await;
        assert!((ms(50)..=ms(101)).contains(&before.elapsed()));
    }
}
