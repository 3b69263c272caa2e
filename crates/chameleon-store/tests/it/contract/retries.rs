use chameleon_model::{Outcome, Precondition, Transaction};

use crate::place::{Place, Replica, content};
use crate::write::*;

pub(crate) async fn a_retry_gets_the_first_outcome(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let id = new_request();
    let first = writer.outcome(request(id, put("a", "mine"))).await;
    let head = writer.apply(only(put("a", "somebody else's"))).await;

    // The retry may reach another replica, and carry anything: the id decides.
    let mut other = Replica::at(place).await;
    for retried in [put("a", "mine"), put("b", "x")] {
        let committed = other.commit(vec![request(id, retried)]).await;
        assert_eq!(committed.outcomes, std::slice::from_ref(&first));
        assert!(committed.commits.is_empty());
    }
    let reader = Replica::at(place).await;
    assert_eq!(reader.state.stamp(), head);
    assert_eq!(
        &reader.state.get("a").unwrap().value[..],
        b"somebody else's"
    );
}

/// A commit that only needs the state it is decided on, and one that needs more than that, find
/// each other's answers, also where the retry would be refused by now.
pub(crate) async fn a_retry_gets_the_first_outcome_whatever_it_comes_with(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let holder = session("holder");
    writer.apply(only(open_session(&holder))).await;
    let plain = || only(put("beside", &new_request().0.to_string()));
    let locking = || only(lock("job", holder.id));
    for (n, first_beside) in [plain(), locking()].into_iter().enumerate() {
        let at = format!("once/{n}");
        let once = Transaction {
            request_id: Some(new_request()),
            ..given([Precondition::Absent { key: key(&at) }], put(&at, "1"))
        };
        let first = writer.commit(vec![once.clone(), first_beside]).await;
        assert!(matches!(first.outcomes[0], Outcome::Committed(_)));
        for beside in [plain(), locking(), plain()] {
            let again = writer.commit(vec![once.clone(), beside]).await;
            assert_eq!(again.outcomes[0], first.outcomes[0]);
            assert!(!matches!(again.outcomes[1], Outcome::Refused(_)));
            assert!(again.commits.len() <= 1);
        }
    }
    assert_eq!(
        content(&Replica::at(place).await.state),
        content(&writer.state)
    );
}

pub(crate) async fn a_retry_of_what_changed_nothing_changes_nothing_later(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let stamp = writer.apply(only(put("a", "same"))).await;
    let id = new_request();
    let first = writer.outcome(request(id, put("a", "same"))).await;
    assert_eq!(first, Outcome::Unchanged(stamp));
    let head = writer.apply(only(put("a", "other"))).await;

    assert_eq!(writer.outcome(request(id, put("a", "same"))).await, first);
    assert_eq!(Replica::at(place).await.state.stamp(), head);
}

pub(crate) async fn a_refused_request_is_judged_anew(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    writer.apply(only(put("a", "1"))).await;
    let retried = || Transaction {
        request_id: Some(new_request()),
        ..given([Precondition::Absent { key: key("a") }], put("b", "1"))
    };
    let transaction = retried();
    let outcome = writer.outcome(transaction.clone()).await;
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    writer.apply(only(delete("a"))).await;
    writer.apply(transaction).await;
}

pub(crate) async fn a_request_twice_in_a_group_is_applied_once(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let id = new_request();
    let mut group = vec![request(id, put("a", "1")), request(id, put("a", "1"))];
    // More requests than fit one query, most of them new.
    group.extend((0..1_500).map(|n| request(new_request(), put("n", &n.to_string()))));
    let committed = writer.commit(group.clone()).await;
    assert_eq!(committed.outcomes[0], committed.outcomes[1]);
    assert_eq!(committed.commits.len(), 1_501);

    let again = writer.commit(group).await;
    assert_eq!(again.outcomes, committed.outcomes);
    assert!(again.commits.is_empty());
}

pub(crate) async fn answers_are_forgotten_after_a_day(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let id = new_request();
    writer.apply(request(id, put("a", "1"))).await;
    let others = (0..1_200).map(|n| request(new_request(), put("n", &n.to_string())));
    writer.commit(others.collect()).await;
    assert_eq!(writer.store.prune_requests().await.unwrap(), 0);
    let a_day_later = "UPDATE requests SET at_micros = at_micros - 86400000001".to_owned();
    place.execute(&[a_day_later]).await;
    let kept = new_request();
    let first = writer.outcome(request(kept, delete("a"))).await;
    assert_eq!(writer.store.prune_requests().await.unwrap(), 1_201);

    assert_eq!(writer.outcome(request(kept, delete("n"))).await, first);
    writer.apply(request(id, put("a", "1"))).await;
}
