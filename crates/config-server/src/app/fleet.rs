//! The running instances, and how changes reached them: those that watch through this server from
//! memory, those at other servers on the same database from its board.

mod others;
mod reporter;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use chameleon_model::{Commit, Revision, Snapshot, Stage, StageTime, Stamp, Timestamp};
use chameleon_store::{PostedIdentity, ReplicaId};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::replica::{Contents, Observer};
use super::selection::Selection;
use crate::metrics::{Metrics, Verdict as VerdictLabel};
pub(crate) use others::Kept;
use others::Others;
pub(crate) use reporter::Reporter;
use reporter::Untold;

/// For how many of the newest revisions the way to each instance is kept.
pub(super) const REVISIONS: usize = 100;

/// For how many instances it is kept in each revision; the histograms count all.
const DELIVERIES: usize = 2_000;

/// How many states an instance may leave unanswered before the oldest is no longer waited for.
const UNANSWERED: usize = 64;

/// How many outcomes a millisecond brings at most when a whole fleet answers: on one core about a
/// tenth of its time.
const OUTCOMES_PER_MS: usize = 10;

/// Outcomes come within this time from a small fleet, and from the largest.
const OUTCOMES_WITHIN: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// How much of a reason is kept, in characters.
const REASON_CHARS: usize = 2_000;

/// Who watches.
pub(crate) type Identity = PostedIdentity;

/// An instance's word on one state.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) stamp: Stamp,
    pub(crate) result: VerdictResult,
    /// From the state's arrival to the verdict.
    pub(crate) apply: Duration,
    /// How long the verdict was held back.
    pub(crate) jitter: Duration,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum VerdictResult {
    Applied,
    Rejected(String),
    Received,
}

/// What is known of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) identity: Arc<Identity>,
    pub(crate) sent: Option<Stamp>,
    pub(crate) applied: Option<Stamp>,
    /// Why it rejected the newest state that it has judged.
    pub(crate) rejected: Option<Arc<str>>,
    pub(crate) connected: Duration,
    /// The name of the server that it watches through.
    pub(crate) replica: Arc<str>,
    /// Whether it holds the newest state of what it watches.
    pub(crate) current: bool,
}

/// One instance's part of a change's way.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// The connection's number at its server.
    connection: u64,
    pub(crate) identity: Arc<Identity>,
    /// What the instance watches.
    pub(crate) selection: Arc<Selection>,
    pub(crate) delivered: Duration,
    pub(crate) applied: Duration,
    pub(crate) rejected: Option<Arc<str>>,
}

/// What this server has seen of a revision's way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journey {
    pub(crate) stored: Option<StageTime>,
    pub(crate) deliveries: Vec<Delivery>,
}

/// All instances. Connections to this server come and go by [`Fleet::connect`]; a [`Reporter`] tells
/// the other servers of them.
pub(crate) struct Fleet {
    replica: ReplicaId,
    name: Arc<str>,
    others: Others,
    untold: Mutex<Untold>,
    /// Something is to be told.
    news: Arc<Notify>,
    connections: Mutex<Connections>,
    count: AtomicUsize,
    ways: Mutex<Ways>,
    metrics: Metrics,
}

#[derive(Default)]
struct Connections {
    last_id: u64,
    by_id: BTreeMap<u64, Arc<Mutex<Connected>>>,
}

/// The ways of the newest revisions, oldest first.
#[derive(Default)]
struct Ways(VecDeque<Record>);

struct Connected {
    id: u64,
    /// Whether the other servers have yet to be told of its present state.
    untold: bool,
    /// It has ended.
    gone: bool,
    identity: Arc<Identity>,
    selection: Arc<Selection>,
    since: Instant,
    sent: Option<Stamp>,
    applied: Option<Stamp>,
    rejected: Option<Arc<str>>,
    /// States that were sent and not judged yet, with the revisions that each brought.
    unanswered: VecDeque<(Stamp, Arc<[Revision]>)>,
}

