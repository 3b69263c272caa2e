//! Sessions and locks of the Consul dialect.

use std::time::Duration;

use chameleon_model::{Origin, Transaction};
use reqwest::StatusCode;
use serde_json::{Value, json};
use test_kit::eventually;

use crate::support::Server;

async fn open(server: &Server, description: &Value) -> String {
    let body = description.to_string();
    let response = server.put("/v1/session/create", body).await;
    assert_eq!(response.status(), 200);
    let answer: Value = response.json().await.unwrap();
    answer["ID"].as_str().unwrap().to_owned()
}

async fn json_of(server: &Server, path: &str) -> Value {
    server.get(path).await.json().await.unwrap()
}

async fn put_text(server: &Server, path: &str, body: &'static str) -> (StatusCode, String) {
    let response = server.put(path, body).await;
    (response.status(), response.text().await.unwrap())
}

fn index(response: &reqwest::Response) -> u64 {
    let index = response.headers()["x-consul-index"].to_str().unwrap();
    index.parse().unwrap()
}

#[tokio::test]
async fn a_session_is_described_as_it_was_opened() {
    let server = Server::start().await;
    let description = json!({"Name": "job", "TTL": "15s", "LockDelay": "1s", "Behavior": "delete"});
    let id = open(&server, &description).await;
    let expected = json!([{
        "ID": id, "Name": "job", "Node": "chameleon", "LockDelay": 1_000_000_000, "Behavior": "delete",
        "TTL": "15s", "NodeChecks": ["serfHealth"], "ServiceChecks": null,
        "CreateIndex": 2, "ModifyIndex": 2
    }]);
    for path in [
        format!("/v1/session/info/{id}"),
        "/v1/session/list".to_owned(),
        "/v1/session/node/chameleon".to_owned(),
    ] {
        let response = server.get(&path).await;
        assert_eq!(index(&response), 2, "{path}");
        assert_eq!(response.json::<Value>().await.unwrap(), expected, "{path}");
    }
    let renewed = server.put(&format!("/v1/session/renew/{id}"), "").await;
    assert_eq!(renewed.json::<Value>().await.unwrap(), expected);
    assert_eq!(
        server.status().await.head.unwrap().revision,
        1,
        "a renewal takes no revision"
    );
    for path in ["/v1/session/info/nobody", "/v1/session/node/mars"] {
        assert_eq!(json_of(&server, path).await, json!([]), "{path}");
    }
}

