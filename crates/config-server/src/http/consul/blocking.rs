//! Blocking queries: an answer that waits for a change.

use std::sync::Arc;

use chameleon_model::{Revision, Snapshot};

use super::Face;
use super::answer::index_of;
use super::duration::jittered;
use super::error::Refused;
use super::query::Wait;
use crate::app::access::Caller;
use crate::app::watch::{Watcher, Woken};

/// Waits until the index overtakes the given one; then, at the limit, or when the server stops, gives
/// the newest state. Open the watch before, so that no change is missed.
///
/// # Errors
/// The caller's token ends while it waits.
pub(super) async fn overtaken(
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
