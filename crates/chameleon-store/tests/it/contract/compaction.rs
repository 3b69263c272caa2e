use std::time::Duration;

use chameleon_model::{Prefix, Revision};
use chameleon_store::{Changes, HistoryQuery, StoreError};
use test_kit::eventually;

use crate::contract::history::newest;
use crate::contract::reading::course;
use crate::place::{Place, Replica, content};
use crate::write::*;

pub(crate) async fn live_values_outlive_their_history(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let mut states = Vec::new();
    for transaction in course() {
        if !writer.commit(vec![transaction]).await.commits.is_empty() {
            states.push(writer.state.clone());
        }
    }
    // Twice, since the second finds what the first left.
    for floor in [20, 40] {
        let floor = Revision(floor);
        writer.store.compact(floor).await.unwrap();
        let loaded = Replica::at(place).await.state;
        assert_eq!(loaded.floor(), floor);
        let all = Prefix::all();
        assert!(loaded.under(&all).eq(writer.state.under(&all)));
        assert!(loaded.sessions().eq(writer.state.sessions()));

        // Every state from the floor on can still be read.
        for state in states
            .iter()
            .filter(|state| state.stamp().revision >= floor)
        {
            let read = writer
                .store
                .snapshot_at(state.stamp().revision)
                .await
                .unwrap();
            assert!(read.under(&all).eq(state.under(&all)), "{}", state.stamp());
            assert!(read.sessions().eq(state.sessions()), "{}", state.stamp());
        }
        let below = Revision(floor.0 - 1);
        let error = writer.store.snapshot_at(below).await.unwrap_err();
        assert!(matches!(error, StoreError::NoSuchRevision(revision) if revision == below));

        let history = writer.store.history(&newest(1_000)).await.unwrap();
        assert_eq!(history.last().unwrap().stamp.revision, floor);
        let kept = writer.state.stamp().revision.0 - floor.0 + 1;
        assert_eq!(history.len() as u64, kept);
        let query = HistoryQuery {
            before: Some(floor),
            ..newest(10)
        };
        assert_eq!(writer.store.history(&query).await.unwrap(), []);
    }
    // Commits go on from a state that was loaded after.
    let mut other = Replica::at(place).await;
    other.apply(only(put("after", "1"))).await;
    writer.look().await;
    assert_eq!(writer.state.stamp(), other.state.stamp());
}

pub(crate) async fn indexes_never_fall(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    writer.apply(only(put("early", "1"))).await;
    writer.apply(only(put("gone", "1"))).await;
    writer.apply(only(delete("gone"))).await;
    writer.apply(only(put("late", "1"))).await;
    writer.apply(only(delete("late"))).await;
    let names = ["early", "gone", "late", "never"];
    let indexes = async || {
        let state = Replica::at(place).await.state;
        let mut indexes: Vec<_> = names.iter().map(|name| state.index_of(name)).collect();
        indexes.extend(
            names
                .iter()
                .map(|name| state.index_under(&Prefix::new(name))),
        );
        indexes
    };
    let mut before = indexes().await;
    assert_eq!(
        before[..4],
        [Revision(1), Revision(3), Revision(5), Revision(0)]
    );
    for floor in 1..=5 {
        writer.store.compact(Revision(floor)).await.unwrap();
        let after = indexes().await;
        for (before, after) in before.iter().zip(&after) {
            assert!(before <= after, "{before} fell to {after} at floor {floor}");
        }
        before = after;
    }
    assert_eq!(before[1..4], [Revision(5), Revision(5), Revision(5)]);
}

pub(crate) async fn a_deletion_stays_a_deletion(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    for n in 0..3 {
        writer.apply(only(put("a", &n.to_string()))).await;
    }
    writer.apply(only(delete("a"))).await;
    writer.apply(only(put("b", "1"))).await;
    writer.store.compact(Revision(5)).await.unwrap();
    assert!(
        writer
            .store
            .snapshot_at(Revision(5))
            .await
            .unwrap()
            .get("a")
            .is_none()
    );

    // A key that comes back is a new one, to every replica.
    let stamp = writer.apply(only(put("a", "back"))).await;
    let state = Replica::at(place).await.state;
    assert_eq!(state.get("a").unwrap().create_revision, stamp.revision);
    assert_eq!(content(&state), content(&writer.state));
}

pub(crate) async fn readers_below_the_floor_are_told_to_load(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let start = writer.state.clone();
    let mut stamps = Vec::new();
    for n in 0..4 {
        stamps.push(writer.apply(only(put("a", &n.to_string()))).await);
    }
    writer.store.compact(Revision(2)).await.unwrap();
    for stamp in [start.stamp(), stamps[0]] {
        let changes = writer.store.changes_since(stamp).await.unwrap();
        assert!(matches!(changes, Changes::Compacted), "{changes:?}");
    }
    let changes = writer.store.changes_since(stamps[1]).await.unwrap();
    assert!(matches!(changes, Changes::Since(missed) if missed.len() == 2));
    let error = writer
        .store
        .commit(&start, vec![only(put("b", "1"))])
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::BaseLost { .. }));
}

pub(crate) async fn a_floor_above_the_head_is_refused(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    writer.apply(only(put("a", "1"))).await;
    writer.apply(only(put("a", "2"))).await;
    let error = writer.store.compact(Revision(3)).await.unwrap_err();
    assert!(matches!(error, StoreError::NoSuchRevision(Revision(3))));
    writer.store.compact(Revision(2)).await.unwrap();
    // A lower floor changes nothing.
    writer.store.compact(Revision(1)).await.unwrap();
    assert_eq!(Replica::at(place).await.state.floor(), Revision(2));
}

pub(crate) async fn revisions_are_found_by_their_age(place: &impl Place) {
    const HOUR: Duration = Duration::from_hours(1);
    let mut writer = Replica::at(place).await;
    let store = writer.store.clone();
    let older_than = async |age| store.newest_older_than(age).await.unwrap();
    assert_eq!(older_than(Duration::ZERO).await, Revision::ZERO);
    for value in ["1", "2", "3"] {
        writer.apply(only(put("a", value))).await;
    }
    assert_eq!(older_than(HOUR).await, Revision::ZERO);
    // The clock of a database may stand still for some commits.
    eventually("all are older than nothing", async || {
        (older_than(Duration::ZERO).await == Revision(3)).then_some(())
    })
    .await;
    writer.store.compact(Revision(2)).await.unwrap();
    assert_eq!(older_than(HOUR).await, Revision(2));
    assert_eq!(older_than(Duration::MAX).await, Revision(2));
}
