//! What one client may have: its flood is refused, and another is served.

use std::net::SocketAddr;

use chameleon_proto::v1;
use config_server::{ClientLimits, Limits, Settings};
use reqwest::Method;
use test_kit::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tonic::{Code, Status};

use crate::support::{BOOTSTRAP, Server, Watch, subscribe};

async fn with(per_client: ClientLimits) -> Server {
    Server::with(Settings {
        token: Some(BOOTSTRAP.into()),
        limits: Limits {
            per_client,
            ..Limits::default()
        },
        ..Settings::default()
    })
    .await
}

/// Two clients, each with a token that may read and write all.
async fn two_tokens(server: &Server) -> (String, String) {
    let all = ["write:a/"];
    (
        server.token("one", &all).await,
        server.token("other", &all).await,
    )
}

fn pushback(status: &Status) -> Option<u64> {
    let header = status.metadata().get("grpc-retry-pushback-ms")?;
    header.to_str().unwrap().parse().ok()
}

async fn over_limit(server: &Server, limit: &str) -> u64 {
    let (_, text) = server
        .consul(BOOTSTRAP, Method::GET, "/v1/kv/?keys", "")
        .await;
    drop(text);
    let request = server
        .request(Method::GET, "/metrics")
        .bearer_auth(BOOTSTRAP);
    let text = request.send().await.unwrap().text().await.unwrap();
    let name = format!("chameleon_over_limit_total{{limit=\"{limit}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&name));
    value.expect("it is always told").parse().unwrap()
}

#[tokio::test]
async fn a_flood_of_requests_is_refused_and_others_are_served() {
    let server = with(ClientLimits {
        requests: 1,
        burst: 30,
        ..ClientLimits::none()
    })
    .await;
    let (one, other) = two_tokens(&server).await;
    let get = async |token: &str| {
        let request = server.request(Method::GET, "/v1/kv/a/b");
        request
            .header("x-consul-token", token)
            .send()
            .await
            .unwrap()
    };
    let mut refused = None;
    for _ in 0..60 {
        let answer = get(&one).await;
        if answer.status() == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status(), 404);
    }
    let refused = refused.expect("the burst has an end");
    let seconds = refused.headers()["retry-after"].to_str().unwrap();
    assert_eq!(seconds, "1");
    let text = refused.text().await.unwrap();
    assert!(
        text.contains("token `one`") && text.contains("`--max-requests-per-client`"),
        "{text}"
    );

    // In the other dialect the same client has the same bucket.
    let mut client = server.client_with(&one).await;
    let status = client.status(v1::StatusRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(
        pushback(&status).is_some_and(|pause| pause <= 1_000),
        "{status}"
    );
    let flood = async {
        for _ in 0..100 {
            get(&one).await;
        }
    };
    let beside = async {
        for _ in 0..20 {
            assert_eq!(get(&other).await.status(), 404);
        }
        let mut client = server.client_with(&other).await;
        client.status(v1::StatusRequest {}).await.unwrap();
    };
    tokio::join!(flood, beside);
    assert!(over_limit(&server, "requests").await >= 90);
}

#[tokio::test]
async fn guesses_are_limited_by_their_address_and_tokens_are_not() {
    let server = with(ClientLimits {
        requests: 1,
        burst: 30,
        ..ClientLimits::none()
    })
    .await;
    let (one, _) = two_tokens(&server).await;
    let mut statuses = Vec::new();
    for guess in 0..60 {
        let token = format!("guess {guess}");
        statuses.push(server.consul(&token, Method::GET, "/v1/kv/a/b", "").await.0);
    }
    assert_eq!(statuses[0], 403);
    assert!(statuses.contains(&429), "{statuses:?}");
    let answer = server.consul(&one, Method::GET, "/v1/kv/a/b", "").await;
    assert_eq!(answer.0, 404);
    let request = server.request(Method::GET, "/metrics").bearer_auth("guess");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 429);
    assert!(answer.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn watches_are_limited_for_each_client_over_both_dialects() {
    let server = with(ClientLimits {
        watches: 2,
        ..ClientLimits::none()
    })
    .await;
    let (one, other) = two_tokens(&server).await;
    let open = async |token: &str| {
        let opened = Watch::guarded(&server, token, subscribe(&["a/b"], &[])).await;
        let mut watch = opened?;
        watch.try_next().await?;
        Ok::<_, Status>(watch)
    };
    let (first, second) = (open(&one).await.unwrap(), open(&one).await.unwrap());
    let status = open(&one).await.err().unwrap();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(pushback(&status).is_some(), "{status}");
    assert!(status.message().contains("`--max-watches-per-client`"));

    let poll = "/v1/kv/a/b?index=1&wait=1ms";
    let (code, text) = server.consul(&one, Method::GET, poll, "").await;
    assert_eq!(code, 429, "{text}");
    assert!(text.contains("token `one` has 2 watches open"), "{text}");
    let (code, _) = server.consul(&other, Method::GET, poll, "").await;
    assert_eq!(code, 404);
    let kept = open(&other).await.unwrap();
    // What is no watch goes on.
    let (code, _) = server.consul(&one, Method::GET, "/v1/kv/a/b", "").await;
    assert_eq!(code, 404);

    drop(first);
    let third = eventually("the place is free again", async || open(&one).await.ok()).await;
    drop((second, third, kept));
    assert!(over_limit(&server, "watches").await >= 2);
}

/// From an address of one's own, all of which are this machine's on Linux.
#[cfg(target_os = "linux")]
async fn connect_from(address: &str, server: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(format!("{address}:0").parse().unwrap())
        .unwrap();
    socket.connect(server).await.unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn connections_are_limited_for_each_address() {
    let server = with(ClientLimits {
        connections: 2,
        ..ClientLimits::none()
    })
    .await;
    let ask = async |stream: &mut TcpStream, path: &str| -> String {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {BOOTSTRAP}\r\n\r\n"
        );
        // A connection that was closed may refuse the request or not answer it.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text).await;
        text
    };
    let here = "127.0.0.9";
    let mut kept = connect_from(here, server.http).await;
    let other = connect_from(here, server.http).await;
    let mut refused = connect_from(here, server.http).await;
    assert_eq!(ask(&mut refused, "/health/ready").await, "");
    let mut elsewhere = connect_from("127.0.0.8", server.http).await;
    let text = ask(&mut elsewhere, "/metrics").await;
    let line =
        r#"chameleon_connections_refused_total{listener="http",reason="too_many_of_peer"} 1"#;
    assert!(text.lines().any(|found| found == line), "{text}");

    assert!(
        ask(&mut kept, "/health/ready")
            .await
            .starts_with("HTTP/1.1 200")
    );
    drop(other);
    eventually("a place is free again", async || {
        let mut stream = connect_from(here, server.http).await;
        let text = ask(&mut stream, "/health/ready").await;
        text.starts_with("HTTP/1.1 200").then_some(())
    })
    .await;
}
