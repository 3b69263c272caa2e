//! Several servers on one Postgres with a real `PgBouncer` in between.

use std::time::Duration;

use config_server::{Limits, Settings};
use test_kit::eventually;
use test_kit::pgbouncer::{PgBouncer, PoolMode};
use test_kit::postgres::database;

use crate::binary::Running;
use crate::support::{BETA, Server, Watch, free_listener, subscribe};

async fn through(pooler: &PgBouncer) -> Server {
    let store = chameleon_store::open(&pooler.url()).await.unwrap();
    let settings = Settings {
        store_kind: "postgres",
        limits: Limits {
            store_timeout: Duration::from_secs(10),
            ..Limits::default()
        },
        ..Settings::default()
    };
    Server::of(settings, store).await
}

/// Both servers write by turns and at once; in the end both serve the same, and so does a watch.
async fn servers_converge(mode: PoolMode, connections: u32) {
    const ROUNDS: u64 = 20;
    let database = database().await;
    let pooler = PgBouncer::start(&database, mode, connections).await;
    let (one, two) = tokio::join!(through(&pooler), through(&pooler));
    let mut watch = Watch::open(&two, subscribe(&[BETA], &[])).await;
    for _ in 0..ROUNDS {
        tokio::join!(one.write("left", "x"), two.write("right", "y"));
        one.delete("/v1/kv/left").await;
        two.delete("/v1/kv/right").await;
    }
    one.write(BETA, "a: 1\n").await;
    watch.until(BETA, Some("a: 1\n")).await;
    let head = one.status().await.head.unwrap();
    assert_eq!(head.revision, 4 * ROUNDS + 1);
    eventually("both have all", async || {
        (two.status().await.head == Some(head)).then_some(())
    })
    .await;
    // What beats beside the commits goes through as well.
    let opened = one.put("/v1/session/create", r#"{"TTL": "10s"}"#).await;
    let opened: serde_json::Value = opened.json().await.unwrap();
    let renew = format!("/v1/session/renew/{}", opened["ID"].as_str().unwrap());
    assert_eq!(two.put(&renew, "").await.status(), 200);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
#[ignore = "needs PgBouncer: cargo xtask poolers"]
async fn servers_converge_through_a_pooler_in_transaction_mode() {
    servers_converge(PoolMode::Transaction, 3).await;
}

#[tokio::test]
#[ignore = "needs PgBouncer: cargo xtask poolers"]
async fn servers_converge_through_a_pooler_in_session_mode() {
    servers_converge(PoolMode::Session, 30).await;
}

#[tokio::test]
#[ignore = "needs PgBouncer: cargo xtask poolers"]
async fn a_pooler_that_drops_notices_is_told_with_what_to_do() {
    let database = database().await;
    let pooler = PgBouncer::start(&database, PoolMode::Transaction, 3).await;
    let folder = tempfile::tempdir().unwrap();
    let free = || free_listener().local_addr().unwrap().to_string();
    let (http, grpc, store) = (free(), free(), pooler.url());
    let arguments = [
        "--http-listen",
        &http,
        "--grpc-listen",
        &grpc,
        "--store",
        &store,
    ];
    let said = Running::start(folder.path(), &arguments).says("notices do not arrive");
    assert!(
        said.contains("WARN") && said.contains("`--store-listen`"),
        "{said}"
    );
}
