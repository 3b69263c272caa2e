//! The one task that talks to the store: it stores what writers ask for, follows what others have
//! stored, and publishes each new state.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chameleon_model::{
    Change, Commit, NotContiguous, Outcome, Revision, Snapshot, Stamp, Transaction,
};
use chameleon_store::{Changes, Committed, Notice, Store, StoreError};
use futures::StreamExt as _;
use service_kit::Backoff;
use service_kit::health::Check;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::queue::{Pending, take_group};
use super::{Answered, Contents, Kept, Link, Replica, ReplicaLimits, move_marker};
use crate::app::error::Error;

/// How often a group is tried whose base the store does not know; each time the state is loaded
/// again, so a second time means a store that changes its lineage constantly.
const TRIES: usize = 3;

/// How long it may take to read the whole state, which a large one takes longer for than other
/// calls: without it there is nothing to serve, or nothing new.
const LOAD_LIMIT: Duration = Duration::from_mins(2);

/// How long the store may take to answer before a state from disk is served without it.
pub(crate) const FIRST_LOOK: Duration = Duration::from_secs(1);

/// How often it is looked whether sessions have ended; their lives are counted in tens of seconds.
const EXPIRY: Duration = Duration::from_secs(1);

/// Learns what becomes part of the served state, before any watch is woken.
pub(crate) trait Observer: Send + Sync {
    /// `commit` is served from now on. `stored` is the time from the writer's request to the
    /// store's answer, if it was a request to this server.
    fn committed(&self, commit: &Commit, stored: Option<Duration>);

    /// The state was read as a whole; what led to it is not known.
    fn replaced(&self, contents: &Contents);
}

/// Keeps a [`Replica`] up to date.
pub(crate) struct Follower {
    replica: Arc<Replica>,
    store: Arc<dyn Store>,
    queue: mpsc::Receiver<Pending>,
    observers: Vec<Arc<dyn Observer>>,
    health: Check,
    backoff: Backoff,
}

impl Follower {
    /// Makes the replica that serves what was kept on disk, brought up to date if the store answers;
    /// without it, what the store has.
    ///
    /// # Errors
    /// Nothing was kept, and the store can't be read: there is nothing to serve.
    pub(crate) async fn start(
        store: Arc<dyn Store>,
        kept: Option<Kept>,
        limits: ReplicaLimits,
        observers: Vec<Arc<dyn Observer>>,
        health: Check,
    ) -> Result<(Arc<Replica>, Self), StoreError> {
        let from_disk = kept.is_some();
        let (contents, link) = match kept {
            Some(Kept { contents, age, .. }) => (contents, Link::new(age)),
            None => (load(&*store).await?, Link::new(Duration::ZERO)),
        };
        for observer in &observers {
            observer.replaced(&contents);
        }
        health.pass();
        let (replica, queue) = Replica::new(contents, link, limits);
        let mut follower = Self {
            replica: Arc::clone(&replica),
            store,
            queue,
            observers,
            health,
            backoff: Backoff::new(Duration::from_millis(50), Duration::from_secs(2)),
        };
        if from_disk {
            follower.follow_within(FIRST_LOOK).await;
        }
        Ok((replica, follower))
    }

