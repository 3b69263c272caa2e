//! Which part of the keyspace somebody reads or watches.

use std::collections::BTreeSet;
use std::sync::Arc;

use chameleon_model::{Entry, Key, Prefix, Revision, Scope, Snapshot, Stamp};

/// Some keys and all keys under some prefixes; no key is meant twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Selection {
    /// Sorted, each once.
    keys: Vec<Key>,
    prefixes: Vec<Prefix>,
}

/// What leads a reader of a selection to a newer state.
#[derive(Debug)]
pub(crate) struct Update {
    /// The state that it leads to.
    pub(crate) stamp: Stamp,
    /// The state that it starts from; `None` if it is complete.
    pub(crate) base: Option<Stamp>,
    /// Entries that are new or changed; all of them if it is complete.
    pub(crate) puts: Vec<Arc<Entry>>,
    /// Keys that are gone; none if it is complete.
    pub(crate) deletes: Vec<Key>,
    /// The revisions after the base that changed the selection, each once; none if it is complete.
    pub(crate) revisions: Vec<Revision>,
}

impl Update {
    /// Says whether the reader has all of it already.
    pub(crate) fn is_empty(&self) -> bool {
        self.base.is_some() && self.puts.is_empty() && self.deletes.is_empty()
    }
}

impl Selection {
    pub(crate) fn new(
        keys: impl IntoIterator<Item = Key>,
        prefixes: impl IntoIterator<Item = Prefix>,
    ) -> Self {
        let sorted: BTreeSet<Prefix> = prefixes.into_iter().collect();
        let mut prefixes: Vec<Prefix> = Vec::with_capacity(sorted.len());
        for prefix in sorted {
            // A prefix that covers this one sorts before it, and nothing lies between the two.
            let covered = (prefixes.last())
                .is_some_and(|shorter| prefix.as_str().starts_with(shorter.as_str()));
            if !covered {
                prefixes.push(prefix);
            }
        }
        let mut keys: Vec<Key> = (keys.into_iter())
            .filter(|key| !prefixes.iter().any(|prefix| prefix.covers(key)))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        Self { keys, prefixes }
    }

    /// The part of it that lies in `scopes`.
    pub(crate) fn within<'a>(&self, scopes: impl Iterator<Item = &'a Scope>) -> Self {
        let (mut keys, mut prefixes) = (Vec::new(), Vec::new());
        for scope in scopes {
            keys.extend(self.keys().filter(|key| scope.covers(key)).cloned());
            for prefix in self.prefixes() {
                if scope.covers_all_under(prefix) {
                    prefixes.push(prefix.clone());
                } else if scope.lies_under(prefix) {
                    keys.extend(scope.key().cloned());
                    prefixes.extend(scope.prefix().cloned());
                }
            }
        }
        Self::new(keys, prefixes)
    }

    /// Says whether nothing is selected.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.prefixes.is_empty()
    }

    /// The length of all names together.
    pub(crate) fn bytes(&self) -> usize {
        let keys = self.keys.iter().map(Key::as_str);
        let prefixes = self.prefixes.iter().map(Prefix::as_str);
        keys.chain(prefixes).map(str::len).sum()
    }

    /// The revision that last changed anything selected, as [`Snapshot::index_of`].
    pub(crate) fn index(&self, snapshot: &Snapshot) -> Revision {
        let single = self.keys.iter().map(|key| snapshot.index_of(key.as_str()));
        let under = (self.prefixes.iter()).map(|prefix| snapshot.index_under(prefix));
        single.chain(under).max().unwrap_or(snapshot.floor())
    }

    pub(crate) fn key(key: Key) -> Self {
        Self::new([key], [])
    }

    pub(crate) fn prefix(prefix: Prefix) -> Self {
        Self::new([], [prefix])
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    pub(crate) fn prefixes(&self) -> impl Iterator<Item = &Prefix> {
        self.prefixes.iter()
    }

    /// The selected entries of `snapshot`.
    pub(crate) fn entries<'a>(
        &'a self,
        snapshot: &'a Snapshot,
    ) -> impl Iterator<Item = &'a Arc<Entry>> {
        let single = self
            .keys
            .iter()
            .filter_map(|key| snapshot.get(key.as_str()));
        single.chain(
            self.prefixes
                .iter()
                .flat_map(|prefix| snapshot.under(prefix)),
        )
    }

    /// Says whether anything selected was changed or deleted after `revision`.
    pub(crate) fn changed_after(&self, snapshot: &Snapshot, revision: Revision) -> bool {
        self.entries(snapshot)
            .any(|entry| entry.modify_revision > revision)
            || self.deleted_after(snapshot, revision).next().is_some()
    }

    /// What leads from `base` to `snapshot`; complete if `base` is too old, of another lineage, or
    /// none. The caller knows that a base of the same epoch is a state of the same lineage.
    pub(crate) fn update(&self, snapshot: &Snapshot, base: Option<Stamp>) -> Update {
        let stamp = snapshot.stamp();
        let base = base.filter(|base| {
            base.epoch == stamp.epoch
                && (snapshot.floor()..=stamp.revision).contains(&base.revision)
        });
        let Some(from) = base else {
            return Update {
                stamp,
                base: None,
                puts: self.entries(snapshot).cloned().collect(),
                deletes: Vec::new(),
                revisions: Vec::new(),
            };
        };
        let puts: Vec<_> = (self.entries(snapshot))
            .filter(|entry| entry.modify_revision > from.revision)
            .cloned()
            .collect();
        let mut revisions: Vec<_> = puts.iter().map(|entry| entry.modify_revision).collect();
        let mut deletes = Vec::new();
        for (key, revision) in self.deleted_after(snapshot, from.revision) {
            deletes.push(key.clone());
            revisions.push(revision);
        }
        revisions.sort_unstable();
        revisions.dedup();
        Update {
            stamp,
            base,
            puts,
            deletes,
            revisions,
        }
    }

    fn deleted_after<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        revision: Revision,
    ) -> impl Iterator<Item = (&'a Key, Revision)> {
        let single = (self.keys.iter())
            .filter(|key| snapshot.get(key.as_str()).is_none())
            .map(|key| (key, snapshot.index_of(key.as_str())));
        let under = (self.prefixes.iter()).flat_map(|prefix| snapshot.deleted_under(prefix));
        single
            .chain(under)
            .filter(move |(_, deleted)| *deleted > revision)
    }
}

