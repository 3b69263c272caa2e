use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::Epoch;

pub(super) fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

pub(super) fn put(k: &str, value: &str) -> Operation {
    Operation::Put {
        key: key(k),
        value: Bytes::copy_from_slice(value.as_bytes()),
        flags: 0,
    }
}

pub(super) fn delete(k: &str) -> Operation {
    Operation::Delete { key: key(k) }
}

pub(super) fn of(operations: Vec<Operation>) -> Transaction {
    Transaction {
        operations,
        ..Transaction::default()
    }
}

pub(super) fn sync(
    expected: Option<&str>,
    commit: &str,
    operations: Vec<Operation>,
) -> Transaction {
    Transaction {
        source: Some(SourceUpdate {
            name: "main".into(),
            expected: expected.map(CommitId::from),
            commit: commit.into(),
            profiles: vec!["beta".to_owned()],
        }),
        ..of(operations)
    }
}

pub(super) fn run(base: &Snapshot, group: Vec<Transaction>) -> Decided {
    run_knowing(base, group, Known::default())
}

pub(super) fn run_knowing(base: &Snapshot, group: Vec<Transaction>, known: Known) -> Decided {
    let mut tag = 0;
    decide(base, group, known, || {
        tag += 1;
        Tag(tag)
    })
}

pub(super) fn texts(snapshot: &Snapshot) -> Vec<(String, String)> {
    (snapshot.under(&Prefix::all()))
        .map(|e| {
            (
                e.key.to_string(),
                String::from_utf8_lossy(&e.value).into_owned(),
            )
        })
        .collect()
}

