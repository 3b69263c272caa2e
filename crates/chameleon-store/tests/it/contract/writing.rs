use chameleon_model::{
    CommitId, Origin, Outcome, Precondition, Prefix, Refusal, Revision, SourceName, SourceUpdate,
    Transaction,
};
use tokio::task::JoinSet;

use crate::place::{Place, Replica, content};
use crate::write::*;

pub(crate) async fn a_transaction_is_applied_whole_or_not_at_all(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    writer.apply(only(put("held", "1"))).await;
    let before = writer.state.stamp();

    let refused = given(
        [Precondition::Absent { key: key("held") }],
        put("other", "2"),
    );
    let outcome = writer.outcome(refused).await;
    let Outcome::Refused(reasons) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(reasons.len(), 1);

    // An operation may refuse too, after others that were fine.
    let operations = [put("first", "1"), lock("second", session("nobody").id)];
    assert!(matches!(
        writer.outcome(all(operations)).await,
        Outcome::Refused(_)
    ));

    let state = Replica::at(place).await.state;
    assert_eq!(state.stamp(), before);
    assert_eq!(state.len(), 1);

    let stamp = writer
        .apply(all([put("a", "1"), put("b", "2"), delete("held")]))
        .await;
    let state = Replica::at(place).await.state;
    assert_eq!(state.stamp(), stamp);
    assert_eq!(state.get("a").unwrap().modify_revision, stamp.revision);
    assert_eq!(state.get("b").unwrap().modify_revision, stamp.revision);
    assert!(state.get("held").is_none());
}

pub(crate) async fn every_unmet_precondition_refuses(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    writer.apply(only(put("there", "1"))).await;
    let nobody = session("nobody").id;
    let preconditions = [
        Precondition::AtRevision {
            key: key("there"),
            revision: Revision(7),
        },
        Precondition::AtRevision {
            key: key("gone"),
            revision: Revision(1),
        },
        Precondition::Absent { key: key("there") },
        Precondition::HeldBy {
            key: key("there"),
            session: nobody,
        },
        Precondition::SessionLive { session: nobody },
    ];
    let expected = [
        Refusal::WrongRevision {
            key: key("there"),
            expected: Revision(7),
            actual: Some(Revision(1)),
        },
        Refusal::WrongRevision {
            key: key("gone"),
            expected: Revision(1),
            actual: None,
        },
        Refusal::Exists {
            key: key("there"),
            actual: Revision(1),
        },
        Refusal::NotHeld {
            key: key("there"),
            session: nobody,
        },
        Refusal::NoSession { session: nobody },
    ];
    for (precondition, refusal) in preconditions.iter().zip(&expected) {
        let outcome = writer
            .outcome(given([precondition.clone()], put("x", "1")))
            .await;
        assert_eq!(outcome, Outcome::Refused(vec![refusal.clone()]));
    }
    let outcome = writer.outcome(given(preconditions, put("x", "1"))).await;
    assert_eq!(
        outcome,
        Outcome::Refused(expected.to_vec()),
        "all reasons are told at once"
    );
}

pub(crate) async fn met_preconditions_let_pass(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let holder = session("holder");
    writer
        .apply(all([open_session(&holder), lock("job", holder.id)]))
        .await;
    let revision = writer.apply(only(put("there", "1"))).await.revision;
    let met = [
        Precondition::AtRevision {
            key: key("there"),
            revision,
        },
        Precondition::Absent { key: key("gone") },
        Precondition::HeldBy {
            key: key("job"),
            session: holder.id,
        },
        Precondition::SessionLive { session: holder.id },
    ];
    // Judged by a replica that knows the state from the database only.
    let mut other = Replica::at(place).await;
    other.apply(given(met, put("there", "2"))).await;
}

pub(crate) async fn a_group_is_decided_in_order(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let absent = || Precondition::Absent { key: key("once") };
    let group = vec![
        given([absent()], put("once", "first")),
        given([absent()], put("once", "second")),
        only(put("once", "third")),
        only(delete("nothing")),
        only(delete("once")),
    ];
    let committed = writer.commit(group).await;
    let kinds: Vec<_> = (committed.outcomes.iter())
        .map(|outcome| match outcome {
            Outcome::Committed(stamp) => format!("committed {}", stamp.revision),
            Outcome::Unchanged(stamp) => format!("unchanged {}", stamp.revision),
            Outcome::Refused(_) => "refused".to_owned(),
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "committed 1",
            "refused",
            "committed 2",
            "unchanged 2",
            "committed 3"
        ]
    );
    let state = Replica::at(place).await.state;
    assert_eq!(content(&state), content(&writer.state));
    assert_eq!(state.index_of("once"), Revision(3));
}

pub(crate) async fn what_changes_nothing_spends_no_revision(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let stamp = writer.apply(only(put("a", "1"))).await;
    for same in [put("a", "1"), delete("b"), delete_prefix("b/")] {
        let committed = writer.commit(vec![only(same)]).await;
        assert_eq!(committed.outcomes, [Outcome::Unchanged(stamp)]);
        assert!(committed.commits.is_empty());
    }
    assert_eq!(Replica::at(place).await.state.stamp(), stamp);
}

