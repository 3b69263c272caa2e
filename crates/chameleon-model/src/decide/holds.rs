//! What a transaction does to the holds on a source's keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Draft;
use crate::hold::cut;
use crate::{Entry, GitValue, Hold, HoldChange, Key, Origin, Refusal, Snapshot, SourceName};

/// What a transaction says of a key's hold in so many words.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Hold,
    Release,
}

impl Draft<'_> {
    /// Puts back what git has at a held key.
    pub(super) fn release(&mut self, key: &Key) -> Result<(), Refusal> {
        let Some(hold) = self.base.hold(key.as_str()) else {
            return Err(Refusal::NotOnHold { key: key.clone() });
        };
        match &hold.git {
            Some(GitValue { value, flags }) => {
                self.write(key, value, *flags).owner = Some(hold.source.clone());
            }
            None => self.delete(key),
        }
        self.wishes.insert(key.clone(), Wish::Release);
        Ok(())
    }

    /// Writes a file that `source` had at `key`; the source's again, where it is nobody's.
    pub(super) fn restore(&mut self, key: &Key, value: &Bytes, flags: u64, source: &SourceName) {
        let mut owner = self.owner(key);
        if owner.is_none() && self.get(key).is_none() {
            self.restored.insert(key.clone(), source.clone());
            owner = Some(source.clone());
        }
        self.write(key, value, flags).owner = owner;
    }

    /// Says whether `key` is held against what its source has `offered` there, which may be nothing.
    /// A hold ends where the file has changed since.
    pub(super) fn stays_held(&mut self, key: &Key, offered: Option<GitValue>) -> bool {
        let Some(hold) = self.hold(key) else {
            return false;
        };
        if !self.keeps_holds && hold.is_outdated_by(offered.as_ref()) {
            self.holds.insert(key.clone(), None);
            return false;
        }
        if hold.git != offered {
            let moved = Hold {
                git: offered,
                revision: self.revision,
                ..hold.clone()
            };
            self.holds.insert(key.clone(), Some(moved));
        }
        true
    }

    /// Holds what the transaction has changed of a source's keys, and what it asks for.
    pub(super) fn put_holds(&mut self, origin: &Origin, lasts: Duration) {
        let mut touched: BTreeSet<_> = self.wishes.keys().cloned().collect();
        touched.extend(self.entries.keys().cloned());
        for key in touched {
            let restored = self.restored.get(&key);
            let Some(source) = self.base.owner_of(key.as_str()).or(restored) else {
                continue;
            };
            let before = self.base.get(key.as_str()).map(|entry| git_value(entry));
            let after = self.get(&key).map(git_value);
            // What belongs to a source and is not held is as git has it.
            let (git, against) = match self.base.hold(key.as_str()) {
                Some(hold) => (hold.git.clone(), Some(hold.against.clone())),
                None if restored.is_some() => (None, after.clone()),
                None => (before.clone(), before.clone()),
            };
            let is_released = match self.wishes.get(&key) {
                Some(Wish::Release) => after == git,
                None if after == before => continue,
                Some(Wish::Hold) | None => false,
            };
            let (mut reason, mut expires) = (cut(&origin.message), self.known.now.after(lasts));
            // A write that says nothing of it takes back neither why nor how long.
            let is_asked_for = self.wishes.contains_key(&key);
            if let Some(hold) = self.base.hold(key.as_str()).filter(|_| !is_asked_for) {
                expires = expires.max(hold.expires);
                if reason.is_empty() {
                    hold.reason.clone_into(&mut reason);
                }
            }
            let hold = against.filter(|_| !is_released).map(|against| Hold {
                key: key.clone(),
                source: source.clone(),
                git,
                against,
                author: cut(if origin.author.is_empty() {
                    &origin.via
                } else {
                    &origin.author
                }),
                reason,
                since: self.known.now,
                expires,
                revision: self.revision,
            });
            self.holds.insert(key, hold);
        }
    }

    /// The hold on `key` as it is by now.
    pub(super) fn hold(&self, key: &Key) -> Option<&Hold> {
        match self.holds.get(key) {
            Some(touched) => touched.as_ref(),
            None => self.base.hold(key.as_str()).map(Arc::as_ref),
        }
    }
}

/// The net effect: `touched` are the holds that a transaction on `base` leaves.
pub(super) fn changes(base: &Snapshot, touched: BTreeMap<Key, Option<Hold>>) -> Vec<HoldChange> {
    let mut changes = Vec::new();
    for (key, hold) in touched {
        match (base.hold(key.as_str()), hold) {
            (_, Some(mut hold)) => {
                for git in hold.git.iter_mut().chain([&mut hold.against]) {
                    git.value = Bytes::copy_from_slice(&git.value);
                }
                changes.push(HoldChange::Put(Arc::new(hold)));
            }
            (Some(_), None) => changes.push(HoldChange::Ended(key)),
            (None, None) => {}
        }
    }
    changes
}

fn git_value(entry: &Entry) -> GitValue {
    GitValue {
        value: entry.value.clone(),
        flags: entry.flags,
    }
}

#[cfg(test)]
mod tests;
