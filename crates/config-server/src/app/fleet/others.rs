//! What the other servers on the same database have told of their instances.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chameleon_model::{Epoch, Revision, Snapshot, Stage, StageTime, Stamp};
use chameleon_store::{Board, ReplicaId, StoreError, Watched};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout};

use super::{Delivery, Identity, Instance, Journey, is_current};
use crate::app::selection::Selection;

/// How old what was read may be, so that those who ask often cost no more than those who ask seldom.
const FRESH: Duration = Duration::from_millis(200);

/// How long the board may take to answer before it is done without.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the others may take who read ways before.
const TURN: Duration = Duration::from_secs(5);

/// How long what was read before is told while the board gives no answer.
const STALE: Duration = Duration::from_secs(15);

/// How many may read ways at once: each reads up to [`BOARD_DELIVERIES`](chameleon_store::BOARD_DELIVERIES)
/// rows, and anybody may ask.
const READING: usize = 2;

/// The board as a reader sees it.
pub(super) struct Others {
    board: OnceLock<Arc<dyn Board>>,
    instances: Kept<Vec<Elsewhere>>,
    reading: Semaphore,
}

impl Default for Others {
    fn default() -> Self {
        Self {
            board: OnceLock::new(),
            instances: Kept::default(),
            reading: Semaphore::new(READING),
        }
    }
}

/// An instance at another server.
pub(super) struct Elsewhere {
    pub(super) identity: Arc<Identity>,
    pub(super) selection: Arc<Selection>,
    replica: Arc<str>,
    sent: Option<Stamp>,
    applied: Option<Stamp>,
    rejected: Option<Arc<str>>,
    /// How long it was connected when this was read.
    connected: Duration,
    read: Instant,
}

/// What was read last. Many who ask at once share one reading.
pub(crate) struct Kept<T>(Mutex<State<T>>);

struct State<T> {
    value: Arc<T>,
    read: Option<Instant>,
    /// The last try, whatever came of it.
    tried: Option<Instant>,
}

impl<T: Default> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::new(State {
            value: Arc::default(),
            read: None,
            tried: None,
        }))
    }
}

impl<T: Default> Kept<T> {
    /// What `read` gives, or has given a moment ago; while it fails, what it gave before for a while,
    /// and then nothing. May be cancelled.
    pub(crate) async fn get(&self, read: impl Future<Output = Result<T, StoreError>>) -> Arc<T> {
        let mut state = self.0.lock().await;
        let within = |at: Option<Instant>, limit| at.is_some_and(|at| at.elapsed() < limit);
        if !within(state.tried, FRESH) {
            match timeout(PATIENCE, read).await {
                Ok(Ok(value)) => {
                    state.value = Arc::new(value);
                    state.read = Some(Instant::now());
                }
                Ok(Err(error)) => tracing::debug!("failed to read the board: {error}"),
                Err(_) => tracing::debug!("failed to read the board: no answer in {PATIENCE:?}"),
            }
            state.tried = Some(Instant::now());
        }
        if !within(state.read, STALE) {
            state.value = Arc::default();
        }
        Arc::clone(&state.value)
    }
}

impl Others {
    /// From now on there is a board.
    pub(super) fn found(&self, board: Arc<dyn Board>) {
        // A second one would be the same.
        let _ = self.board.set(board);
    }

    /// The instances at servers other than `own`.
    pub(super) async fn instances(&self, own: ReplicaId) -> Arc<Vec<Elsewhere>> {
        let Some(board) = self.board.get() else {
            return Arc::default();
        };
        let read = async {
            let (mut selections, read) = (Selections::default(), Instant::now());
            (board.instances(own).await?.into_iter())
                .map(|one| {
                    let instance = one.instance;
                    Ok(Elsewhere {
                        identity: Arc::new(instance.identity),
                        selection: selections.of(&instance.watched)?,
                        replica: one.replica,
                        sent: instance.sent,
                        applied: instance.applied,
                        rejected: instance.rejected,
                        connected: instance.connected,
                        read,
                    })
                })
                .collect()
        };
        self.instances.get(read).await
    }

    /// What servers other than `own` have seen of the ways of `revisions`, at most `limit` deliveries of
    /// each, and [`BOARD_DELIVERIES`](chameleon_store::BOARD_DELIVERIES) in all, those of the newest before
    /// others.
    ///
    /// Few read at once; who has waited long for the others is told nothing, as with a board that gives no
    /// answer.
    pub(super) async fn ways(
        &self,
        own: ReplicaId,
        epoch: Epoch,
        revisions: &[Revision],
        limit: usize,
    ) -> BTreeMap<Revision, Journey> {
        let (Some(board), false) = (self.board.get(), revisions.is_empty()) else {
            return BTreeMap::new();
        };
        let Ok(Ok(_turn)) = timeout(TURN, self.reading.acquire()).await else {
            tracing::debug!("failed to read ways off the board: no turn in {TURN:?}");
            return BTreeMap::new();
        };
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let read = async {
            let mut selections = Selections::default();
            let mut found: BTreeMap<Revision, Journey> = BTreeMap::new();
            let ways = board.ways(own, epoch, revisions, limit).await?;
            for stored in ways.stored {
                let journey = found.entry(stored.revision).or_default();
                journey.stored = Some(StageTime {
                    stage: Stage::Stored,
                    took: stored.took,
                });
            }
            for one in ways.deliveries {
                let journey = found.entry(one.revision).or_default();
                journey.deliveries.push(Delivery {
                    connection: one.connection,
                    identity: Arc::new(Identity {
                        service: one.service,
                        profile: one.profile,
                        instance: one.instance,
                        ..Identity::default()
                    }),
                    selection: selections.of(&one.watched)?,
                    delivered: one.delivered,
                    applied: one.applied,
                    rejected: one.rejected,
                });
            }
            Ok::<_, StoreError>(found)
        };
        match timeout(PATIENCE, read).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::debug!("failed to read ways off the board: {error}");
                BTreeMap::new()
            }
            Err(_) => BTreeMap::new(),
        }
    }
}

