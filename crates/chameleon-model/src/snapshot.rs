//! The whole store at one revision, as an immutable map.

use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;

use crate::{
    Change, Commit, Entry, Hold, HoldChange, Key, Prefix, Revision, Session, SessionChange,
    SessionId, SourceName, Stamp,
};

/// All entries, live sessions and holds at one [`Stamp`].
///
/// Cloning is cheap, and two snapshots share what they have in common, so each commit yields a new
/// one while readers keep the old.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    stamp: Stamp,
    floor: Revision,
    entries: OrdMap<Key, Arc<Entry>>,
    tombstones: OrdMap<Key, Revision>,
    sessions: OrdMap<SessionId, Arc<Session>>,
    sessions_changed: Revision,
    holds: OrdMap<Key, Arc<Hold>>,
}

/// The parts of a [`Snapshot`], as a store loads them.
#[derive(Debug, Default)]
pub struct SnapshotParts {
    /// The state's name.
    pub stamp: Stamp,
    /// The revision below which deletions are forgotten.
    pub floor: Revision,
    /// All entries.
    pub entries: Vec<Entry>,
    /// Deleted keys with the revision of their deletion, above the floor.
    pub tombstones: Vec<(Key, Revision)>,
    /// All live sessions.
    pub sessions: Vec<Session>,
    /// The revision that last opened or ended a session, as far as it is known.
    pub sessions_changed: Revision,
    /// All holds.
    pub holds: Vec<Hold>,
}

impl Snapshot {
    /// The state's name.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The revision below which deletions are forgotten.
    pub fn floor(&self) -> Revision {
        self.floor
    }

    /// The entry of `key`.
    pub fn get(&self, key: &str) -> Option<&Arc<Entry>> {
        self.entries.get(key)
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Says whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries whose keys begin with `prefix`, in bytewise order.
    pub fn under<'a>(&'a self, prefix: &'a Prefix) -> impl Iterator<Item = &'a Arc<Entry>> {
        from(&self.entries, prefix).map(|(_, entry)| entry)
    }

    /// The deleted keys that begin with `prefix`, with the revision of their deletion, as far as
    /// they lie above the floor; in bytewise order.
    pub fn deleted_under<'a>(
        &'a self,
        prefix: &'a Prefix,
    ) -> impl Iterator<Item = (&'a Key, Revision)> {
        from(&self.tombstones, prefix).map(|(key, revision)| (key, *revision))
    }

    /// The live session of that id.
    pub fn session(&self, id: SessionId) -> Option<&Arc<Session>> {
        self.sessions.get(&id)
    }

    /// All live sessions.
    pub fn sessions(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.sessions.values()
    }

    /// The revision that last opened or ended any session, as [`index_of`](Self::index_of).
    pub fn sessions_index(&self) -> Revision {
        self.sessions_changed.max(self.floor)
    }

    /// The hold on `key`.
    pub fn hold(&self, key: &str) -> Option<&Arc<Hold>> {
        self.holds.get(key)
    }

    /// All holds, ordered by key.
    pub fn holds(&self) -> impl Iterator<Item = &Arc<Hold>> {
        self.holds.values()
    }

    /// The git source that `key` belongs to, which may be held as deleted.
    pub fn owner_of(&self, key: &str) -> Option<&SourceName> {
        let entry = self.get(key).and_then(|entry| entry.owner.as_ref());
        entry.or_else(|| self.hold(key).map(|hold| &hold.source))
    }

    /// The keys that belong to `source`, those that are held as deleted last.
    pub fn keys_of<'a>(&'a self, source: &'a SourceName) -> impl Iterator<Item = &'a Key> {
        let entries = (self.entries.values())
            .filter(move |entry| entry.owner.as_ref() == Some(source))
            .map(|entry| &entry.key);
        let gone = (self.holds.values())
            .filter(move |hold| hold.source == *source && !self.entries.contains_key(&hold.key))
            .map(|hold| &hold.key);
        entries.chain(gone)
    }

    /// The revision that last changed `key`, its deletion included; the floor if none is known.
    ///
    /// It never falls from one snapshot of a lineage to a later one.
    pub fn index_of(&self, key: &str) -> Revision {
        self.get(key)
            .map(|entry| entry.modify_revision)
            .or_else(|| self.tombstones.get(key).copied())
            .unwrap_or(self.floor)
    }

    /// The revision that last changed anything under `prefix`, as [`index_of`](Self::index_of).
    pub fn index_under(&self, prefix: &Prefix) -> Revision {
        let newest = self.under(prefix).map(|entry| entry.modify_revision).max();
        let deleted = from(&self.tombstones, prefix)
            .map(|(_, revision)| *revision)
            .max();
        newest.max(deleted).unwrap_or_default().max(self.floor)
    }

