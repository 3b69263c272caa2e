use std::time::Duration;

use proptest::prelude::*;

use crate::decide::tests::*;
use crate::decide::{Known, Outcome};
use crate::{
    GitValue, Hold, HoldChange, Key, Operation, Origin, Prefix, Revision, Snapshot, Timestamp,
    Transaction,
};

const HOUR: Duration = Duration::from_hours(1);

/// `a` and `b` are of the source `main`, `c` is nobody's.
fn state() -> Snapshot {
    let base = Snapshot::default();
    let group = vec![
        of(vec![put("c", "1")]),
        sync(None, "c1", vec![put("a", "1"), put("b", "1")]),
    ];
    run(&base, group).snapshot
}

fn by(author: &str, operations: Vec<Operation>) -> Transaction {
    Transaction {
        origin: Origin {
            author: author.to_owned(),
            message: format!("{author} knows why"),
            ..Origin::default()
        },
        hold_for: Some(HOUR),
        ..of(operations)
    }
}

fn at(now: i64) -> Known {
    Known {
        now: Timestamp(now),
        markers: [("main".into(), "c1".into())].into(),
        ..Known::default()
    }
}

fn after(base: &Snapshot, now: i64, transaction: Transaction) -> Snapshot {
    let decided = run_knowing(base, vec![transaction], at(now));
    let outcome = &decided.outcomes[0];
    assert!(!matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    decided.snapshot
}

fn pushed(base: &Snapshot, operations: Vec<Operation>) -> Snapshot {
    after(base, 9, sync(Some("c1"), "c1", operations))
}

fn value<'a>(state: &'a Snapshot, k: &str) -> Option<&'a [u8]> {
    state.get(k).map(|entry| &*entry.value)
}

fn held(state: &Snapshot) -> Vec<&str> {
    state.holds().map(|hold| hold.key.as_str()).collect()
}

fn release(k: &str) -> Operation {
    Operation::Release { key: key(k) }
}

fn hold(k: &str) -> Operation {
    Operation::Hold { key: key(k) }
}

#[test]
fn a_write_that_says_nothing_of_the_hold_takes_back_neither_why_nor_how_long() {
    let long = Transaction {
        hold_for: Some(10 * HOUR),
        ..by("ada", vec![hold("a")])
    };
    let first = after(&state(), 5, long);
    let silent = Transaction {
        origin: Origin::default(),
        ..by("bob", vec![put("a", "2")])
    };
    let second = after(&first, 6, silent);
    let (before, now) = (first.hold("a").unwrap(), second.hold("a").unwrap());
    assert_eq!((&now.reason, now.expires), (&before.reason, before.expires));
    let asked = after(&second, 7, by("bob", vec![hold("a")]));
    let asked = asked.hold("a").unwrap();
    assert_eq!(asked.reason, "bob knows why");
    assert!(asked.expires < now.expires, "who asks for it says how long");
}

#[test]
fn a_file_that_git_has_no_more_comes_back_as_its_sources_and_held() {
    let gone = pushed(&state(), vec![put("a", "1")]);
    assert_eq!(value(&gone, "b"), None);
    let restore = Operation::Restore {
        key: key("b"),
        value: "1".into(),
        flags: 0,
        source: "main".into(),
    };
    let back = after(&gone, 5, by("ada", vec![restore.clone()]));
    assert_eq!(back.get("b").unwrap().owner, Some("main".into()));
    assert_eq!(
        (value(&back, "b"), held(&back)),
        (Some(&b"1"[..]), vec!["b"])
    );
    assert_eq!(back.hold("b").unwrap().git, None);

    let again = pushed(&back, vec![put("a", "2")]);
    assert_eq!(
        (value(&again, "b"), held(&again)),
        (Some(&b"1"[..]), vec!["b"])
    );
    let other = pushed(&back, vec![put("a", "1"), put("b", "2")]);
    assert_eq!(
        (value(&other, "b"), held(&other)),
        (Some(&b"2"[..]), vec![])
    );
    let released = after(&back, 6, by("ada", vec![release("b")]));
    assert_eq!((value(&released, "b"), held(&released)), (None, vec![]));
    // Where the source still has the key, it is a write like any other.
    let written = after(&back, 7, by("ada", vec![restore]));
    assert_eq!(held(&written), ["b"]);
}

