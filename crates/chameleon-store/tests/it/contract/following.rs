use chameleon_store::{Changes, Notice, REPLAY_LIMIT, StoreError};
use futures::StreamExt as _;

use crate::place::{Place, Replica, content};
use crate::write::*;

pub(crate) async fn a_reader_gets_what_it_missed(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let reader = place.open().await;
    let start = writer.state.stamp();
    let mut commits = Vec::new();
    for n in 0..4 {
        let group = vec![only(put("a", &n.to_string()))];
        commits.extend(writer.commit(group).await.commits);
    }
    let stamps: Vec<_> = [start]
        .into_iter()
        .chain(commits.iter().map(|one| one.stamp))
        .collect();
    for (n, stamp) in stamps.into_iter().enumerate() {
        let changes = reader.changes_since(stamp).await.unwrap();
        let Changes::Since(missed) = changes else {
            panic!("{changes:?}");
        };
        assert_eq!(missed, commits[n..]);
    }
}

pub(crate) async fn a_reader_far_behind_is_told_to_load(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let start = writer.state.clone();
    let group = (0..=REPLAY_LIMIT).map(|n| only(put("a", &n.to_string())));
    let commits = writer.commit(group.collect()).await.commits;
    let store = place.open().await;

    let changes = store.changes_since(start.stamp()).await.unwrap();
    assert!(matches!(changes, Changes::Compacted), "{changes:?}");
    let error = store
        .commit(&start, vec![only(put("b", "1"))])
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::BaseLost { held } if held == start.stamp()));

    let Changes::Since(missed) = store.changes_since(commits[0].stamp).await.unwrap() else {
        panic!("one less is not too many");
    };
    assert_eq!(missed.len() as u64, REPLAY_LIMIT);
}

/// Whichever nudges are lost: one look after the last commit is enough, and no state is skipped
/// over on the way.
pub(crate) async fn a_follower_that_loses_any_notification_converges(place: &impl Place) {
    const COMMITS: u32 = 4;
    let mut writer = Replica::at(place).await;
    for heard in 0..1_u32 << COMMITS {
        let mut follower = Replica::at(place).await;
        for n in 0..COMMITS {
            let value = format!("{heard}/{n}");
            writer
                .apply(all([put("a", &value), put(&format!("b/{value}"), "")]))
                .await;
            if heard & (1 << n) != 0 {
                follower.look().await;
                assert_eq!(content(&follower.state), content(&writer.state));
            }
        }
        // The safety net: the stream yields without any commit.
        let mut nudges = follower.store.notifications();
        assert!(nudges.next().await.is_some());
        follower.look().await;
        assert_eq!(content(&follower.state), content(&writer.state));
    }
}

pub(crate) async fn the_first_nudge_comes_at_once(place: &impl Place) {
    let store = place.open().await;
    let (mut one, mut other) = (store.notifications(), store.notifications());
    assert_eq!(one.next().await, Some(Notice::Look));
    assert_eq!(other.next().await, Some(Notice::Look));
    drop(store);
    // The streams end with the store.
    while one.next().await.is_some() {}
    while other.next().await.is_some() {}
}
