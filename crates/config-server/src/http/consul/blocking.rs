//! Blocking queries: an answer that waits for a change.

use std::sync::Arc;

use chameleon_model::{Revision, Snapshot};
use tokio::sync::watch;

use super::Face;
use super::answer::index_of;
use super::duration::jittered;
use super::query::Wait;
use crate::app::watch::Watcher;

/// What tells that it is worth another look. Make it before the first one, so that no change is missed.
pub(super) enum Changes {
    /// Of keys.
    Keys(Watcher),
    /// Of the list of sessions.
    Sessions(watch::Receiver<()>),
}

impl Changes {
    async fn next(&mut self) {
        match self {
            Self::Keys(watcher) => watcher.changed().await,
            // Its sender lives as long as the server.
            Self::Sessions(changes) => drop(changes.changed().await),
        }
    }
}

/// Waits until the index overtakes the given one; then, at the limit, or when the server stops, gives
/// the newest state.
pub(super) async fn overtaken(
    face: &Face,
    wait: Wait,
    mut changes: Changes,
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
            () = changes.next() => {}
            () = &mut limit => return face.app.replica.snapshot(),
            () = face.soft.cancelled() => return face.app.replica.snapshot(),
        }
    }
}
