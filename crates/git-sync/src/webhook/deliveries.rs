//! Which deliveries were taken before.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

/// How many ids are remembered for each source; a sender repeats within hours, not after this many.
const REMEMBERED: usize = 1024;
/// Longer ids are not remembered: senders use UUIDs.
const MAX_ID_BYTES: usize = 128;

/// A bounded memory of delivery ids.
#[derive(Default)]
pub(super) struct Deliveries {
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    ids: HashSet<Box<str>>,
    oldest_first: VecDeque<Box<str>>,
}

impl Deliveries {
    /// Remembers `id`, and says whether it was not known.
    pub(super) fn is_new(&self, id: &str) -> bool {
        if id.len() > MAX_ID_BYTES {
            return true;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.ids.insert(id.into()) {
            return false;
        }
        seen.oldest_first.push_back(id.into());
        if seen.oldest_first.len() > REMEMBERED
            && let Some(oldest) = seen.oldest_first.pop_front()
        {
            seen.ids.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_id_is_known_until_it_is_forgotten() {
        let deliveries = Deliveries::default();
        assert!(deliveries.is_new("first"));
        assert!(!deliveries.is_new("first"));
        for number in 0..REMEMBERED {
            assert!(deliveries.is_new(&number.to_string()));
        }
        assert!(!deliveries.is_new("5"));
        assert!(deliveries.is_new("first"));
        let seen = deliveries.seen.lock().unwrap();
        assert_eq!(seen.ids.len(), REMEMBERED);
        assert_eq!(seen.oldest_first.len(), REMEMBERED);
    }
}
