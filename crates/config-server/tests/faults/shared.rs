//! What the tasks of a run share.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use tokio::sync::{RwLock, watch};
use tokio::time::timeout;

use crate::ledger::{Complaints, Ledger};

/// Generous: nothing that works comes near it.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// Readers, writers, and whoever breaks things all hold one of these.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) ledger: Ledger,
    pub(crate) complaints: Complaints,
    /// Held by writers for each transaction, until it is acknowledged.
    pub(crate) gate: RwLock<()>,
    /// The tries of writers that have ended, well or not: the clock of a run.
    tries: watch::Sender<u64>,
    promotions: AtomicU64,
    settled: AtomicU64,
    refused: AtomicU64,
}

impl Shared {
    /// A try of a writer has ended.
    pub(crate) fn tried(&self) {
        self.tries.send_modify(|tries| *tries += 1);
    }

    /// Waits until `count` more tries have ended; false if they do not.
    pub(crate) async fn tries(&self, count: u64) -> bool {
        let mut tries = self.tries.subscribe();
        let until = *tries.borrow() + count;
        let reached = tries.wait_for(|tries| *tries >= until);
        timeout(LIMIT, reached).await.is_ok()
    }

    /// A copy is about to take the database's place.
    pub(crate) fn promote(&self) {
        self.promotions.fetch_add(1, SeqCst);
    }

    /// How many copies have been promoted.
    pub(crate) fn promotions(&self) -> u64 {
        self.promotions.load(SeqCst)
    }

    /// Everybody agrees on the database as it is.
    pub(crate) fn settle(&self) {
        self.settled.store(self.promotions(), SeqCst);
    }

    /// Says whether a copy was promoted since everybody agreed.
    pub(crate) fn has_promoted(&self) -> bool {
        self.promotions() > self.settled.load(SeqCst)
    }

    /// A reader has refused a state of a server that does not know better.
    pub(crate) fn refuse(&self) {
        self.refused.fetch_add(1, SeqCst);
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(SeqCst)
    }
}