pub(crate) async fn revisions_have_no_gaps_under_concurrent_writers(place: &impl Place) {
    const WRITERS: u64 = 4;
    const EACH: u64 = 12;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let mut replica = Replica::at(place).await;
        writers.spawn(async move {
            let mut stamps = Vec::new();
            for n in 0..EACH {
                // Everybody writes one key as well, so that no two groups are independent.
                let group = vec![
                    only(put(&format!("own/{writer}/{n}"), "x")),
                    only(put("shared", &format!("{writer}/{n}"))),
                ];
                for outcome in replica.commit(group).await.outcomes {
                    let Outcome::Committed(stamp) = outcome else {
                        panic!("{outcome:?}");
                    };
                    stamps.push(stamp);
                }
            }
            stamps
        });
    }
    let mut stamps: Vec<_> = writers.join_all().await.into_iter().flatten().collect();
    stamps.sort_by_key(|stamp| stamp.revision);
    let revisions: Vec<_> = stamps.iter().map(|stamp| stamp.revision.0).collect();
    assert_eq!(revisions, (1..=WRITERS * EACH * 2).collect::<Vec<_>>());

    let reader = Replica::at(place).await;
    assert_eq!(Some(&reader.state.stamp()), stamps.last());
    assert_eq!(
        reader.state.under(&Prefix::new("own/")).count() as u64,
        WRITERS * EACH
    );
}

pub(crate) async fn a_writer_that_is_behind_gets_what_others_committed(place: &impl Place) {
    let mut behind = Replica::at(place).await;
    let mut other = Replica::at(place).await;
    other.apply(only(put("a", "1"))).await;
    other.apply(only(put("b", "1"))).await;

    let committed = behind.commit(vec![only(put("c", "1"))]).await;
    let revisions: Vec<_> = committed
        .commits
        .iter()
        .map(|one| one.stamp.revision.0)
        .collect();
    assert_eq!(revisions, [1, 2, 3]);
    assert_eq!(
        committed.outcomes,
        [Outcome::Committed(committed.commits[2].stamp)]
    );
    assert_eq!(committed.commits[1].changes, {
        other.look().await;
        other
            .store
            .history(&crate::contract::history::newest(2))
            .await
            .unwrap()[1]
            .changes
            .clone()
    });

    // Also when the group itself is refused.
    other.apply(only(put("d", "1"))).await;
    let refused = given([Precondition::Absent { key: key("d") }], put("e", "1"));
    let committed = behind.commit(vec![refused]).await;
    assert!(matches!(committed.outcomes[0], Outcome::Refused(_)));
    assert_eq!(behind.state.stamp(), other.state.stamp());
}

pub(crate) async fn of_two_that_exclude_each_other_one_is_refused(place: &impl Place) {
    const ROUNDS: u64 = 20;
    let (mut left, mut right) = (Replica::at(place).await, Replica::at(place).await);
    for round in 0..ROUNDS {
        let at = format!("once/{round}");
        let first = || given([Precondition::Absent { key: key(&at) }], put(&at, "1"));
        // Both decide on the same state, and one of them on a state that has passed by then.
        let outcomes = tokio::join!(left.outcome(first()), right.outcome(first()));
        assert!(one_is_refused(&outcomes), "{outcomes:?}");
        left.look().await;
        right.look().await;
    }
    assert_eq!(left.state.stamp().revision, Revision(ROUNDS));
    assert_eq!(content(&left.state), content(&right.state));
    let reader = Replica::at(place).await;
    assert_eq!(content(&reader.state), content(&left.state));
}

/// Says whether one of two was committed, and the other refused.
pub(crate) fn one_is_refused(outcomes: &(Outcome, Outcome)) -> bool {
    matches!(
        outcomes,
        (Outcome::Committed(_), Outcome::Refused(_)) | (Outcome::Refused(_), Outcome::Committed(_))
    )
}

pub(crate) async fn a_large_transaction_is_stored_whole(place: &impl Place) {
    const KEYS: usize = 5_000;
    let mut writer = Replica::at(place).await;
    let puts = |value: &'static str| (0..KEYS).map(move |n| put(&format!("many/{n:05}"), value));
    writer.apply(all(puts("1"))).await;
    writer
        .apply(all(puts("2").chain([put("one more", "1")])))
        .await;
    writer.apply(only(delete_prefix("many/00"))).await;

    let reader = Replica::at(place).await;
    assert_eq!(reader.state.len(), KEYS - 1_000 + 1);
    assert_eq!(content(&reader.state), content(&writer.state));
}

pub(crate) async fn text_that_a_database_refuses_does_not_fail_the_group(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let poison = Transaction {
        origin: Origin {
            author: "a\0b".to_owned(),
            message: "\0".to_owned(),
            ..Origin::default()
        },
        source: Some(SourceUpdate {
            name: SourceName::from("name\0"),
            expected: None,
            commit: CommitId::from("c\0"),
            profiles: vec!["p\0".to_owned()],
        }),
        ..all([put("a", "1"), open_session(&session("\0"))])
    };
    let committed = writer.commit(vec![poison, only(put("b", "1"))]).await;
    assert_eq!(committed.commits.len(), 2);
    assert_eq!(committed.commits[0].origin.author, "a\u{fffd}b");

    let stored = writer
        .store
        .history(&crate::contract::history::newest(2))
        .await
        .unwrap();
    assert_eq!(stored[1], committed.commits[0]);
    let marker = &writer.store.sources().await.unwrap()[0];
    assert_eq!(marker.profiles, ["p\u{fffd}"]);
}
