//! The running instances that watch through this server, and how changes reached them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use chameleon_model::{Commit, Revision, Snapshot, Stage, StageTime, Stamp, Timestamp};
use tokio::time::Instant;

use super::replica::Observer;
use super::selection::Selection;
use crate::metrics::{Metrics, Verdict as VerdictLabel};

/// For how many of the newest revisions the way to each instance is kept.
const REVISIONS: usize = 100;

/// For how many instances it is kept in each revision; the histograms count all.
const DELIVERIES: usize = 2_000;

/// How many states an instance may leave unanswered before the oldest is no longer waited for.
const UNANSWERED: usize = 64;

/// How much of a reason is kept, in characters.
const REASON_CHARS: usize = 2_000;

/// Who watches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) service: String,
    pub(crate) profile: String,
    pub(crate) instance: String,
    pub(crate) version: String,
    pub(crate) host: String,
    pub(crate) prefix: String,
}

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
    /// Whether it holds the newest state of what it watches.
    pub(crate) current: bool,
}

/// One instance's part of a change's way.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) identity: Arc<Identity>,
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

/// All instances of this server. Connections come and go by [`Fleet::connect`].
pub(crate) struct Fleet {
    inner: Mutex<Inner>,
    metrics: Metrics,
}

#[derive(Default)]
struct Inner {
    last_id: u64,
    connected: BTreeMap<u64, Connected>,
    revisions: VecDeque<Record>,
}

struct Connected {
    identity: Arc<Identity>,
    selection: Selection,
    since: Instant,
    sent: Option<Stamp>,
    applied: Option<Stamp>,
    rejected: Option<Arc<str>>,
    /// States that were sent and not judged yet, with the revisions that each brought.
    unanswered: VecDeque<(Stamp, BTreeSet<Revision>)>,
}

struct Record {
    revision: Revision,
    committed: Committed,
    journey: Journey,
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
}

impl Fleet {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self {
            inner: Mutex::default(),
            metrics,
        }
    }

    /// Adds an instance that watches `selection`, and holds `last` already. Whether it has applied
    /// or rejected that is known only from its word on the first state.
    pub(crate) fn connect(
        self: &Arc<Self>,
        identity: Identity,
        selection: Selection,
        last: Option<Stamp>,
    ) -> Connection {
        let mut inner = self.lock();
        inner.last_id += 1;
        let id = inner.last_id;
        let connected = Connected {
            identity: Arc::new(identity),
            selection,
            since: Instant::now(),
            sent: last,
            applied: None,
            rejected: None,
            unanswered: VecDeque::new(),
        };
        inner.connected.insert(id, connected);
        Connection {
            fleet: Arc::clone(self),
            id,
        }
    }

    /// The instances of a service and profile (all where empty), as seen at `head`.
    pub(crate) fn instances(&self, service: &str, profile: &str, head: &Snapshot) -> Vec<Instance> {
        let matches = |wanted: &str, name: &str| wanted.is_empty() || wanted == name;
        let inner = self.lock();
        let mut instances: Vec<_> = (inner.connected.values())
            .filter(|one| {
                matches(service, &one.identity.service) && matches(profile, &one.identity.profile)
            })
            .map(|one| one.seen_at(head))
            .collect();
        drop(inner);
        instances.sort_by(|one, other| one.identity.order().cmp(&other.identity.order()));
        instances
    }

    /// How many instances are connected.
    pub(crate) fn count(&self) -> usize {
        self.lock().connected.len()
    }

    /// What was seen of a revision's way; empty if it is none of the newest.
    pub(crate) fn journey(&self, revision: Revision) -> Journey {
        let mut inner = self.lock();
        let record = inner.record(revision);
        record
            .map(|record| record.journey.clone())
            .unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        let mut inner = self.lock();
        if inner.revisions.len() == REVISIONS {
            inner.revisions.pop_front();
        }
        inner.revisions.push_back(Record {
            revision: commit.stamp.revision,
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

    fn replaced(&self, _snapshot: &Snapshot) {
        self.lock().revisions.clear();
    }
}

impl Inner {
    fn record(&mut self, revision: Revision) -> Option<&mut Record> {
        let found = (self.revisions).binary_search_by_key(&revision, |record| record.revision);
        found.ok().and_then(|place| self.revisions.get_mut(place))
    }
}

impl Connected {
    fn seen_at(&self, head: &Snapshot) -> Instance {
        let current = self.rejected.is_none()
            && self.applied.is_some_and(|applied| {
                applied.epoch == head.stamp().epoch
                    && !self.selection.changed_after(head, applied.revision)
            });
        Instance {
            identity: Arc::clone(&self.identity),
            sent: self.sent,
            applied: self.applied,
            rejected: self.rejected.clone(),
            connected: self.since.elapsed(),
            current,
        }
    }
}

impl Identity {
    fn order(&self) -> (&str, &str, &str) {
        (&self.service, &self.profile, &self.instance)
    }
}

impl Connection {
    /// A state is on its way to the instance.
    pub(crate) fn sent(&self, stamp: Stamp, revisions: BTreeSet<Revision>) {
        let mut inner = self.fleet.lock();
        let Some(connected) = inner.connected.get_mut(&self.id) else {
            return;
        };
        connected.sent = Some(stamp);
        if connected.unanswered.len() == UNANSWERED {
            connected.unanswered.pop_front();
        }
        connected.unanswered.push_back((stamp, revisions));
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
        let mut inner = self.fleet.lock();
        let Some(connected) = inner.connected.get_mut(&self.id) else {
            return;
        };
        let place = (connected.unanswered.iter()).position(|(stamp, _)| *stamp == verdict.stamp);
        let Some(place) = place else { return };
        // An answer stands for the states before it too: the instance has skipped them.
        let revisions: BTreeSet<Revision> = (connected.unanswered.drain(..=place))
            .flat_map(|(_, revisions)| revisions)
            .collect();
        connected.rejected.clone_from(&rejected);
        if rejected.is_none() {
            connected.applied = Some(verdict.stamp);
        }
        let identity = Arc::clone(&connected.identity);
        for revision in revisions {
            let Some(record) = inner.record(revision) else {
                continue;
            };
            let delivered = (record.committed.elapsed())
                .saturating_sub(verdict.apply)
                .saturating_sub(verdict.jitter);
            metrics.propagated(Stage::Delivered, delivered);
            metrics.propagated(Stage::Applied, verdict.apply);
            if record.journey.deliveries.len() < DELIVERIES {
                record.journey.deliveries.push(Delivery {
                    identity: Arc::clone(&identity),
                    delivered,
                    applied: verdict.apply,
                    rejected: rejected.clone(),
                });
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.fleet.lock().connected.remove(&self.id);
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