#[test]
fn a_write_to_a_sources_key_holds_it_and_remembers_git() {
    let first = after(&state(), 5, by("ada", vec![put("a", "2"), put("c", "2")]));
    assert_eq!(held(&first), ["a"]);
    let one = first.hold("a").unwrap();
    let git = GitValue {
        value: "1".into(),
        flags: 0,
    };
    let expected = Hold {
        key: key("a"),
        source: "main".into(),
        git: Some(git.clone()),
        against: git,
        author: "ada".to_owned(),
        reason: "ada knows why".to_owned(),
        since: Timestamp(5),
        expires: Timestamp(5).after(HOUR),
        revision: Revision(3),
    };
    assert_eq!(**one, expected);

    // Another write renews it, and git's value stays; one that changes nothing does not.
    let second = after(&first, 7, by("bob", vec![put("a", "3")]));
    let renewed = Hold {
        author: "bob".to_owned(),
        reason: "bob knows why".to_owned(),
        since: Timestamp(7),
        expires: Timestamp(7).after(HOUR),
        revision: Revision(4),
        ..expected
    };
    assert_eq!(**second.hold("a").unwrap(), renewed);
    let same = after(&second, 8, by("eve", vec![put("a", "3")]));
    assert_eq!(same.stamp(), second.stamp());
    // What ends as it began is no change.
    let again = by("eve", vec![delete("b"), put("b", "1")]);
    let unchanged = after(&second, 8, again);
    assert_eq!(unchanged.stamp(), second.stamp());
    assert_eq!(unchanged.get("b").unwrap().owner, Some("main".into()));
}

#[test]
fn a_deleted_key_is_held_as_deleted_and_still_its_sources() {
    let everything = Operation::DeletePrefix {
        prefix: Prefix::all(),
    };
    let gone = after(&state(), 5, by("ada", vec![everything]));
    assert_eq!(held(&gone), ["a", "b"]);
    assert_eq!(gone.owner_of("a"), Some(&"main".into()));
    let main = "main".into();
    let keys: Vec<_> = gone.keys_of(&main).map(Key::as_str).collect();
    assert_eq!(keys, ["a", "b"]);
    let synced = pushed(&gone, vec![put("a", "1"), put("b", "2")]);
    assert_eq!(
        (value(&synced, "a"), value(&synced, "b")),
        (None, Some(&b"2"[..]))
    );
    assert_eq!(held(&synced), ["a"]);
    let back = after(&synced, 6, by("bob", vec![put("a", "3")]));
    assert_eq!(back.get("a").unwrap().owner, Some("main".into()));
    assert_eq!(held(&back), ["a"]);
}

#[test]
fn a_sync_skips_what_is_held_until_its_file_changes() {
    let base = after(&state(), 5, by("ada", vec![put("a", "cure")]));
    let other = pushed(&base, vec![put("a", "1"), put("b", "2")]);
    assert_eq!(
        (value(&other, "a"), value(&other, "b")),
        (Some(&b"cure"[..]), Some(&b"2"[..]))
    );
    assert_eq!(held(&other), ["a"]);
    assert_eq!(other.get("a").unwrap().owner, Some("main".into()));
    // A sync that finds nothing else spends no revision.
    let again = pushed(&other, vec![put("a", "1"), put("b", "2")]);
    assert_eq!(again.stamp(), other.stamp());

    let changed = pushed(&other, vec![put("a", "new"), put("b", "2")]);
    assert_eq!(value(&changed, "a"), Some(&b"new"[..]));
    assert_eq!(held(&changed), [""; 0]);
    // Git has come to what is live.
    let cured = run_knowing(
        &other,
        vec![sync(
            Some("c1"),
            "c2",
            vec![put("a", "cure"), put("b", "2")],
        )],
        at(9),
    );
    assert_eq!(held(&cured.snapshot), [""; 0]);
    assert_eq!(cured.commits[0].changes, []);
    assert_eq!(cured.commits[0].holds, [HoldChange::Ended(key("a"))]);
    let vanished = pushed(&other, vec![put("b", "2")]);
    assert_eq!((value(&vanished, "a"), held(&vanished)), (None, vec![]));
    // Not even by a source that clears its folder first.
    let clear = Operation::DeletePrefix {
        prefix: Prefix::all(),
    };
    let rewritten = pushed(
        &other,
        vec![clear, delete("a"), put("a", "1"), put("b", "3")],
    );
    assert_eq!(value(&rewritten, "a"), Some(&b"cure"[..]));
}

#[test]
fn a_rewound_branch_ends_no_hold() {
    let base = after(&state(), 5, by("ada", vec![put("a", "cure")]));
    let rewound = |operations| Transaction {
        keeps_holds: true,
        ..sync(Some("c1"), "c1", operations)
    };
    let back = after(&base, 6, rewound(vec![put("a", "0")]));
    let hold = back.hold("a").unwrap();
    assert_eq!(hold.git.as_ref().unwrap().value, "0");
    assert_eq!((hold.author.as_str(), hold.since), ("ada", Timestamp(5)));
    let before_it_was = after(&back, 7, rewound(vec![put("b", "1")]));
    assert_eq!(before_it_was.hold("a").unwrap().git, None);
    for state in [&back, &before_it_was] {
        // The mirror catches up, or the branch goes on from where it was rewound to.
        let caught_up = pushed(state, vec![put("a", "1")]);
        assert_eq!(value(&caught_up, "a"), Some(&b"cure"[..]));
        assert_eq!(held(&caught_up), ["a"]);
        let ended = pushed(state, vec![put("a", "2")]);
        assert_eq!(
            (value(&ended, "a"), held(&ended)),
            (Some(&b"2"[..]), vec![])
        );
    }
    let released = after(&before_it_was, 8, of(vec![release("a")]));
    assert_eq!((value(&released, "a"), held(&released)), (None, vec![]));
}

