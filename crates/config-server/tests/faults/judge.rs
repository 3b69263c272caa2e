//! Holds what everybody saw and was told against the database.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chameleon_model::{Change, Commit, Prefix, RequestId, Snapshot, Stamp};
use chameleon_store::{HistoryQuery, Store};
use test_kit::eventually;
use tokio::time::{Instant, timeout};

use crate::content::{Mirror, Scope, number_of};
use crate::readers::{At, Reader, View};
use crate::shared::{LIMIT, Shared};

/// Reads the database directly, and remembers what it was.
pub(crate) struct Judge {
    store: Arc<dyn Store>,
    shared: Arc<Shared>,
    head: Stamp,
    mirror: Mirror,
    /// The transactions of the present lineage.
    commits: BTreeMap<u64, (Stamp, RequestId)>,
    revisions: HashMap<RequestId, u64>,
    /// States that readers have seen, and were held against the database's.
    pub(crate) states: usize,
}

/// The states that the database went through since everybody agreed.
#[derive(Default)]
struct States {
    by_stamp: HashMap<Stamp, Digests>,
    by_revision: HashMap<u64, Digests>,
}

/// A state's digests by scope.
type Digests = [u64; 3];

impl Judge {
    pub(crate) async fn new(url: &str, shared: &Arc<Shared>) -> Self {
        let store = chameleon_store::open(url).await.unwrap();
        let head = store.load().await.unwrap();
        Self {
            store,
            shared: Arc::clone(shared),
            head: head.stamp(),
            mirror: mirror_of(&head),
            commits: BTreeMap::new(),
            revisions: HashMap::new(),
            states: 0,
        }
    }

    /// The newest state of the database.
    pub(crate) async fn load(&self) -> Snapshot {
        eventually("the database can be read", async || {
            self.store.load().await.ok()
        })
        .await
    }

    /// Waits until all `readers` hold what the database does, and judges all that happened since the
    /// last time. The database became another one at `promoted`, if it did.
    pub(crate) async fn settle(&mut self, readers: &[Arc<Reader>], promoted: Option<Stamp>) {
        let (database, held) = self.agreement(readers, promoted.is_some()).await;
        for reader in readers {
            self.has_come_to(reader, &held, database.stamp()).await;
        }
        let (before, after) = (self.head.epoch, database.stamp().epoch);
        match promoted {
            None if before != after => {
                self.complain(format!("epoch {after} began for no reason"));
            }
            Some(_) if before >= after => {
                self.complain(format!("epoch {after} does not tell of the promoted copy"));
            }
            _ => {}
        }
        if let Some(copied) = promoted {
            self.rewind(copied).await;
        }
        let states = self.advance(database.stamp()).await;
        if let Some(difference) = self.mirror.difference(&held, Scope::All) {
            self.complain(format!(
                "the database is not what its commits led to: {difference}"
            ));
        }
        self.mirror = held;
        self.head = database.stamp();
        self.judge_writers(promoted);
        for reader in readers {
            self.judge_reader(reader, &states, promoted.is_some());
        }
    }

    /// Waits until all `readers` hold what the database does, which may change once more meanwhile: a
    /// replica that comes back last may be the one that knows better than a promoted copy.
    async fn agreement(&self, readers: &[Arc<Reader>], promoted: bool) -> (Snapshot, Mirror) {
        let started = Instant::now();
        loop {
            let database = self.load().await;
            let (held, stamp) = (mirror_of(&database), database.stamp());
            let mut agreed = !promoted || stamp.epoch > self.head.epoch;
            for reader in readers {
                agreed = agreed && agrees(reader, &held, stamp, LIMIT / 8).await;
            }
            let is_over = agreed && self.load().await.stamp() == stamp;
            if is_over || started.elapsed() > LIMIT / 2 {
                return (database, held);
            }
            // The next word of a server, if there is one.
            if let Some(reader) = readers.first() {
                let _ = timeout(LIMIT / 60, reader.view().changed()).await;
            }
        }
    }

    /// Complains unless `reader` holds what the database does.
    async fn has_come_to(&self, reader: &Reader, database: &Mirror, head: Stamp) {
        if agrees(reader, database, head, Duration::ZERO).await {
            return;
        }
        let view = reader.view().borrow().clone();
        let difference = view.mirror.difference(database, reader.scope);
        self.complain(format!(
            "{} has missed the final state {head}: it holds {:?}, where {}",
            reader.name,
            view.at,
            difference.unwrap_or_else(|| "all is as in the database".to_owned())
        ));
    }

    /// Goes back to the state that a promoted copy was taken at, if it is not yet to come.
    async fn rewind(&mut self, copied: Stamp) {
        if copied.revision >= self.head.revision {
            return;
        }
        self.commits.split_off(&(copied.revision.0 + 1));
        self.revisions
            .retain(|_, revision| *revision <= copied.revision.0);
        let then = eventually("the copy's state can be read", async || {
            self.store.snapshot_at(copied.revision).await.ok()
        });
        self.mirror = mirror_of(&then.await);
        self.head = copied;
    }

