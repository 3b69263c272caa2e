//! Transactions of the Consul dialect.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::Server;

async fn txn(server: &Server, operations: Value) -> (StatusCode, Value) {
    let response = server.put("/v1/txn", operations.to_string()).await;
    let status = response.status();
    let text = response.text().await.unwrap();
    let answer = serde_json::from_str(&text).unwrap_or(Value::String(text));
    (status, answer)
}

fn kv(verb: &str, key: &str, more: Value) -> Value {
    let mut step = json!({"Verb": verb, "Key": key});
    let Value::Object(more) = more else {
        panic!("{more} is no object")
    };
    step.as_object_mut().unwrap().extend(more);
    json!({ "KV": step })
}

/// `dmFsdWU=` is `value`.
fn set(key: &str) -> Value {
    kv("set", key, json!({"Value": "dmFsdWU="}))
}

fn result(key: &str, value: &Value, created: u64, modified: u64) -> Value {
    json!({"KV": {"LockIndex": 0, "Key": key, "Flags": 0, "Value": value,
                  "CreateIndex": created, "ModifyIndex": modified}})
}

#[tokio::test]
async fn all_verbs_act_in_order_and_as_one_revision() {
    let server = Server::start().await;
    server.write("a", "old").await;
    let (status, answer) = txn(
        &server,
        json!([
            kv("check-index", "a", json!({"Index": 2})),
            kv("check-not-exists", "b", json!({})),
            set("b"),
            kv("get", "b", json!({})),
            kv("get", "a", json!({})),
            kv("cas", "a", json!({"Index": 2, "Value": "bmV3"})),
            kv("get-or-empty", "nothing", json!({})),
            kv("get-tree", "", json!({})),
            kv("delete", "b", json!({})),
            set("c/1"),
            set("c/2"),
            kv("delete-tree", "c/", json!({})),
            kv("delete-cas", "absent", json!({"Index": 7})),
        ]),
    )
    .await;
    assert_eq!(status, 200, "{answer}");
    let value = json!("dmFsdWU=");
    let expected = json!({"Errors": null, "Results": [
        result("a", &Value::Null, 2, 2),
        result("b", &Value::Null, 3, 3),
        result("b", &value, 3, 3),
        result("a", &json!("b2xk"), 2, 2),
        result("a", &Value::Null, 2, 3),
        result("nothing", &Value::Null, 0, 0),
        result("a", &json!("bmV3"), 2, 3),
        result("b", &value, 3, 3),
        result("c/1", &Value::Null, 3, 3),
        result("c/2", &Value::Null, 3, 3),
    ]});
    assert_eq!(answer, expected);
    assert_eq!(server.status().await.head.unwrap().revision, 2);
    let left = server.get("/v1/kv/?keys").await.text().await.unwrap();
    assert_eq!(left, r#"["a"]"#);
}

#[tokio::test]
async fn every_fault_is_told_and_nothing_applied() {
    let server = Server::start().await;
    server.write("a", "old").await;
    let nobody = "4b9b4b3e-0c0e-4f0a-9d0f-1c2d3e4f5a6b";
    let cases = [
        (set("fine"), ""),
        (kv("get", "z", json!({})), "key \"z\" doesn't exist"),
        (kv("cas", "a", json!({"Index": 9})), "\"a\", index is stale"),
        (kv("cas", "a", json!({"Index": 0})), "\"a\", index is stale"),
        (
            kv("delete-cas", "a", json!({"Index": 9})),
            "\"a\", index is stale",
        ),
        (
            kv("check-index", "a", json!({"Index": 9})),
            "current modify index",
        ),
        (
            kv("check-session", "a", json!({"Session": nobody})),
            "failed session check",
        ),
        (kv("check-not-exists", "a", json!({})), "\"a\" exists"),
        (kv("lock", "a", json!({})), "missing session"),
        (
            kv("lock", "a", json!({"Session": nobody})),
            "invalid session",
        ),
        (
            kv("unlock", "a", json!({"Session": nobody})),
            "lock isn't held, or is held by another session",
        ),
        (kv("mend", "a", json!({})), "unknown KV verb \"mend\""),
        (kv("set", "", json!({})), "Must provide key"),
        (kv("set", "a/../b", json!({})), "`..` segment"),
    ];
    let operations: Vec<_> = cases.iter().map(|(step, _)| step.clone()).collect();
    let (status, answer) = txn(&server, json!(operations)).await;
    assert_eq!(status, 409, "{answer}");
    assert_eq!(answer["Results"], Value::Null);
    let faults = answer["Errors"].as_array().unwrap();
    let failing = cases
        .iter()
        .enumerate()
        .filter(|(_, (_, text))| !text.is_empty());
    for ((index, (_, text)), fault) in failing.zip(faults) {
        assert_eq!(fault["OpIndex"], index, "{fault}");
        let what = fault["What"].as_str().unwrap();
        assert!(what.contains(text), "{index}: {what}");
    }
    assert_eq!(faults.len(), cases.len() - 1);
    assert_eq!(server.get("/v1/kv/fine").await.status(), 404);
    assert_eq!(server.status().await.head.unwrap().revision, 1);
}

#[tokio::test]
async fn bad_transactions_are_refused_whole() {
    let server = Server::start().await;
    let many = vec![set("k"); 129];
    let large = "A".repeat(1024 * 1024);
    for (body, status, text) in [
        ("{".to_owned(), 400, "Failed to parse body"),
        ("{}".to_owned(), 400, "Failed to parse body"),
        (
            r#"[{"KV": {"Key": "a"}}]"#.to_owned(),
            400,
            "Failed to parse body",
        ),
        (
            r#"[{"Node": {"Verb": "get"}}]"#.to_owned(),
            400,
            "operation 0 is no `KV`",
        ),
        (
            json!(many).to_string(),
            413,
            "too many operations (129 > 128)",
        ),
        (
            json!([kv("set", "k", json!({"Value": large}))]).to_string(),
            413,
            "too large",
        ),
        (
            json!([kv(
                "set",
                "config/location-beta.yml",
                json!({"Value": "YTogMQphOiAyCg=="})
            )])
            .to_string(),
            400,
            "config/location-beta.yml:2:1: ",
        ),
    ] {
        let response = server.put("/v1/txn", body).await;
        assert_eq!(response.status(), status, "{text}");
        let told = response.text().await.unwrap();
        assert!(told.contains(text), "{told}");
    }
    let response = server.get("/v1/txn").await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["allow"]),
        (405, &"OPTIONS,PUT".parse().unwrap())
    );
    assert_eq!(server.status().await.head.unwrap().revision, 0);
}

