//! Postgres through a pooler in transaction mode, where nothing may rest on a session.

use std::sync::Arc;
use std::time::Duration;

use chameleon_model::{Epoch, Revision};
use chameleon_store::{PostgresSettings, PostgresStore, ReplicaId, Store, StoreError};
use futures::StreamExt as _;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use test_kit::pgbouncer::{PgBouncer, PoolMode};
use test_kit::postgres::{TestDatabase, database};

use crate::place::{Place, Replica, content};
use crate::write::*;

/// Fewer than the stores have together, so that they take turns.
const CONNECTIONS: u32 = 3;

pub(crate) struct PooledPlace {
    database: TestDatabase,
    pooler: PgBouncer,
}

impl PooledPlace {
    async fn behind(mode: PoolMode, connections: u32) -> Self {
        let database = database().await;
        let pooler = PgBouncer::start(&database, mode, connections).await;
        Self { database, pooler }
    }

    async fn connect(&self, settings: PostgresSettings) -> Arc<dyn Store> {
        let connected = PostgresStore::connect(&settings).await;
        Arc::new(connected.expect("connects"))
    }

    /// Never polls, but where notices do not arrive.
    fn settings(&self) -> PostgresSettings {
        PostgresSettings {
            max_connections: 3,
            poll_interval: Duration::from_hours(1),
            ..PostgresSettings::new(&self.pooler.url())
        }
    }

    async fn replica(&self, settings: PostgresSettings) -> Replica {
        let store = self.connect(settings).await;
        let state = store.load().await.expect("the store can be loaded");
        Replica { store, state }
    }
}

impl Place for PooledPlace {
    async fn new() -> Self {
        Self::behind(PoolMode::Transaction, CONNECTIONS).await
    }

    async fn open(&self) -> Arc<dyn Store> {
        self.connect(self.settings()).await
    }

    async fn open_narrow(&self) -> Arc<dyn Store> {
        let narrow = PostgresSettings {
            max_connections: 1,
            timeout: Duration::from_hours(1),
            ..self.settings()
        };
        self.connect(narrow).await
    }

    async fn execute(&self, statements: &[String]) {
        let mut connection = PgConnection::connect(self.database.url()).await.unwrap();
        for statement in statements {
            let statement = AssertSqlSafe(statement.as_str());
            connection.execute(statement).await.expect("is executed");
        }
    }
}

/// Several replicas at once on fewer connections than they have together: each statement of one would
/// meet the prepared statements of another.
#[tokio::test]
#[ignore = "needs PgBouncer: cargo xtask poolers"]
async fn replicas_that_share_sessions_do_not_meet() {
    const WRITES: usize = 60;
    let place = PooledPlace::behind(PoolMode::Transaction, 2).await;
    let mut replicas = Vec::new();
    for _ in 0..4 {
        replicas.push(Replica::at(&place).await);
    }
    let writing = replicas.iter_mut().enumerate().map(async |(n, replica)| {
        let board = replica.store.board().await.unwrap();
        let board = board.expect("Postgres has a board");
        for write in 0..WRITES {
            let key = format!("{n}/{write}");
            replica.apply(request(new_request(), put(&key, "x"))).await;
            // Statements of other shapes in between.
            replica.store.tokens().await.unwrap();
            replica.store.sources().await.unwrap();
            board.sync_reports(10).await.unwrap();
            board.instances(ReplicaId::random()).await.unwrap();
            board.forget_lost((Epoch(1), Revision(1))).await.unwrap();
        }
    });
    futures::future::join_all(writing).await;
    for replica in &mut replicas {
        replica.look().await;
        assert_eq!(replica.state.stamp().revision.0, 4 * WRITES as u64);
    }
    let [first, others @ ..] = &replicas[..] else {
        panic!("there are four");
    };
    for other in others {
        assert_eq!(content(&other.state), content(&first.state));
    }
}

/// The limit that a migration has for its statements would be everybody's.
#[tokio::test]
#[ignore = "needs PgBouncer: cargo xtask poolers"]
async fn nothing_is_left_in_a_shared_session() {
    let place = PooledPlace::behind(PoolMode::Transaction, 1).await;
    let settings = || async {
        let mut connection = place.pooler.connect().await;
        let left = "SELECT concat_ws(' ', current_setting('statement_timeout'), \
                    current_setting('client_min_messages'), \
                    (SELECT count(*) FROM pg_prepared_statements), \
                    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'))";
        let mut tx = connection.begin().await.unwrap();
        let query = sqlx::query_scalar::<_, String>(left).persistent(false);
        query.fetch_one(&mut *tx).await.unwrap()
    };
    let before = settings().await;
    let mut replica = Replica::at(&place).await;
    replica.apply(only(put("a", "1"))).await;
    replica.look().await;
    assert_eq!(settings().await, before);
}

#[tokio::test]
#[ignore = "needs PgBouncer: cargo xtask poolers"]
async fn commits_of_others_are_found_by_the_poll_where_listen_is_dropped() {
    let place = PooledPlace::new().await;
    let mut follower = Replica::at(&place).await;
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

/// Without a poll, only a notice can lead to a commit of another.
async fn hears(place: &PooledPlace, mut follower: Replica) {
    let mut nudges = follower.store.notifications();
    let mut writer = Replica::at(place).await;
    for n in 0..20 {
        let head = writer.apply(only(put("a", &n.to_string()))).await;
        while follower.state.stamp() != head {
            nudges.next().await.expect("the stream goes on");
            follower.look().await;
        }
    }
}

#[tokio::test]
#[ignore = "needs PgBouncer: cargo xtask poolers"]
async fn notices_come_by_a_direct_address_beside_the_pooler() {
    let place = PooledPlace::new().await;
    let settings = PostgresSettings {
        listen_url: Some(place.database.url().to_owned()),
        ..place.settings()
    };
    let follower = place.replica(settings).await;
    hears(&place, follower).await;
}

#[tokio::test]
#[ignore = "needs PgBouncer: cargo xtask poolers"]
async fn notices_come_through_a_pooler_in_session_mode() {
    let place = PooledPlace::behind(PoolMode::Session, 20).await;
    let follower = Replica::at(&place).await;
    hears(&place, follower).await;
}

/// The lock that lets one migrate at a time may not stay in a session that is passed on.
#[tokio::test]
#[ignore = "needs PgBouncer: cargo xtask poolers"]
async fn many_migrate_at_once_through_a_pooler() {
    let place = PooledPlace::behind(PoolMode::Transaction, 2).await;
    for _ in 0..3 {
        let url = place.pooler.url();
        let all = (0..6).map(|_| chameleon_store::migrate(&url));
        for done in futures::future::join_all(all).await {
            done.unwrap();
        }
    }
}

#[tokio::test]
#[ignore = "needs PgBouncer: cargo xtask poolers"]
async fn a_pooler_that_is_gone_is_a_database_that_is_away() {
    let PooledPlace { database, pooler } = PooledPlace::new().await;
    let store = chameleon_store::open(&pooler.url()).await.unwrap();
    let state = store.load().await.unwrap();
    drop(pooler);
    let lost = store.commit(&state, vec![only(put("a", "1"))]).await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    drop(database);
}
