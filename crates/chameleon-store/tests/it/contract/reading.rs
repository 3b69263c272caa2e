use std::sync::Arc;

use bytes::Bytes;
use chameleon_model::{
    CommitId, Epoch, Operation, Outcome, Precondition, Refusal, Revision, Session, SessionBehavior,
    SourceName, SourceUpdate, Transaction,
};

use crate::place::{Place, Replica, content};
use crate::write::*;

pub(crate) async fn an_empty_store_has_a_name(place: &impl Place) {
    let state = Replica::at(place).await.state;
    assert_eq!(
        (state.stamp().epoch, state.stamp().revision),
        (Epoch(1), Revision::ZERO)
    );
    assert!(state.is_empty());
    assert_eq!(Replica::at(place).await.state.stamp(), state.stamp());
}

pub(crate) async fn entries_of_any_content_are_kept(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let values = [
        Bytes::new(),
        Bytes::from_static(b"\0\xff\xfe not UTF-8"),
        Bytes::from(vec![7; chameleon_model::MAX_VALUE_BYTES]),
    ];
    let keys = [
        "a b",
        "config/\u{e4}\u{1f98e}.yml",
        "'; DROP TABLE head; --",
    ];
    let puts = (keys.iter().zip(&values)).map(|(at, value)| Operation::Put {
        key: key(at),
        value: value.clone(),
        flags: u64::MAX,
    });
    writer.apply(all(puts)).await;

    let state = Replica::at(place).await.state;
    assert_eq!(content(&state), content(&writer.state));
    for (at, value) in keys.iter().zip(&values) {
        let entry = state.get(at).unwrap();
        assert_eq!((&entry.value, entry.flags), (value, u64::MAX));
    }
}

/// A fixed course of every operation, with keys that come, change and go.
pub(crate) fn course() -> Vec<Transaction> {
    let (first, mut second) = (session("first"), session("second"));
    second.behavior = SessionBehavior::Delete;
    let mut course = Vec::new();
    for n in 0..60_u64 {
        let at = format!("k/{}", n * 7 % 11);
        course.push(match n % 6 {
            0 | 1 => only(put(&at, &n.to_string())),
            2 => all([put(&at, &n.to_string()), put("often", &n.to_string())]),
            3 => only(delete(&at)),
            4 => all([delete_prefix("k/1"), put("k/10", "back")]),
            _ => match n {
                5 => all([open_session(&first), lock("job/a", first.id)]),
                11 => all([open_session(&second), lock("job/b", second.id)]),
                35 => only(Operation::EndSession(first.id)),
                53 => only(Operation::EndSession(second.id)),
                _ => only(put("often", &n.to_string())),
            },
        });
    }
    course
}

pub(crate) async fn loading_equals_replaying(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let mut follower = Replica::at(place).await;
    let reader = place.open().await;
    let course = course();
    for group in course.chunks(7) {
        writer.commit(group.to_vec()).await;
        let loaded = reader.load().await.unwrap();
        assert_eq!(content(&loaded), content(&writer.state));
        follower.look().await;
        assert_eq!(content(&loaded), content(&follower.state));
    }
    assert!(
        writer.state.stamp().revision.0 > 50,
        "the course changes something"
    );
}

pub(crate) async fn sessions_and_locks_survive_loading(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let kept = Session {
        behavior: SessionBehavior::Delete,
        ttl: None,
        ..session("kept")
    };
    let ended = session("ended");
    let opened = [open_session(&kept), open_session(&ended)];
    writer.apply(all(opened)).await;
    writer
        .apply(all([lock("a", kept.id), lock("b", ended.id)]))
        .await;
    writer.apply(only(Operation::EndSession(ended.id))).await;

    let mut other = Replica::at(place).await;
    assert_eq!(content(&other.state), content(&writer.state));
    let stored: Vec<_> = other.state.sessions().cloned().collect();
    let expected = Session {
        create_revision: Revision(1),
        ..kept.clone()
    };
    assert_eq!(stored, [Arc::new(expected)]);
    let entry = other.state.get("a").unwrap();
    assert_eq!((entry.session, entry.lock_index), (Some(kept.id), 1));
    assert_eq!(other.state.get("b").unwrap().session, None);

    // The lock still holds, and its end is still that of its session.
    let thief = session("thief");
    let outcome = other
        .outcome(all([open_session(&thief), lock("a", thief.id)]))
        .await;
    let held = Refusal::AlreadyHeld { key: key("a") };
    assert_eq!(outcome, Outcome::Refused(vec![held]));
    other.apply(only(Operation::EndSession(kept.id))).await;
    assert!(Replica::at(place).await.state.get("a").is_none());
}

pub(crate) async fn markers_move_with_their_transaction(place: &impl Place) {
    fn sync(expected: Option<&str>, commit: &str, operations: Vec<Operation>) -> Transaction {
        Transaction {
            source: Some(SourceUpdate {
                name: SourceName::from("shop"),
                expected: expected.map(CommitId::from),
                commit: CommitId::from(commit),
                profiles: vec!["dev".to_owned(), "prod".to_owned()],
            }),
            ..all(operations)
        }
    }
    let mut writer = Replica::at(place).await;
    assert_eq!(writer.store.sources().await.unwrap(), []);
    let first = sync(None, "c1", vec![put("config/a", "1"), put("config/b", "1")]);
    let stamp = writer.apply(first).await;
    writer.apply(only(put("by hand", "1"))).await;

    let reader = Replica::at(place).await;
    let [marker] = <[_; 1]>::try_from(reader.store.sources().await.unwrap()).unwrap();
    assert_eq!((&*marker.name.0, &*marker.commit.0), ("shop", "c1"));
    assert_eq!(marker.profiles, ["dev", "prod"]);
    assert_eq!(marker.stamp, stamp);
    assert_eq!(
        reader.state.get("config/a").unwrap().owner,
        Some(SourceName::from("shop"))
    );

    // Another replica's sync from the wrong commit is refused, from the right one it replaces.
    let mut other = Replica::at(place).await;
    let stale = sync(None, "c2", vec![put("config/a", "2")]);
    let outcome = other.outcome(stale).await;
    let moved = Refusal::MarkerMoved {
        source_name: SourceName::from("shop"),
        expected: None,
        actual: Some(CommitId::from("c1")),
    };
    assert_eq!(outcome, Outcome::Refused(vec![moved]));
    other
        .apply(sync(Some("c1"), "c2", vec![put("config/a", "2")]))
        .await;
    assert!(other.state.get("config/b").is_none());
    assert!(other.state.get("by hand").is_some());

    // A commit that changes no key still moves the marker, and twice in a group the last counts.
    let again = vec![
        sync(Some("c2"), "c3", vec![put("config/a", "2")]),
        sync(Some("c3"), "c4", vec![put("config/a", "2")]),
    ];
    let head = other.state.stamp();
    let committed = other.commit(again).await;
    assert_eq!(
        committed.outcomes,
        [Outcome::Unchanged(head), Outcome::Unchanged(head)]
    );
    let markers = reader.store.sources().await.unwrap();
    assert_eq!(&*markers[0].commit.0, "c4");
    assert_eq!(markers.len(), 1);
    let absent = given([Precondition::Absent { key: key("x") }], put("x", "1"));
    other.apply(absent).await;
}