#[tokio::test]
async fn unknown_sessions_are_told_as_consul_does() {
    let server = Server::start().await;
    let nobody = "4b9b4b3e-0c0e-4f0a-9d0f-1c2d3e4f5a6b";
    let renew = format!("/v1/session/renew/{nobody}");
    assert_eq!(
        put_text(&server, &renew, "").await,
        (
            StatusCode::NOT_FOUND,
            format!("Session id '{nobody}' not found")
        )
    );
    let destroy = format!("/v1/session/destroy/{nobody}");
    assert_eq!(
        put_text(&server, &destroy, "").await,
        (StatusCode::OK, "true".to_owned())
    );
    let (status, text) = put_text(&server, "/v1/session/create", r#"{"TTL": "1s"}"#).await;
    assert_eq!(status, 500);
    assert!(text.contains("Invalid Session TTL '1s'"), "{text}");
    let (status, text) = put_text(&server, "/v1/session/create", "{").await;
    assert_eq!(status, 400);
    assert!(text.starts_with("Request decode failed"), "{text}");
}

#[tokio::test]
async fn the_end_of_a_session_frees_or_deletes_what_it_held() {
    let server = Server::start().await;
    let releasing = open(&server, &json!({"LockDelay": 0})).await;
    let deleting = open(&server, &json!({"LockDelay": 0, "Behavior": "delete"})).await;
    for (key, session) in [("left", &releasing), ("gone", &deleting)] {
        let lock = format!("/v1/kv/{key}?acquire={session}");
        assert_eq!(put_text(&server, &lock, "mine").await.1, "true");
    }
    let held = json_of(&server, "/v1/kv/left").await;
    assert_eq!(
        (&held[0]["Session"], &held[0]["LockIndex"]),
        (&json!(releasing), &json!(1))
    );
    for session in [&releasing, &deleting] {
        let destroy = format!("/v1/session/destroy/{session}");
        assert_eq!(put_text(&server, &destroy, "").await.1, "true");
    }
    let left = json_of(&server, "/v1/kv/left").await;
    assert_eq!(
        (left[0].get("Session"), &left[0]["LockIndex"]),
        (None, &json!(1))
    );
    assert_eq!(server.get("/v1/kv/gone").await.status(), 404);
}

#[tokio::test]
async fn a_lock_waits_for_the_lock_delay_of_a_lost_holder() {
    let server = Server::start().await;
    let lost = open(&server, &json!({"LockDelay": "30s"})).await;
    let other = open(&server, &json!({})).await;
    let acquire = |session: &str| format!("/v1/kv/lock?acquire={session}");
    assert_eq!(put_text(&server, &acquire(&lost), "1").await.1, "true");
    assert_eq!(put_text(&server, &acquire(&other), "2").await.1, "false");
    server.put(&format!("/v1/session/destroy/{lost}"), "").await;
    assert_eq!(
        put_text(&server, &acquire(&other), "2").await.1,
        "false",
        "the delay runs"
    );
    let lock = json!([{"KV": {"Verb": "lock", "Key": "lock", "Session": other}}]).to_string();
    let response = server.put("/v1/txn", lock).await;
    assert_eq!(response.status(), 409);
    let text = response.text().await.unwrap();
    assert!(text.contains("due to lock delay"), "{text}");

    // Given back cleanly, it is free at once.
    let clean = open(&server, &json!({"LockDelay": "30s"})).await;
    let release = format!("/v1/kv/other?release={clean}");
    let acquire = |session: &str| format!("/v1/kv/other?acquire={session}");
    assert_eq!(put_text(&server, &acquire(&clean), "1").await.1, "true");
    assert_eq!(put_text(&server, &release, "1").await.1, "true");
    assert_eq!(put_text(&server, &acquire(&other), "2").await.1, "true");
}

#[tokio::test]
async fn a_list_of_sessions_can_be_waited_on() {
    let server = Server::start().await;
    open(&server, &json!({})).await;
    let first = index(&server.get("/v1/session/list").await);
    let path = format!("/v1/session/list?index={first}&wait=5m");
    let (response, id) = tokio::join!(server.get(&path), async {
        // A key's change does not answer it, a session's does.
        server.write("k", "v").await;
        open(&server, &json!({"Name": "second"})).await
    });
    assert!(index(&response) > first);
    assert!(response.text().await.unwrap().contains(&id));
}

/// A store whose clock a test may turn, by moving a session's last renewal into the past.
#[tokio::test]
async fn a_session_that_is_not_renewed_ends_for_all_servers() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let address = format!("sqlite://{}", file.display());
    let store = chameleon_store::open(&address).await.unwrap();
    let base = store.load().await.unwrap();
    let id = chameleon_model::SessionId(uuid::Uuid::new_v4());
    let session = chameleon_model::Session {
        id,
        name: String::new(),
        behavior: chameleon_model::SessionBehavior::Release,
        // So short that no client may ask for it, so that the test need not wait for a long one.
        ttl: Some(Duration::from_millis(200)),
        lock_delay: Duration::ZERO,
        opened_by: String::new(),
        create_revision: chameleon_model::Revision::ZERO,
    };
    let opened = Transaction {
        operations: vec![
            chameleon_model::Operation::OpenSession(session),
            chameleon_model::Operation::Lock {
                key: chameleon_model::Key::new("lock").unwrap(),
                value: "held".into(),
                flags: 0,
                session: id,
            },
        ],
        origin: Origin::default(),
        ..Transaction::default()
    };
    store.commit(&base, vec![opened]).await.unwrap();
    let server = Server::of(config_server::Settings::default(), store).await;
    eventually("the session has ended", async || {
        let list = json_of(&server, "/v1/session/list").await;
        (list == json!([])).then_some(())
    })
    .await;
    let free = json_of(&server, "/v1/kv/lock").await;
    assert_eq!(free[0].get("Session"), None);
}
