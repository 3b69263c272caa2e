//! Which stamps this server has served, so that a returning client gets only what it lacks.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chameleon_model::Stamp;

/// How many states are remembered; a client that holds an older one gets a complete state.
const REMEMBERED: usize = 16 * 1024;

/// The newest stamps of the present lineage, contiguous and in order.
#[derive(Debug)]
pub(super) struct Lineage {
    stamps: Mutex<VecDeque<Stamp>>,
}

impl Lineage {
    pub(super) fn new(head: Stamp) -> Self {
        Self {
            stamps: Mutex::new(VecDeque::from([head])),
        }
    }

    /// Adds the next state.
    pub(super) fn push(&self, stamp: Stamp) {
        let mut stamps = self.lock();
        if stamps.len() == REMEMBERED {
            stamps.pop_front();
        }
        stamps.push_back(stamp);
    }

    /// Forgets all states, because the way to `head` is not known.
    pub(super) fn restart(&self, head: Stamp) {
        let mut stamps = self.lock();
        stamps.clear();
        stamps.push_back(head);
    }

    /// Says whether `stamp` is remembered.
    pub(super) fn knows(&self, stamp: Stamp) -> bool {
        let stamps = self.lock();
        let first = stamps.front().map_or(0, |first| first.revision.0);
        let place = (stamp.revision.0.checked_sub(first)).and_then(|at| usize::try_from(at).ok());
        place.and_then(|place| stamps.get(place)) == Some(&stamp)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Stamp>> {
        self.stamps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use chameleon_model::{Epoch, Revision, Tag};

    use super::*;

    fn stamp(revision: u64) -> Stamp {
        Stamp {
            epoch: Epoch(1),
            revision: Revision(revision),
            tag: Tag(revision * 7),
        }
    }

    #[test]
    fn only_states_of_this_lineage_are_known() {
        let lineage = Lineage::new(stamp(5));
        lineage.push(stamp(6));
        assert!(lineage.knows(stamp(5)) && lineage.knows(stamp(6)));
        assert!(!lineage.knows(stamp(4)) && !lineage.knows(stamp(7)));
        let restored = Stamp {
            tag: Tag(1),
            ..stamp(6)
        };
        assert!(!lineage.knows(restored));
        lineage.restart(stamp(9));
        assert!(lineage.knows(stamp(9)) && !lineage.knows(stamp(6)));
    }

    #[test]
    fn the_oldest_states_are_forgotten() {
        let lineage = Lineage::new(stamp(0));
        for revision in 1..=REMEMBERED as u64 {
            lineage.push(stamp(revision));
        }
        assert!(!lineage.knows(stamp(0)));
        assert!(lineage.knows(stamp(1)) && lineage.knows(stamp(REMEMBERED as u64)));
    }
}