    /// Follows the commits up to `head`.
    async fn advance(&mut self, head: Stamp) -> States {
        let mut states = States::default();
        states.add(self.head, &self.mirror);
        let missing = head.revision.0.saturating_sub(self.head.revision.0);
        let query = HistoryQuery {
            limit: u32::try_from(missing).expect("a run is not that long"),
            ..HistoryQuery::default()
        };
        let commits = eventually("the history can be read", async || {
            self.store.history(&query).await.ok()
        });
        let mut commits = commits.await;
        commits.reverse();
        let mut expected = self.head.revision;
        for commit in commits {
            expected = expected.next();
            if commit.stamp.revision != expected {
                self.complain(format!("revision {expected} is {}", commit.stamp));
            }
            self.follow(&commit);
            states.add(commit.stamp, &self.mirror);
        }
        if expected != head.revision {
            self.complain(format!(
                "the commits end at {expected}, and the head is {head}"
            ));
        }
        states
    }

    fn follow(&mut self, commit: &Commit) {
        let stamp = commit.stamp;
        let id = commit.request_id;
        let number = id.and_then(|id| self.shared.ledger.number(id));
        let (Some(id), Some(number)) = (id, number) else {
            return self.complain(format!("{stamp} was never asked for"));
        };
        if let Some(first) = self.revisions.insert(id, stamp.revision.0) {
            self.complain(format!(
                "{number} was applied twice: at {first} and {stamp}"
            ));
        }
        self.commits.insert(stamp.revision.0, (stamp, id));
        for change in &commit.changes {
            match change {
                Change::Put(entry) => {
                    if number_of(&entry.value) != Some(number) {
                        self.complain(format!("{stamp} mixes {number} with another"));
                    }
                    let revision = entry.modify_revision.0;
                    self.mirror.put(entry.key.as_str(), &entry.value, revision);
                }
                Change::Delete(key) => self.mirror.delete(key.as_str()),
            }
        }
        if let Some(half) = self.mirror.half() {
            self.complain(format!(
                "the database holds half of {number} at {stamp}: {half}"
            ));
        }
    }

    /// Looks for what was acknowledged and is not there.
    fn judge_writers(&self, promoted: Option<Stamp>) {
        let promotions = self.shared.promotions();
        self.shared.ledger.for_each_acknowledged(|id, sent, stamp| {
            if self.commits.get(&stamp.revision.0) == Some(&(stamp, id)) {
                return;
            }
            let lacks = promoted.is_some_and(|copied| stamp.revision > copied.revision);
            if lacks && sent.promotions < promotions {
                sent.lacking = true;
            } else {
                let number = sent.number;
                self.complain(format!("{number}, acknowledged as {stamp}, is lost"));
            }
        });
    }

    /// Looks for states that the database never had.
    fn judge_reader(&mut self, reader: &Reader, states: &States, promoted: bool) {
        for (at, digest) in reader.take_seen() {
            let state = match at {
                At::Stamp(stamp) => states.by_stamp.get(&stamp),
                // It may be one of the history that has ended.
                At::Revision(_) if promoted => None,
                At::Revision(revision) => states.by_revision.get(&revision),
            };
            match state {
                Some(digests) if digests[reader.scope as usize] == digest => self.states += 1,
                Some(_) => self.complain(format!(
                    "{} saw another state than the database's at {at:?}",
                    reader.name
                )),
                None if promoted => {}
                None => self.complain(format!(
                    "{} saw {at:?}, which the database never was at",
                    reader.name
                )),
            }
        }
    }

    fn complain(&self, complaint: String) {
        self.shared.complaints.add(complaint);
    }
}

impl States {
    fn add(&mut self, stamp: Stamp, mirror: &Mirror) {
        let digests = [Scope::All, Scope::Small, Scope::Folder].map(|scope| mirror.digest(scope));
        self.by_stamp.insert(stamp, digests);
        self.by_revision.insert(stamp.revision.0, digests);
    }
}

/// Says whether `reader` holds what the database does before the limit.
async fn agrees(reader: &Reader, database: &Mirror, head: Stamp, limit: Duration) -> bool {
    let mut view = reader.view();
    let is_final = |view: &View| {
        let named = match view.at {
            Some(At::Stamp(stamp)) => stamp == head,
            Some(At::Revision(revision)) => revision == head.revision.0,
            None => false,
        };
        named && view.mirror.digest(reader.scope) == database.digest(reader.scope)
    };
    timeout(limit, view.wait_for(is_final)).await.is_ok()
}

fn mirror_of(snapshot: &Snapshot) -> Mirror {
    let mut mirror = Mirror::default();
    for entry in snapshot.under(&Prefix::all()) {
        mirror.put(entry.key.as_str(), &entry.value, entry.modify_revision.0);
    }
    mirror
}

/// Says whether something is shown that a copy of `copied` lacks.
pub(crate) fn is_beyond(view: &View, copied: Stamp) -> bool {
    matches!(view.at, Some(At::Stamp(stamp)) if copied.may_advance_to(stamp))
}
