//! The rules by which transactions become commits. Pure: the stores run them on the newest state, and
//! keep what they lead to only if it still is the newest.

mod holds;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use crate::{
    Change, Commit, CommitId, DEFAULT_HOLD, Entry, GitValue, Hold, HoldChange, Key, Operation,
    Outcome, Precondition, Prefix, Refusal, RequestId, Revision, Session, SessionBehavior,
    SessionChange, SessionId, Snapshot, SourceName, SourceUpdate, Stamp, Tag, Timestamp,
    Transaction,
};
use holds::Wish;

/// What a store knows beside the snapshot when it decides a group.
#[derive(Debug, Default)]
pub struct Known {
    /// The applied commit of each source that the group names.
    pub markers: BTreeMap<SourceName, CommitId>,
    /// Until when the locks of keys cannot be taken, because their holder has ended.
    pub lock_delays: BTreeMap<Key, Timestamp>,
    /// The first outcome of each request of the group that was answered before.
    pub answered: HashMap<RequestId, Outcome>,
    /// The time to write into commits.
    pub now: Timestamp,
}

/// What a group of transactions leads to.
#[derive(Debug)]
pub struct Decided {
    /// One for each transaction, in their order.
    pub outcomes: Vec<Outcome>,
    /// The commits to store, in revision order.
    pub commits: Vec<Arc<Commit>>,
    /// The state after them.
    pub snapshot: Snapshot,
    /// The sources whose applied commit moves, with the state it moved at.
    pub moved: Vec<(SourceUpdate, Stamp)>,
    /// Keys whose holder has ended, with the time until which their locks cannot be taken.
    pub delayed: BTreeMap<Key, Timestamp>,
    /// Requests answered for the first time and not refused.
    pub answered: Vec<(RequestId, Outcome)>,
}

/// Decides `group` in order, each transaction on the state that those before it left.
///
/// A transaction that changes nothing spends no revision; a refused one leaves no trace.
/// `next_tag` gives each commit its random mark.
pub fn decide(
    base: &Snapshot,
    group: Vec<Transaction>,
    mut known: Known,
    mut next_tag: impl FnMut() -> Tag,
) -> Decided {
    let mut decided = Decided {
        outcomes: Vec::with_capacity(group.len()),
        commits: Vec::new(),
        snapshot: base.clone(),
        moved: Vec::new(),
        delayed: BTreeMap::new(),
        answered: Vec::new(),
    };
    for transaction in group {
        let first = (transaction.request_id).and_then(|id| known.answered.get(&id));
        let outcome = match first {
            Some(first) => first.clone(),
            None => decided.decide_one(transaction, &mut known, &mut next_tag),
        };
        decided.outcomes.push(outcome);
    }
    decided
}

impl Decided {
    fn decide_one(
        &mut self,
        transaction: Transaction,
        known: &mut Known,
        next_tag: &mut impl FnMut() -> Tag,
    ) -> Outcome {
        let mut draft = Draft::new(&self.snapshot, known);
        let refusals = draft.run(&transaction);
        if !refusals.is_empty() {
            return Outcome::Refused(refusals);
        }
        let delayed = std::mem::take(&mut draft.delayed);
        let Effects {
            changes,
            sessions,
            holds,
        } = draft.into_effects();
        let outcome = if changes.is_empty() && sessions.is_empty() && holds.is_empty() {
            Outcome::Unchanged(self.snapshot.stamp())
        } else {
            let held = self.snapshot.stamp();
            let commit = Commit {
                stamp: Stamp {
                    epoch: held.epoch,
                    revision: held.revision.next(),
                    tag: next_tag(),
                },
                at: known.now,
                request_id: transaction.request_id,
                source: transaction.source.clone(),
                origin: transaction.origin,
                changes,
                sessions,
                holds,
            };
            self.snapshot = (self.snapshot)
                .apply(&commit)
                .expect("the draft was made on this snapshot, so its commit is the next");
            let stamp = commit.stamp;
            self.commits.push(Arc::new(commit));
            Outcome::Committed(stamp)
        };
        known.lock_delays.extend(delayed.clone());
        self.delayed.extend(delayed);
        if let Some(update) = transaction.source {
            (known.markers).insert(update.name.clone(), update.commit.clone());
            self.moved.push((update, self.snapshot.stamp()));
        }
        if let Some(id) = transaction.request_id {
            known.answered.insert(id, outcome.clone());
            self.answered.push((id, outcome.clone()));
        }
        outcome
    }
}

