use chameleon_model::{Epoch, Revision, Stamp, Tag};
use chameleon_store::{Changes, StoreError};

use crate::place::{Place, Replica};
use crate::write::*;

pub(crate) async fn a_state_of_another_database_is_noticed<P: Place>(place: &P) {
    let elsewhere = P::new().await;
    let mut here = Replica::at(place).await;
    let mut there = Replica::at(&elsewhere).await;
    // Even the empty states differ, and so do equal commits.
    for round in 0..2 {
        let changes = here.store.changes_since(there.state.stamp()).await.unwrap();
        assert!(
            matches!(changes, Changes::OtherLineage),
            "round {round}: {changes:?}"
        );
        let lost = here
            .store
            .commit(&there.state, vec![only(put("b", "1"))])
            .await;
        let error = lost.unwrap_err();
        assert!(matches!(error, StoreError::BaseLost { held } if held == there.state.stamp()));
        here.apply(only(put("a", &round.to_string()))).await;
        there.apply(only(put("a", &round.to_string()))).await;
    }
    // A foreign state behind the head is no ancestor.
    here.apply(only(put("a", "on"))).await;
    let changes = here.store.changes_since(there.state.stamp()).await.unwrap();
    assert!(matches!(changes, Changes::OtherLineage), "{changes:?}");
}

/// Puts the database back to an earlier state, as restoring an old copy does.
async fn restore(place: &impl Place, to: Stamp) {
    let Stamp {
        epoch,
        revision,
        tag,
    } = to;
    let tag = tag.0.cast_signed();
    place
        .execute(&[
            format!("DELETE FROM transactions WHERE revision > {revision}"),
            format!("DELETE FROM changes WHERE revision > {revision}"),
            format!("DELETE FROM epochs WHERE epoch > {epoch}"),
            "DELETE FROM latest".to_owned(),
            "INSERT INTO latest (key, revision, deleted) SELECT c.key, c.revision, c.value IS NULL \
             FROM changes c JOIN (SELECT key, max(revision) AS revision FROM changes GROUP BY key) n \
             ON c.key = n.key AND c.revision = n.revision"
                .to_owned(),
            format!("UPDATE head SET epoch = {epoch}, revision = {revision}, tag = {tag}"),
        ])
        .await;
}

pub(crate) async fn a_restored_copy_is_noticed(place: &impl Place) {
    let mut ahead = Replica::at(place).await;
    let first = ahead.apply(only(put("a", "1"))).await;
    ahead.apply(only(put("a", "2"))).await;
    let old = ahead.apply(only(put("b", "1"))).await;
    restore(place, first).await;

    // It lags behind what the server holds.
    let changes = ahead.store.changes_since(old).await.unwrap();
    assert!(matches!(changes, Changes::OtherLineage), "{changes:?}");
    let error = ahead
        .store
        .commit(&ahead.state, vec![only(put("c", "1"))])
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::BaseLost { held } if held == old));

    // It has caught up and gone its own way.
    let mut restored = Replica::at(place).await;
    assert_eq!(restored.state.stamp(), first);
    for n in 0..4 {
        restored.apply(only(put("a", &format!("other {n}")))).await;
    }
    let changes = ahead.store.changes_since(old).await.unwrap();
    assert!(matches!(changes, Changes::OtherLineage), "{changes:?}");
    // What both have in common leads on.
    let changes = ahead.store.changes_since(first).await.unwrap();
    assert!(matches!(changes, Changes::Since(missed) if missed.len() == 4));
}

pub(crate) async fn an_epoch_begins_only_where_it_was_meant_to(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let passed = writer.apply(only(put("a", "1"))).await;
    let head = writer.apply(only(put("a", "2"))).await;
    for wrong in [
        passed,
        Stamp {
            tag: Tag(1),
            ..head
        },
    ] {
        let error = writer.store.begin_epoch(wrong, Epoch(0)).await.unwrap_err();
        assert!(matches!(error, StoreError::BaseLost { held } if held == wrong));
    }
    // Of two who find the same head, one begins the epoch.
    let other = place.open().await;
    let (one, two) = tokio::join!(
        writer.store.begin_epoch(head, head.epoch),
        other.begin_epoch(head, head.epoch)
    );
    let begun: Vec<_> = [one, two].into_iter().flatten().collect();
    let [stamp] = begun[..] else {
        panic!("{begun:?}");
    };
    assert_eq!(Replica::at(place).await.state.stamp(), stamp);
}

pub(crate) async fn an_epoch_lies_above_all_that_readers_hold(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let first = writer.apply(only(put("a", "1"))).await;
    let held = Stamp {
        epoch: Epoch(7),
        revision: Revision(90),
        tag: Tag(1),
    };
    let begun = writer.store.begin_epoch(first, held.epoch).await.unwrap();
    assert!(held.may_advance_to(begun), "{held} to {begun}");
    let next = writer.store.begin_epoch(begun, Epoch(1)).await.unwrap();
    assert!(begun.may_advance_to(next), "{begun} to {next}");
}

pub(crate) async fn commits_go_on_under_a_new_epoch(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let empty = writer.state.stamp();
    let begun_empty = writer.store.begin_epoch(empty, empty.epoch).await.unwrap();
    assert_eq!(begun_empty.revision, Revision::ZERO);

    // Who holds a state of the old epoch is told to load, be it the same revision.
    let error = writer
        .store
        .commit(&writer.state, vec![only(put("a", "1"))])
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::BaseLost { held } if held == empty));
    writer.look().await;
    assert_eq!(writer.state.stamp(), begun_empty);

    let committed = writer.apply(only(put("a", "1"))).await;
    assert_eq!(committed.epoch, begun_empty.epoch);
    let begun = writer
        .store
        .begin_epoch(committed, committed.epoch)
        .await
        .unwrap();
    assert_eq!(
        (begun.epoch.0, begun.revision),
        (committed.epoch.0 + 1, committed.revision)
    );
    let store = &writer.store;
    assert_eq!(
        store.snapshot_at(begun.revision).await.unwrap().stamp(),
        begun
    );
    let changes = store.changes_since(committed).await.unwrap();
    assert!(matches!(changes, Changes::OtherLineage), "{changes:?}");

    let mut other = Replica::at(place).await;
    let next = other.apply(only(put("a", "2"))).await;
    assert_eq!((next.epoch, next.revision.0), (begun.epoch, 2));
    let changes = other.store.changes_since(begun).await.unwrap();
    assert!(matches!(changes, Changes::Since(missed) if missed[0].stamp == next));
}