pub(super) fn refusal(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Refused(refusals) => {
            let all: Vec<_> = refusals.iter().map(ToString::to_string).collect();
            all.join("; ")
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[test]
fn a_transaction_takes_one_revision_for_all_its_changes() {
    let decided = run(
        &Snapshot::default(),
        vec![of(vec![put("a", "1"), put("b", "2")])],
    );
    assert_eq!(decided.commits.len(), 1);
    assert_eq!(decided.snapshot.stamp().revision, Revision(1));
    assert!((decided.snapshot.under(&Prefix::all())).all(|e| e.modify_revision == Revision(1)));
}

#[test]
fn writing_what_is_there_spends_no_revision() {
    let base = run(&Snapshot::default(), vec![of(vec![put("a", "1")])]).snapshot;
    let decided = run(&base, vec![of(vec![put("a", "1"), delete("gone")])]);
    assert_eq!(decided.outcomes, [Outcome::Unchanged(base.stamp())]);
    assert!(decided.commits.is_empty());
}

#[test]
fn delete_and_put_again_in_one_transaction_is_no_change() {
    let base = run(&Snapshot::default(), vec![of(vec![put("a", "1")])]).snapshot;
    let everything = Operation::DeletePrefix {
        prefix: Prefix::all(),
    };
    let decided = run(&base, vec![of(vec![everything, put("a", "1")])]);
    assert_eq!(decided.outcomes, [Outcome::Unchanged(base.stamp())]);
}

#[test]
fn a_refused_transaction_leaves_no_trace_and_the_rest_of_the_group_goes_on() {
    let stale = Transaction {
        preconditions: vec![Precondition::AtRevision {
            key: key("a"),
            revision: Revision(9),
        }],
        ..of(vec![put("a", "lost")])
    };
    let decided = run(
        &Snapshot::default(),
        vec![of(vec![put("a", "1")]), stale, of(vec![put("b", "2")])],
    );
    assert_eq!(
        refusal(&decided.outcomes[1]),
        "key `a` is not at revision 9: it is at revision 1"
    );
    assert_eq!(decided.snapshot.stamp().revision, Revision(2));
    assert_eq!(texts(&decided.snapshot).len(), 2);
}

#[test]
fn preconditions_name_what_they_found() {
    let base = run(&Snapshot::default(), vec![of(vec![put("a", "1")])]).snapshot;
    let session = SessionId(Uuid::nil());
    for (precondition, message) in [
        (
            Precondition::Absent { key: key("a") },
            "key `a` exists, last changed at revision 1",
        ),
        (
            Precondition::AtRevision {
                key: key("z"),
                revision: Revision(1),
            },
            "key `z` is not at revision 1: it does not exist",
        ),
        (
            Precondition::HeldBy {
                key: key("a"),
                session,
            },
            "the lock of key `a` is not held by session `00000000-0000-0000-0000-000000000000`",
        ),
        (
            Precondition::SessionLive { session },
            "invalid session \"00000000-0000-0000-0000-000000000000\"",
        ),
    ] {
        let transaction = Transaction {
            preconditions: vec![precondition],
            ..of(vec![put("b", "2")])
        };
        assert_eq!(refusal(&run(&base, vec![transaction]).outcomes[0]), message);
    }
}

#[test]
fn a_repeated_request_gets_its_first_outcome() {
    let request = Transaction {
        request_id: Some(RequestId(Uuid::from_u128(1))),
        ..of(vec![put("a", "1")])
    };
    let decided = run(&Snapshot::default(), vec![request.clone(), request.clone()]);
    assert_eq!(decided.outcomes[0], decided.outcomes[1]);
    assert_eq!(decided.commits.len(), 1);

    let known = Known {
        answered: decided.answered.into_iter().collect(),
        ..Known::default()
    };
    let later = run(&decided.snapshot, vec![of(vec![put("a", "2")])]).snapshot;
    let again = run_knowing(&later, vec![request], known);
    assert_eq!(again.outcomes[0], decided.outcomes[0]);
    assert_eq!(texts(&again.snapshot), [("a".into(), "2".into())]);
}

#[test]
fn a_source_replaces_its_own_keys_and_no_others() {
    let base = run(
        &Snapshot::default(),
        vec![
            of(vec![put("foreign", "x")]),
            sync(None, "c1", vec![put("a", "1"), put("b", "1")]),
        ],
    );
    assert_eq!(base.moved.len(), 1);
    let known = || Known {
        markers: [("main".into(), "c1".into())].into(),
        ..Known::default()
    };
    let next = sync(Some("c1"), "c2", vec![put("b", "2"), put("c", "2")]);
    let decided = run_knowing(&base.snapshot, vec![next.clone()], known());
    assert_eq!(
        texts(&decided.snapshot),
        [("b", "2"), ("c", "2"), ("foreign", "x")].map(|(k, v)| (k.into(), v.into()))
    );

    let stale = sync(Some("c0"), "c9", vec![]);
    let decided = run_knowing(&base.snapshot, vec![stale, next], known());
    assert_eq!(
        refusal(&decided.outcomes[0]),
        "source `main` is at commit c1, not at c0; read it again and retry"
    );
    assert!(matches!(decided.outcomes[1], Outcome::Committed(_)));
}

#[test]
fn two_sources_cannot_share_a_key() {
    let base = run(
        &Snapshot::default(),
        vec![sync(None, "c1", vec![put("a", "1")])],
    )
    .snapshot;
    let mut other = sync(None, "d1", vec![put("a", "2")]);
    other.source.as_mut().unwrap().name = "other".into();
    let decided = run(&base, vec![other]);
    assert_eq!(
        refusal(&decided.outcomes[0]),
        "key `a` belongs to source `main`; give the sources different folders or prefixes"
    );
}

#[test]
fn locks_are_taken_held_and_given_back() {
    let session = |n| Session {
        id: SessionId(Uuid::from_u128(n)),
        name: String::new(),
        behavior: SessionBehavior::Release,
        ttl: None,
        lock_delay: std::time::Duration::ZERO,
        opened_by: String::new(),
        create_revision: Revision::ZERO,
    };
    let lock = |n| Operation::Lock {
        key: key("a"),
        value: Bytes::new(),
        flags: 0,
        session: session(n).id,
    };
    let unlock = |n| Operation::Unlock {
        key: key("a"),
        value: Bytes::new(),
        flags: 0,
        session: session(n).id,
    };
    let open = vec![
        Operation::OpenSession(session(1)),
        Operation::OpenSession(session(2)),
    ];
    let base = run(&Snapshot::default(), vec![of(open), of(vec![lock(1)])]).snapshot;
    assert_eq!(base.get("a").unwrap().lock_index, 1);

    assert_eq!(
        refusal(&run(&base, vec![of(vec![lock(2)])]).outcomes[0]),
        "the lock of key `a` is already held"
    );
    assert!(matches!(
        run(&base, vec![of(vec![unlock(2)])]).outcomes[0],
        Outcome::Refused(_)
    ));
    let again = run(&base, vec![of(vec![lock(1)])]);
    assert_eq!(again.outcomes, [Outcome::Unchanged(base.stamp())]);

    let freed = run(&base, vec![of(vec![unlock(1)])]).snapshot;
    let entry = freed.get("a").unwrap();
    assert_eq!((entry.session, entry.lock_index), (None, 1));

    let ended = run(&base, vec![of(vec![Operation::EndSession(session(1).id)])]).snapshot;
    assert_eq!(ended.get("a").unwrap().session, None);
    assert!(ended.session(session(1).id).is_none());
}

#[test]
fn a_lost_lock_is_not_to_be_had_until_its_delay_is_over() {
    let session = |n| Session {
        id: SessionId(Uuid::from_u128(n)),
        name: String::new(),
        behavior: SessionBehavior::Delete,
        ttl: None,
        lock_delay: std::time::Duration::from_micros(10),
        opened_by: String::new(),
        create_revision: Revision::ZERO,
    };
    let lock = |n| Operation::Lock {
        key: key("a"),
        value: Bytes::new(),
        flags: 0,
        session: session(n).id,
    };
    let at = |now, lock_delays| Known {
        now: Timestamp(now),
        lock_delays,
        ..Known::default()
    };
    let open = vec![
        Operation::OpenSession(session(1)),
        Operation::OpenSession(session(2)),
        lock(1),
    ];
    let base = run(&Snapshot::default(), vec![of(open)]).snapshot;
    let end = || Operation::EndSession(session(1).id);

    // Within one transaction, within one group, and from what the store has kept.
    let refused = "the lock of key `a` cannot be taken yet: its holder's lock-delay runs";
    let together = run_knowing(
        &base,
        vec![of(vec![end(), lock(2)])],
        at(5, BTreeMap::new()),
    );
    assert_eq!(refusal(&together.outcomes[0]), refused);
    assert!(together.delayed.is_empty(), "a refused end delays nothing");
    let group = vec![of(vec![end()]), of(vec![lock(2)])];
    let ended = run_knowing(&base, group, at(5, BTreeMap::new()));
    assert_eq!(refusal(&ended.outcomes[1]), refused);
    assert_eq!(ended.delayed, [(key("a"), Timestamp(15))].into());
    for (now, taken) in [(14, false), (15, true)] {
        let known = at(now, ended.delayed.clone());
        let next = run_knowing(&ended.snapshot, vec![of(vec![lock(2)])], known);
        let committed = matches!(next.outcomes[0], Outcome::Committed(_));
        assert_eq!(committed, taken, "{now}");
    }
}

#[test]
fn a_prefix_is_unchanged_until_anything_under_it_is() {
    let one = run(&Snapshot::default(), vec![of(vec![put("a/b", "1")])]).snapshot;
    let two = run(&one, vec![of(vec![put("b", "1")])]).snapshot;
    let three = run(&two, vec![of(vec![delete("a/b")])]).snapshot;
    let since = |revision| Transaction {
        preconditions: vec![Precondition::Unchanged {
            prefix: Prefix::new("a/"),
            since: Revision(revision),
        }],
        ..of(vec![put("c", "1")])
    };
    assert!(matches!(
        run(&two, vec![since(1)]).outcomes[0],
        Outcome::Committed(_)
    ));
    assert_eq!(
        refusal(&run(&three, vec![since(2)]).outcomes[0]),
        "a key that begins with `a/` was changed at revision 3, after 2"
    );
}

fn operations() -> impl Strategy<Value = Operation> {
    let name = prop::sample::select(vec!["a", "a/b", "a/c", "b", "b/x"]);
    prop_oneof![
        3 => (name.clone(), "[xy]").prop_map(|(k, v)| put(k, &v)),
        1 => name.clone().prop_map(delete),
        1 => name.prop_map(|p| Operation::DeletePrefix { prefix: Prefix::new(p) }),
    ]
}

proptest! {
    /// A follower that applies the commits one by one ends where the writer is.
    #[test]
    fn commits_replay_to_the_same_state(
        group in prop::collection::vec(prop::collection::vec(operations(), 0..4), 0..12)
    ) {
        let base = Snapshot::default();
        let decided = run(&base, group.into_iter().map(of).collect());
        let mut follower = base;
        for commit in &decided.commits {
            let next = follower.apply(commit).unwrap();
            prop_assert!(follower.stamp().may_advance_to(next.stamp()));
            for prefix in ["", "a", "a/", "b/", "zzz"].map(Prefix::new) {
                prop_assert!(follower.index_under(&prefix) <= next.index_under(&prefix));
            }
            for k in ["a", "a/b", "a/c", "b", "b/x", "zzz"] {
                prop_assert!(follower.index_of(k) <= next.index_of(k));
            }
            follower = next;
        }
        prop_assert_eq!(texts(&follower), texts(&decided.snapshot));
        prop_assert_eq!(follower.stamp(), decided.snapshot.stamp());
    }

    /// Only the next commit of the same lineage applies.
    #[test]
    fn commits_apply_in_order_only(revision in 0_u64..5, epoch in 0_u64..3) {
        let base = run(&Snapshot::default(), vec![of(vec![put("a", "1")])]).snapshot;
        let commit = Commit {
            stamp: Stamp { epoch: Epoch(epoch), revision: Revision(revision), tag: Tag(1) },
            at: Timestamp(0),
            request_id: None,
            source: None,
            origin: crate::Origin::default(),
            changes: vec![],
            sessions: vec![],
            holds: vec![],
        };
        prop_assert_eq!(base.apply(&commit).is_ok(), (epoch, revision) == (0, 2));
    }
}

#[test]
fn what_is_stored_does_not_hold_the_message_it_came_in() {
    let message = Bytes::from(vec![b'x'; 1024 * 1024]);
    let operation = Operation::Put {
        key: key("a"),
        value: message.slice(..10),
        flags: 0,
    };
    let decided = run(&Snapshot::default(), vec![of(vec![operation])]);
    assert_eq!(decided.snapshot.get("a").unwrap().value, "xxxxxxxxxx");
    assert!(message.is_unique());
}
