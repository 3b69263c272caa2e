//! Several servers on one Postgres, and a Postgres that goes away.

use std::time::Duration;

use config_server::{Limits, Settings};
use test_kit::{FaultProxy, eventually, postgres};

use crate::support::{BETA, Server, Watch, subscribe};

async fn on(url: &str) -> Server {
    let store = chameleon_store::open(url).await.unwrap();
    let settings = Settings {
        store_kind: "postgres",
        limits: Limits {
            store_timeout: Duration::from_secs(2),
            ..Limits::default()
        },
        ..Settings::default()
    };
    Server::of(settings, store).await
}

#[tokio::test]
async fn a_commit_on_one_server_is_seen_by_a_watcher_of_the_other() {
    let database = postgres::database().await;
    let (one, two) = (on(database.url()).await, on(database.url()).await);
    let mut watch = Watch::open(&two, subscribe(&[BETA], &[])).await;
    for round in ["a: 1\n", "a: 2\n", "a: 3\n"] {
        one.write(BETA, round).await;
        watch.until(BETA, Some(round)).await;
    }
    // A server that is behind still decides on the newest state.
    two.write("elsewhere", "x").await;
    let head = two.status().await.head.unwrap();
    assert_eq!(head.revision, 4);
    eventually("the other has followed", async || {
        (one.status().await.head == Some(head)).then_some(())
    })
    .await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_client_resumes_at_another_server() {
    let database = postgres::database().await;
    let (one, two) = (on(database.url()).await, on(database.url()).await);
    one.write("a", "x").await;
    let mut there = Watch::open(&two, subscribe(&["a"], &[])).await;
    there.until("a", Some("x")).await;
    let watch = Watch::open(&one, subscribe(&["a"], &[])).await;
    let again = chameleon_proto::v1::Subscribe {
        last: watch.stamp,
        ..subscribe(&["a"], &[])
    };
    let mut back = Watch::opened(&two, again).await.unwrap();
    let received = back.next().await;
    assert_eq!((received.base, received.puts), (watch.stamp, 0));
}

#[tokio::test]
async fn without_its_database_a_server_goes_on_reading_and_recovers() {
    let database = postgres::database().await;
    let (host, port) = database.server_address();
    let proxy = FaultProxy::start((host, port)).await;
    let server = on(&database.url_through(&proxy)).await;
    let other = on(database.url()).await;
    server.write("a", "before").await;
    let mut watch = Watch::open(&server, subscribe(&["a"], &[])).await;

    proxy.cut().await;
    eventually("the loss is noticed", async || {
        let _ = server.put("/v1/kv/a", "lost").await;
        (!server.status().await.store_available).then_some(())
    })
    .await;
    let refused = server.put("/v1/kv/a", "lost").await;
    assert_eq!(refused.status(), 503);
    assert!(refused.text().await.unwrap().contains("the database"));
    let read = server.get("/v1/kv/a?raw").await;
    assert_eq!(read.headers()["x-consul-knownleader"], "false");
    assert_eq!(read.text().await.unwrap(), "before");
    assert_eq!(
        server.get("/v1/status/leader").await.text().await.unwrap(),
        "\"\""
    );
    let ready = server.get("/health/ready").await;
    assert_eq!(ready.status(), 200);
    assert!(ready.text().await.unwrap().contains("warning"));
    let metrics = server.get("/metrics").await.text().await.unwrap();
    assert!(
        metrics
            .lines()
            .any(|line| line == "chameleon_store_available 0.0"),
        "{metrics}"
    );
    let mut elsewhere = Watch::open(&other, subscribe(&["a"], &[])).await;
    elsewhere.until("a", Some("before")).await;
    other.write("a", "meanwhile").await;
    proxy.heal();
    watch.until("a", Some("meanwhile")).await;
    eventually("writes succeed again", async || {
        let response = server.put("/v1/kv/a", "after").await;
        (response.status() == 200).then_some(())
    })
    .await;
    watch.until("a", Some("after")).await;
}

#[tokio::test]
async fn a_database_that_hangs_fails_writes_in_bounded_time() {
    let database = postgres::database().await;
    let (host, port) = database.server_address();
    let proxy = FaultProxy::start((host, port)).await;
    let server = on(&database.url_through(&proxy)).await;
    server.write("a", "before").await;
    proxy.stall();
    let refused = server.put("/v1/kv/a", "maybe").await;
    assert_eq!(refused.status(), 503);
    assert_eq!(
        server.get("/v1/kv/a?raw").await.text().await.unwrap(),
        "before"
    );
    proxy.heal();
    eventually("writes succeed again", async || {
        let response = server.put("/v1/kv/b", "after").await;
        (response.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_database_that_is_not_there_is_one_clear_line() {
    let proxy = FaultProxy::start("127.0.0.1:9").await;
    proxy.cut().await;
    let url = format!("postgres://ada:secret@{}/none", proxy.addr());
    let error = chameleon_store::open(&url)
        .await
        .err()
        .expect("there is none");
    let text = format!("{:#}", anyhow::Error::from(error).context("open the store"));
    assert!(text.starts_with("open the store: the database"), "{text}");
    assert!(!text.contains('\n') && !text.contains("secret"), "{text}");
}
