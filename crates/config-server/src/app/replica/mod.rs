//! This server's copy of the store: readers take the newest state from memory, one task keeps it
//! up to date and is the only one that writes to the store.

mod disk;
mod follower;
mod keeper;
mod lineage;
mod link;
mod queue;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use chameleon_model::{
    Commit, HoldChange, Outcome, Revision, Snapshot, SourceMarker, SourceName, Stamp, Transaction,
};
use tokio::sync::{Notify, mpsc, watch};

use super::error::Error;
use super::watch::Hub;
pub(crate) use disk::Kept;
pub(crate) use follower::{FIRST_LOOK, Follower, Observer};
pub(crate) use keeper::{Keeper, kept};
use lineage::Lineage;
pub(crate) use link::Link;
pub(crate) use queue::Reservation;
use queue::{Budget, Pending, QUEUED};

/// How the replica deals with its store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplicaLimits {
    /// How long a call of the store may take, and how long a writer waits for its answer.
    pub(crate) store_timeout: Duration,
    /// How many bytes may wait to be stored, as received from writers.
    pub(crate) queued_bytes: usize,
    /// How many watches may be open.
    pub(crate) watches: usize,
}

/// All that a server holds of its store.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) snapshot: Snapshot,
    /// May be ahead of the snapshot: the commits between lead to the same.
    pub(crate) sources: Sources,
}

/// What became of a transaction, with what it did to holds.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) outcome: Outcome,
    /// Empty also for a retry, which gets its first outcome.
    pub(crate) holds: Vec<HoldChange>,
}

/// The applied commits of all git sources.
pub(crate) type Sources = BTreeMap<SourceName, SourceMarker>;

/// The newest state, for readers and writers. Reading takes no lock and no database.
pub(crate) struct Replica {
    current: ArcSwap<Snapshot>,
    sources: ArcSwap<Sources>,
    lineage: Lineage,
    link: Link,
    hub: Arc<Hub>,
    queue: mpsc::Sender<Pending>,
    /// Who wants to be sure of the newest state.
    doubts: Doubts,
    /// Below which revision history is forgotten, as far as this server has had a part in it.
    floor: watch::Sender<Revision>,
    budget: Budget,
    limits: ReplicaLimits,
}

impl Replica {
    /// A replica of `contents`, with the queue that its [`Follower`] works off.
    fn new(
        contents: Contents,
        link: Link,
        limits: ReplicaLimits,
    ) -> (Arc<Self>, mpsc::Receiver<Pending>) {
        let (queue, pending) = mpsc::channel(QUEUED);
        let replica = Self {
            lineage: Lineage::new(contents.snapshot.stamp()),
            current: ArcSwap::from_pointee(contents.snapshot),
            sources: ArcSwap::from_pointee(contents.sources),
            link,
            hub: Arc::new(Hub::new(limits.watches)),
            queue,
            doubts: Doubts::default(),
            floor: watch::Sender::default(),
            budget: Budget::new(limits.queued_bytes),
            limits,
        };
        (Arc::new(replica), pending)
    }

    /// A replica that stays at one state.
    #[cfg(test)]
    pub(crate) fn fixed(snapshot: Snapshot) -> Arc<Self> {
        let contents = Contents {
            snapshot,
            sources: Sources::new(),
        };
        let limits = ReplicaLimits {
            store_timeout: Duration::from_secs(1),
            queued_bytes: 0,
            watches: 0,
        };
        Self::new(contents, Link::new(Duration::ZERO), limits).0
    }

    /// The newest state that this server knows.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// The applied commits of all git sources, as far as this server knows.
    pub(crate) fn sources(&self) -> Arc<Sources> {
        self.sources.load_full()
    }

    /// Says whether `stamp` certainly names an earlier or the present state of this lineage.
    pub(crate) fn knows(&self, stamp: Stamp) -> bool {
        self.lineage.knows(stamp)
    }

    /// How the store is reached.
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Has this server forget the deletions up to `floor`: who holds an older state than that gets
    /// a complete one from then on.
    pub(crate) fn forget(&self, floor: Revision) {
        self.floor.send_replace(floor);
    }

    /// The open watches.
    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Room for a transaction that is being received; it is given back with the reservation.
    pub(crate) fn reservation(&self) -> Reservation {
        self.budget.reservation()
    }

