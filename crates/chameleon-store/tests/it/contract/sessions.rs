use std::time::Duration;

use chameleon_model::{Operation, Outcome, Refusal, Session};

use crate::place::{Place, Replica};
use crate::write::*;

/// Longer than any session's life here.
const LONG: Duration = Duration::from_hours(1);

fn short(name: &str) -> Session {
    Session {
        ttl: Some(Duration::from_micros(1)),
        ..session(name)
    }
}

pub(crate) async fn a_renewal_takes_no_revision_and_knows_who_lives(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let holder = session("holder");
    let opened = writer.apply(only(open_session(&holder))).await;
    let renewed = writer.store.renew_session(holder.id).await.unwrap();
    let renewed = renewed.expect("the session is live");
    assert_eq!(
        (renewed.id, renewed.create_revision),
        (holder.id, opened.revision)
    );
    assert_eq!(writer.store.load().await.unwrap().stamp(), opened);

    writer.apply(only(Operation::EndSession(holder.id))).await;
    assert_eq!(writer.store.renew_session(holder.id).await.unwrap(), None);
    assert_eq!(
        writer
            .store
            .renew_session(session("nobody").id)
            .await
            .unwrap(),
        None
    );
}

pub(crate) async fn overdue_sessions_end_and_others_do_not(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let (overdue, lively) = (short("overdue"), session("lively"));
    let forever = Session {
        ttl: None,
        ..session("forever")
    };
    let all_open = [&overdue, &lively, &forever].map(open_session);
    writer.apply(all(all_open)).await;
    writer.apply(only(lock("job", overdue.id))).await;

    // Who could not take renewals ends nobody.
    let none = writer
        .store
        .end_overdue_sessions(&writer.state, Duration::ZERO)
        .await
        .unwrap();
    assert!(none.commits.is_empty());

    let ended = writer
        .store
        .end_overdue_sessions(&writer.state, LONG)
        .await
        .unwrap();
    let left: Vec<_> = ended
        .snapshot
        .sessions()
        .map(|session| session.id)
        .collect();
    let mut expected = vec![lively.id, forever.id];
    expected.sort();
    assert_eq!(left, expected);
    assert_eq!(ended.snapshot.get("job").unwrap().session, None);

    // A second caller finds nothing to do, and learns what the first did by looking.
    let mut other = Replica::at(place).await;
    let again = other
        .store
        .end_overdue_sessions(&other.state, LONG)
        .await
        .unwrap();
    assert!(again.commits.is_empty());
    other.look().await;
    assert_eq!(other.state.stamp(), ended.snapshot.stamp());
}

pub(crate) async fn a_lock_delay_holds_for_every_server(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let lost = Session {
        lock_delay: LONG,
        ..session("lost")
    };
    let next = session("next");
    writer.apply(all([&lost, &next].map(open_session))).await;
    writer.apply(only(lock("job", lost.id))).await;
    writer.apply(only(Operation::EndSession(lost.id))).await;

    let mut other = Replica::at(place).await;
    let refused = Outcome::Refused(vec![Refusal::LockDelayed { key: key("job") }]);
    assert_eq!(other.outcome(only(lock("job", next.id))).await, refused);
    other.apply(only(put("job", "writing needs no lock"))).await;
    other.apply(only(lock("another", next.id))).await;

    // What is over is no hindrance, and is pruned with the next one.
    let over = "UPDATE lock_delays SET until_micros = 1".to_owned();
    place.execute(&[over]).await;
    other.apply(only(lock("job", next.id))).await;
}

pub(crate) async fn the_index_of_sessions_never_falls(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let one = session("one");
    writer.apply(only(open_session(&one))).await;
    let ended = writer
        .apply(only(Operation::EndSession(one.id)))
        .await
        .revision;
    let head = writer.apply(only(put("k", "v"))).await.revision;
    assert_eq!(writer.state.sessions_index(), ended);
    assert_eq!(Replica::at(place).await.state.sessions_index(), ended);
    writer.store.compact(head).await.unwrap();
    assert!(Replica::at(place).await.state.sessions_index() >= ended);
}
