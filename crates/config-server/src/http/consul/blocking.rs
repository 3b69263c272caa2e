//! Blocking queries: an answer that waits for a change.

use std::sync::Arc;

use chameleon_model::{Revision, Snapshot};

use super::Face;
use super::answer::index_of;
use super::duration::jittered;
use super::error::Refused;
use super::query::Wait;
use crate::app::access::{Caller, WatchPlace};
use crate::app::error::Error;
use crate::app::watch::{Watcher, Woken};

/// How a state is read.
pub(super) struct Reading<'a> {
    pub(super) face: &'a Face,
    pub(super) caller: &'a Caller,
    pub(super) wait: Option<Wait>,
    /// It has to have all that any server acknowledged before it is answered.
    pub(super) consistent: bool,
}

impl Reading<'_> {
    /// The state to answer from: now, or when `index` of it has been overtaken, as `watch` tells.
    ///
    /// Consul makes sure whenever it runs the query: before it waits, and before it answers.
    ///
    /// # Errors
    /// There are too many watches, of all or of the caller, the caller's token ends, or the database is away and the read has
    /// to be consistent.
    pub(super) async fn state(
        &self,
        watch: impl FnOnce(WatchPlace) -> Result<Watcher, Error>,
        index: impl Fn(&Snapshot) -> Revision,
    ) -> Result<Arc<Snapshot>, Refused> {
        let replica = &self.face.app.replica;
        if self.consistent {
            replica.confirmed().await?;
        }
        let Some(wait) = self.wait else {
            return Ok(replica.snapshot());
        };
        let watcher = watch(self.face.app.access.watch_place(self.caller)?)?;
        let found = overtaken(self.face, self.caller, wait, &watcher, index).await?;
        if self.consistent {
            return Ok(replica.confirmed().await?);
        }
        Ok(found)
    }
}

/// Waits until the index overtakes the given one; then, at the limit, or when the server stops, gives
/// the newest state. Open the watch before, so that no change is missed.
///
/// # Errors
/// The caller's token ends while it waits.
async fn overtaken(
    face: &Face,
    caller: &Caller,
    wait: Wait,
    watcher: &Watcher,
    index: impl Fn(&Snapshot) -> Revision,
) -> Result<Arc<Snapshot>, Refused> {
    // A token that ended before the watch was open has woken it in vain.
    face.app.access.still_admits(caller)?;
    let limit = tokio::time::sleep(jittered(wait.limit));
    tokio::pin!(limit);
    let epoch = face.app.replica.snapshot().stamp().epoch;
    loop {
        let snapshot = face.app.replica.snapshot();
        let replaced = snapshot.stamp().epoch != epoch;
        if replaced || index_of(index(&snapshot)) > wait.index {
            return Ok(snapshot);
        }
        tokio::select! {
            woken = watcher.woken() => match woken {
                Woken::Changed => face.app.access.still_admits(caller)?,
                Woken::Stopping => return Ok(face.app.replica.snapshot()),
            },
            () = &mut limit => return Ok(face.app.replica.snapshot()),
        }
    }
}
