//! Following: changes, chunks, reconnects, epochs, and the end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};

use chameleon_client::{Chameleon, ClientState, Configuration, Live, Violation};
use chameleon_proto::v1::outcome::Verdict;
use futures::future::join;

use crate::fake::{Connection, Fake, soon, stamp, state};
use crate::shares::{BETA, Shares, client, shares, until};

async fn started(server: &mut Fake, servers: &[&str]) -> (Chameleon, Live<Shares>, Connection) {
    let connecting = client(servers).connect();
    let serving = server.serve(stamp(1, 5), &[(BETA, &shares(70))]);
    let (chameleon, mut connection) = join(connecting, serving).await;
    let chameleon = chameleon.unwrap();
    let live = chameleon.bind("").unwrap();
    connection.applied(stamp(1, 5)).await;
    (chameleon, live, connection)
}

#[tokio::test]
async fn a_client_says_who_it_is_and_what_it_reads() {
    let mut server = Fake::start().await;
    let address = server.address.clone();
    let connecting = client(&[&address])
        .prefix("teams/payments/")
        .version("1.2.3")
        .connect();
    let serving = server.serve(stamp(1, 5), &[]);
    let (chameleon, connection) = join(connecting, serving).await;
    let subscribe = &connection.subscribe;
    assert_eq!(
        subscribe.keys,
        [
            "teams/payments/config/application.yml",
            "teams/payments/config/application-beta.yml",
            "teams/payments/config/location.yml",
            "teams/payments/config/location-beta.yml",
        ]
    );
    assert!(subscribe.prefixes.is_empty());
    let identity = subscribe.identity.clone().unwrap();
    assert_eq!(
        (&*identity.service, &*identity.profile),
        ("location", "beta")
    );
    assert_eq!(
        (&*identity.instance, &*identity.version),
        ("test-1", "1.2.3")
    );
    assert_eq!(identity.prefix, "teams/payments/");
    assert_eq!(chameleon.unwrap().state(), ClientState::Ready);
}

#[tokio::test]
async fn a_change_in_chunks_is_applied_when_it_is_whole() {
    let mut server = Fake::start().await;
    let address = server.address.clone();
    let (_chameleon, live, mut connection) = started(&mut server, &[&address]).await;
    let mut changes = live.subscribe();
    let base = Some(stamp(1, 5));
    let mut first = state(
        stamp(1, 8),
        base,
        &[(BETA, "aMapPercentage: ${APP_SHARE}\n")],
    );
    first.more = true;
    connection.send(first).await;
    let last = state(
        stamp(1, 8),
        base,
        &[("location.yml", "bMapPercentage: 70\n")],
    );
    connection.send(last).await;
    let change = soon(changes.next()).await.unwrap();
    assert_eq!(change.old.a_map_percentage, 70);
    assert_eq!(
        (change.new.a_map_percentage, change.new.b_map_percentage),
        (30, 70)
    );
    assert_eq!((change.stamp, live.stamp()), (stamp(1, 8), stamp(1, 8)));
    connection.applied(stamp(1, 8)).await;
}

#[tokio::test]
async fn a_new_revision_of_the_same_values_is_no_change() {
    let mut server = Fake::start().await;
    let address = server.address.clone();
    let (_chameleon, live, mut connection) = started(&mut server, &[&address]).await;
    let mut changes = live.subscribe();
    let commented = format!("# a comment\n{}", shares(70));
    let same = state(stamp(1, 6), Some(stamp(1, 5)), &[(BETA, &commented)]);
    connection.send(same).await;
    connection.applied(stamp(1, 6)).await;
    assert_eq!(live.stamp(), stamp(1, 6));
    let other = state(stamp(1, 7), Some(stamp(1, 6)), &[(BETA, &shares(20))]);
    connection.send(other).await;
    let change = soon(changes.next()).await.unwrap();
    assert_eq!(
        (change.new.a_map_percentage, change.stamp),
        (20, stamp(1, 7))
    );
}

#[tokio::test]
async fn a_lost_stream_goes_on_at_the_next_server_with_the_held_stamp() {
    let (mut first, mut second) = (Fake::start().await, Fake::start().await);
    let addresses = [first.address.clone(), second.address.clone()];
    let addresses = addresses.each_ref().map(String::as_str);
    let (chameleon, live, connection) = started(&mut first, &addresses).await;
    first.refuse(true);
    second.refuse(true);
    drop(connection);
    until(&chameleon, |state| {
        matches!(state, ClientState::Stale { .. })
    })
    .await;
    assert_eq!(live.load().a_map_percentage, 70);

    second.refuse(false);
    let mut connection = second.accept().await;
    assert_eq!(connection.last(), Some(stamp(1, 5)));
    let held = Some(stamp(1, 5));
    connection.send(state(stamp(1, 5), held, &[])).await;
    until(&chameleon, |state| state == ClientState::Ready).await;
    let change = state(stamp(1, 6), Some(stamp(1, 5)), &[(BETA, &shares(20))]);
    connection.send(change).await;
    connection.applied(stamp(1, 6)).await;
    assert_eq!(live.load().a_map_percentage, 20);
}

