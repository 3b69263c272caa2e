use std::time::Duration;

use chameleon_model::{
    CommitId, GitOrigin, Origin, Prefix, Revision, SourceName, SourceUpdate, Stage, StageTime,
    Transaction,
};
use chameleon_store::{HistoryQuery, StoreError};

use crate::contract::reading::course;
use crate::place::{Place, Replica, content};
use crate::write::*;

pub(crate) fn newest(limit: u32) -> HistoryQuery {
    HistoryQuery {
        limit,
        ..HistoryQuery::default()
    }
}

pub(crate) async fn everything_about_a_commit_is_kept(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let id = new_request();
    let transaction = Transaction {
        request_id: Some(id),
        source: Some(SourceUpdate {
            name: SourceName::from("shop"),
            expected: None,
            commit: CommitId::from("0123abc"),
            profiles: vec!["beta".to_owned()],
        }),
        origin: Origin {
            author: "Ada <ada@example.org>".to_owned(),
            message: "shift all to b\n\nvendor a is down".to_owned(),
            via: "git-sync 127.0.0.1".to_owned(),
            git: Some(GitOrigin {
                repository: "https://git.example.org/config.git".to_owned(),
                branch: "main".to_owned(),
                commit: CommitId::from("4567def"),
            }),
            stages: (Stage::ALL.into_iter().zip(1..))
                .map(|(stage, n)| StageTime {
                    stage,
                    took: Duration::new(n, 123_456_789),
                })
                .collect(),
        },
        ..all([
            put("config/a", "1"),
            put("config/b", "2"),
            open_session(&session("s")),
        ])
    };
    let committed = writer.commit(vec![transaction.clone()]).await;
    let expected = &committed.commits[0];
    assert_eq!(expected.origin, transaction.origin);
    assert_eq!(expected.source, transaction.source);
    assert_eq!(expected.request_id, Some(id));
    assert_eq!(expected.changes.len(), 2);
    assert_eq!(expected.sessions.len(), 1);
    assert!(
        expected.at.0 > 1_500_000_000_000_000,
        "by a clock that is set: {:?}",
        expected.at
    );

    let store = place.open().await;
    assert_eq!(store.history(&newest(10)).await.unwrap(), committed.commits);

    // And a commit about which nothing is known.
    let committed = writer.commit(vec![only(put("plain", ""))]).await;
    assert_eq!(store.history(&newest(1)).await.unwrap(), committed.commits);
}

pub(crate) async fn commits_are_found_by_key_and_prefix(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    for at in ["a", "a/b", "a/c", "b", "a\u{10ffff}", "A"] {
        writer.apply(only(put(at, "1"))).await;
    }
    writer.apply(all([put("a", "2"), put("a/b", "2")])).await;
    writer.apply(only(delete("a/b"))).await;

    let store = &writer.store;
    let found = async |key_text: Option<&str>, prefix: Option<&str>| {
        let query = HistoryQuery {
            key: key_text.map(key),
            prefix: prefix.map(Prefix::new),
            ..newest(100)
        };
        let commits = store.history(&query).await.unwrap();
        commits
            .iter()
            .map(|one| one.stamp.revision.0)
            .collect::<Vec<_>>()
    };
    assert_eq!(found(Some("a"), None).await, [7, 1]);
    assert_eq!(found(Some("a/b"), None).await, [8, 7, 2]);
    assert_eq!(found(Some("nothing"), None).await, [0_u64; 0]);
    assert_eq!(found(None, Some("a/")).await, [8, 7, 3, 2]);
    assert_eq!(found(None, Some("a")).await, [8, 7, 5, 3, 2, 1]);
    assert_eq!(found(None, Some("a\u{10ffff}")).await, [5]);
    assert_eq!(found(None, Some("")).await, [8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(found(None, Some("a\0")).await, [0_u64; 0]);
    assert_eq!(found(Some("a"), Some("a/")).await, [7]);

    // A commit that matches by one key comes with all of its changes.
    let query = HistoryQuery {
        key: Some(key("a")),
        ..newest(1)
    };
    let commits = store.history(&query).await.unwrap();
    assert_eq!(commits[0].changes.len(), 2);
}

pub(crate) async fn history_is_paged_from_the_newest(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    for n in 0..7 {
        writer.apply(only(put("a", &n.to_string()))).await;
    }
    let mut pages = Vec::new();
    let mut before = None;
    loop {
        let query = HistoryQuery {
            before,
            ..newest(3)
        };
        let page = writer.store.history(&query).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.stamp.revision);
        pages.push(
            page.iter()
                .map(|one| one.stamp.revision.0)
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(pages, [vec![7, 6, 5], vec![4, 3, 2], vec![1]]);
    assert_eq!(writer.store.history(&newest(0)).await.unwrap(), []);
}

pub(crate) async fn every_past_state_can_be_read(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let mut states = vec![writer.state.clone()];
    for transaction in course() {
        let committed = writer.commit(vec![transaction]).await;
        if !committed.commits.is_empty() {
            states.push(writer.state.clone());
        }
    }
    for state in &states {
        let read = writer
            .store
            .snapshot_at(state.stamp().revision)
            .await
            .unwrap();
        assert_eq!(content(&read), content(state));
    }
    let future = writer.state.stamp().revision.next();
    let error = writer.store.snapshot_at(future).await.unwrap_err();
    assert!(matches!(error, StoreError::NoSuchRevision(revision) if revision == future));
    assert!(writer.store.snapshot_at(Revision(u64::MAX)).await.is_err());
}
