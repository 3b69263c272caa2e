//! The Consul dialect as its clients see it.

use reqwest::{Method, Response};
use test_kit::eventually;

use crate::support::{BETA, Server, Watch, subscribe};

async fn parts(response: Response) -> (u16, Option<u64>, String) {
    let status = response.status().as_u16();
    let index = response.headers().get("x-consul-index");
    let index = index.map(|value| value.to_str().unwrap().parse().unwrap());
    (status, index, response.text().await.unwrap())
}

fn index(response: &Response) -> u64 {
    response.headers()["x-consul-index"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap()
}

/// Method, path and body; status, index and answer.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    u16,
    Option<u64>,
    String,
);

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "one table, in the order of its calls"
)]
async fn calls_are_answered_as_consul_does() {
    let server = Server::start().await;
    let entry = |key: &str, value: &str, flags: u64, created: u64, modified: u64| {
        format!(
            r#"{{"LockIndex":0,"Key":"{key}","Flags":{flags},"Value":{value},"CreateIndex":{created},"ModifyIndex":{modified}}}"#
        )
    };
    // In this order; the revisions count up from 1, and an index is one more than its revision.
    let cases: Vec<Case> = vec![
        ("GET", "/v1/kv/a", "", 404, Some(1), String::new()),
        ("GET", "/v1/kv/?recurse", "", 404, Some(1), String::new()),
        ("GET", "/v1/kv/?keys", "", 200, Some(1), "[]".into()),
        ("GET", "/v1/kv/x?keys", "", 404, Some(1), String::new()),
        ("PUT", "/v1/kv/a", "one", 200, None, "true".into()),
        (
            "GET",
            "/v1/kv/a",
            "",
            200,
            Some(2),
            format!("[{}]", entry("a", r#""b25l""#, 0, 2, 2)),
        ),
        ("GET", "/v1/kv/a?raw", "", 200, Some(2), "one".into()),
        (
            "PUT",
            "/v1/kv/a?flags=18446744073709551615",
            "",
            200,
            None,
            "true".into(),
        ),
        (
            "GET",
            "/v1/kv/a",
            "",
            200,
            Some(3),
            format!("[{}]", entry("a", "null", u64::MAX, 2, 3)),
        ),
        // Writing what is there already raises no index.
        (
            "PUT",
            "/v1/kv/a?flags=18446744073709551615",
            "",
            200,
            None,
            "true".into(),
        ),
        ("GET", "/v1/kv/a?raw", "", 200, Some(3), String::new()),
        ("PUT", "/v1/kv/a?cas=0", "x", 200, None, "false".into()),
        ("PUT", "/v1/kv/a?cas=2", "x", 200, None, "false".into()),
        ("PUT", "/v1/kv/none?cas=2", "x", 200, None, "false".into()),
        ("PUT", "/v1/kv/a?cas=3", "two", 200, None, "true".into()),
        (
            "PUT",
            "/v1/kv/base/foo?cas=0",
            "x",
            200,
            None,
            "true".into(),
        ),
        // `%2F` and `/` are one, and spaces and commas are letters.
        (
            "PUT",
            "/v1/kv/base%2Fbase%2Ffoo",
            "x",
            200,
            None,
            "true".into(),
        ),
        ("PUT", "/v1/kv/base/b%20c,d", "x", 200, None, "true".into()),
        (
            "GET",
            "/v1/kv/base%2F?keys&separator=%2F",
            "",
            200,
            Some(7),
            r#"["base/b c,d","base/base/","base/foo"]"#.into(),
        ),
        (
            "GET",
            "/v1/kv/base/?keys&recurse=false&seperator=/",
            "",
            200,
            Some(7),
            r#"["base/b c,d","base/base/","base/foo"]"#.into(),
        ),
        (
            "GET",
            "/v1/kv/?keys=",
            "",
            200,
            Some(7),
            r#"["a","base/b c,d","base/base/foo","base/foo"]"#.into(),
        ),
        (
            "GET",
            "/v1/kv/base/f?recurse=false",
            "",
            200,
            Some(5),
            format!("[{}]", entry("base/foo", r#""eA==""#, 0, 5, 5)),
        ),
        ("DELETE", "/v1/kv/none", "", 200, None, "true".into()),
        ("DELETE", "/v1/kv/none?cas=4", "", 200, None, "true".into()),
        ("DELETE", "/v1/kv/a?cas=0", "", 200, None, "false".into()),
        ("DELETE", "/v1/kv/a?cas=2", "", 200, None, "false".into()),
        ("DELETE", "/v1/kv/a?cas=4", "", 200, None, "true".into()),
        // What was deleted has the index of its deletion, and a prefix keeps its highest.
        ("GET", "/v1/kv/a", "", 404, Some(8), String::new()),
        (
            "DELETE",
            "/v1/kv/base/?recurse",
            "",
            200,
            None,
            "true".into(),
        ),
        (
            "GET",
            "/v1/kv/base?recurse",
            "",
            404,
            Some(9),
            String::new(),
        ),
        ("GET", "/v1/kv/untouched", "", 404, Some(1), String::new()),
        (
            "PUT",
            "/v1/kv/l?release=no-session",
            "",
            200,
            None,
            "false".into(),
        ),
        (
            "PUT",
            "/v1/kv/l?release=4b9b4b3e-0c0e-4f0a-9d0f-1c2d3e4f5a6b",
            "",
            200,
            None,
            "false".into(),
        ),
    ];
    for (method, path, body, status, index, answer) in cases {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = server.request(method.clone(), path).body(body);
        let got = parts(request.send().await.unwrap()).await;
        assert_eq!(got, (status, index, answer), "{method} {path}");
    }
}

#[tokio::test]
async fn every_read_carries_the_headers_that_clients_parse() {
    let server = Server::start().await;
    server.write("a", "one").await;
    for (path, status) in [
        ("/v1/kv/a", 200),
        ("/v1/kv/b", 404),
        ("/v1/kv/b?recurse", 404),
    ] {
        let response = server.get(path).await;
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["x-consul-knownleader"], "true");
        assert_eq!(response.headers()["x-consul-lastcontact"], "0");
        assert_ne!(index(&response), 0);
    }
    let response = server.get("/v1/kv/a?raw").await;
    let headers = response.headers();
    assert_eq!(headers["content-type"], "text/plain");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["content-security-policy"], "sandbox");
    assert_eq!(headers["content-length"], "3");
    let response = server.get("/v1/kv/a?pretty").await;
    assert_eq!(response.headers()["content-type"], "application/json");
    assert!(response.text().await.unwrap().contains('\n'));
}

#[tokio::test]
async fn bodies_are_never_decoded() {
    let server = Server::start().await;
    let body: &[u8] = b"a=1&b=%41+c\0\xff";
    for content_type in [
        None,
        Some("application/x-www-form-urlencoded"),
        Some("application/json"),
        Some("text/plain; charset=utf-8"),
    ] {
        server.delete("/v1/kv/form").await;
        let mut request = server.request(Method::PUT, "/v1/kv/form").body(body);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        assert_eq!(request.send().await.unwrap().text().await.unwrap(), "true");
        let value = server.get("/v1/kv/form?raw").await.bytes().await.unwrap();
        assert_eq!(value, body, "{content_type:?}");
    }
}

#[tokio::test]
async fn the_leader_is_this_server() {
    let server = Server::start().await;
    let leader = server.get("/v1/status/leader").await.text().await.unwrap();
    assert_eq!(leader, format!("\"{}\"", server.http));
    let peers = server.get("/v1/status/peers").await.text().await.unwrap();
    assert_eq!(peers, format!("[\"{}\"]", server.http));
}

#[tokio::test]
async fn a_long_poll_returns_with_the_change_and_with_no_other() {
    let server = Server::start().await;
    server.write("seed", "x").await;
    // (what is waited for, what changes it, what does not)
    for (path, changed, other) in [
        ("/v1/kv/poll/one", "poll/one", "poll/on"),
        ("/v1/kv/tree/?recurse", "tree/a/b", "tre"),
        ("/v1/kv/names?keys", "names", "name"),
    ] {
        let before = index(&server.get(path).await);
        let separator = if path.contains('?') { '&' } else { '?' };
        let poll = format!("{path}{separator}index={before}&wait=60s");
        let waiting = server.get(&poll);
        let change = async {
            eventually("the poll waits", async || {
                (server.status().await.watches == 1).then_some(())
            })
            .await;
            server.write(other, "not this").await;
            assert_eq!(server.status().await.watches, 1, "woken by `{other}`");
            server.write(changed, "this").await;
        };
        let (response, ()) = tokio::join!(waiting, change);
        assert_eq!(response.status(), 200, "{path}");
        assert!(index(&response) > before, "{path}");
        assert_eq!(server.status().await.watches, 0);
    }
}

#[tokio::test]
async fn a_long_poll_sees_a_deletion() {
    let server = Server::start().await;
    server.write("gone", "x").await;
    let before = index(&server.get("/v1/kv/gone").await);
    let poll = format!("/v1/kv/gone?index={before}&wait=60s");
    let waiting = server.get(&poll);
    let change = async {
        eventually("the poll waits", async || {
            (server.status().await.watches == 1).then_some(())
        })
        .await;
        server.delete("/v1/kv/gone").await;
    };
    let (response, ()) = tokio::join!(waiting, change);
    assert_eq!(response.status(), 404);
    assert!(index(&response) > before);
}

#[tokio::test]
async fn a_long_poll_without_a_change_answers_the_same_again() {
    let server = Server::start().await;
    server.write("a", "x").await;
    for path in ["/v1/kv/a?index=2&wait=20ms", "/v1/kv/a?index=900&wait=20ms"] {
        let response = server.get(path).await;
        assert_eq!(
            (response.status().as_u16(), index(&response)),
            (200, 2),
            "{path}"
        );
    }
    let response = server
        .get("/v1/kv/none?index=18446744073709551615&wait=20ms")
        .await;
    assert_eq!((response.status().as_u16(), index(&response)), (404, 1));
    // An index that is overtaken already is answered at once, and so is none.
    server.write("a", "y").await;
    for path in [
        "/v1/kv/a?index=2&wait=60s",
        "/v1/kv/a?index=0&wait=60s",
        "/v1/kv/a?wait=60s",
    ] {
        assert_eq!(index(&server.get(path).await), 3);
    }
}

#[tokio::test]
async fn the_first_change_of_an_empty_store_ends_a_poll() {
    let server = Server::start().await;
    let waiting = server.get("/v1/kv/first?index=1&wait=60s");
    let change = async {
        eventually("the poll waits", async || {
            (server.status().await.watches == 1).then_some(())
        })
        .await;
        server.write("first", "x").await;
    };
    let (response, ()) = tokio::join!(waiting, change);
    assert_eq!((response.status().as_u16(), index(&response)), (200, 2));
}

#[tokio::test]
async fn every_change_raises_the_index_the_first_of_a_store_too() {
    let server = Server::start().await;
    for path in ["/v1/kv/first", "/v1/kv/fir?recurse", "/v1/kv/?keys"] {
        assert_eq!(index(&server.get(path).await), 1);
    }
    server.write("first", "x").await;
    // Between two polls; Consul's clients take an answer of the same index for none.
    for path in ["/v1/kv/first?", "/v1/kv/fir?recurse&", "/v1/kv/?keys&"] {
        let poll = server.get(&format!("{path}index=1&wait=60s")).await;
        assert_eq!((poll.status().as_u16(), index(&poll)), (200, 2), "{path}");
    }
    let gone = server.delete("/v1/kv/first?cas=2").await;
    assert_eq!(gone.text().await.unwrap(), "true");
    assert_eq!(index(&server.get("/v1/kv/first").await), 3);
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_poll() {
    let server = Server::start().await;
    let waiting = server.get("/v1/kv/a?index=1&wait=60s");
    tokio::select! {
        _ = waiting => panic!("nothing changes"),
        () = eventually("the poll waits", async || (server.status().await.watches == 1).then_some(())) => {}
    }
    eventually("the poll is gone", async || {
        (server.status().await.watches == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_job_that_deletes_all_before_writing_is_followed() {
    let server = Server::start().await;
    server.write(BETA, "aMapPercentage: 100\n").await;
    let mut watch = Watch::open(&server, subscribe(&[BETA], &[])).await;
    assert_eq!(watch.value(BETA), Some("aMapPercentage: 100\n"));

    let response = server.delete("/v1/kv/config/?recurse").await;
    assert_eq!(response.text().await.unwrap(), "true");
    let gone = watch.next().await;
    assert_eq!(
        (gone.deletes, watch.value(BETA)),
        (vec![BETA.to_owned()], None)
    );

    let put = server.request(Method::PUT, "/v1/kv/config/location-beta.yml");
    let put = put.header("content-type", "application/x-www-form-urlencoded");
    let response = put.body("aMapPercentage: 0\n").send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), "true");
    let back = watch.next().await;
    assert!(back.base.is_some() && back.puts == 1);
    assert_eq!(watch.value(BETA), Some("aMapPercentage: 0\n"));
}

#[tokio::test]
async fn polls_answer_and_streams_end_when_the_server_stops() {
    let server = Server::start().await;
    let mut watch = Watch::open(&server, subscribe(&[], &[""])).await;
    let waiting = server.get("/v1/kv/a?index=1&wait=60s");
    let stopping = async {
        eventually("the poll waits", async || {
            (server.status().await.watches == 2).then_some(())
        })
        .await;
        server.lifecycle.shut_down();
    };
    let (response, ()) = tokio::join!(waiting, stopping);
    assert_eq!(response.status(), 404);
    let ended = watch.try_next().await.unwrap_err();
    assert_eq!(ended.code(), tonic::Code::Unavailable);
    server.stop().await;
}
