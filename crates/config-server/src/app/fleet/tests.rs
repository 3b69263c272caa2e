use chameleon_model::{Epoch, Key, Operation, Origin, Tag, Transaction};
use chameleon_model::{Known, decide};
use service_kit::metrics::Registry;

use super::*;

fn fleet() -> Arc<Fleet> {
    Arc::new(Fleet::new(
        "here",
        Metrics::new(&Registry::new("test", "0")),
    ))
}

fn selection() -> Arc<Selection> {
    Arc::new(Selection::key(Key::new("a").unwrap()))
}

fn identity(instance: &str) -> Identity {
    Identity {
        service: "location".to_owned(),
        profile: "beta".to_owned(),
        instance: instance.to_owned(),
        ..Identity::default()
    }
}

fn write(fleet: &Fleet, base: &Snapshot, key: &str, stored: Option<Duration>) -> Snapshot {
    let transaction = Transaction {
        operations: vec![Operation::Put {
            key: Key::new(key).unwrap(),
            value: base.stamp().revision.to_string().into(),
            flags: 0,
        }],
        origin: Origin::default(),
        ..Transaction::default()
    };
    let known = Known {
        now: SystemTime::now().into(),
        ..Known::default()
    };
    let decided = decide(base, vec![transaction], known, || Tag(9));
    fleet.committed(&decided.commits[0], stored);
    decided.snapshot
}

fn verdict(stamp: Stamp, result: VerdictResult) -> Verdict {
    Verdict {
        stamp,
        result,
        apply: Duration::from_millis(2),
        jitter: Duration::from_millis(40),
    }
}

fn send(connection: &Connection, head: &Snapshot, base: Stamp) {
    let update = selection().update(head, Some(base));
    connection.sent(update.stamp, update.revisions.into());
}

