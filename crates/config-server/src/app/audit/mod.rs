//! The audit in the store: what was done and refused, kept beside the log and read from there.
//!
//! A request only leaves its record in a bounded queue; one task writes the queue to the store. The log
//! has every event in any case.

mod keeper;
mod pending;
mod refusals;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use chameleon_model::{
    AuditAction, AuditId, AuditOutcome, AuditQuery, AuditRecord, AuditTarget, AuditVerdict,
    Timestamp,
};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use uuid::Uuid;

use super::App;
use super::access::{Caller, Peer};
use super::error::Error;
pub(crate) use keeper::Keeper;
use pending::{BATCH, Pending, QUEUED};

/// The most records that one request answers.
const LIMIT: u32 = 1_000;

/// The number of records that a request without a limit answers.
const DEFAULT: u32 = 50;

/// Where records go on their way to the store. Nothing here waits.
#[derive(Debug)]
pub(crate) struct Trail {
    pending: Mutex<Pending>,
    /// Something waits.
    some: Notify,
    /// A whole batch waits.
    many: Notify,
    /// Acts that have begun and will leave a record.
    acts: TaskTracker,
    dropped: Counter,
}

/// What happened, but for when.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    pub(crate) who: &'a str,
    pub(crate) from: Peer,
    pub(crate) action: AuditAction,
    pub(crate) target: AuditTarget,
    pub(crate) outcome: AuditOutcome,
    pub(crate) times: u64,
    pub(crate) detail: String,
}

impl Trail {
    pub(crate) fn new() -> Self {
        Self::with_room(QUEUED)
    }

    /// One along which so many records of what was done may wait.
    fn with_room(room: usize) -> Self {
        Self {
            pending: Mutex::new(Pending::new(room, Instant::now())),
            some: Notify::new(),
            many: Notify::new(),
            acts: TaskTracker::new(),
            dropped: Counter::default(),
        }
    }

    /// Counts the records that the store never gets, though the log has their events.
    pub(crate) fn dropped(&self) -> Counter {
        self.dropped.clone()
    }

    /// Says that an act begins, which the end of the server waits for.
    pub(crate) fn act(&self) -> TaskTrackerToken {
        self.acts.token()
    }

    /// Takes a record. Equal refusals become one; of all else the oldest goes where there are too many.
    pub(crate) fn take(&self, event: Event<'_>) {
        let record = record(event);
        let waiting = self.update(|pending| {
            pending.push(record, Instant::now());
            pending.waiting()
        });
        self.some.notify_one();
        if waiting >= BATCH {
            self.many.notify_one();
        }
    }

    /// Changes what waits; counts what is lost by it, and says so when that begins.
    fn update<T>(&self, change: impl FnOnce(&mut Pending) -> T) -> T {
        let mut pending = self.lock();
        let before = pending.lost();
        let answer = change(&mut pending);
        let after = pending.lost();
        drop(pending);
        self.dropped.inc_by(after.saturating_sub(before));
        if before == 0 && after > 0 {
            tracing::warn!("records of the audit are lost to the store; the log has their events");
        }
        answer
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time of a record that is made now, and its name. The name is read second: it may be the later
/// one, and what a range of names misses is what has an earlier one.
fn now() -> (Timestamp, AuditId) {
    let at = SystemTime::now().into();
    (at, AuditId(Uuid::now_v7()))
}

/// Gives a record its name and time.
fn record(event: Event<'_>) -> AuditRecord {
    let (at, id) = now();
    AuditRecord {
        id,
        at,
        who: event.who.to_owned(),
        dialect: event.from.dialect.to_owned(),
        peer: event.from.address,
        action: event.action,
        target: event.target,
        outcome: event.outcome,
        times: event.times,
        detail: event.detail,
    }
}

/// What the server itself has to tell: so many records are lost.
fn loss(lost: u64) -> AuditRecord {
    let (at, id) = now();
    AuditRecord {
        id,
        at,
        who: String::new(),
        dialect: String::new(),
        peer: None,
        action: AuditAction::Lose,
        target: AuditTarget::Nothing,
        outcome: AuditVerdict::Lost.into(),
        times: lost,
        detail: format!("{lost} records were lost; the log has their events"),
    }
}

impl App {
    /// Records of the audit, newest first. A token sees what it did or was refused itself, and what
    /// concerns keys that it may read.
    pub(crate) async fn audit(
        &self,
        caller: &Caller,
        mut query: AuditQuery,
    ) -> Result<Vec<AuditRecord>, Error> {
        query.limit = match query.limit {
            0 => DEFAULT,
            limit => limit.min(LIMIT),
        };
        let _turn = self.bulk_turn().await;
        Ok(self.store.audit(&query, &caller.audit_reader()).await?)
    }
}
