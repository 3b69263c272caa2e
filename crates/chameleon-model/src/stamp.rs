//! The numbers that name a state of the store.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The number of a committed transaction; one count for the whole store, without gaps.
///
/// Revision 0 is the empty store before its first transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// The state before the first transaction.
    pub const ZERO: Self = Self(0);

    /// The revision of the next transaction.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The number of a lineage; it rises when the database turns out to be another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// The random mark of one committed transaction, which tells equal revisions of two lineages apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tag(pub u64);

/// Names one state of the store for certain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The lineage.
    pub epoch: Epoch,
    /// The last transaction that the state holds.
    pub revision: Revision,
    /// That transaction's mark.
    pub tag: Tag,
}

impl Stamp {
    /// Says whether a reader at `self` may move to `next`: a higher revision of the same lineage,
    /// or any state of a later one.
    pub fn may_advance_to(self, next: Self) -> bool {
        (next.epoch, next.revision) > (self.epoch, self.revision)
    }
}

/// A moment in microseconds since 1970-01-01 UTC; storage and the wire carry the number as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The time that is `duration` later; the last there is for anything beyond.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// The time that has passed from `self` to `later`, zero where clocks disagree about the order.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_micros(u64::try_from(later.0 - self.0).unwrap_or(0))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_micros(u64::try_from(time.0).unwrap_or(0))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.epoch, self.revision, self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(epoch: u64, revision: u64) -> Stamp {
        Stamp {
            epoch: Epoch(epoch),
            revision: Revision(revision),
            tag: Tag(7),
        }
    }

    #[test]
    fn a_lower_revision_needs_a_later_epoch() {
        assert!(stamp(1, 5).may_advance_to(stamp(1, 6)));
        assert!(!stamp(1, 5).may_advance_to(stamp(1, 5)));
        assert!(!stamp(1, 5).may_advance_to(stamp(1, 4)));
        assert!(stamp(1, 5).may_advance_to(stamp(2, 3)));
        assert!(!stamp(2, 3).may_advance_to(stamp(1, 9)));
    }

    #[test]
    fn time_between_clocks_that_disagree_is_zero() {
        assert_eq!(Timestamp(5).until(Timestamp(3)), Duration::ZERO);
        assert_eq!(Timestamp(3).until(Timestamp(5)), Duration::from_micros(2));
    }
}