    /// Runs until `soft` is cancelled; then stores what waits, and takes no more.
    pub(crate) async fn run(mut self, soft: CancellationToken) -> anyhow::Result<()> {
        let mut notifications = self.store.notifications();
        let mut floors = self.replica.floor.subscribe();
        let mut expiry = tokio::time::interval(EXPIRY);
        expiry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let away = !self.replica.link.is_available();
            tokio::select! {
                () = soft.cancelled() => break,
                Some(first) = self.queue.recv() => self.commit(first).await,
                notice = notifications.next() => match notice {
                    // Mostly the own commit's.
                    Some(Notice::Head(head)) if self.replica.knows(head) => {}
                    Some(Notice::Head(_) | Notice::Look) => self.follow().await,
                    // Without them, what other servers store would never be seen here.
                    None => anyhow::bail!("follow the store: its notices have ended"),
                },
                () = self.replica.doubts.asked() => self.follow().await,
                Ok(()) = floors.changed() => self.forget(*floors.borrow_and_update()),
                _ = expiry.tick(), if !away => self.end_overdue_sessions().await,
                () = self.backoff.wait(), if away => self.follow().await,
            }
        }
        self.replica.doubts.fail(u64::MAX);
        self.queue.close();
        while let Some(first) = self.queue.recv().await {
            self.commit(first).await;
        }
        Ok(())
    }

    /// Stores `first` and what waits behind it as one group, and answers their writers.
    async fn commit(&mut self, first: Pending) {
        let group = take_group(first, &mut self.queue);
        if group.is_empty() {
            return;
        }
        match self.store_group(&group).await {
            Ok(answers) => {
                for (pending, answered) in group.into_iter().zip(answers) {
                    pending.answer(Ok(answered));
                }
            }
            Err(error) => {
                self.lost(&error);
                for pending in group {
                    pending.answer(Err(refusal(&error)));
                }
            }
        }
    }

    async fn store_group(&mut self, group: &[Pending]) -> Result<Vec<Answered>, StoreError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let base = self.replica.snapshot();
            let transactions: Vec<Transaction> = (group.iter())
                .map(|pending| pending.transaction.clone())
                .collect();
            let commit = self.store.commit(&base, transactions);
            match within(self.replica.limits.store_timeout, commit).await {
                Ok(committed) => {
                    self.answered();
                    return Ok(self.serve(&base, committed, group));
                }
                Err(StoreError::BaseLost { held }) if tries < TRIES => {
                    tracing::info!(%held, "the database does not follow the held state");
                    self.catch_up(self.replica.limits.store_timeout).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Publishes what a group led to.
    fn serve(&self, base: &Snapshot, committed: Committed, group: &[Pending]) -> Vec<Answered> {
        let Committed {
            outcomes,
            commits,
            snapshot,
        } = committed;
        let own: HashMap<Stamp, Duration> = (outcomes.iter().zip(group))
            .filter_map(|(outcome, pending)| match outcome {
                Outcome::Committed(stamp) => Some((*stamp, pending.waited())),
                Outcome::Unchanged(_) | Outcome::Refused(_) => None,
            })
            .collect();
        debug_assert_eq!(
            commits.last().map_or(base.stamp(), |last| last.stamp),
            snapshot.stamp(),
            "the commits lead to the snapshot"
        );
        self.publish(snapshot, &commits, &own);
        let holding: HashMap<Stamp, &Commit> = (commits.iter())
            .filter(|commit| !commit.holds.is_empty())
            .map(|commit| (commit.stamp, &**commit))
            .collect();
        let answered = |outcome| {
            let commit = match &outcome {
                Outcome::Committed(stamp) => holding.get(stamp),
                Outcome::Unchanged(_) | Outcome::Refused(_) => None,
            };
            Answered {
                holds: commit
                    .map(|commit| commit.holds.clone())
                    .unwrap_or_default(),
                outcome,
            }
        };
        outcomes.into_iter().map(answered).collect()
    }

    /// Ends the sessions whose time is over. Each has a whole life first after the database was
    /// away, when nobody could renew.
    async fn end_overdue_sessions(&mut self) {
        let base = self.replica.snapshot();
        if base.sessions().all(|session| session.ttl.is_none()) {
            return;
        }
        let renewable = self.replica.link.available_for();
        let end = self.store.end_overdue_sessions(&base, renewable);
        match within(self.replica.limits.store_timeout, end).await {
            Ok(ended) => {
                self.answered();
                self.publish(ended.snapshot, &ended.commits, &HashMap::new());
            }
            // The notice of another's commits, or the next look, leads on.
            Err(StoreError::BaseLost { .. }) => self.follow().await,
            Err(error) => self.lost(&error),
        }
    }

    /// Looks whether others have stored something.
    async fn follow(&mut self) {
        self.follow_within(self.replica.limits.store_timeout).await;
    }

    async fn follow_within(&mut self, limit: Duration) {
        let question = self.replica.doubts.newest();
        match self.catch_up(limit).await {
            Ok(()) => {
                self.answered();
                self.replica.doubts.confirm(question);
            }
            Err(error) => {
                self.lost(&error);
                self.replica.doubts.fail(question);
            }
        }
    }

    /// Catches up with the store, which has to answer within `limit`; the whole state may take
    /// longer.
    async fn catch_up(&mut self, limit: Duration) -> Result<(), StoreError> {
        let held = self.replica.snapshot();
        match within(limit, self.store.changes_since(held.stamp())).await? {
            Changes::Since(commits) => match applied(&held, &commits) {
                Ok(next) => {
                    self.publish(next, &commits, &HashMap::new());
                    Ok(())
                }
                Err(error) => {
                    tracing::error!("failed to follow the database: {error}; loading all of it");
                    self.reload().await
                }
            },
            Changes::Compacted => self.reload().await,
            Changes::OtherLineage => self.change_lineage(held.stamp()).await,
        }
    }

    async fn reload(&self) -> Result<(), StoreError> {
        self.replace(load(&*self.store).await?);
        Ok(())
    }

    /// The database was restored or lags: its state gets an epoch above the one served here, so
    /// that clients accept it although its revision may be lower.
    async fn change_lineage(&self, held: Stamp) -> Result<(), StoreError> {
        let limit = self.replica.limits.store_timeout;
        loop {
            let loaded = load(&*self.store).await?;
            let found = loaded.snapshot.stamp();
            if found.epoch > held.epoch {
                tracing::warn!(
                    %held, %found,
                    "the database holds another history: serving {found} instead of {held}"
                );
                self.replace(loaded);
                return Ok(());
            }
            // Lost to another server: what it began is loaded next.
            match within(limit, self.store.begin_epoch(found, held.epoch)).await {
                Ok(_) | Err(StoreError::BaseLost { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn publish(&self, next: Snapshot, commits: &[Arc<Commit>], own: &HashMap<Stamp, Duration>) {
        if commits.is_empty() {
            return;
        }
        for commit in commits {
            // Before anybody can hold the state: who comes back with its stamp is recognised.
            self.replica.lineage.push(commit.stamp);
            for observer in &self.observers {
                observer.committed(commit, own.get(&commit.stamp).copied());
            }
        }
        if commits.iter().any(|commit| commit.source.is_some()) {
            let mut sources = (*self.replica.sources()).clone();
            for commit in commits {
                move_marker(&mut sources, commit);
            }
            self.replica.sources.store(Arc::new(sources));
        }
        self.replica.current.store(Arc::new(next));
        let changes = commits.iter().flat_map(|commit| &commit.changes);
        self.replica.hub.wake(changes.map(Change::key));
        if commits.iter().any(|commit| !commit.sessions.is_empty()) {
            self.replica.hub.wake_sessions();
        }
    }

    /// Wakes nobody: the state is the same.
    fn forget(&self, floor: Revision) {
        let next = self.replica.snapshot().forget(floor);
        self.replica.current.store(Arc::new(next));
    }

    fn replace(&self, contents: Contents) {
        self.replica.lineage.restart(contents.snapshot.stamp());
        for observer in &self.observers {
            observer.replaced(&contents);
        }
        self.replica.sources.store(Arc::new(contents.sources));
        self.replica.current.store(Arc::new(contents.snapshot));
        self.replica.hub.wake_all();
    }

    fn answered(&mut self) {
        if !self.replica.link.is_available() {
            tracing::info!("the database answers again");
        }
        self.replica.link.answered();
        self.backoff.reset();
        self.health.pass();
    }

    fn lost(&self, error: &StoreError) {
        if self.replica.link.is_available() {
            tracing::warn!(
                "failed to reach the database: {}; reads and watches go on",
                chain(error)
            );
        }
        self.replica.link.lost();
        // The text is public, the error's sources may name hosts.
        self.health.warn(format!("{error}; serving the last state"));
    }
}

/// Reads everything. The sources come last, so that none is older than the snapshot.
async fn load(store: &dyn Store) -> Result<Contents, StoreError> {
    within(LOAD_LIMIT, async {
        let snapshot = store.load().await?;
        let markers = store.sources().await?;
        let sources = (markers.into_iter())
            .map(|marker| (marker.name.clone(), marker))
            .collect();
        Ok(Contents { snapshot, sources })
    })
    .await
}

fn applied(base: &Snapshot, commits: &[Arc<Commit>]) -> Result<Snapshot, NotContiguous> {
    (commits.iter()).try_fold(base.clone(), |state, commit| state.apply(commit))
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
        let late = format!("no answer within {limit:?}");
        Err(StoreError::Unavailable(late.into()))
    })
}

fn refusal(error: &StoreError) -> Error {
    match error {
        StoreError::Unavailable(_) | StoreError::BaseLost { .. } => Error::Unavailable(
            "the database gave no answer; reads go on, and a retry under the same request id finds \
             out whether the change was stored"
                .to_owned(),
        ),
        other => Error::Internal(other.to_string()),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
