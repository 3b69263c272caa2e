//! What Postgres adds: notices between replicas, and a network that fails.

use std::sync::Arc;
use std::time::Duration;

use chameleon_model::{Outcome, Precondition};
use chameleon_store::{Notice, Notifications, PostgresSettings, PostgresStore, Store, StoreError};
use futures::{FutureExt as _, StreamExt as _};
use sqlx::postgres::PgListener;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use test_kit::postgres::{TestDatabase, database};
use test_kit::{FaultProxy, eventually};

use crate::contract::writing::one_is_refused;
use crate::place::{Place, Replica, content, newer};
use crate::write::*;

pub(crate) struct PostgresPlace(TestDatabase);

impl PostgresPlace {
    /// A store with one connection. No limit of the server's ends what it leaves undone.
    async fn narrow(&self) -> PostgresStore {
        let patient = PostgresSettings {
            max_connections: 1,
            timeout: Duration::from_hours(1),
            ..settings(self.0.url())
        };
        PostgresStore::connect(&patient).await.expect("connects")
    }

    async fn connection(&self) -> PgConnection {
        PgConnection::connect(self.0.url()).await.expect("connects")
    }

    /// Holds up all commits until the connection ends its transaction.
    async fn hold_head(&self) -> PgConnection {
        let mut holder = self.connection().await;
        let hold = "BEGIN; SELECT FROM head FOR UPDATE";
        holder.execute(hold).await.expect("the head is free");
        holder
    }

    /// Returns when so many sessions wait for a lock.
    async fn waiting(&self, sessions: i64) {
        eventually("sessions wait for a lock", async || {
            (self.sessions(WAITS).await == sessions).then_some(())
        })
        .await;
    }

    /// Counts the other sessions for which `condition` holds.
    async fn sessions(&self, condition: &str) -> i64 {
        let count = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND {condition}"
        );
        let mut connection = self.connection().await;
        let counted = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut connection);
        counted.await.expect("sessions are counted")
    }
}

impl Place for PostgresPlace {
    async fn new() -> Self {
        Self(database().await)
    }

    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(
            PostgresStore::connect(&settings(self.0.url()))
                .await
                .expect("connects"),
        )
    }

    async fn open_narrow(&self) -> Arc<dyn Store> {
        Arc::new(self.narrow().await)
    }

    async fn execute(&self, statements: &[String]) {
        let mut connection = self.connection().await;
        for statement in statements {
            let statement = AssertSqlSafe(statement.as_str());
            connection.execute(statement).await.expect("is executed");
        }
    }
}

/// A session of this database is in a query or a transaction.
const UNFINISHED: &str = "datname = current_database() AND state <> 'idle'";

/// A session of this database waits for a lock that another holds.
const WAITS: &str = "datname = current_database() AND wait_event_type = 'Lock'";

/// Never polls, so that only notices can wake.
fn settings(url: &str) -> PostgresSettings {
    PostgresSettings {
        max_connections: 3,
        poll_interval: Duration::from_hours(1),
        ..PostgresSettings::new(url)
    }
}

/// Waits until the replica of `nudges` listens: only a notice that arrives shows it.
async fn listening(place: &PostgresPlace, nudges: &mut Notifications) {
    while nudges.next().now_or_never().is_some() {}
    let notice = "SELECT pg_notify('chameleon_changed', '')".to_owned();
    eventually("a notice arrives", async || {
        place.execute(std::slice::from_ref(&notice)).await;
        nudges.next().now_or_never().flatten()
    })
    .await;
}

#[tokio::test]
async fn a_commit_wakes_the_followers_of_other_stores() {
    let place = PostgresPlace::new().await;
    let mut writer = Replica::at(&place).await;
    let mut follower = Replica::at(&place).await;
    let mut nudges = follower.store.notifications();
    listening(&place, &mut nudges).await;
    for n in 0..20 {
        let head = writer.apply(only(put("a", &n.to_string()))).await;
        while follower.state.stamp() != head {
            nudges.next().await.expect("the stream goes on");
            follower.look().await;
        }
    }
    // A notice that comes alone names its head; what proved that it listens may come between.
    for n in 20.. {
        let head = writer.apply(only(put("a", &n.to_string()))).await;
        let mut notice = nudges.next().await;
        while matches!(notice, Some(Notice::Head(earlier)) if earlier != head) {
            notice = nudges.next().await;
        }
        if notice.expect("the stream goes on") == Notice::Head(head) {
            break;
        }
    }
}

