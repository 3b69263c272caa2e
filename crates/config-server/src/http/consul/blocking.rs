//! Blocking queries: an answer that waits for a change.

use std::sync::Arc;

use chameleon_model::{Revision, Snapshot};

use super::Face;
use super::answer::index_of;
use super::duration::jittered;
use super::query::Wait;
use crate::app::watch::{Watcher, Woken};

/// Waits until the index overtakes the given one; then, at the limit, or when the server stops, gives
/// the newest state. Open the watch before, so that no change is missed.
pub(super) async fn overtaken(
    face: &Face,
    wait: Wait,
    watcher: &Watcher,
    index: impl Fn(&Snapshot) -> Revision,
) -> Arc<Snapshot> {
    let limit = tokio::time::sleep(jittered(wait.limit));
    tokio::pin!(limit);
    let epoch = face.app.replica.snapshot().stamp().epoch;
    loop {
        let snapshot = face.app.replica.snapshot();
        let replaced = snapshot.stamp().epoch != epoch;
        if replaced || index_of(index(&snapshot)) > wait.index {
            return snapshot;
        }
        tokio::select! {
            woken = watcher.woken() => match woken {
                Woken::Changed => {}
                Woken::Stopping => return face.app.replica.snapshot(),
            },
            () = &mut limit => return face.app.replica.snapshot(),
        }
    }
}
