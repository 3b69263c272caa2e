//! A server that starts while its database is away, or finds another one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chameleon_proto::v1;
use chameleon_store::Store;
use config_server::{Listeners, Settings};
use reqwest::{Method, StatusCode};
use service_kit::Lifecycle;
use test_kit::eventually;

use crate::store_faults::{Gate, memory};
use crate::support::{BETA, BOOTSTRAP, Server, Watch, commit, free_listener, put, subscribe};

both_stores! {
    without_the_database_the_last_state_is_served_read_only,
    what_was_missed_on_disk_is_caught_up_at_the_start,
    an_earlier_database_gets_an_epoch_above_the_snapshots,
    an_earlier_database_that_comes_later_gets_one_too,
    a_damaged_snapshot_is_ignored,
    known_tokens_go_on_without_the_database,
}

fn gate(behind: Arc<dyn Store>) -> Arc<Gate> {
    Gate::before(behind, Duration::ZERO)
}

fn kept_in(folder: &Path) -> Settings {
    Settings {
        snapshot: Some(folder.join("state.snapshot")),
        ..Settings::default()
    }
}

async fn without_the_database_the_last_state_is_served_read_only(behind: Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let gate = gate(behind);
    let server = Server::of(kept_in(folder.path()), gate.clone()).await;
    let source = v1::CommitHeader {
        source: Some(v1::SourceUpdate {
            name: "main".to_owned(),
            commit: "c0ffee00".repeat(5),
            profiles: vec!["beta".to_owned()],
            ..v1::SourceUpdate::default()
        }),
        ..v1::CommitHeader::default()
    };
    commit(&server, source, vec![put(BETA, "a: 1\n")])
        .await
        .unwrap();
    server.write("gone", "x").await;
    server.delete("/v1/kv/gone").await;
    let watch = Watch::open(&server, subscribe(&[], &[""])).await;
    let sources = sources(&server).await;
    server.stop().await;

    gate.take_away();
    let server = Server::of(kept_in(folder.path()), gate.clone()).await;
    let read = server.get(&format!("/v1/kv/{BETA}?raw")).await;
    assert_eq!(read.headers()["x-consul-knownleader"], "false");
    let age = read.headers()["x-consul-lastcontact"].to_str().unwrap();
    assert!(age.parse::<u64>().is_ok(), "{age}");
    assert_eq!(read.text().await.unwrap(), "a: 1\n");
    assert_eq!(server.put("/v1/kv/new", "x").await.status(), 503);
    let ready = server.get("/health/ready").await;
    assert_eq!(ready.status(), StatusCode::OK);
    assert!(ready.text().await.unwrap().contains("warning"));
    let status = server.status().await;
    assert_eq!((status.head, status.store_available), (watch.stamp, false));
    assert_eq!(self::sources(&server).await, sources);
    // Who holds the state already gets nothing, and then what comes.
    let resumed = v1::Subscribe {
        last: watch.stamp,
        ..subscribe(&[], &[""])
    };
    let mut back = Watch::opened(&server, resumed).await.unwrap();
    let first = back.next().await;
    assert_eq!((first.base, first.puts), (watch.stamp, 0));

    let other = Server::of(Settings::default(), gate.behind()).await;
    other.write("meanwhile", "x").await;
    gate.bring_back();
    back.until("meanwhile", Some("x")).await;
    assert_eq!(server.put("/v1/kv/new", "x").await.status(), 200);
    assert!(server.status().await.store_available);
}

async fn sources(server: &Server) -> Vec<v1::Source> {
    let mut client = server.client().await;
    let answer = client.sources(v1::SourcesRequest {}).await.unwrap();
    answer.into_inner().sources
}

async fn what_was_missed_on_disk_is_caught_up_at_the_start(behind: Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::of(kept_in(folder.path()), behind.clone()).await;
    server.write("a", "1").await;
    server.stop().await;
    let other = Server::of(Settings::default(), behind.clone()).await;
    other.write("a", "2").await;
    let head = other.status().await.head;
    other.stop().await;

    let server = Server::of(kept_in(folder.path()), behind).await;
    assert_eq!(server.status().await.head, head);
    let read = server.get("/v1/kv/a?raw").await;
    assert_eq!(read.headers()["x-consul-knownleader"], "true");
    assert_eq!(read.text().await.unwrap(), "2");
}

/// Leaves a snapshot of a state that no other store has, and returns its name.
async fn kept_of_another(folder: &Path) -> v1::Stamp {
    let server = Server::of(kept_in(folder), memory().await).await;
    for value in ["1", "2", "3"] {
        server.write("a", value).await;
    }
    let head = server.status().await.head.unwrap();
    server.stop().await;
    head
}

async fn with_one_write(behind: &Arc<dyn Store>) {
    let writer = Server::of(Settings::default(), Arc::clone(behind)).await;
    writer.write("a", "restored").await;
    writer.stop().await;
}