#[tokio::test(start_paused = true)]
async fn a_change_is_followed_to_each_instance() {
    let fleet = fleet();
    let connection = fleet.connect(identity("one"), selection(), None);
    let base = Snapshot::default();
    let head = write(&fleet, &base, "a", Some(Duration::from_millis(3)));
    send(&connection, &head, base.stamp());
    assert!(!(fleet.instances("", "", &head, |_| true).await)[0].current);

    tokio::time::advance(Duration::from_millis(50)).await;
    connection.judged(verdict(head.stamp(), VerdictResult::Applied));

    let journey = fleet.journey(Revision(1));
    assert_eq!(journey.stored.unwrap().took, Duration::from_millis(3));
    let delivery = &journey.deliveries[0];
    assert_eq!(delivery.delivered, Duration::from_millis(8));
    assert_eq!(delivery.applied, Duration::from_millis(2));
    let instance = &(fleet.instances("location", "beta", &head, |_| true).await)[0];
    assert!(instance.current && instance.applied == Some(head.stamp()));
    assert_eq!(instance.connected, Duration::from_millis(50));
    let elsewhere = fleet.instances("location", "prod", &head, |_| true);
    assert!(elsewhere.await.is_empty());
    drop(connection);
    assert_eq!(fleet.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn held_back_verdicts_never_give_negative_times() {
    let fleet = fleet();
    let connection = fleet.connect(identity("one"), selection(), None);
    let base = Snapshot::default();
    let head = write(&fleet, &base, "a", None);
    send(&connection, &head, base.stamp());
    connection.judged(verdict(head.stamp(), VerdictResult::Applied));
    assert_eq!(
        fleet.journey(Revision(1)).deliveries[0].delivered,
        Duration::ZERO
    );
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_kept_until_a_state_is_applied() {
    let fleet = fleet();
    let connection = fleet.connect(identity("one"), selection(), None);
    let base = Snapshot::default();
    let one = write(&fleet, &base, "a", None);
    send(&connection, &one, base.stamp());
    connection.judged(verdict(one.stamp(), VerdictResult::Received));
    connection.judged(verdict(
        one.stamp(),
        VerdictResult::Rejected("x".repeat(3000)),
    ));
    let instance = &(fleet.instances("", "", &one, |_| true).await)[0];
    assert_eq!(instance.rejected.as_ref().unwrap().len(), 2000);
    assert_eq!((instance.applied, instance.current), (None, false));
    assert!(fleet.journey(Revision(1)).deliveries[0].rejected.is_some());

    let two = write(&fleet, &one, "a", None);
    send(&connection, &two, one.stamp());
    connection.judged(verdict(two.stamp(), VerdictResult::Applied));
    let instance = &(fleet.instances("", "", &two, |_| true).await)[0];
    assert!(instance.current && instance.rejected.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_skipped_state_and_an_untouched_revision_are_told_apart() {
    let fleet = fleet();
    let connection = fleet.connect(identity("one"), selection(), None);
    let base = Snapshot::default();
    let one = write(&fleet, &base, "a", None);
    send(&connection, &one, base.stamp());
    let two = write(&fleet, &one, "a", None);
    let three = write(&fleet, &two, "elsewhere", None);
    send(&connection, &three, one.stamp());
    connection.judged(verdict(three.stamp(), VerdictResult::Applied));
    let delivered = |revision| fleet.journey(Revision(revision)).deliveries.len();
    assert_eq!([delivered(1), delivered(2), delivered(3)], [1, 1, 0]);
    // A state that was never sent, such as one of another epoch, counts for nothing.
    let mut other = three.stamp();
    other.epoch = Epoch(7);
    connection.judged(verdict(other, VerdictResult::Rejected("no".to_owned())));
    assert!((fleet.instances("", "", &three, |_| true).await)[0].current);
}

#[tokio::test(start_paused = true)]
async fn only_the_newest_revisions_are_kept() {
    let fleet = fleet();
    let mut head = Snapshot::default();
    for _ in 0..=REVISIONS {
        head = write(&fleet, &head, "a", Some(Duration::from_millis(1)));
    }
    assert!(fleet.journey(Revision(1)).stored.is_none());
    assert!(fleet.journey(Revision(2)).stored.is_some());
    fleet.replaced(&Contents::default());
    assert!(fleet.journey(Revision(2)).stored.is_none());
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_is_seen_once_and_who_has_no_name_always() {
    let fleet = fleet();
    let head = Snapshot::default();
    let seen = async || {
        let instances = fleet.instances("", "", &head, |_| true).await;
        let seen = instances
            .iter()
            .map(|one| (one.identity.instance.clone(), one.connected));
        seen.collect::<Vec<_>>()
    };
    let minute = Duration::from_mins(1);
    let of = |name: &str| fleet.connect(identity(name), selection(), None);
    let (_lost, _unnamed) = (of("one"), of(""));
    tokio::time::advance(minute).await;
    let (_back, _unnamed_too) = (of("one"), of(""));
    let zero = Duration::ZERO;
    let expected = [("", zero), ("", minute), ("one", zero)];
    assert_eq!(
        seen().await,
        expected.map(|(name, time)| (name.to_owned(), time))
    );

    // Another team's instance of the same name, and one of a host of its own, are others.
    let elsewhere = Arc::new(Selection::key(Key::new("b").unwrap()));
    let _other = fleet.connect(identity("one"), elsewhere, None);
    let host = "there".to_owned();
    let _there = fleet.connect(
        Identity {
            host,
            ..identity("one")
        },
        selection(),
        None,
    );
    assert_eq!(seen().await.len(), 5);
}

#[test]
fn a_large_fleet_answers_over_a_longer_time() {
    let fleet = fleet();
    assert_eq!(fleet.outcome_within(), Duration::from_millis(100));
    let connections: Vec<_> = (0..3_000)
        .map(|id| fleet.connect(identity(&id.to_string()), selection(), None))
        .collect();
    assert_eq!(fleet.outcome_within(), Duration::from_millis(300));
    drop(connections);
    assert_eq!(fleet.outcome_within(), Duration::from_millis(100));
}