#[tokio::test]
async fn what_commits_nothing_wakes_nobody() {
    let place = PostgresPlace::new().await;
    let mut writer = Replica::at(&place).await;
    writer.apply(only(put("a", "1"))).await;
    let mut listener = PgListener::connect(place.0.url()).await.unwrap();
    listener.listen("chameleon_changed").await.unwrap();

    // The answer is stored, but nothing is new to anybody.
    writer.outcome(request(new_request(), put("a", "1"))).await;
    writer.outcome(only(delete("nothing"))).await;
    place
        .execute(&["SELECT pg_notify('chameleon_changed', 'last')".to_owned()])
        .await;
    // Notices come in order.
    assert_eq!(listener.recv().await.unwrap().payload(), "last");
}

#[tokio::test]
async fn a_lost_listening_connection_is_replaced_and_nudges() {
    let place = PostgresPlace::new().await;
    let mut writer = Replica::at(&place).await;
    let mut follower = Replica::at(&place).await;
    let mut nudges = follower.store.notifications();
    listening(&place, &mut nudges).await;

    let kill = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
                WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    place.execute(&[kill.to_owned()]).await;
    // Nobody was told of this one.
    let head = writer.apply(only(put("a", "unheard"))).await;
    while follower.state.stamp() != head {
        nudges.next().await.expect("the stream goes on");
        follower.look().await;
    }
    listening(&place, &mut nudges).await;
    let head = writer.apply(only(put("a", "heard"))).await;
    while follower.state.stamp() != head {
        nudges.next().await.expect("the stream goes on");
        follower.look().await;
    }
    assert_eq!(content(&follower.state), content(&writer.state));
}

#[tokio::test]
async fn notices_that_do_not_arrive_are_replaced_by_a_poll() {
    let place = PostgresPlace::new().await;
    // Listening elsewhere hears as little as listening through a pooler in transaction mode.
    let elsewhere = database().await;
    let deaf = PostgresSettings {
        listen_url: Some(elsewhere.url().to_owned()),
        ..settings(place.0.url())
    };
    let store = Arc::new(PostgresStore::connect(&deaf).await.unwrap());
    let mut follower = Replica {
        state: store.load().await.unwrap(),
        store,
    };
    let mut nudges = follower.store.notifications();
    // Found deaf, it nudges again and again without any commit.
    for _ in 0..4 {
        nudges.next().await.expect("the stream goes on");
    }
    let head = Replica::at(&place).await.apply(only(put("a", "1"))).await;
    while follower.state.stamp() != head {
        nudges.next().await.expect("the stream goes on");
        follower.look().await;
    }
}

#[tokio::test]
async fn a_cut_network_fails_fast_and_heals() {
    let place = PostgresPlace::new().await;
    let proxy = FaultProxy::start(place.0.server_address()).await;
    let through = settings(&place.0.url_through(&proxy));
    let store = Arc::new(PostgresStore::connect(&through).await.unwrap());
    let mut cut_off = Replica {
        state: store.load().await.unwrap(),
        store,
    };
    let mut nudges = cut_off.store.notifications();
    listening(&place, &mut nudges).await;

    proxy.cut().await;
    let id = new_request();
    let mut writer = Replica::at(&place).await;
    let lost = cut_off
        .store
        .commit(&cut_off.state, vec![request(id, put("a", "1"))])
        .await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    let read = cut_off.store.changes_since(cut_off.state.stamp()).await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    let head = writer.apply(only(put("b", "1"))).await;

    proxy.heal();
    // A nudge comes by itself once the connection is back.
    while cut_off.state.stamp() != head {
        nudges.next().await.expect("the stream goes on");
        cut_off.look().await;
    }
    cut_off.apply(request(id, put("a", "1"))).await;
}