#[tokio::test]
async fn a_transaction_that_only_reads_needs_no_store() {
    let server = Server::start().await;
    server.write("a", "old").await;
    let (status, answer) = txn(&server, json!([kv("get", "a", json!({}))])).await;
    assert_eq!(
        (status.as_u16(), &answer["Results"][0]["KV"]["Value"]),
        (200, &json!("b2xk"))
    );
    let response = server.put("/v1/txn?stale", "[]").await;
    assert_eq!(response.headers()["x-consul-knownleader"], "true");
    assert_eq!(
        response.text().await.unwrap(),
        r#"{"Results":[],"Errors":null}"#
    );
}

#[tokio::test]
async fn a_counter_that_many_raise_loses_nothing() {
    let server = Server::start().await;
    server.write("n", "0").await;
    let raise = async || {
        let mut raised = 0;
        while raised < 5 {
            let read = server.get("/v1/kv/n").await;
            let entry: Value = read.json().await.unwrap();
            let index = entry[0]["ModifyIndex"].as_u64().unwrap();
            let text = entry[0]["Value"].as_str().unwrap().to_owned();
            let number = decoded(&text) + 1;
            let next = encoded(number);
            let cas = json!([kv("cas", "n", json!({"Index": index, "Value": next}))]);
            let (status, _) = txn(&server, cas).await;
            raised += usize::from(status == 200);
        }
    };
    tokio::join!(raise(), raise(), raise(), raise());
    let left = server.get("/v1/kv/n?raw").await.text().await.unwrap();
    assert_eq!(left, "20");
}

fn decoded(text: &str) -> u64 {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap();
    String::from_utf8(bytes).unwrap().parse().unwrap()
}

fn encoded(number: u64) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(number.to_string())
}