impl Elsewhere {
    pub(super) fn seen_at(&self, head: &Snapshot) -> Instance {
        let applied = self.applied.filter(|_| self.rejected.is_none());
        Instance {
            identity: Arc::clone(&self.identity),
            sent: self.sent,
            applied: self.applied,
            rejected: self.rejected.clone(),
            connected: self.connected + self.read.elapsed(),
            replica: Arc::clone(&self.replica),
            current: is_current(applied, &self.selection, head),
        }
    }
}

/// Selections that many rows have in common, each in memory once.
#[derive(Default)]
struct Selections(HashMap<Watched, Arc<Selection>>);

impl Selections {
    fn of(&mut self, watched: &Watched) -> Result<Arc<Selection>, StoreError> {
        if let Some(known) = self.0.get(watched) {
            return Ok(Arc::clone(known));
        }
        let (keys, prefixes) = watched.parts()?;
        let selection = Arc::new(Selection::new(keys, prefixes));
        self.0.insert(watched.clone(), Arc::clone(&selection));
        Ok(selection)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;
    use chameleon_store::{BoardInstance, BoardWays, Posted, PostedStored, PostedSync, Report};

    use super::*;

    /// A board that takes its time, and knows how many have waited for it at once.
    #[derive(Default)]
    struct Slow {
        reading: AtomicU32,
        most: AtomicU32,
    }

    #[async_trait]
    impl Board for Slow {
        async fn ways(
            &self,
            _own: ReplicaId,
            _epoch: Epoch,
            revisions: &[Revision],
            _limit: u32,
        ) -> Result<BoardWays, StoreError> {
            let reading = self.reading.fetch_add(1, Ordering::Relaxed) + 1;
            self.most.fetch_max(reading, Ordering::Relaxed);
            tokio::time::sleep(PATIENCE / 2).await;
            self.reading.fetch_sub(1, Ordering::Relaxed);
            let stored = |revision: &Revision| PostedStored {
                epoch: Epoch(1),
                revision: *revision,
                took: Duration::from_millis(1),
            };
            Ok(BoardWays {
                stored: revisions.iter().map(stored).collect(),
                ..BoardWays::default()
            })
        }

        async fn post(&self, _report: &Report) -> Result<Posted, StoreError> {
            unreachable!()
        }

        async fn leave(&self, _replica: ReplicaId) -> Result<(), StoreError> {
            unreachable!()
        }

        async fn forget_lost(&self, _oldest: (Epoch, Revision)) -> Result<u64, StoreError> {
            unreachable!()
        }

        async fn instances(&self, _own: ReplicaId) -> Result<Vec<BoardInstance>, StoreError> {
            unreachable!()
        }

        async fn sync_reports(&self, _limit: u32) -> Result<Vec<PostedSync>, StoreError> {
            unreachable!()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn few_read_ways_at_once_and_the_others_wait() {
        let (board, others) = (Arc::new(Slow::default()), Others::default());
        others.found(board.clone());
        let ask = async |_| {
            let ways = others.ways(ReplicaId::random(), Epoch(1), &[Revision(1)], 10);
            ways.await.len()
        };
        let told = futures::future::join_all((0..8).map(ask)).await;
        assert_eq!(told, [1; 8]);
        assert_eq!(board.most.load(Ordering::Relaxed), 2);
        // Whoever waits too long goes without.
        let told = futures::future::join_all((0..100).map(ask)).await;
        assert_eq!(*told.last().unwrap(), 0);
        assert_eq!(board.most.load(Ordering::Relaxed), 2);
    }

    fn away<T>() -> Result<T, StoreError> {
        Err(StoreError::Unavailable("it was taken away".into()))
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_often_reads_no_more_than_who_asks_seldom() {
        let (kept, count) = (Kept::default(), AtomicU32::new(0));
        let read = || async { Ok(count.fetch_add(1, Ordering::Relaxed) + 1) };
        for _ in 0..100 {
            assert_eq!(*kept.get(read()).await, 1);
        }
        tokio::time::advance(FRESH).await;
        assert_eq!(*kept.get(read()).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_is_told_for_a_while_without_an_answer() {
        let kept = Kept::default();
        kept.get(async { Ok(7) }).await;
        tokio::time::advance(FRESH).await;
        assert_eq!(*kept.get(async { away() }).await, 7);
        // A board that hangs holds up one reader for a bounded time, and not the next at once.
        tokio::time::advance(FRESH).await;
        let started = Instant::now();
        assert_eq!(*kept.get(std::future::pending()).await, 7);
        assert_eq!(started.elapsed(), PATIENCE);
        assert_eq!(*kept.get(std::future::pending()).await, 7);
        assert_eq!(started.elapsed(), PATIENCE);
        tokio::time::advance(STALE).await;
        assert_eq!(*kept.get(async { away() }).await, 0);
    }
}
