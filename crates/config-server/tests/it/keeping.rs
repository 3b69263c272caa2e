//! History that is forgotten while clients hold old states.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use chameleon_proto::v1;
use chameleon_store::Store;
use config_server::{Keep, Settings};
use reqwest::StatusCode;
use test_kit::eventually;
use tonic::Code;

use crate::support::{Server, Watch, subscribe};

both_stores! {
    who_is_behind_the_floor_gets_a_complete_state,
    old_history_is_forgotten,
    several_servers_may_forget_at_once,
}

fn keeping(history: Option<Duration>, revisions: Option<u64>) -> Settings {
    Settings {
        keep: Keep {
            history,
            revisions: revisions.and_then(NonZeroU64::new),
            every: Duration::from_millis(10),
            ..Keep::default()
        },
        ..Settings::default()
    }
}

/// The revisions of the kept commits, newest first.
async fn kept(server: &Server) -> Vec<u64> {
    let mut client = server.client().await;
    let history = client.history(v1::HistoryRequest::default()).await.unwrap();
    let commits = history.into_inner().commits.into_iter();
    commits
        .map(|commit| commit.stamp.unwrap().revision)
        .collect()
}

async fn kept_are(server: &Server, revisions: &[u64]) {
    let what = format!("the commits {revisions:?} are kept");
    eventually(&what, async || {
        (kept(server).await == revisions).then_some(())
    })
    .await;
}

fn index(response: &reqwest::Response) -> u64 {
    let index = response.headers()["x-consul-index"].to_str().unwrap();
    index.parse().unwrap()
}

async fn who_is_behind_the_floor_gets_a_complete_state(store: Arc<dyn Store>) {
    let server = Server::of(keeping(None, Some(3)), store.clone()).await;
    server.write("old", "lives on").await;
    server.write("gone", "x").await;
    let held = Watch::open(&server, subscribe(&[], &[""])).await.stamp;
    server.delete("/v1/kv/gone").await;
    let deleted = index(&server.get("/v1/kv/gone").await);
    for value in ["1", "2", "3", "4"] {
        server.write("new", value).await;
    }
    kept_are(&server, &[7, 6, 5]).await;
    eventually("the server has forgotten it too", async || {
        let metrics = server.get("/metrics").await.text().await.unwrap();
        metrics
            .contains("chameleon_history_floor 5.0")
            .then_some(())
    })
    .await;

    let outdated = v1::Subscribe {
        last: held,
        ..subscribe(&[], &[""])
    };
    let mut back = Watch::opened(&server, outdated).await.unwrap();
    assert_eq!(back.next().await.base, None, "it lies behind the floor");
    assert_eq!(
        (back.value("old"), back.value("gone"), back.value("new")),
        (Some("lives on"), None, Some("4"))
    );
    // A long poll from before the floor is answered at once.
    let poll = server
        .get(&format!("/v1/kv/gone?index={deleted}&wait=60s"))
        .await;
    assert_eq!(poll.status(), StatusCode::NOT_FOUND);
    assert!(index(&poll) > deleted);

    let mut client = server.client().await;
    let past = v1::ReadRequest {
        prefixes: vec![String::new()],
        revision: 2,
        ..v1::ReadRequest::default()
    };
    let error = client.read(past).await.unwrap_err();
    assert_eq!(error.code(), Code::OutOfRange);
    assert!(
        error.message().contains("revision 2 is not kept"),
        "{error}"
    );
    server.stop().await;

    let server = Server::of(Settings::default(), store).await;
    assert_eq!(
        server.get("/v1/kv/old?raw").await.text().await.unwrap(),
        "lives on"
    );
    assert!(index(&server.get("/v1/kv/gone").await) > deleted);
}

async fn old_history_is_forgotten(store: Arc<dyn Store>) {
    let server = Server::of(keeping(Some(Duration::ZERO), None), store).await;
    for value in ["1", "2", "3", "4"] {
        server.write("a", value).await;
    }
    kept_are(&server, &[4]).await;
    assert_eq!(server.get("/v1/kv/a?raw").await.text().await.unwrap(), "4");
}

async fn several_servers_may_forget_at_once(store: Arc<dyn Store>) {
    let one = Server::of(keeping(None, Some(2)), store.clone()).await;
    let two = Server::of(keeping(None, Some(2)), store).await;
    let mut watch = Watch::open(&two, subscribe(&[], &[""])).await;
    for value in ["1", "2", "3", "4", "5", "6", "7", "8"] {
        one.write("a", value).await;
        two.write("b", value).await;
        two.delete("/v1/kv/b").await;
    }
    one.write("end", "x").await;
    watch.until("end", Some("x")).await;
    assert_eq!((watch.value("a"), watch.value("b")), (Some("8"), None));
    kept_are(&one, &[25, 24]).await;
}
