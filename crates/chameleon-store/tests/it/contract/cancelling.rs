use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use chameleon_model::{AuditQuery, AuditReader, Revision, Snapshot};
use chameleon_store::{Store, StoreError};

use crate::contract::audit::many;
use crate::place::{Place, Replica, content};
use crate::write::*;

pub(crate) async fn a_commit_cancelled_anywhere_leaves_nothing_behind(place: &impl Place) {
    cancelled_anywhere(place, async |store, state| {
        let group = vec![only(put("a", "maybe"))];
        store.commit(state, group).await.map(drop)
    })
    .await;
}

pub(crate) async fn a_cancelled_commit_holds_up_nobody(place: &impl Place) {
    let store = place.open_narrow().await;
    let mut other = Replica::at(place).await;
    for waits in 0.. {
        let state = store
            .load()
            .await
            .expect("a load before a cancelled commit");
        let group = vec![only(put("a", &waits.to_string()))];
        let ended = cancelled_after(waits, store.commit(&state, group)).await;
        // The store that was left in the middle is asked for nothing more.
        other.apply(only(put("b", &waits.to_string()))).await;
        if let Some(result) = ended {
            result.expect("a commit that is not cancelled");
            break;
        }
    }
    let reader = Replica::at(place).await;
    assert_eq!(content(&reader.state), content(&other.state));
}

pub(crate) async fn an_append_to_the_audit_cancelled_anywhere_leaves_nothing_behind(
    place: &impl Place,
) {
    // In several statements, where a store has them.
    let records = many(250);
    cancelled_anywhere(place, async |store, _| store.append_audit(&records).await).await;
    // Tries that were cancelled too late are there as well.
    let query = AuditQuery {
        limit: 1_000,
        ..AuditQuery::default()
    };
    let mut kept = place
        .open()
        .await
        .audit(&query, &AuditReader::All)
        .await
        .unwrap();
    kept.reverse();
    assert_eq!(kept, records);
}

pub(crate) async fn a_read_cancelled_anywhere_leaves_nothing_behind(place: &impl Place) {
    cancelled_anywhere(place, async |store, _| store.load().await.map(drop)).await;
}

pub(crate) async fn a_compaction_cancelled_anywhere_leaves_nothing_behind(place: &impl Place) {
    cancelled_anywhere(place, async |store, _| store.compact(Revision::ZERO).await).await;
}

/// Cancels `verb` where it waits for the first time, then where it waits for the second time, and
/// so on until it ends. Whatever it left undone, the same connection serves the next verbs.
async fn cancelled_anywhere(
    place: &impl Place,
    verb: impl AsyncFn(&dyn Store, &Snapshot) -> Result<(), StoreError>,
) {
    let store = place.open_narrow().await;
    for write_first in [true, false] {
        for waits in 0.. {
            let state = store.load().await.expect("a load before a cancelled verb");
            let ended = cancelled_after(waits, verb(&*store, &state)).await;
            let told = |what| format!("{what} after a verb was cancelled in wait {waits}");
            let group = vec![only(put("b", &format!("{write_first} {waits}")))];
            // Each finds other traces: a write those of a read, and a read those of a write.
            if write_first {
                let committed = store.commit(&state, group).await;
                committed.unwrap_or_else(|error| panic!("{}: {error:?}", told("a commit")));
            } else {
                let state = store.load().await;
                state.unwrap_or_else(|error| panic!("{}: {error:?}", told("a load")));
            }
            if let Some(result) = ended {
                result.expect("a verb that is not cancelled");
                break;
            }
        }
    }
}

/// Drops `verb` when it has been left waiting more than `waits` times.
async fn cancelled_after<T>(waits: usize, verb: impl Future<Output = T>) -> Option<T> {
    let mut verb = pin!(verb);
    let mut left = waits;
    poll_fn(|context| match verb.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}