/// What a transaction does to its base.
struct Effects {
    changes: Vec<Change>,
    sessions: Vec<SessionChange>,
    holds: Vec<HoldChange>,
}

/// A transaction at work: the base with the keys, sessions and holds touched so far.
struct Draft<'a> {
    base: &'a Snapshot,
    known: &'a Known,
    revision: Revision,
    /// See [`Transaction::keeps_holds`].
    keeps_holds: bool,
    wishes: BTreeMap<Key, Wish>,
    /// Files that are back, of sources that have them no more.
    restored: BTreeMap<Key, SourceName>,
    holds: BTreeMap<Key, Option<Hold>>,
    entries: BTreeMap<Key, Option<Entry>>,
    sessions: BTreeMap<SessionId, Option<Arc<Session>>>,
    delayed: BTreeMap<Key, Timestamp>,
}

impl<'a> Draft<'a> {
    fn new(base: &'a Snapshot, known: &'a Known) -> Self {
        Self {
            base,
            known,
            revision: base.stamp().revision.next(),
            keeps_holds: false,
            wishes: BTreeMap::new(),
            restored: BTreeMap::new(),
            holds: BTreeMap::new(),
            entries: BTreeMap::new(),
            sessions: BTreeMap::new(),
            delayed: BTreeMap::new(),
        }
    }

    fn run(&mut self, transaction: &Transaction) -> Vec<Refusal> {
        let mut refusals: Vec<_> = (transaction.preconditions.iter())
            .filter_map(|precondition| self.unmet(precondition))
            .collect();
        if let Some(update) = &transaction.source {
            refusals.extend(marker_moved(update, &self.known.markers));
        }
        self.keeps_holds = transaction.keeps_holds;
        for operation in &transaction.operations {
            refusals.extend(self.operate(operation, transaction.source.as_ref()).err());
        }
        match &transaction.source {
            Some(update) => self.drop_vanished(&update.name, &transaction.operations),
            None => self.put_holds(
                &transaction.origin,
                transaction.hold_for.unwrap_or(DEFAULT_HOLD),
            ),
        }
        refusals
    }

    fn unmet(&self, precondition: &Precondition) -> Option<Refusal> {
        match precondition {
            Precondition::AtRevision { key, revision } => {
                let actual = self.get(key).map(|entry| entry.modify_revision);
                (actual != Some(*revision)).then(|| Refusal::WrongRevision {
                    key: key.clone(),
                    expected: *revision,
                    actual,
                })
            }
            Precondition::Absent { key } => self.get(key).map(|entry| Refusal::Exists {
                key: key.clone(),
                actual: entry.modify_revision,
            }),
            Precondition::HeldBy { key, session } => self.not_held(key, *session),
            Precondition::SessionLive { session } => self.not_live(*session),
            Precondition::Unchanged { prefix, since } => {
                let actual = self.base.index_under(prefix);
                (actual > *since).then(|| Refusal::ChangedUnder {
                    prefix: prefix.clone(),
                    since: *since,
                    actual,
                })
            }
        }
    }