struct Record {
    stamp: Stamp,
    committed: Committed,
    journey: Journey,
    /// How many of the deliveries the other servers were told of.
    told: usize,
    /// Whether they were told how long it took to store it.
    told_stored: bool,
}

/// When a revision was committed, by the clock that can tell.
enum Committed {
    Here(Instant),
    Elsewhere(Timestamp),
}

/// A place in the fleet; dropping it leaves the fleet.
pub(crate) struct Connection {
    fleet: Arc<Fleet>,
    id: u64,
    /// Behind a lock of its own, so that thousands of instances do not wait for each other.
    connected: Arc<Mutex<Connected>>,
}

impl Fleet {
    /// The fleet as the server `name` sees it; by itself until a [`Reporter`] finds a board.
    pub(crate) fn new(name: &str, metrics: Metrics) -> Self {
        Self {
            replica: ReplicaId::random(),
            name: name.into(),
            others: Others::default(),
            untold: Mutex::new(Untold::Everything),
            news: Arc::default(),
            connections: Mutex::default(),
            count: AtomicUsize::new(0),
            ways: Mutex::default(),
            metrics,
        }
    }

    /// Adds an instance that watches `selection`, and holds `last` already. Whether it has applied
    /// or rejected that is known only from its word on the first state.
    pub(crate) fn connect(
        self: &Arc<Self>,
        identity: Identity,
        selection: Arc<Selection>,
        last: Option<Stamp>,
    ) -> Connection {
        let mut connections = lock(&self.connections);
        connections.last_id += 1;
        let id = connections.last_id;
        let connected = Arc::new(Mutex::new(Connected {
            id,
            untold: false,
            gone: false,
            identity: Arc::new(identity),
            selection,
            since: Instant::now(),
            sent: last,
            applied: None,
            rejected: None,
            unanswered: VecDeque::new(),
        }));
        connections.by_id.insert(id, Arc::clone(&connected));
        self.count.store(connections.by_id.len(), Ordering::Relaxed);
        drop(connections);
        self.changed(&connected);
        Connection {
            fleet: Arc::clone(self),
            id,
            connected,
        }
    }

    /// The instances of a service and profile (all where empty) whose selection `is_visible`, as seen
    /// at `head`; each once, at the server that it came to last.
    ///
    /// Those at other servers are as the board told them a moment ago. While the database is away they
    /// are left out soon.
    pub(crate) async fn instances(
        &self,
        service: &str,
        profile: &str,
        head: &Snapshot,
        is_visible: impl Fn(&Selection) -> bool,
    ) -> Vec<Instance> {
        let elsewhere = self.others.instances(self.replica).await;
        let matches = |wanted: &str, name: &str| wanted.is_empty() || wanted == name;
        let is_meant = |identity: &Identity, selection: &Selection| {
            matches(service, &identity.service)
                && matches(profile, &identity.profile)
                && is_visible(selection)
        };
        let connections = lock(&self.connections);
        let mut instances: Vec<_> = (connections.by_id.values())
            .map(|one| lock(one))
            .filter(|one| is_meant(&one.identity, &one.selection))
            .map(|one| (Arc::clone(&one.selection), one.seen_at(head, &self.name)))
            .collect();
        drop(connections);
        instances.extend(
            (elsewhere.iter())
                .filter(|one| is_meant(&one.identity, &one.selection))
                .map(|one| (Arc::clone(&one.selection), one.seen_at(head))),
        );
        each_once(instances)
    }

    /// Wakes the [`Reporter`].
    pub(super) fn news(&self) -> Arc<Notify> {
        Arc::clone(&self.news)
    }

    /// How many instances are connected to this server.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Within which time the instances should say what became of a state: the more they are, the
    /// longer, so that their outcomes never slow the next change.
    pub(crate) fn outcome_within(&self) -> Duration {
        let millis = u64::try_from(self.count() / OUTCOMES_PER_MS).unwrap_or(u64::MAX);
        let [least, most] = OUTCOMES_WITHIN;
        Duration::from_millis(millis).clamp(least, most)
    }