async fn an_earlier_database_gets_an_epoch_above_the_snapshots(behind: Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let held = kept_of_another(folder.path()).await;
    with_one_write(&behind).await;
    let server = Server::of(kept_in(folder.path()), behind.clone()).await;
    let found = server.status().await.head.unwrap();
    assert!(found.epoch > held.epoch && found.revision < held.revision);
    let outdated = v1::Subscribe {
        last: Some(held),
        ..subscribe(&["a"], &[])
    };
    let mut watch = Watch::opened(&server, outdated).await.unwrap();
    assert_eq!(watch.next().await.base, None);
    assert_eq!(watch.value("a"), Some("restored"));
    server.stop().await;

    // The epoch is the database's from now on, and the next start finds nothing new.
    let server = Server::of(kept_in(folder.path()), behind).await;
    assert_eq!(server.status().await.head, Some(found));
}

async fn an_earlier_database_that_comes_later_gets_one_too(behind: Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let held = kept_of_another(folder.path()).await;
    with_one_write(&behind).await;
    let gate = gate(behind);
    gate.take_away();
    let server = Server::of(kept_in(folder.path()), gate.clone()).await;
    let mut watch = Watch::open(&server, subscribe(&["a"], &[])).await;
    assert_eq!((watch.stamp, watch.value("a")), (Some(held), Some("3")));
    gate.bring_back();
    watch.until("a", Some("restored")).await;
    assert!(watch.stamp.unwrap().epoch > held.epoch);
}

async fn known_tokens_go_on_without_the_database(behind: Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let guarded = Settings {
        token: Some(BOOTSTRAP.into()),
        ..kept_in(folder.path())
    };
    let gate = gate(behind);
    let server = Server::of(guarded.clone(), gate.clone()).await;
    let team = server.token("team", &["write:teams/a/"]).await;
    let revoked = server.token("revoked", &["write:teams/a/"]).await;
    let short = v1::CreateTokenRequest {
        name: "short".to_owned(),
        rules: vec!["write:teams/a/".to_owned()],
        lives_ms: 3_000,
    };
    let short = server.tokens().await.create(short).await.unwrap();
    let short = short.into_inner().secret;
    let name = v1::RevokeTokenRequest {
        name: "revoked".to_owned(),
    };
    server.tokens().await.revoke(name).await.unwrap();
    for key in ["teams/a/x", "teams/b/x"] {
        let path = format!("/v1/kv/{key}");
        let (status, text) = server.consul(BOOTSTRAP, Method::PUT, &path, "x").await;
        assert_eq!(status, 200, "{text}");
    }
    server.stop().await;
    let kept = std::fs::read(guarded.snapshot.as_ref().unwrap()).unwrap();
    for secret in [&team, BOOTSTRAP] {
        let shown = |bytes: &[u8]| bytes == secret.as_bytes();
        assert!(!kept.windows(secret.len()).any(shown), "hashes only");
    }

    gate.take_away();
    let server = Server::of(guarded, gate.clone()).await;
    let read = async |token: &str, key: &str| {
        let path = format!("/v1/kv/{key}?raw");
        server.consul(token, Method::GET, &path, "").await.0
    };
    assert_eq!(read(&team, "teams/a/x").await, 200);
    assert_eq!(read(&team, "teams/b/x").await, 403);
    assert_eq!(read(&revoked, "teams/a/x").await, 403);
    assert_eq!(read("never-was-any-such", "teams/a/x").await, 403);
    assert_eq!(read(BOOTSTRAP, "teams/b/x").await, 200);
    eventually("its time is over", async || {
        (read(&short, "teams/a/x").await == 403).then_some(())
    })
    .await;
    assert_eq!(read(&team, "teams/a/x").await, 200);
    gate.bring_back();
    eventually("tokens can be made again", async || {
        let rules = vec!["read:teams/a/".to_owned()];
        let more = v1::CreateTokenRequest {
            name: "more".to_owned(),
            rules,
            lives_ms: 0,
        };
        server.tokens().await.create(more).await.ok()
    })
    .await;
    assert_eq!(read(&team, "teams/a/x").await, 200);
}

async fn a_damaged_snapshot_is_ignored(behind: Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let settings = kept_in(folder.path());
    let path = settings.snapshot.clone().unwrap();
    with_one_write(&behind).await;
    let server = Server::of(settings.clone(), behind.clone()).await;
    server.stop().await;
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();

    // Without the database there is nothing to serve now.
    let gate = gate(behind);
    gate.take_away();
    let listeners = Listeners {
        http: free_listener(),
        grpc: free_listener(),
        admin: None,
    };
    let lifecycle = Lifecycle::default();
    let error = config_server::start(settings.clone(), gate.clone(), listeners, &lifecycle).await;
    let text = format!("{:#}", error.unwrap_err());
    assert_eq!(
        text,
        "load the state: the database is unavailable: it was taken away"
    );

    // With it nothing is wrong, and the next snapshot is good.
    gate.bring_back();
    let server = Server::of(settings.clone(), gate.clone()).await;
    server.stop().await;
    gate.take_away();
    let server = Server::of(settings, gate).await;
    assert_eq!(
        server.get("/v1/kv/a?raw").await.text().await.unwrap(),
        "restored"
    );
}

#[tokio::test]
async fn the_snapshot_is_written_while_serving() {
    let folder = tempfile::tempdir().unwrap();
    let settings = kept_in(folder.path());
    let path = settings.snapshot.clone().unwrap();
    let _server = Server::of(settings, memory().await).await;
    eventually("there is a snapshot", async || path.exists().then_some(())).await;
}