/// The network stops at any moment of a commit: whatever became of it, its retry neither loses nor
/// repeats it.
#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_by_its_retry() {
    let place = PostgresPlace::new().await;
    let proxy = FaultProxy::start(place.0.server_address()).await;
    let impatient = PostgresSettings {
        acquire_timeout: Duration::from_millis(500),
        timeout: Duration::from_millis(500),
        ..settings(&place.0.url_through(&proxy))
    };
    let store = PostgresStore::connect(&impatient).await.unwrap();
    let mut witness = Replica::at(&place).await;
    for n in 0..6_u64 {
        let state = witness.store.load().await.unwrap();
        let transaction = request(new_request(), put("a", &n.to_string()));
        let stalling = async {
            tokio::time::sleep(Duration::from_micros(n * 700)).await;
            proxy.stall();
        };
        let (first, ()) = tokio::join!(store.commit(&state, vec![transaction.clone()]), stalling);
        if let Err(error) = &first {
            assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        }
        proxy.heal();
        // By way of another replica, since this one may still be busy with dead connections.
        let outcome = witness.outcome(transaction).await;
        assert!(matches!(outcome, Outcome::Committed(stamp) if stamp.revision.0 == n + 1));
        assert_eq!(
            witness.state.stamp().revision.0,
            n + 1,
            "applied exactly once"
        );
    }
}

/// sqlx queues no rollback for a transaction whose beginning was not answered.
#[tokio::test]
async fn a_commit_cancelled_while_it_waits_for_the_head_does_not_keep_it() {
    let place = PostgresPlace::new().await;
    let store = place.narrow().await;
    let state = store.load().await.unwrap();
    let mut holder = place.hold_head().await;
    tokio::select! {
        done = store.commit(&state, vec![only(put("a", "1"))]) => panic!("{done:?}"),
        () = place.waiting(1) => {}
    }
    holder.execute("ROLLBACK").await.unwrap();
    eventually("no transaction is left open", async || {
        (place.sessions(UNFINISHED).await == 0).then_some(())
    })
    .await;
    Replica::at(&place).await.apply(only(put("b", "1"))).await;
    (store.commit(&state, vec![only(put("c", "1"))]).await).unwrap();
}

#[tokio::test]
async fn a_commit_that_is_refused_the_head_does_not_fail_the_next() {
    let place = PostgresPlace::new().await;
    let store = place.narrow().await;
    let state = store.load().await.unwrap();
    let mut holder = place.hold_head().await;
    let refusing = async {
        place.waiting(1).await;
        let refuse = format!("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE {WAITS}");
        place.execute(&[refuse]).await;
    };
    let refused = store.commit(&state, vec![only(put("a", "1"))]);
    let (refused, ()) = tokio::join!(refused, refusing);
    assert!(
        matches!(refused, Err(StoreError::Unavailable(_))),
        "{refused:?}"
    );
    holder.execute("ROLLBACK").await.unwrap();
    (store.commit(&state, vec![only(put("b", "1"))]).await).unwrap();
}

/// A statement that waits for the head goes on with the tables as they were before the wait.
#[tokio::test]
async fn what_waited_for_another_commit_is_decided_on_it() {
    for isolation in ["read committed", "repeatable read", "serializable"] {
        let place = PostgresPlace::new().await;
        let strict = format!(
            "ALTER DATABASE {} SET default_transaction_isolation = '{isolation}'",
            place.0.name()
        );
        place.execute(&[strict]).await;
        let mut left = Replica::at(&place).await;
        let mut right = Replica::at(&place).await;
        let mut holder = place.hold_head().await;
        let first = || given([Precondition::Absent { key: key("a") }], put("a", "1"));
        let releasing = async {
            place.waiting(2).await;
            holder.execute("ROLLBACK").await.unwrap();
        };
        let both = async { tokio::join!(left.outcome(first()), right.outcome(first())) };
        let (outcomes, ()) = tokio::join!(both, releasing);
        assert!(one_is_refused(&outcomes), "{isolation}: {outcomes:?}");
        left.look().await;
        right.look().await;
        assert_eq!(left.state.stamp().revision.0, 1);
        assert_eq!(content(&left.state), content(&right.state));
    }
}

