//! Bad input: each gives one clear line and the right status, and changes nothing.

use chameleon_model::document::Profile;
use chameleon_proto::v1;
use config_server::{Limits, Settings};
use reqwest::Method;
use tonic::Code;

use crate::support::{BETA, Server, Watch, commit, put, requests, subscribe};

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table")]
async fn calls_of_the_consul_dialect() {
    let server = Server::start().await;
    server.write(BETA, "aMapPercentage: 100\n").await;
    let beta = format!("/v1/kv/{BETA}");
    let long = format!("/v1/kv/{}", "k".repeat(600));
    let too_much = "x".repeat(512 * 1024 + 1);
    let cases: Vec<(&str, &str, &str, u16, &str)> = vec![
        (
            "PUT",
            &beta,
            "a: 1\nb: [\n",
            400,
            "config/location-beta.yml:",
        ),
        (
            "PUT",
            &beta,
            "a: 1\na: 2\n",
            400,
            "config/location-beta.yml:2:1: ",
        ),
        ("PUT", &beta, "on: yes\n", 400, "quote it"),
        ("PUT", "/v1/kv/k", &too_much, 413, "524288"),
        ("PUT", "/v1/kv/k", &too_much, 413, "524289"),
        ("PUT", "/v1/kv/", "x", 400, "Missing key name"),
        ("PUT", "/v1/kv/a%2F..%2Fb", "x", 400, "`..` segment"),
        (
            "PUT",
            "/v1/kv/a%0Ab",
            "x",
            400,
            "`a\\nb` has a control character",
        ),
        ("PUT", "/v1/kv/a%00b", "x", 400, "control character"),
        ("PUT", "/v1/kv/a%7Fb", "x", 400, "control character"),
        ("PUT", "/v1/kv/a%C2%85b", "x", 400, "control character"),
        ("GET", "/v1/kv/a%1Bb", "", 400, "control character"),
        ("DELETE", "/v1/kv/a%09b", "", 400, "control character"),
        ("PUT", "/v1/kv/%FF", "x", 400, "not UTF-8"),
        ("PUT", "/v1/kv/k?flags=-1", "x", 500, "parsing \"-1\""),
        ("PUT", "/v1/kv/k?cas=x", "x", 500, "parsing \"x\""),
        ("PUT", "/v1/kv/k?cas", "x", 500, "parsing \"\""),
        (
            "PUT",
            "/v1/kv/k?cas=1&acquire=x",
            "x",
            400,
            "Conflicting flags",
        ),
        (
            "PUT",
            "/v1/kv/k?acquire=nobody",
            "x",
            500,
            "invalid session \"nobody\"",
        ),
        ("PUT", "/v1/kv/k?acquire=", "x", 500, "missing session"),
        (
            "PUT",
            "/v1/kv/k?acquire=4b9b4b3e-0c0e-4f0a-9d0f-1c2d3e4f5a6b",
            "x",
            500,
            "invalid session \"4b9b4b3e-0c0e-4f0a-9d0f-1c2d3e4f5a6b\"",
        ),
        ("PUT", "/v1/kv/k?dc=mars", "x", 500, "No path to datacenter"),
        ("DELETE", "/v1/kv/", "", 400, "Missing key name"),
        (
            "DELETE",
            "/v1/kv/k?recurse&cas=1",
            "",
            400,
            "Conflicting flags: cas=1&recurse=",
        ),
        ("DELETE", "/v1/kv/k?cas=", "", 500, "parsing \"\""),
        ("GET", "/v1/kv/", "", 400, "Missing key name"),
        ("GET", "/v1/kv/k?index=-1", "", 400, "Invalid index"),
        (
            "GET",
            "/v1/kv/k?index=18446744073709551616",
            "",
            400,
            "Invalid index",
        ),
        (
            "GET",
            "/v1/kv/k?index=1&wait=5",
            "",
            400,
            "Invalid wait time",
        ),
        (
            "GET",
            "/v1/kv/k?stale&consistent",
            "",
            400,
            "conflicting semantics",
        ),
        ("GET", "/v1/kv/k?dc=mars", "", 500, "No path to datacenter"),
        ("GET", "/v1/kv/k?max_stale=5", "", 400, "Invalid max_stale"),
        ("PUT", &long, "x", 400, "the key has 600 bytes"),
        ("GET", &long, "", 400, "the key has 600 bytes"),
        ("DELETE", &long, "", 400, "the key has 600 bytes"),
        ("GET", "/v1/catalog/nodes?index=x", "", 400, "Invalid index"),
        (
            "GET",
            "/v1/catalog/datacenters?wait=5",
            "",
            400,
            "Invalid wait time",
        ),
        (
            "GET",
            "/v1/catalog/nodes?stale&consistent",
            "",
            400,
            "conflicting semantics",
        ),
        (
            "GET",
            "/v1/status/leader?dc=mars",
            "",
            500,
            "No path to datacenter",
        ),
        ("POST", "/v1/kv/k", "", 405, "method POST not allowed"),
        (
            "GET",
            "/v1/acl/tokens",
            "",
            404,
            "`/v1/acl/tokens` is not served here",
        ),
        ("PUT", "/v1/txn", "{", 400, "Failed to parse body"),
        (
            "PUT",
            "/v1/session/renew/4b9b4b3e-0c0e-4f0a-9d0f-1c2d3e4f5a6b",
            "",
            404,
            "Session id '4b9b4b3e-0c0e-4f0a-9d0f-1c2d3e4f5a6b' not found",
        ),
        ("GET", "/elsewhere", "", 404, "there is nothing here"),
    ];
    for (method, path, body, status, text) in cases {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = server.request(method.clone(), path).body(body.to_owned());
        let response = request.send().await.unwrap();
        let got = response.status().as_u16();
        let headers = response.headers().clone();
        let answer = response.text().await.unwrap();
        assert!(
            got == status && answer.contains(text),
            "{method} {path}: {got} {answer}"
        );
        assert!(
            headers["content-type"]
                .to_str()
                .unwrap()
                .starts_with("text/plain"),
            "{path}"
        );
        if status == 405 {
            assert_eq!(headers["allow"], "OPTIONS,GET,PUT,DELETE");
        }
    }
    let status = server.status().await;
    assert_eq!(status.head.unwrap().revision, 1, "something was changed");
    let value = server
        .get(&format!("{beta}?raw"))
        .await
        .text()
        .await
        .unwrap();
    assert_eq!(value, "aMapPercentage: 100\n");
}

