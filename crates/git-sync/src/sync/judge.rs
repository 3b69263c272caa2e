//! Whether a fetched head may replace the applied commit now.

use std::time::Duration;

use chameleon_model::CommitId;
use tokio::time::Instant;

use crate::git::Relation;

/// How long a head that looks stale has to stay the head before it is believed.
pub(crate) const SECOND_LOOK: Duration = Duration::from_secs(30);

/// A head that looked stale when it was first seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    head: CommitId,
    since: Instant,
}

/// What to do with a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Apply it.
    Go,
    /// Look again at that time: it may come from a mirror that lags.
    Wait {
        /// When it will be believed if it is still the head.
        until: Instant,
    },
}

/// Judges `head` by its relation to the applied commit; `doubt` remembers stale heads between calls.
pub(crate) fn judge(
    head: &CommitId,
    relation: Relation,
    doubt: &mut Option<Doubt>,
    now: Instant,
) -> Judgement {
    if relation == Relation::Ahead {
        *doubt = None;
        return Judgement::Go;
    }
    let first_seen = match doubt.take() {
        Some(doubt) if doubt.head == *head => doubt.since,
        _ => now,
    };
    *doubt = Some(Doubt {
        head: head.clone(),
        since: first_seen,
    });
    let until = first_seen + SECOND_LOOK;
    if now < until {
        return Judgement::Wait { until };
    }
    Judgement::Go
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_head_that_follows_goes_at_once() {
        let mut doubt = None;
        let judgement = judge(&"a".into(), Relation::Ahead, &mut doubt, Instant::now());
        assert_eq!((judgement, doubt), (Judgement::Go, None));
    }

    #[test]
    fn a_stale_head_is_believed_at_the_second_look() {
        let (start, mut doubt) = (Instant::now(), None);
        let until = start + SECOND_LOOK;
        let mut look = |relation, after| judge(&"a".into(), relation, &mut doubt, start + after);
        assert_eq!(
            look(Relation::Behind, seconds(0)),
            Judgement::Wait { until }
        );
        assert_eq!(
            look(Relation::Unknown, seconds(29)),
            Judgement::Wait { until }
        );
        assert_eq!(look(Relation::Behind, seconds(30)), Judgement::Go);
        // A commit that could not be stored then does not have to wait again.
        assert_eq!(look(Relation::Behind, seconds(31)), Judgement::Go);
    }

    #[test]
    fn another_head_in_between_starts_the_time_again() {
        let (start, mut doubt) = (Instant::now(), None);
        let mut look = |head: &str, relation, after| {
            judge(&head.into(), relation, &mut doubt, start + seconds(after))
        };
        look("a", Relation::Behind, 0);
        let until = start + seconds(50);
        assert_eq!(look("b", Relation::Behind, 20), Judgement::Wait { until });
        assert_eq!(look("c", Relation::Ahead, 30), Judgement::Go);
        let until = start + seconds(70);
        assert_eq!(look("b", Relation::Behind, 40), Judgement::Wait { until });
    }
}