/// Such an answer moves no head, so the head does not tell of it.
#[tokio::test]
async fn an_answer_that_came_while_a_retry_waited_is_found() {
    let place = PostgresPlace::new().await;
    let mut writer = Replica::at(&place).await;
    let id = new_request();
    let mut holder = place.hold_head().await;
    let answer = format!(
        "INSERT INTO requests (id, committed, epoch, revision, tag, at_micros) \
         SELECT '{}', false, epoch, revision, tag, {} FROM head",
        id.0,
        i64::MAX
    );
    holder.execute(AssertSqlSafe(answer)).await.unwrap();
    let answering = async {
        place.waiting(1).await;
        holder.execute("COMMIT").await.unwrap();
    };
    let before = writer.state.stamp();
    let (outcome, ()) = tokio::join!(writer.outcome(request(id, put("a", "1"))), answering);
    assert_eq!(outcome, Outcome::Unchanged(before));
    assert_eq!(Replica::at(&place).await.state.stamp(), before);
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told_with_its_cause() {
    let place = database().await;
    let absent = place.url().replace(place.name(), "no_such_database");
    let nobody = "postgres://ada:secret@127.0.0.1:1/x";
    for (url, cause) in [
        (
            absent.as_str(),
            "database \"no_such_database\" does not exist",
        ),
        (nobody, "refused"),
    ] {
        let Err(StoreError::Unavailable(error)) = chameleon_store::open(url).await.map(drop) else {
            panic!("{url} was opened");
        };
        let text = error.to_string();
        assert!(text.contains(cause) && !text.contains("secret"), "{text}");
        assert!(text.starts_with('`'), "names the place: {text}");
    }
}

#[tokio::test]
async fn a_database_without_tables_says_what_to_run() {
    let place = database().await;
    let careful = PostgresSettings {
        migrate: false,
        ..settings(place.url())
    };
    let Err(StoreError::Unavailable(cause)) = PostgresStore::connect(&careful).await.map(drop)
    else {
        panic!("connected without tables");
    };
    assert!(
        cause.to_string().contains("config-server migrate"),
        "{cause}"
    );

    chameleon_store::migrate(place.url()).await.unwrap();
    PostgresStore::connect(&careful).await.unwrap();
}

#[tokio::test]
async fn a_migration_that_hangs_ends_in_bounded_time() {
    let place = PostgresPlace::new().await;
    chameleon_store::migrate(place.0.url()).await.unwrap();
    let impatient = PostgresSettings {
        migrate_timeout: Duration::from_millis(200),
        ..settings(place.0.url())
    };
    let mut holder = place.connection().await;
    let hold = "BEGIN; LOCK TABLE _sqlx_migrations";
    holder.execute(hold).await.unwrap();
    for hung in [
        PostgresStore::migrate(&impatient).await,
        PostgresStore::connect(&impatient).await.map(drop),
    ] {
        assert!(matches!(hung, Err(StoreError::Unavailable(_))), "{hung:?}");
    }
    holder.execute("ROLLBACK").await.unwrap();
    // It has given up the lock that lets one migrate at a time, too.
    chameleon_store::migrate(place.0.url()).await.unwrap();
}

#[tokio::test]
async fn tables_that_are_newer_are_refused_only_if_they_break_this_program() {
    let place = PostgresPlace::new().await;
    chameleon_store::migrate(place.0.url()).await.unwrap();
    place.execute(&[newer(9_998, "9998_adds_something")]).await;
    chameleon_store::migrate(place.0.url()).await.unwrap();
    Replica::at(&place).await.apply(only(put("a", "1"))).await;

    place.execute(&[newer(9_999, "9999_breaking_less")]).await;
    let careful = PostgresSettings {
        migrate: false,
        ..settings(place.0.url())
    };
    for refused in [
        chameleon_store::migrate(place.0.url()).await,
        chameleon_store::open(place.0.url()).await.map(drop),
        PostgresStore::connect(&careful).await.map(drop),
    ] {
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("`9999_breaking_less`"), "{text}");
    }
}

#[tokio::test]
async fn many_may_migrate_at_once() {
    let place = database().await;
    let all = (0..6).map(|_| chameleon_store::migrate(place.url()));
    for done in futures::future::join_all(all).await {
        done.unwrap();
    }
}

#[test]
fn settings_hide_the_password() {
    let settings = PostgresSettings::new("postgres://ada:secret@db/x");
    let shown = format!("{settings:?}");
    assert!(
        shown.contains("ada:***@db") && !shown.contains("secret"),
        "{shown}"
    );
}
