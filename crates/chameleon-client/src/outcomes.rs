//! When a verdict travels back to the server.

use std::time::Duration;

use chameleon_proto::v1;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::Instant;

use crate::engine::Verdict;

/// A fleet answers spread over this time, so that acknowledgements never slow the fan-out; a server
/// asks for more where the fleet is large.
const MAX_JITTER: Duration = Duration::from_millis(100);
/// No server is obeyed beyond this: nobody would know for so long who applied a change.
const LONGEST_JITTER: Duration = Duration::from_secs(10);

/// The first part of that time, one of so many, is left to the states that are still on their way to
/// others: a server reaches a fleet in about as long.
const QUIET: u32 = 5;

/// Holds the newest verdict back for a moment; one that is overtaken is never sent.
pub(crate) struct Outcomes {
    random: StdRng,
    max_jitter: Duration,
    waiting: Option<Waiting>,
}

struct Waiting {
    due: Instant,
    decided: Instant,
    outcome: v1::Outcome,
}

impl Outcomes {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            max_jitter: MAX_JITTER,
            waiting: None,
        }
    }

    /// Spreads the following outcomes over `within`, as the server wants it; zero is no wish.
    pub(crate) fn spread_over(&mut self, within: Duration) {
        self.max_jitter = if within.is_zero() {
            MAX_JITTER
        } else {
            within.min(LONGEST_JITTER)
        };
    }

    /// Takes a verdict that was `now` reached, `took` after the state had arrived.
    pub(crate) fn schedule(&mut self, verdict: &Verdict, took: Duration, now: Instant) {
        let outcome = v1::Outcome {
            stamp: Some(verdict.stamp().into()),
            verdict: Some(match verdict {
                Verdict::Applied(_) => v1::outcome::Verdict::Applied(v1::Applied {}),
                Verdict::Rejected(rejection) => v1::outcome::Verdict::Rejected(v1::Rejected {
                    reason: rejection.to_string(),
                }),
            }),
            apply_us: micros(took),
            jitter_us: 0,
        };
        // A verdict that replaces another keeps its time, else a quick series would never end.
        let held = self.max_jitter / QUIET..=self.max_jitter;
        let due = match &self.waiting {
            Some(waiting) => waiting.due,
            None => now + self.random.random_range(held),
        };
        self.waiting = Some(Waiting {
            due,
            decided: now,
            outcome,
        });
    }

    /// When the waiting outcome is to be sent.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.waiting.as_ref().map(|waiting| waiting.due)
    }

    /// The waiting outcome.
    pub(crate) fn take(&mut self, now: Instant) -> Option<v1::Outcome> {
        let waiting = self.waiting.take()?;
        Some(v1::Outcome {
            jitter_us: micros(now - waiting.decided),
            ..waiting.outcome
        })
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use chameleon_model::{Epoch, Revision, Stamp, Tag};

    use super::*;

    fn applied(revision: u64) -> Verdict {
        Verdict::Applied(Stamp {
            epoch: Epoch(1),
            revision: Revision(revision),
            tag: Tag(0),
        })
    }

    #[test]
    fn a_quick_series_sends_its_newest_at_the_first_ones_time() {
        let mut outcomes = Outcomes::new(7);
        let start = Instant::now();
        outcomes.schedule(&applied(1), Duration::from_micros(5), start);
        let due = outcomes.due().unwrap();
        assert!(due >= start + MAX_JITTER / QUIET && due <= start + MAX_JITTER);
        let later = start + Duration::from_millis(1);
        outcomes.schedule(&applied(2), Duration::from_micros(6), later);
        assert_eq!(outcomes.due(), Some(due));
        let sent = outcomes.take(later + Duration::from_millis(3)).unwrap();
        assert_eq!(sent.stamp.unwrap().revision, 2);
        assert_eq!((sent.apply_us, sent.jitter_us), (6, 3000));
        assert_eq!(outcomes.due(), None);
        assert!(outcomes.take(later).is_none());
    }

    #[test]
    fn a_fleet_spreads_its_answers_as_the_server_wants() {
        for (wanted, over) in [
            (Duration::ZERO, MAX_JITTER),
            (Duration::from_millis(500), Duration::from_millis(500)),
            (Duration::from_hours(1), LONGEST_JITTER),
        ] {
            let start = Instant::now();
            let delays: Vec<_> = (0..200)
                .map(|seed| {
                    let mut outcomes = Outcomes::new(seed);
                    outcomes.spread_over(wanted);
                    outcomes.schedule(&applied(1), Duration::ZERO, start);
                    outcomes.due().unwrap() - start
                })
                .collect();
            for part in 0..QUIET {
                let from = over / QUIET * part;
                let until = from + over / QUIET;
                let hits = delays
                    .iter()
                    .filter(|delay| (from..until).contains(delay))
                    .count();
                let expected = if part == 0 { 0..=0 } else { 20..=80 };
                assert!(
                    expected.contains(&hits),
                    "{hits} of 200 in part {part} of {over:?}"
                );
            }
        }
    }
}