#[tokio::test]
async fn a_state_that_is_sent_again_gets_its_verdict_again() {
    let mut server = Fake::start().await;
    let address = server.address.clone();
    let (_chameleon, live, mut connection) = started(&mut server, &[&address]).await;
    let held = stamp(1, 5);
    connection
        .send(state(held, None, &[(BETA, &shares(70))]))
        .await;
    connection.applied(held).await;
    connection.send(state(held, Some(held), &[])).await;
    connection.applied(held).await;
    assert_eq!(live.stamp(), held);
}

#[tokio::test]
async fn a_server_that_lags_does_not_end_staleness() {
    let mut server = Fake::start().await;
    let address = server.address.clone();
    let (chameleon, live, connection) = started(&mut server, &[&address]).await;
    drop(connection);
    until(&chameleon, |state| {
        matches!(state, ClientState::Stale { .. })
    })
    .await;
    let since = chameleon.state();
    let old = server.serve(stamp(1, 4), &[(BETA, &shares(10))]).await;
    old.ended().await;
    // The next try: the client has dealt with the one before.
    let _next = server.accept().await;
    assert_eq!(chameleon.state(), since);
    assert_eq!(live.load().a_map_percentage, 70);
}

#[tokio::test]
async fn a_later_epoch_may_go_back() {
    let mut server = Fake::start().await;
    let address = server.address.clone();
    let (_chameleon, live, mut connection) = started(&mut server, &[&address]).await;
    let restored = state(stamp(2, 3), None, &[(BETA, &shares(40))]);
    connection.send(restored).await;
    connection.applied(stamp(2, 3)).await;
    assert_eq!(
        (live.load().a_map_percentage, live.stamp()),
        (40, stamp(2, 3))
    );
}

#[tokio::test]
async fn the_last_handle_ends_the_watch_and_the_changes() {
    let mut server = Fake::start().await;
    let address = server.address.clone();
    let (chameleon, live, connection) = started(&mut server, &[&address]).await;
    let other = chameleon.clone();
    let mut changes = live.subscribe();
    drop(chameleon);
    assert_eq!(other.state(), ClientState::Ready);
    drop(other);
    connection.ended().await;
    assert!(soon(changes.next()).await.is_none());
    assert_eq!(live.load().a_map_percentage, 70);
}

#[tokio::test]
async fn shutdown_sends_the_last_outcome() {
    let mut server = Fake::start().await;
    let address = server.address.clone();
    let connecting = client(&[&address]).connect();
    let serving = server.serve(stamp(1, 5), &[(BETA, &shares(70))]);
    let (chameleon, mut connection) = join(connecting, serving).await;
    let (((), outcome), other) = {
        let chameleon = chameleon.unwrap();
        let other = chameleon.clone();
        (
            join(chameleon.shutdown(), connection.outcome()).await,
            other,
        )
    };
    assert_eq!(outcome.stamp, Some(stamp(1, 5).into()));
    assert!(matches!(other.state(), ClientState::Stale { .. }));
}

static RELEASED: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
static SLOW: AtomicBool = AtomicBool::new(false);

/// A type whose check takes until the test lets it go.
#[derive(serde::Deserialize)]
struct Slow {}

impl Configuration for Slow {
    fn validate(&self) -> Result<(), Vec<Violation>> {
        if SLOW.load(Ordering::Relaxed) {
            let released = RELEASED.0.lock().unwrap();
            drop(
                RELEASED
                    .1
                    .wait_while(released, |released| !*released)
                    .unwrap(),
            );
        }
        Ok(())
    }
}

#[tokio::test]
async fn slow_applying_is_announced() {
    let mut server = Fake::start().await;
    let address = server.address.clone();
    let (chameleon, _live, mut connection) = started(&mut server, &[&address]).await;
    let _slow: Live<Slow> = chameleon.bind("").unwrap();
    SLOW.store(true, Ordering::Relaxed);
    let change = state(stamp(1, 6), Some(stamp(1, 5)), &[(BETA, &shares(20))]);
    connection.send(change).await;
    let outcome = connection.outcome().await;
    assert!(
        matches!(outcome.verdict, Some(Verdict::Received(_))),
        "{outcome:?}"
    );
    *RELEASED.0.lock().unwrap() = true;
    RELEASED.1.notify_all();
    let outcome = connection.outcome().await;
    assert!(
        matches!(outcome.verdict, Some(Verdict::Applied(_))),
        "{outcome:?}"
    );
    assert!(outcome.apply_us >= 1_000_000, "{outcome:?}");
}