    fn operate(
        &mut self,
        operation: &Operation,
        source: Option<&SourceUpdate>,
    ) -> Result<(), Refusal> {
        match operation {
            Operation::Put { key, value, flags } => {
                let owner = match (source, self.owner(key)) {
                    (Some(update), Some(owner)) if owner != update.name => {
                        return Err(Refusal::OwnedByOther {
                            key: key.clone(),
                            owner,
                        });
                    }
                    (Some(update), _) => Some(update.name.clone()),
                    (None, owner) => owner,
                };
                if source.is_some() {
                    let offered = GitValue {
                        value: value.clone(),
                        flags: *flags,
                    };
                    if self.stays_held(key, Some(offered)) {
                        return Ok(());
                    }
                }
                let entry = self.write(key, value, *flags);
                entry.owner = owner;
            }
            // Of a source's new state only its puts count, and what it has not.
            Operation::Delete { key } if source.is_some() && self.hold(key).is_some() => {}
            Operation::Delete { key } => self.delete(key),
            Operation::DeletePrefix { prefix } => {
                for entry in self.entries_where(prefix, |_| true) {
                    if source.is_none() || self.hold(&entry.key).is_none() {
                        self.delete(&entry.key);
                    }
                }
            }
            Operation::Hold { key } | Operation::Release { key } if source.is_some() => {
                return Err(Refusal::HoldInUpdate { key: key.clone() });
            }
            Operation::Hold { key } => {
                if self.base.owner_of(key.as_str()).is_none() {
                    return Err(Refusal::NotOwned { key: key.clone() });
                }
                self.wishes.insert(key.clone(), Wish::Hold);
            }
            Operation::Release { key } => self.release(key)?,
            Operation::Restore { key, .. } if source.is_some() => {
                return Err(Refusal::HoldInUpdate { key: key.clone() });
            }
            Operation::Restore {
                key,
                value,
                flags,
                source,
            } => self.restore(key, value, *flags, source),
            Operation::Lock {
                key,
                value,
                flags,
                session,
            } => {
                self.not_live(*session).map_or(Ok(()), Err)?;
                let holder = self.get(key).and_then(|entry| entry.session);
                if holder.is_some_and(|holder| holder != *session) {
                    return Err(Refusal::AlreadyHeld { key: key.clone() });
                }
                if holder.is_none() && self.is_delayed(key) {
                    return Err(Refusal::LockDelayed { key: key.clone() });
                }
                let entry = self.write(key, value, *flags);
                entry.session = Some(*session);
                entry.lock_index += u64::from(holder.is_none());
            }
            Operation::Unlock {
                key,
                value,
                flags,
                session,
            } => {
                self.not_held(key, *session).map_or(Ok(()), Err)?;
                self.write(key, value, *flags).session = None;
            }
            Operation::OpenSession(session) => {
                if self.live(session.id) {
                    return Err(Refusal::SessionExists {
                        session: session.id,
                    });
                }
                let opened = Session {
                    create_revision: self.revision,
                    ..session.clone()
                };
                self.sessions.insert(session.id, Some(Arc::new(opened)));
            }
            Operation::EndSession(id) => self.end_session(*id),
        }
        Ok(())
    }

    fn end_session(&mut self, id: SessionId) {
        let Some(session) = self.session(id).cloned() else {
            return;
        };
        self.sessions.insert(id, None);
        for entry in self.entries_where(&Prefix::all(), |entry| entry.session == Some(id)) {
            let freed = Entry {
                session: None,
                ..entry.clone()
            };
            let left = (session.behavior == SessionBehavior::Release).then_some(freed);
            if !session.lock_delay.is_zero() {
                let until = self.known.now.after(session.lock_delay);
                self.delayed.insert(entry.key.clone(), until);
            }
            self.entries.insert(entry.key, left);
        }
    }

    fn is_delayed(&self, key: &Key) -> bool {
        let until = (self.delayed.get(key)).or_else(|| self.known.lock_delays.get(key));
        until.is_some_and(|until| *until > self.known.now)
    }

    /// Deletes what the source owned and its new state has no more.
    fn drop_vanished(&mut self, source: &SourceName, operations: &[Operation]) {
        let kept: BTreeSet<_> = (operations.iter())
            .filter_map(|operation| match operation {
                Operation::Put { key, .. } => Some(key),
                _ => None,
            })
            .collect();
        let held: Vec<_> = (self.base.holds())
            .filter(|hold| hold.source == *source && !kept.contains(&hold.key))
            .map(|hold| hold.key.clone())
            .collect();
        for key in held {
            if !self.stays_held(&key, None) {
                self.delete(&key);
            }
        }
        for entry in
            self.entries_where(&Prefix::all(), |entry| entry.owner.as_ref() == Some(source))
        {
            if !kept.contains(&entry.key) && self.hold(&entry.key).is_none() {
                self.delete(&entry.key);
            }
        }
    }

