//! The entries that were answered last, each encoded once and shared by all who wait for it.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use chameleon_model::Entry;

use super::answer::{EntryAnswer, Layout, to_json};

/// How many are kept: a push touches a few files, each of which thousands may wait for. With the
/// largest values they take 20 MiB.
const SLOTS: usize = 16;

/// A place for each of some entries, found by the hash of its key; a newer one takes it over.
#[derive(Default)]
pub(super) struct Encoded {
    slots: [Mutex<Option<Slot>>; SLOTS],
    hasher: RandomState,
}

struct Slot {
    entry: Arc<Entry>,
    bytes: Bytes,
}

impl Encoded {
    /// The list with this one entry, compact.
    pub(super) fn list_of(&self, entry: &Arc<Entry>) -> Bytes {
        #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash do")]
        let place = self.hasher.hash_one(&entry.key) as usize % SLOTS;
        let mut slot = (self.slots[place].lock()).unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = &*slot
            && Arc::ptr_eq(&held.entry, entry)
        {
            return held.bytes.clone();
        }
        let bytes = Bytes::from(to_json(Layout::Compact, &[EntryAnswer::from(entry)]));
        *slot = Some(Slot {
            entry: Arc::clone(entry),
            bytes: bytes.clone(),
        });
        bytes
    }
}

#[cfg(test)]
mod tests {
    use chameleon_model::{Key, Revision};

    use super::*;

    fn entry(key: &str, value: &str) -> Arc<Entry> {
        Arc::new(Entry {
            key: Key::new(key).unwrap(),
            value: value.to_owned().into(),
            flags: 0,
            create_revision: Revision(1),
            modify_revision: Revision(1),
            lock_index: 0,
            session: None,
            owner: None,
        })
    }

    #[test]
    fn an_entry_is_encoded_once_and_a_newer_one_anew() {
        let encoded = Encoded::default();
        let old = entry("a", "old");
        let first = encoded.list_of(&old);
        assert_eq!(first.as_ptr(), encoded.list_of(&old).as_ptr());
        let new = encoded.list_of(&entry("a", "new"));
        assert_ne!(first, new);
        for number in 0..100 {
            let entry = entry(&number.to_string(), "x");
            let whole = to_json(Layout::Compact, &[EntryAnswer::from(&entry)]);
            assert_eq!(encoded.list_of(&entry), whole);
        }
    }
}
