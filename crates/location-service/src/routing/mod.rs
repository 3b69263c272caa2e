//! Which provider answers a request, and who steps in for it. Pure: no clock, no randomness, no I/O.

use std::time::Duration;

use crate::config::{Share, Shares};

/// A uniformly drawn number that decides one request's provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Draw(u16);

impl Draw {
    /// Draws anew.
    pub(crate) fn random() -> Self {
        Self(rand::random_range(0..Share::WHOLE))
    }
}

/// Orders the providers for one request: the chosen one first, then those who step in for it.
///
/// Providers are named by their place in `shares`. Over all draws each comes first exactly as often
/// as its share says. Failover prefers large shares, and then the order of `shares`; a provider
/// without a share is chosen by no draw, but steps in like the others.
pub(crate) fn order(shares: &Shares, draw: Draw) -> Vec<usize> {
    let shares = shares.as_slice();
    let mut end = 0_u32;
    let chosen = shares
        .iter()
        .position(|share| {
            end += u32::from(share.steps());
            u32::from(draw.0) < end
        })
        .expect("shares add up to the whole, which is above every draw");
    let mut order: Vec<usize> = (0..shares.len()).collect();
    // The sort is stable, so equal shares stay in the order of names.
    order.sort_by_key(|&index| (index != chosen, std::cmp::Reverse(shares[index])));
    order
}

/// The time for one attempt, out of what is left for the request.
///
/// An attempt that somebody could step in for leaves at least a third of the remaining time for it.
pub(crate) fn attempt_limit(
    timeout: Duration,
    remaining: Duration,
    has_successor: bool,
) -> Duration {
    let most = if has_successor {
        remaining * 2 / 3
    } else {
        remaining
    };
    timeout.min(most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shares(percent: &[f64]) -> Shares {
        let shares = percent
            .iter()
            .map(|percent| Share::from_percent(*percent).expect("a share"))
            .collect();
        Shares::new(shares).expect("the whole")
    }

    fn chosen(shares: &Shares) -> Vec<usize> {
        (0..Share::WHOLE)
            .map(|draw| order(shares, Draw(draw))[0])
            .collect()
    }

    #[test]
    fn failover_prefers_large_shares_then_names() {
        let shares = shares(&[20.0, 0.0, 50.0, 30.0, 0.0]);
        assert_eq!(order(&shares, Draw(0)), [0, 2, 3, 1, 4]);
        assert_eq!(order(&shares, Draw(2_000)), [2, 3, 0, 1, 4]);
        assert_eq!(order(&shares, Draw(9_999)), [3, 2, 0, 1, 4]);
    }

    #[test]
    fn attempts_leave_time_for_the_next() {
        let ms = Duration::from_millis;
        assert_eq!(attempt_limit(ms(800), ms(1500), true), ms(800));
        assert_eq!(attempt_limit(ms(800), ms(600), true), ms(400));
        assert_eq!(attempt_limit(ms(800), ms(700), false), ms(700));
        assert_eq!(attempt_limit(ms(800), ms(0), true), ms(0));
    }

    /// Shares of 1 to 6 providers that add up to the whole.
    fn any_shares() -> impl Strategy<Value = Shares> {
        proptest::collection::vec(0..=Share::WHOLE, 0..5).prop_map(|mut cuts| {
            cuts.extend([0, Share::WHOLE]);
            cuts.sort_unstable();
            let percent: Vec<f64> = cuts
                .windows(2)
                .map(|pair| f64::from(pair[1] - pair[0]) / 100.0)
                .collect();
            shares(&percent)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_split_over_all_draws_is_exact(shares in any_shares()) {
            let chosen = chosen(&shares);
            for (index, share) in shares.as_slice().iter().enumerate() {
                let count = chosen.iter().filter(|found| **found == index).count();
                prop_assert_eq!(count, usize::from(share.steps()));
            }
        }

        #[test]
        fn everybody_steps_in_once(shares in any_shares(), draw in 0..Share::WHOLE) {
            let mut all = order(&shares, Draw(draw));
            all.sort_unstable();
            prop_assert_eq!(all, (0..shares.as_slice().len()).collect::<Vec<_>>());
        }

        /// Moving b from 10 to 20 percent moves draws from a to b and none back.
        #[test]
        fn a_move_between_two_goes_one_way(before in 0..=100_u8, after in 0..=100_u8) {
            let (low, high) = (before.min(after), before.max(after));
            let split = |b: u8| shares(&[f64::from(100 - b), f64::from(b)]);
            for (low, high) in chosen(&split(low)).into_iter().zip(chosen(&split(high))) {
                prop_assert!(low <= high, "a draw moved from b to a");
            }
        }
    }
}
