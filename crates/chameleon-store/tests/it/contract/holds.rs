use std::time::Duration;

use bytes::Bytes;
use chameleon_model::{
    CommitId, GitValue, Hold, HoldChange, Operation, Origin, Outcome, Revision, Snapshot,
    SourceName, SourceUpdate, Timestamp, Transaction,
};
use chameleon_store::HistoryQuery;

use crate::contract::history::newest;
use crate::place::{Place, Replica, content};
use crate::write::*;

const HOUR: Duration = Duration::from_hours(1);

/// The whole state of the source `shop`.
fn sync(expected: Option<&str>, commit: &str, operations: Vec<Operation>) -> Transaction {
    Transaction {
        source: Some(SourceUpdate {
            name: SourceName::from("shop"),
            expected: expected.map(CommitId::from),
            commit: CommitId::from(commit),
            profiles: Vec::new(),
        }),
        ..all(operations)
    }
}

fn by_ada(operation: Operation) -> Transaction {
    Transaction {
        origin: Origin {
            author: "ada".to_owned(),
            message: "vendor A is down \0 \u{1f525}".to_owned(),
            ..Origin::default()
        },
        hold_for: Some(HOUR),
        ..only(operation)
    }
}

fn git(value: &'static str) -> GitValue {
    GitValue {
        value: Bytes::from_static(value.as_bytes()),
        flags: 0,
    }
}

fn held(state: &Snapshot) -> Vec<Hold> {
    state.holds().map(|hold| (**hold).clone()).collect()
}

/// A writer that has `a` and `b` from git, and holds `a` since revision 2.
async fn holding(place: &impl Place) -> Replica {
    let mut writer = Replica::at(place).await;
    let first = sync(None, "c1", vec![put("a", "1"), put("b", "1")]);
    writer.apply(first).await;
    writer.apply(by_ada(put("a", "cure"))).await;
    writer
}

pub(crate) async fn everything_about_a_hold_is_kept(place: &impl Place) {
    let mut follower = Replica::at(place).await;
    let writer = holding(place).await;
    let history = writer.store.history(&newest(1)).await.unwrap();
    let at = history[0].at;
    assert!(at > Timestamp(0));
    let expected = Hold {
        key: key("a"),
        source: SourceName::from("shop"),
        git: Some(git("1")),
        against: git("1"),
        author: "ada".to_owned(),
        reason: "vendor A is down \u{fffd} \u{1f525}".to_owned(),
        since: at,
        expires: at.after(HOUR),
        revision: Revision(2),
    };
    assert_eq!(held(&writer.state), std::slice::from_ref(&expected));
    assert!(matches!(&*history[0].holds, [HoldChange::Put(hold)] if **hold == expected));
    follower.look().await;
    let loaded = Replica::at(place).await;
    for state in [&follower.state, &loaded.state] {
        assert_eq!(content(state), content(&writer.state));
        assert_eq!(held(state), std::slice::from_ref(&expected));
    }
}

pub(crate) async fn a_hold_ends_for_everybody(place: &impl Place) {
    let mut writer = holding(place).await;
    let mut other = Replica::at(place).await;
    // What is held is skipped, the rest is applied, and the marker moves.
    let rest = sync(Some("c1"), "c2", vec![put("a", "1"), put("b", "2")]);
    other.apply(rest).await;
    assert_eq!(other.state.get("a").unwrap().value, "cure");
    assert_eq!(other.state.get("b").unwrap().value, "2");
    let again = sync(Some("c2"), "c3", vec![put("a", "1"), put("b", "2")]);
    let outcome = other.outcome(again).await;
    assert_eq!(outcome, Outcome::Unchanged(other.state.stamp()));

    // A branch that is rewound moves what is remembered of git, in a revision of its own.
    let rewound = Transaction {
        keeps_holds: true,
        ..sync(Some("c3"), "c1", vec![put("b", "2")])
    };
    let stamp = other.apply(rewound).await;
    let moved = other.state.hold("a").unwrap();
    assert_eq!((&moved.git, moved.revision), (&None, stamp.revision));
    let loaded = Replica::at(place).await.state;
    assert_eq!(held(&loaded), held(&other.state));

    // A release and another hold of the same key in one group: the last counts.
    let release = only(Operation::Release { key: key("a") });
    let back = sync(Some("c1"), "c4", vec![put("a", "1"), put("b", "2")]);
    let group = vec![
        release.clone(),
        back,
        by_ada(Operation::Hold { key: key("b") }),
    ];
    other.commit(group).await;
    writer.look().await;
    let loaded = Replica::at(place).await.state;
    for state in [&writer.state, &loaded] {
        assert_eq!(content(state), content(&other.state));
        let keys: Vec<_> = state.holds().map(|hold| hold.key.as_str()).collect();
        assert_eq!(keys, ["b"]);
    }
    writer
        .apply(only(Operation::Release { key: key("b") }))
        .await;
    assert_eq!(held(&Replica::at(place).await.state), []);
}

pub(crate) async fn holds_are_a_part_of_every_past_state(place: &impl Place) {
    let mut writer = holding(place).await;
    let mut states = vec![writer.state.clone()];
    let change = sync(Some("c1"), "c2", vec![put("a", "2"), put("b", "1")]);
    for transaction in [
        by_ada(put("a", "another cure")),
        by_ada(delete("b")),
        only(put("of nobody", "1")),
        change,
        only(Operation::Release { key: key("b") }),
        by_ada(Operation::Hold { key: key("b") }),
    ] {
        writer.apply(transaction).await;
        states.push(writer.state.clone());
    }
    let read = async |state: &Snapshot| {
        let revision = state.stamp().revision;
        let read = writer.store.snapshot_at(revision).await.unwrap();
        assert_eq!(held(&read), held(state), "revision {revision}");
    };
    for state in &states {
        read(state).await;
    }
    // By its hold alone a commit is one of its key's.
    let of_b = HistoryQuery {
        key: Some(key("b")),
        ..newest(1)
    };
    let history = writer.store.history(&of_b).await.unwrap();
    assert_eq!(history[0].stamp, writer.state.stamp());
    assert_eq!((history[0].changes.len(), history[0].holds.len()), (0, 1));

    // What is live outlives its history, and what ended stays ended.
    for floor in 4..=8 {
        writer.store.compact(Revision(floor)).await.unwrap();
        let loaded = Replica::at(place).await.state;
        assert_eq!(held(&loaded), held(&writer.state), "floor {floor}");
        for state in &states {
            if state.stamp().revision >= Revision(floor) {
                read(state).await;
            }
        }
    }
    let mut other = Replica::at(place).await;
    other
        .apply(only(Operation::Release { key: key("b") }))
        .await;
    other.store.compact(Revision(9)).await.unwrap();
    assert_eq!(held(&Replica::at(place).await.state), []);
}