#[cfg(test)]
mod tests {
    use chameleon_model::{Grant, Known, Operation, Right, Rule, Tag, Transaction, decide};
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    fn after(base: &Snapshot, operations: Vec<Operation>) -> Snapshot {
        let transaction = Transaction {
            operations,
            ..Transaction::default()
        };
        decide(base, vec![transaction], Known::default(), || Tag(1)).snapshot
    }

    fn put(text: &str, value: &'static str) -> Operation {
        Operation::Put {
            key: key(text),
            value: value.into(),
            flags: 0,
        }
    }

    #[test]
    fn nothing_is_selected_twice() {
        let selection = Selection::new(
            [key("a/1"), key("b")],
            ["a/", "a/b", "c", "a/"].map(Prefix::new),
        );
        assert_eq!(
            selection,
            Selection::new([key("b")], ["c", "a/"].map(Prefix::new))
        );
        let all = Selection::new([key("b")], ["c", "", "a/"].map(Prefix::new));
        assert_eq!(all, Selection::prefix(Prefix::all()));
    }

    #[test]
    fn an_update_leads_from_its_base() {
        let one = after(
            &Snapshot::default(),
            vec![put("a/1", "x"), put("a/2", "x"), put("b", "x")],
        );
        let two = after(&one, vec![Operation::Delete { key: key("a/1") }]);
        let three = after(&two, vec![put("b", "y"), put("c", "y")]);
        let selection = Selection::new([key("b")], [Prefix::new("a/")]);

        let whole = selection.update(&three, None);
        assert_eq!(
            (whole.base, whole.puts.len(), whole.deletes.len()),
            (None, 2, 0)
        );

        let update = selection.update(&three, Some(one.stamp()));
        assert_eq!(update.base, Some(one.stamp()));
        assert_eq!(update.deletes, [key("a/1")]);
        assert_eq!(
            update
                .puts
                .iter()
                .map(|put| put.key.as_str())
                .collect::<Vec<_>>(),
            ["b"]
        );
        assert_eq!(update.revisions, [Revision(2), Revision(3)]);

        assert!(selection.update(&three, Some(three.stamp())).is_empty());
        assert!(selection.changed_after(&three, Revision(2)));
        assert!(!selection.changed_after(&three, Revision(3)));
        assert!(Selection::prefix(Prefix::new("a/")).changed_after(&two, Revision(1)));
    }

    #[test]
    fn a_base_that_is_not_of_this_lineage_gives_a_complete_update() {
        let one = after(&Snapshot::default(), vec![put("a", "x")]);
        let selection = Selection::key(key("a"));
        let mut other = one.stamp();
        other.epoch.0 += 1;
        assert_eq!(selection.update(&one, Some(other)).base, None);
        let mut future = one.stamp();
        future.revision.0 += 1;
        assert_eq!(selection.update(&one, Some(future)).base, None);
    }

    fn covers(selection: &Selection, key: &Key) -> bool {
        selection.keys().any(|own| own == key)
            || selection.prefixes().any(|prefix| prefix.covers(key))
    }

    proptest! {
        #[test]
        fn what_is_narrowed_is_what_is_both_selected_and_allowed(
            keys in prop::collection::vec("[ab]{1,2}(/[ab]{0,2})?", 0..3),
            prefixes in prop::collection::vec("[ab]{0,2}(/[ab]{0,1})?", 0..3),
            scopes in prop::collection::vec("[ab]{1,2}(/[ab]{0,2})?", 0..4),
            text in "[ab]{1,2}(/[ab]{0,2}){0,2}",
        ) {
            let selection = Selection::new(
                keys.iter().map(|text| key(text)),
                prefixes.iter().map(|text| Prefix::new(text)),
            );
            let grant = Grant::new(scopes.iter().map(|text| Rule {
                right: Right::Read,
                scope: Scope::new(text).unwrap(),
            }));
            let narrowed = selection.within(grant.scopes(Right::Read));
            let key = key(&text);
            prop_assert_eq!(
                covers(&narrowed, &key),
                covers(&selection, &key) && grant.allows(Right::Read, &key)
            );
        }
    }
}
