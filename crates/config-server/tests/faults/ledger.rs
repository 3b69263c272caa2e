//! What writers were promised, and what is found wrong.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chameleon_model::{RequestId, Stamp};

/// Every transaction that was sent, with what became of it.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<HashMap<RequestId, Sent>>);

/// A transaction of a writer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) number: u64,
    /// How many copies had been promoted when it was sent for the last time.
    pub(crate) promotions: u64,
    /// The state that it led to, as the writer was told.
    pub(crate) acknowledged: Option<Stamp>,
    /// It is known to be in no promoted copy, as it has to be.
    pub(crate) lacking: bool,
}

impl Ledger {
    pub(crate) fn send(&self, id: RequestId, number: u64, promotions: u64) {
        let sent = Sent {
            number,
            promotions,
            acknowledged: None,
            lacking: false,
        };
        self.lock().insert(id, sent);
    }

    pub(crate) fn acknowledge(&self, id: RequestId, stamp: Stamp) {
        if let Some(sent) = self.lock().get_mut(&id) {
            sent.acknowledged = Some(stamp);
        }
    }

    pub(crate) fn number(&self, id: RequestId) -> Option<u64> {
        Some(self.lock().get(&id)?.number)
    }

    /// Calls `judge` with all that were acknowledged and are not known to be lacking.
    pub(crate) fn for_each_acknowledged(&self, mut judge: impl FnMut(RequestId, &mut Sent, Stamp)) {
        for (id, sent) in self.lock().iter_mut() {
            if let (Some(stamp), false) = (sent.acknowledged, sent.lacking) {
                judge(*id, sent, stamp);
            }
        }
    }

    /// How many transactions were acknowledged, and how many of them promoted copies lacked.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let ledger = self.lock();
        let acknowledged = ledger.values().filter(|sent| sent.acknowledged.is_some());
        let lacking = ledger.values().filter(|sent| sent.lacking);
        (acknowledged.count(), lacking.count())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RequestId, Sent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is wrong, in words for people.
#[derive(Default)]
pub(crate) struct Complaints(Mutex<Vec<String>>);

impl Complaints {
    pub(crate) fn add(&self, complaint: String) {
        self.lock().push(complaint);
    }

    /// The first ones; `None` if there are none.
    pub(crate) fn first(&self) -> Option<String> {
        const SHOWN: usize = 10;
        let complaints = self.lock();
        if complaints.is_empty() {
            return None;
        }
        let mut shown = complaints[..complaints.len().min(SHOWN)].join("\n  ");
        if complaints.len() > SHOWN {
            let _ = write!(shown, "\n  and {} more", complaints.len() - SHOWN);
        }
        Some(shown)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