#[test]
fn a_key_is_held_without_a_change() {
    let frozen = after(&state(), 5, by("ada", vec![hold("a")]));
    assert_eq!(
        (value(&frozen, "a"), held(&frozen)),
        (Some(&b"1"[..]), vec!["a"])
    );
    let renewed = after(&frozen, 6, by("ada", vec![hold("a")]));
    assert_eq!(renewed.hold("a").unwrap().since, Timestamp(6));
    let refused =
        |transaction| refusal(&run_knowing(&frozen, vec![transaction], at(6)).outcomes[0]);
    assert_eq!(
        refused(of(vec![hold("c")])),
        "key `c` belongs to no git source, so that there is nothing to hold it against"
    );
    assert_eq!(
        refused(of(vec![release("b")])),
        "key `b` is not held; `chameleon hold` lists the keys that are"
    );
    assert_eq!(
        refused(sync(Some("c1"), "c2", vec![hold("b")])),
        "key `b`: a source's new state neither holds nor releases; send that apart"
    );
    let mut thief = sync(None, "d1", vec![put("a", "1")]);
    thief.source.as_mut().unwrap().name = "other".into();
    assert!(refused(thief).starts_with("key `a` belongs to source `main`"));
}

#[test]
fn a_release_puts_back_what_git_has() {
    let base = after(&state(), 5, by("ada", vec![put("a", "cure"), delete("b")]));
    let released = after(&base, 6, of(vec![release("a"), release("b")]));
    assert_eq!(texts(&released), texts(&state()));
    assert_eq!(held(&released), [""; 0]);
    assert_eq!(released.get("b").unwrap().owner, Some("main".into()));
    // A write after it in the same transaction is one against git again.
    let other = after(&base, 6, by("bob", vec![release("a"), put("a", "2")]));
    assert_eq!(other.hold("a").unwrap().author, "bob");
    assert_eq!(held(&other), ["a", "b"]);
}

#[test]
fn what_is_kept_of_a_reason_is_bounded() {
    let mut long = by("ada", vec![hold("a")]);
    long.origin.message = "\u{e9}".repeat(100_000);
    let reason = &after(&state(), 5, long).hold("a").unwrap().reason.clone();
    assert!(
        reason.len() <= 2048 && reason.len() > 2000,
        "{}",
        reason.len()
    );
}

fn steps() -> impl Strategy<Value = Operation> {
    let name = || prop::sample::select(vec!["a", "a/b", "b", "c"]);
    prop_oneof![
        3 => (name(), "[xy]").prop_map(|(k, v)| put(k, &v)),
        2 => name().prop_map(delete),
        1 => name().prop_map(hold),
        1 => name().prop_map(release),
    ]
}

fn syncs() -> impl Strategy<Value = Vec<Operation>> {
    let name = prop::sample::select(vec!["a", "a/b", "b"]);
    prop::collection::btree_map(name, "[xyz]", 1..4)
        .prop_map(|files| files.into_iter().map(|(k, v)| put(k, &v)).collect())
}

proptest! {
    /// Whatever people and pushes did: once everything is released, a source's keys are what its
    /// last push had, a key that is not held is so all the time, and followers agree.
    #[test]
    fn what_is_not_held_is_as_git_has_it(
        turns in prop::collection::vec((syncs(), any::<bool>(), prop::collection::vec(steps(), 0..4)), 1..8)
    ) {
        let mut state = Snapshot::default();
        let mut follower = state.clone();
        for (files, keeps_holds, steps) in turns {
            let push = Transaction { keeps_holds, ..sync(Some("c1"), "c1", files.clone()) };
            let mut group = vec![push];
            group.extend(steps.into_iter().map(|step| by("ada", vec![step])));
            let decided = run_knowing(&state, group, at(3));
            for commit in &decided.commits {
                follower = follower.apply(commit).unwrap();
            }
            state = decided.snapshot;
            prop_assert!(follower.holds().eq(state.holds()));
            let git = |k: &str| files.iter().find_map(|file| match file {
                Operation::Put { key, value, .. } if key.as_str() == k => Some(value.clone()),
                _ => None,
            });
            let source = "main".into();
            for key in state.keys_of(&source) {
                let entry = state.get(key.as_str()).map(|entry| entry.value.clone());
                let hold = state.hold(key.as_str());
                let known = hold.map_or(entry, |hold| hold.git.as_ref().map(|git| git.value.clone()));
                prop_assert_eq!(known, git(key.as_str()));
            }
            let releases = state.holds().map(|hold| Operation::Release { key: hold.key.clone() });
            let released = after(&state, 4, of(releases.collect()));
            prop_assert_eq!(released.holds().count(), 0);
            for name in ["a", "a/b", "b"] {
                let found = released.get(name).filter(|entry| entry.owner.is_some());
                let value = found.map(|entry| entry.value.clone());
                prop_assert_eq!(value, git(name));
            }
        }
    }
}