    /// Whose `key` is, also where it is deleted.
    fn owner(&self, key: &Key) -> Option<SourceName> {
        match self.get(key) {
            Some(entry) => entry.owner.clone(),
            None => self.base.owner_of(key.as_str()).cloned(),
        }
    }

    fn get(&self, key: &Key) -> Option<&Entry> {
        match self.entries.get(key) {
            Some(touched) => touched.as_ref(),
            None => self.base.get(key.as_str()).map(Arc::as_ref),
        }
    }

    fn write(&mut self, key: &Key, value: &Bytes, flags: u64) -> &mut Entry {
        let mut entry = self.get(key).cloned().unwrap_or_else(|| Entry {
            key: key.clone(),
            value: Bytes::new(),
            flags: 0,
            create_revision: self.revision,
            modify_revision: self.revision,
            lock_index: 0,
            session: None,
            owner: self.owner(key),
        });
        entry.value = value.clone();
        entry.flags = flags;
        let slot = self.entries.entry(key.clone()).or_default();
        slot.insert(entry)
    }

    fn delete(&mut self, key: &Key) {
        if self.get(key).is_some() {
            self.entries.insert(key.clone(), None);
        }
    }

    fn entries_where(&self, prefix: &Prefix, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let stored = (self.base.under(prefix).map(Arc::as_ref))
            .filter(|entry| !self.entries.contains_key(&entry.key));
        let written = (self.entries.values().flatten()).filter(|entry| prefix.covers(&entry.key));
        (stored.chain(written).filter(|entry| wanted(entry)))
            .cloned()
            .collect()
    }

    fn session(&self, id: SessionId) -> Option<&Arc<Session>> {
        match self.sessions.get(&id) {
            Some(touched) => touched.as_ref(),
            None => self.base.session(id),
        }
    }

    fn live(&self, id: SessionId) -> bool {
        self.session(id).is_some()
    }

    fn not_live(&self, session: SessionId) -> Option<Refusal> {
        (!self.live(session)).then_some(Refusal::NoSession { session })
    }

    fn not_held(&self, key: &Key, session: SessionId) -> Option<Refusal> {
        let held = self
            .get(key)
            .is_some_and(|entry| entry.session == Some(session));
        (!held).then(|| Refusal::NotHeld {
            key: key.clone(),
            session,
        })
    }

    /// The net changes: what ends as it began is none.
    fn into_effects(self) -> Effects {
        let mut changes = Vec::new();
        for (key, entry) in self.entries {
            match (self.base.get(key.as_str()), entry) {
                (Some(before), Some(after)) if before.same_content(&after) => {}
                (_, Some(mut after)) => {
                    after.modify_revision = self.revision;
                    // A value as it came is a part of its whole message, which it would keep alive.
                    after.value = Bytes::copy_from_slice(&after.value);
                    changes.push(Change::Put(Arc::new(after)));
                }
                (Some(_), None) => changes.push(Change::Delete(key)),
                (None, None) => {}
            }
        }
        let mut sessions = Vec::new();
        for (id, session) in self.sessions {
            match (self.base.session(id), session) {
                (_, Some(opened)) => sessions.push(SessionChange::Opened(opened)),
                (Some(_), None) => sessions.push(SessionChange::Ended(id)),
                (None, None) => {}
            }
        }
        let holds = holds::changes(self.base, self.holds);
        Effects {
            changes,
            sessions,
            holds,
        }
    }
}

fn marker_moved(
    update: &SourceUpdate,
    markers: &BTreeMap<SourceName, CommitId>,
) -> Option<Refusal> {
    let actual = markers.get(&update.name);
    (actual != update.expected.as_ref()).then(|| Refusal::MarkerMoved {
        source_name: update.name.clone(),
        expected: update.expected.clone(),
        actual: actual.cloned(),
    })
}

#[cfg(test)]
mod tests;