    /// The state that `commit` leads to.
    ///
    /// # Errors
    /// The commit is not the next one of this lineage; nothing is lost, read the store again.
    pub fn apply(&self, commit: &Commit) -> Result<Self, NotContiguous> {
        let next = (self.stamp.epoch, self.stamp.revision.next());
        if (commit.stamp.epoch, commit.stamp.revision) != next {
            return Err(NotContiguous {
                held: self.stamp,
                got: commit.stamp,
            });
        }
        let mut state = self.clone();
        state.stamp = commit.stamp;
        for change in &commit.changes {
            match change {
                Change::Put(entry) => {
                    state.tombstones.remove(&entry.key);
                    state.entries.insert(entry.key.clone(), Arc::clone(entry));
                }
                Change::Delete(key) => {
                    state.entries.remove(key);
                    state.tombstones.insert(key.clone(), commit.stamp.revision);
                }
            }
        }
        if !commit.sessions.is_empty() {
            state.sessions_changed = commit.stamp.revision;
        }
        for change in &commit.sessions {
            match change {
                SessionChange::Opened(session) => {
                    state.sessions.insert(session.id, Arc::clone(session));
                }
                SessionChange::Ended(id) => {
                    state.sessions.remove(id);
                }
            }
        }
        for change in &commit.holds {
            match change {
                HoldChange::Put(hold) => {
                    state.holds.insert(hold.key.clone(), Arc::clone(hold));
                }
                HoldChange::Ended(key) => {
                    state.holds.remove(key);
                }
            }
        }
        Ok(state)
    }

    /// The same state without the deletions up to `floor`, which becomes its floor; nothing changes
    /// below the present one.
    #[must_use]
    pub fn forget(&self, floor: Revision) -> Self {
        let floor = floor.clamp(self.floor, self.stamp.revision);
        let mut state = self.clone();
        state.floor = floor;
        state.tombstones = (self.tombstones.iter())
            .filter(|(_, revision)| **revision > floor)
            .map(|(key, revision)| (key.clone(), *revision))
            .collect();
        state
    }
}

/// A commit that does not follow the held state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the commit {got} does not follow the held state {held}")]
pub struct NotContiguous {
    /// The state that was held.
    pub held: Stamp,
    /// The commit that came.
    pub got: Stamp,
}

impl From<SnapshotParts> for Snapshot {
    fn from(parts: SnapshotParts) -> Self {
        Self {
            stamp: parts.stamp,
            floor: parts.floor,
            entries: (parts.entries.into_iter())
                .map(|entry| (entry.key.clone(), Arc::new(entry)))
                .collect(),
            tombstones: parts.tombstones.into_iter().collect(),
            sessions: (parts.sessions.into_iter())
                .map(|session| (session.id, Arc::new(session)))
                .collect(),
            sessions_changed: parts.sessions_changed,
            holds: (parts.holds.into_iter())
                .map(|hold| (hold.key.clone(), Arc::new(hold)))
                .collect(),
        }
    }
}

fn from<'a, V: Clone>(
    map: &'a OrdMap<Key, V>,
    prefix: &'a Prefix,
) -> impl Iterator<Item = (&'a Key, &'a V)> {
    let start = (Bound::Included(prefix.as_str()), Bound::Unbounded);
    map.range::<_, str>(start)
        .take_while(|(key, _)| prefix.covers(key))
}

#[cfg(test)]
mod tests {
    use crate::{Known, Operation, Tag, Transaction, decide};

    use super::*;

    #[test]
    fn indexes_rise_to_the_floor_and_never_fall() {
        let key = |text: &str| Key::new(text).unwrap();
        let put = |text: &str| Operation::Put {
            key: key(text),
            value: "x".into(),
            flags: 0,
        };
        let delete = |text: &str| Operation::Delete { key: key(text) };
        let group = [put("a"), put("b"), put("c"), delete("a"), delete("b")];
        let group = (group.into_iter())
            .map(|operation| Transaction {
                operations: vec![operation],
                ..Transaction::default()
            })
            .collect();
        let state = decide(&Snapshot::default(), group, Known::default(), || Tag(1)).snapshot;
        let all = Prefix::all();

        let later = state.forget(Revision(4));
        assert_eq!(later.stamp(), state.stamp());
        assert_eq!(later.floor(), Revision(4));
        assert!(later.under(&all).eq(state.under(&all)));
        let deleted: Vec<_> = later.deleted_under(&all).collect();
        assert_eq!(deleted, [(&key("b"), Revision(5))]);
        for name in ["a", "b", "c", "never"] {
            assert!(later.index_of(name) >= state.index_of(name), "{name}");
        }

        assert_eq!(later.forget(Revision(2)).floor(), Revision(4));
        let highest = later.forget(Revision(9));
        assert_eq!(highest.floor(), Revision(5));
        assert_eq!(highest.deleted_under(&all).count(), 0);
    }
}
