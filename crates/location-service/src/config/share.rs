//! Shares of the traffic, in steps of a hundredth of a percent.

use std::fmt;

/// A provider's part of the traffic, 0 to 100 percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Share(u16);

impl Share {
    /// The number of steps in the whole.
    pub(crate) const WHOLE: u16 = 10_000;
    /// No part at all.
    pub(crate) const NONE: Self = Self(0);

    /// Reads percent with at most two decimals; none outside 0 to 100 or with more decimals.
    pub(crate) fn from_percent(percent: f64) -> Option<Self> {
        let steps = percent * 100.0;
        let rounded = steps.round();
        let valid =
            (0.0..=f64::from(Self::WHOLE)).contains(&rounded) && (steps - rounded).abs() < 1e-6;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole and between 0 and 10,000, as just checked"
        )]
        valid.then_some(Self(rounded as u16))
    }

    /// The share in steps of a hundredth of a percent.
    pub(crate) fn steps(self) -> u16 {
        self.0
    }

    /// The share in percent.
    pub(crate) fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.percent())
    }
}

/// The shares of all providers, in the order of their names; together they are the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shares(Vec<Share>);

impl Shares {
    /// Takes shares that add up to 100 percent; else gives the sum in percent.
    pub(crate) fn new(shares: Vec<Share>) -> Result<Self, f64> {
        let steps: u32 = shares.iter().map(|share| u32::from(share.0)).sum();
        if steps == u32::from(Share::WHOLE) {
            Ok(Self(shares))
        } else {
            Err(f64::from(steps) / 100.0)
        }
    }

    /// The single shares.
    pub(crate) fn as_slice(&self) -> &[Share] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_has_bounds_and_two_decimals() {
        for (percent, steps) in [
            (0.0, Some(0)),
            (0.01, Some(1)),
            (33.33, Some(3333)),
            (100.0, Some(10_000)),
            (100.01, None),
            (-1.0, None),
            (0.001, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(
                Share::from_percent(percent).map(Share::steps),
                steps,
                "{percent}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn only_the_whole_is_accepted(steps in proptest::collection::vec(0_u16..=10_000, 1..6)) {
            let sum: u32 = steps.iter().map(|step| u32::from(*step)).sum();
            let shares = Shares::new(steps.into_iter().map(Share).collect());
            proptest::prop_assert_eq!(shares.is_ok(), sum == 10_000);
        }

        #[test]
        fn every_step_is_read_back(steps in 0_u16..=10_000) {
            let share = Share(steps);
            proptest::prop_assert_eq!(Share::from_percent(share.percent()), Some(share));
        }
    }
}