    /// What was seen of the ways of `revisions`, of those that are among the newest before `head`.
    pub(crate) async fn journeys(
        &self,
        head: Stamp,
        revisions: impl Iterator<Item = Revision>,
    ) -> BTreeMap<Revision, Journey> {
        let newest: Vec<_> = revisions
            .filter(|revision| revision.0 + REVISIONS as u64 > head.revision.0)
            .collect();
        let mut elsewhere = (self.others)
            .ways(self.replica, head.epoch, &newest, DELIVERIES)
            .await;
        (newest.into_iter())
            .map(|revision| {
                let mut journey = self.journey(revision);
                let room = DELIVERIES.saturating_sub(journey.deliveries.len());
                let others = elsewhere.remove(&revision).unwrap_or_default();
                journey.stored = journey.stored.or(others.stored);
                journey
                    .deliveries
                    .extend(others.deliveries.into_iter().take(room));
                (revision, journey)
            })
            .collect()
    }

    /// What this server has seen of a revision's way; empty if it is none of the newest.
    fn journey(&self, revision: Revision) -> Journey {
        let mut ways = lock(&self.ways);
        let record = ways.of(revision);
        record
            .map(|record| record.journey.clone())
            .unwrap_or_default()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Observer for Fleet {
    fn committed(&self, commit: &Commit, stored: Option<Duration>) {
        let stored = stored.map(|took| StageTime {
            stage: Stage::Stored,
            took,
        });
        // The server that a change was committed on counts its stages, so that none counts twice.
        if let Some(stored) = stored {
            for time in commit.origin.stages.iter().chain([&stored]) {
                self.metrics.propagated(time.stage, time.took);
            }
        }
        let Ways(records) = &mut *lock(&self.ways);
        if records.len() == REVISIONS {
            records.pop_front();
        }
        records.push_back(Record {
            stamp: commit.stamp,
            told: 0,
            told_stored: false,
            committed: match stored {
                Some(_) => Committed::Here(Instant::now()),
                None => Committed::Elsewhere(commit.at),
            },
            journey: Journey {
                stored,
                deliveries: Vec::new(),
            },
        });
    }

    fn replaced(&self, _contents: &Contents) {
        lock(&self.ways).0.clear();
    }
}

impl Ways {
    fn of(&mut self, revision: Revision) -> Option<&mut Record> {
        let found = (self.0).binary_search_by_key(&revision, |record| record.stamp.revision);
        found.ok().and_then(|place| self.0.get_mut(place))
    }
}

impl Connected {
    fn seen_at(&self, head: &Snapshot, replica: &Arc<str>) -> Instance {
        let applied = self.applied.filter(|_| self.rejected.is_none());
        Instance {
            replica: Arc::clone(replica),
            identity: Arc::clone(&self.identity),
            sent: self.sent,
            applied: self.applied,
            rejected: self.rejected.clone(),
            connected: self.since.elapsed(),
            current: is_current(applied, &self.selection, head),
        }
    }
}

/// Says whether who has applied `applied`, and rejected nothing since, holds the newest state of
/// `selection`.
fn is_current(applied: Option<Stamp>, selection: &Selection, head: &Snapshot) -> bool {
    applied.is_some_and(|applied| {
        applied.epoch == head.stamp().epoch && !selection.changed_after(head, applied.revision)
    })
}

/// Orders the instances by who they are, and leaves of each the newest connection. Instances without
/// a name can't be told apart, and are all left; so are those that watch something else: nobody can
/// take the place of an instance without being allowed to read the same.
fn each_once(mut instances: Vec<(Arc<Selection>, Instance)>) -> Vec<Instance> {
    fn who((selection, instance): &(Arc<Selection>, Instance)) -> ([&str; 5], &Selection) {
        let identity = &*instance.identity;
        let names = [
            &*identity.service,
            &identity.profile,
            &identity.instance,
            &identity.prefix,
            &identity.host,
        ];
        (names, selection)
    }
    instances.sort_by(|one, other| {
        let by_name = who(one).cmp(&who(other));
        by_name.then(one.1.connected.cmp(&other.1.connected))
    });
    instances
        .dedup_by(|later, kept| !kept.1.identity.instance.is_empty() && who(later) == who(kept));
    instances
        .into_iter()
        .map(|(_, instance)| instance)
        .collect()
}

impl Connection {
    /// A state is on its way to the instance.
    pub(crate) fn sent(&self, stamp: Stamp, revisions: Arc<[Revision]>) {
        let mut connected = lock(&self.connected);
        connected.sent = Some(stamp);
        if connected.unanswered.len() == UNANSWERED {
            connected.unanswered.pop_front();
        }
        connected.unanswered.push_back((stamp, revisions));
        drop(connected);
        self.fleet.changed(&self.connected);
    }

    /// The instance has judged a state; one that was not sent to it is left out of account.
    pub(crate) fn judged(&self, verdict: Verdict) {
        let metrics = &self.fleet.metrics;
        metrics.judged(match verdict.result {
            VerdictResult::Applied => VerdictLabel::Applied,
            VerdictResult::Rejected(_) => VerdictLabel::Rejected,
            VerdictResult::Received => VerdictLabel::Received,
        });
        let rejected: Option<Arc<str>> = match verdict.result {
            VerdictResult::Received => return,
            VerdictResult::Applied => None,
            VerdictResult::Rejected(reason) => Some(shortened(&reason).into()),
        };
        let mut connected = lock(&self.connected);
        let place = (connected.unanswered.iter()).position(|(stamp, _)| *stamp == verdict.stamp);
        let Some(place) = place else { return };
        // An answer stands for the states before it too: the instance has skipped them. Each
        // starts where the one before ended, so that no revision is in two of them.
        let answered: Vec<_> = connected.unanswered.drain(..=place).collect();
        connected.rejected.clone_from(&rejected);
        if rejected.is_none() {
            connected.applied = Some(verdict.stamp);
        }
        let identity = Arc::clone(&connected.identity);
        let selection = Arc::clone(&connected.selection);
        drop(connected);
        let mut ways = lock(&self.fleet.ways);
        for &revision in answered.iter().flat_map(|(_, revisions)| &**revisions) {
            let Some(record) = ways.of(revision) else {
                continue;
            };
            let delivered = (record.committed.elapsed())
                .saturating_sub(verdict.apply)
                .saturating_sub(verdict.jitter);
            metrics.reached(delivered, verdict.apply);
            if record.journey.deliveries.len() < DELIVERIES {
                record.journey.deliveries.push(Delivery {
                    connection: self.id,
                    identity: Arc::clone(&identity),
                    selection: Arc::clone(&selection),
                    delivered,
                    applied: verdict.apply,
                    rejected: rejected.clone(),
                });
            }
        }
        drop(ways);
        // After the deliveries: whoever is told of the verdict finds them too.
        self.fleet.changed(&self.connected);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut connections = lock(&self.fleet.connections);
        connections.by_id.remove(&self.id);
        let count = connections.by_id.len();
        self.fleet.count.store(count, Ordering::Relaxed);
        drop(connections);
        lock(&self.connected).gone = true;
        self.fleet.left(self.id);
    }
}

impl Committed {
    fn elapsed(&self) -> Duration {
        match self {
            Self::Here(at) => at.elapsed(),
            Self::Elsewhere(at) => at.until(SystemTime::now().into()),
        }
    }
}

fn shortened(reason: &str) -> String {
    reason.chars().take(REASON_CHARS).collect()
}

#[cfg(test)]
mod tests;
