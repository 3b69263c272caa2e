//! What a read may lack of what was acknowledged before: at the same server nothing, at another
//! nothing that was asked for consistently.

use std::sync::Arc;
use std::time::Duration;

use chameleon_proto::v1;
use chameleon_store::Store;
use config_server::Settings;
use futures::TryStreamExt as _;
use tonic::Code;

use crate::store_faults::Gate;
use crate::support::{Server, Watch, commit, put, subscribe};

both_stores! {
    a_consistent_read_has_what_another_server_acknowledged,
    a_consistent_read_fails_while_the_database_is_away,
    a_server_answers_its_own_writes_on_every_face_at_once,
}

/// Two servers; the second hears of nothing.
async fn one_and_deaf(behind: Arc<dyn Store>) -> (Server, Server, Arc<Gate>) {
    let gate = Gate::before(Arc::clone(&behind), Duration::ZERO);
    let one = Server::of(Settings::default(), behind).await;
    let two = Server::of(Settings::default(), gate.clone()).await;
    (one, two, gate)
}

async fn text(server: &Server, path: &str) -> (u16, String) {
    let response = server.get(path).await;
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn read(server: &Server, key: &str, consistent: bool) -> Result<Vec<String>, tonic::Status> {
    let request = v1::ReadRequest {
        keys: vec![key.to_owned()],
        consistent,
        ..v1::ReadRequest::default()
    };
    let states = server.client().await.read(request).await?.into_inner();
    let states: Vec<_> = states.try_collect().await?;
    let puts = states.into_iter().flat_map(|state| state.puts);
    Ok(puts
        .map(|entry| String::from_utf8(entry.value.to_vec()).unwrap())
        .collect())
}

async fn a_consistent_read_has_what_another_server_acknowledged(behind: Arc<dyn Store>) {
    let (one, two, _gate) = one_and_deaf(behind).await;
    for key in ["raw", "list", "keys", "blocking", "txn", "grpc"] {
        one.write(key, "new").await;
        let (status, _) = text(&two, &format!("/v1/kv/{key}?raw")).await;
        assert_eq!(status, 404, "{key}: nobody told it");
        match key {
            "raw" => {
                let found = text(&two, "/v1/kv/raw?raw&consistent").await;
                assert_eq!(found, (200, "new".to_owned()));
            }
            "list" => {
                let (_, list) = text(&two, "/v1/kv/list?recurse&consistent").await;
                assert!(list.contains(r#""Key":"list""#), "{list}");
            }
            "keys" => {
                let (_, keys) = text(&two, "/v1/kv/keys?keys&consistent=").await;
                assert_eq!(keys, r#"["keys"]"#);
            }
            // It does not wait for a change that has come.
            "blocking" => {
                let path = "/v1/kv/blocking?raw&consistent&index=1&wait=10m";
                assert_eq!(text(&two, path).await, (200, "new".to_owned()));
            }
            "txn" => {
                let body = r#"[{"KV": {"Verb": "get", "Key": "txn"}}]"#;
                assert_eq!(two.put("/v1/txn", body).await.status(), 409);
                let found = two.put("/v1/txn?consistent", body).await;
                assert_eq!(found.status(), 200);
            }
            _ => {
                assert!(read(&two, "grpc", false).await.unwrap().is_empty());
                assert_eq!(read(&two, "grpc", true).await.unwrap(), ["new"]);
            }
        }
    }
    let opened = one.put("/v1/session/create", "{}").await;
    assert_eq!(opened.status(), 200);
    assert_eq!(text(&two, "/v1/session/list").await.1, "[]");
    let (_, sessions) = text(&two, "/v1/session/list?consistent").await;
    assert!(sessions.contains(r#""ID""#), "{sessions}");
}

async fn a_consistent_read_fails_while_the_database_is_away(behind: Arc<dyn Store>) {
    let (_one, two, gate) = one_and_deaf(behind).await;
    two.write("a", "x").await;
    gate.take_away();
    // The first finds out, the second knows.
    for _ in 0..2 {
        let (status, reason) = text(&two, "/v1/kv/a?raw&consistent").await;
        assert_eq!(status, 503);
        assert!(reason.contains("the database is unavailable"), "{reason}");
        let refused = read(&two, "a", true).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
    }
    for path in ["/v1/kv/a?raw", "/v1/kv/a?raw&stale"] {
        assert_eq!(text(&two, path).await, (200, "x".to_owned()));
    }
    gate.bring_back();
    test_kit::eventually("consistent reads succeed", async || {
        let (status, _) = text(&two, "/v1/kv/a?raw&consistent").await;
        (status == 200).then_some(())
    })
    .await;
    let mut client = two.client().await;
    let past = v1::ReadRequest {
        keys: vec!["a".to_owned()],
        revision: 1,
        consistent: true,
        ..v1::ReadRequest::default()
    };
    let refused = client.read(past).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

async fn a_server_answers_its_own_writes_on_every_face_at_once(store: Arc<dyn Store>) {
    let server = Server::of(Settings::default(), store).await;
    for round in 0..20 {
        let value = format!("{round}");
        if round % 2 == 0 {
            let written = server.put("/v1/kv/a/b", value.clone()).await;
            assert_eq!(written.status(), 200);
        } else {
            let operations = vec![put("a/b", value.clone())];
            let header = v1::CommitHeader::default();
            commit(&server, header, operations).await.unwrap();
        }
        let raw = text(&server, "/v1/kv/a/b?raw&stale").await;
        assert_eq!(raw, (200, value.clone()));
        let (_, list) = text(&server, "/v1/kv/a/?recurse").await;
        let found: serde_json::Value = serde_json::from_str(&list).unwrap();
        let index = found[0]["ModifyIndex"].as_u64().unwrap();
        let body = r#"[{"KV": {"Verb": "get", "Key": "a/b"}}]"#;
        let answer = server.put("/v1/txn", body).await;
        let answer: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(answer["Results"][0]["KV"]["ModifyIndex"], index);
        let grpc = read(&server, "a/b", false).await.unwrap();
        assert_eq!(grpc.as_slice(), std::slice::from_ref(&value));
        let watch = Watch::open(&server, subscribe(&["a/b"], &[])).await;
        assert_eq!(watch.value("a/b"), Some(&*value));
        assert_eq!(server.status().await.head, watch.stamp);
    }
}