    /// The newest state, after the store was asked whether there is a newer one: it has all that was
    /// acknowledged by any server before this call.
    ///
    /// Those who call meanwhile share the next question, so that a burst costs the store few.
    ///
    /// # Errors
    /// [`Error::Unavailable`] at once while the store is away, and when it gives no answer in time.
    pub(crate) async fn confirmed(&self) -> Result<Arc<Snapshot>, Error> {
        let away = || {
            let reason = "the database is unavailable, so that nobody knows whether this is the \
                          newest state; read without `consistent`, or try again later";
            Error::Unavailable(reason.to_owned())
        };
        if !self.link.is_available() {
            return Err(away());
        }
        let limit = self.limits.store_timeout;
        match tokio::time::timeout(limit, self.doubts.settled()).await {
            Ok(true) => Ok(self.snapshot()),
            Ok(false) | Err(_) => Err(away()),
        }
    }

    /// Has `transaction` stored, and waits for its outcome and for this server to serve it.
    ///
    /// Cancelling this future withdraws a transaction that has not been taken from the queue yet;
    /// one that has been taken may still be stored.
    ///
    /// # Errors
    /// [`Error::Overloaded`] and [`Error::Unavailable`] at once while the queue is full or the
    /// store is away; the latter also when the store gives no answer in time.
    pub(crate) async fn commit(
        &self,
        transaction: Transaction,
        reservation: Reservation,
    ) -> Result<Answered, Error> {
        if !self.link.is_available() {
            return Err(Error::Unavailable(
                "the database is unavailable; nothing was changed, reads go on, try again later"
                    .to_owned(),
            ));
        }
        let (pending, answer) = Pending::new(transaction, reservation);
        self.queue.try_send(pending).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Error::Stopping,
        })?;
        match tokio::time::timeout(self.limits.store_timeout, answer).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(_)) => Err(Error::Stopping),
            Err(_) => Err(Error::Unavailable(format!(
                "the database gave no answer within {:?}; the change may have been stored, a \
                 retry under the same request id finds out",
                self.limits.store_timeout
            ))),
        }
    }
}

/// Questions whether the served state is the newest, numbered from 1, and how far they are answered.
#[derive(Debug, Default)]
struct Doubts {
    asked: AtomicU64,
    wake: Notify,
    settled: watch::Sender<Settled>,
}

/// The last question that each answer holds for.
#[derive(Clone, Copy, Debug, Default)]
struct Settled {
    confirmed: u64,
    failed: u64,
}

impl Doubts {
    /// Asks, and says whether the store has answered.
    async fn settled(&self) -> bool {
        let mut settled = self.settled.subscribe();
        let mine = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        self.wake.notify_one();
        let answered = |settled: &Settled| settled.confirmed.max(settled.failed) >= mine;
        (settled.wait_for(answered).await).is_ok_and(|settled| settled.confirmed >= mine)
    }

    /// Waits until somebody asks.
    async fn asked(&self) {
        loop {
            self.wake.notified().await;
            let settled = *self.settled.borrow();
            if self.newest() > settled.confirmed.max(settled.failed) {
                return;
            }
        }
    }

    /// The newest question: an answer that is got from the store from now on holds for it.
    fn newest(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    /// The state that is served is the newest, or was after `question`.
    fn confirm(&self, question: u64) {
        self.settled.send_modify(|settled| {
            settled.confirmed = settled.confirmed.max(question);
        });
    }

    /// The store has not answered.
    fn fail(&self, question: u64) {
        self.settled
            .send_modify(|settled| settled.failed = settled.failed.max(question));
    }
}

/// Moves the marker of the source whose new state `commit` is, if it is one's.
fn move_marker(sources: &mut Sources, commit: &Commit) {
    if let Some(update) = &commit.source {
        let marker = SourceMarker {
            name: update.name.clone(),
            commit: update.commit.clone(),
            profiles: update.profiles.clone(),
            stamp: commit.stamp,
            at: commit.at,
        };
        sources.insert(update.name.clone(), marker);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn those_who_ask_meanwhile_share_one_answer() {
        let doubts = Doubts::default();
        let mut asking: Vec<_> = (0..100).map(|_| Box::pin(doubts.settled())).collect();
        for one in &mut asking {
            assert!(one.as_mut().now_or_never().is_none());
        }
        doubts.asked().await;
        let question = doubts.newest();
        // This one comes after the question was sent to the store.
        let mut late = Box::pin(doubts.settled());
        assert!(late.as_mut().now_or_never().is_none());
        doubts.confirm(question);
        for one in asking {
            assert!(one.await);
        }
        assert!(late.as_mut().now_or_never().is_none());
        doubts.asked().await;
        doubts.fail(doubts.newest());
        assert!(!late.await);
        // Who was answered leaves nothing to ask.
        assert!(doubts.asked().now_or_never().is_none());
    }
}