#[tokio::test]
async fn what_looks_bad_and_is_none_is_served() {
    let server = Server::start().await;
    let longest = format!("/v1/kv/{}", "k".repeat(512));
    let value = "x".repeat(512 * 1024);
    let many = |count: usize| {
        let steps: Vec<_> = (0..count)
            .map(|step| format!(r#"{{"KV": {{"Verb": "set", "Key": "many/{count}/{step}"}}}}"#))
            .collect();
        format!("[{}]", steps.join(","))
    };
    for (method, path, body, status) in [
        (Method::PUT, longest.as_str(), value, 200),
        (Method::PUT, "/v1/txn", many(65), 200),
        (Method::PUT, "/v1/txn", many(128), 200),
        // Consul's largest index is waited for, in vain; a wait without an index is none.
        (
            Method::GET,
            "/v1/kv/none?index=18446744073709551615&wait=1ms",
            String::new(),
            404,
        ),
        (Method::GET, "/v1/kv/none?wait=99h", String::new(), 404),
        (
            Method::GET,
            "/v1/kv/many/65?recurse=false",
            String::new(),
            200,
        ),
    ] {
        let response = server.request(method, path).body(body).send().await;
        let response = response.unwrap();
        assert_eq!(response.status(), status, "{path}");
    }
    // `recurse` counts whatever its value: here it deletes.
    let deleted = server.delete("/v1/kv/many/65?recurse=false").await;
    assert_eq!(deleted.text().await.unwrap(), "true");
    let left = server.get("/v1/kv/many/?keys").await.text().await.unwrap();
    assert_eq!(left.matches("many/128/").count(), 128);
    assert!(!left.contains("many/65/"), "{left}");
}

#[tokio::test]
async fn a_wait_of_days_ends_with_the_change() {
    let server = Server::start().await;
    let waiting = server.get("/v1/kv/a?index=1&wait=99h");
    let change = async {
        test_kit::eventually("the poll waits", async || {
            (server.status().await.watches == 1).then_some(())
        })
        .await;
        server.write("a", "x").await;
    };
    let (response, ()) = tokio::join!(waiting, change);
    assert_eq!(response.status(), 200);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table")]
async fn native_calls() {
    let limits = Limits {
        transaction_bytes: 2 * 1024 * 1024,
        transaction_operations: 8,
        ..Limits::default()
    };
    let server = Server::with(Settings {
        limits,
        ..Settings::default()
    })
    .await;
    let mut client = server.client().await;
    let header = v1::CommitHeader::default;
    let small = |count: usize| vec![put("k", "x"); count];
    let big = || vec![put("k", vec![b'x'; 500 * 1024]); 1];
    let operation = |operation| v1::Operation {
        operation: Some(operation),
    };
    let named = v1::CommitHeader {
        request_id: "seven".to_owned(),
        ..header()
    };
    let marked = v1::CommitHeader {
        source: Some(v1::SourceUpdate {
            name: "main".to_owned(),
            commit: "abc".to_owned(),
            ..v1::SourceUpdate::default()
        }),
        ..header()
    };
    let delete = operation(v1::operation::Operation::Delete("a/../b".to_owned()));
    let cases = [
        (
            header(),
            vec![small(9)],
            Code::ResourceExhausted,
            "--max-transaction-operations",
        ),
        (
            header(),
            vec![big(), big(), big(), big(), big()],
            Code::ResourceExhausted,
            "bytes",
        ),
        (
            header(),
            vec![vec![put("", "x")]],
            Code::InvalidArgument,
            "put.key: missing key name",
        ),
        (
            header(),
            vec![vec![put("k", vec![0; 512 * 1024 + 1])]],
            Code::InvalidArgument,
            "put.value: key `k` has a value of 524289 bytes",
        ),
        (
            header(),
            vec![vec![delete]],
            Code::InvalidArgument,
            "delete: key `a/../b`",
        ),
        (
            header(),
            vec![vec![v1::Operation::default()]],
            Code::InvalidArgument,
            "operation: is missing",
        ),
        (
            named,
            vec![],
            Code::InvalidArgument,
            "header.request_id: `seven` is no UUID",
        ),
        (
            marked,
            vec![],
            Code::InvalidArgument,
            "source.commit: `abc`",
        ),
    ];
    for (header, messages, code, text) in cases {
        let status = client.commit(requests(header, messages)).await.unwrap_err();
        assert_eq!(status.code(), code, "{text}: {}", status.message());
        assert!(status.message().contains(text), "{}", status.message());
    }
    let headless = v1::CommitRequest {
        message: Some(v1::commit_request::Message::Operations(v1::Operations {
            operations: small(1),
        })),
    };
    let status = client
        .commit(futures::stream::iter([headless]))
        .await
        .unwrap_err();
    assert_eq!(status.message(), "header: is missing; send it first");

    for subscription in [subscribe(&[], &[]), subscribe(&["a/../b"], &[])] {
        let status = Watch::opened(&server, subscription).await.err().unwrap();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(
            status.message().starts_with("subscribe"),
            "{}",
            status.message()
        );
    }
    let watch = Watch::open(&server, subscribe(&["a"], &[])).await;
    let again = v1::watch_request::Message::Subscribe(subscribe(&["a"], &[]));
    watch.send(again).await;
    let mut watch = watch;
    let status = watch.try_next().await.unwrap_err();
    assert_eq!(
        status.message(),
        "subscribe: came twice; open another stream"
    );

    let read = v1::ReadRequest {
        prefixes: vec![String::new()],
        revision: 99,
        ..v1::ReadRequest::default()
    };
    let status = client.read(read).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{}", status.message());
    assert_eq!(server.status().await.head.unwrap().revision, 0);
}

#[tokio::test]
async fn documents_that_are_broken_together_are_refused_together() {
    let profiles = vec![Profile::new("beta").unwrap()];
    let server = Server::with(Settings {
        profiles,
        ..Settings::default()
    })
    .await;
    let schema = "properties: { aMapPercentage: { type: integer }, bMapPercentage: { type: integer } }\n\
                  x-sum: { of: [aMapPercentage, bMapPercentage], equals: 100 }\n";
    let good = vec![
        put("config/schemas/location.schema.yml", schema),
        put(
            "config/location.yml",
            "aMapPercentage: 100\nbMapPercentage: 0\n",
        ),
        put(BETA, "aMapPercentage: 90\nbMapPercentage: 10\n"),
        put("state/free.yml", "a: [\n"),
    ];
    commit(&server, v1::CommitHeader::default(), good)
        .await
        .unwrap();

    let bad = vec![
        put("fine", "x"),
        put(BETA, "aMapPercentage: 90\nbMapPercentage: 20\n"),
    ];
    let outcome = commit(&server, v1::CommitHeader::default(), bad)
        .await
        .unwrap();
    let v1::commit_response::Outcome::Refused(refused) = outcome else {
        panic!("not refused: {outcome:?}");
    };
    assert!(!refused.conflict);
    assert!(
        refused
            .reasons
            .iter()
            .any(|reason| reason.contains("location-beta.yml")),
        "{refused:?}"
    );
    assert!(
        refused.reasons.iter().any(|reason| reason.contains("110")),
        "{refused:?}"
    );
    assert_eq!(server.status().await.head.unwrap().revision, 1);
    assert_eq!(server.get("/v1/kv/fine").await.status(), 404);
}
