//! The HTTP server, the admin pages, the client and the health check against each other.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::ConnectInfo;
use axum::response::Redirect;
use axum::routing::get;
use service_kit::http::{HttpLimits, serve};
use service_kit::http_client::{self, HttpClientSettings};
use service_kit::metrics::Registry;
use service_kit::{Health, Lifecycle, admin, healthcheck, listen};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

fn start(router: Router, limits: HttpLimits, lifecycle: &Lifecycle) -> SocketAddr {
    let listener = listen("127.0.0.1:0".parse().unwrap(), "HTTP", "--listen").unwrap();
    let addr = listener.local_addr().unwrap();
    serve("http", listener, router, limits, lifecycle);
    addr
}

fn client() -> reqwest::Client {
    http_client::new(&HttpClientSettings::new("service-kit-test/0")).unwrap()
}

async fn ended(lifecycle: &Lifecycle) {
    lifecycle.shut_down();
    lifecycle.finished().await.unwrap();
}

#[tokio::test]
async fn admin_pages_follow_the_health() {
    let lifecycle = Lifecycle::default();
    let health = Health::new(lifecycle.soft());
    let store = health.check("store");
    let router = admin::router(health, Registry::new("test", "0"));
    let addr = start(router, HttpLimits::default(), &lifecycle);
    let (live, ready) = (
        format!("http://{addr}/health/live"),
        format!("http://{addr}/health/ready"),
    );

    healthcheck(&live).await.unwrap();
    let error = healthcheck(&ready).await.unwrap_err().to_string();
    assert!(
        error.contains("503") && error.contains("starting"),
        "{error}"
    );
    store.pass();
    healthcheck(&ready).await.unwrap();

    let metrics = client()
        .get(format!("http://{addr}/metrics"))
        .send()
        .await
        .unwrap();
    let content_type = metrics.headers()["content-type"].to_str().unwrap();
    assert!(content_type.starts_with("application/openmetrics-text"));
    assert!(
        metrics
            .text()
            .await
            .unwrap()
            .contains("chameleon_build_info")
    );

    ended(&lifecycle).await;
    let error = format!("{:#}", healthcheck(&live).await.unwrap_err());
    assert!(error.starts_with(&format!("check `{live}`: ")), "{error}");
}

#[tokio::test]
async fn handlers_see_the_peer_and_clients_follow_no_redirect() {
    let lifecycle = Lifecycle::default();
    let router = Router::new()
        .route(
            "/peer",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }),
        )
        .route("/away", get(|| async { Redirect::temporary("/peer") }));
    let addr = start(router, HttpLimits::default(), &lifecycle);
    let client = client();

    let peer = client.get(format!("http://{addr}/peer")).send().await;
    assert_eq!(peer.unwrap().text().await.unwrap(), "127.0.0.1");
    let away = client.get(format!("http://{addr}/away")).send().await;
    assert_eq!(away.unwrap().status().as_u16(), 307);
    ended(&lifecycle).await;
}

#[tokio::test]
async fn a_shutdown_finishes_the_request_that_is_being_answered() {
    let lifecycle = Lifecycle::default();
    let soft = lifecycle.soft();
    let (entered, mut arrived) = tokio::sync::mpsc::channel::<()>(1);
    let router = Router::new().route(
        "/wait",
        get(move || async move {
            entered.send(()).await.unwrap();
            soft.cancelled().await;
            "finished"
        }),
    );
    let addr = start(router, HttpLimits::default(), &lifecycle);

    let request = client().get(format!("http://{addr}/wait")).send();
    let (response, ()) = tokio::join!(request, async {
        arrived.recv().await.unwrap();
        ended(&lifecycle).await;
    });
    assert_eq!(response.unwrap().text().await.unwrap(), "finished");
}

#[tokio::test]
async fn a_handler_that_never_ends_is_cut_off_after_the_grace() {
    let lifecycle = Lifecycle::new(Duration::from_millis(50));
    let (entered, mut arrived) = tokio::sync::mpsc::channel::<()>(1);
    let router = Router::new().route(
        "/hang",
        get(move || async move {
            entered.send(()).await.unwrap();
            std::future::pending::<Infallible>().await;
        }),
    );
    let addr = start(router, HttpLimits::default(), &lifecycle);

    let request = client().get(format!("http://{addr}/hang")).send();
    let (response, ()) = tokio::join!(request, async {
        arrived.recv().await.unwrap();
        lifecycle.shut_down();
        let error = lifecycle.finished().await.unwrap_err();
        assert!(error.to_string().contains("`http`"), "{error}");
    });
    assert!(response.is_err());
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up() {
    let lifecycle = Lifecycle::default();
    let limits = HttpLimits {
        head_timeout: Duration::from_millis(50),
        ..HttpLimits::default()
    };
    let addr = start(Router::new(), limits, &lifecycle);
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    ended(&lifecycle).await;
}

#[tokio::test]
async fn connections_above_the_limit_wait_for_their_turn() {
    let lifecycle = Lifecycle::default();
    let limits = HttpLimits {
        connections: 1,
        ..HttpLimits::default()
    };
    let router = Router::new().route("/", get(|| async { "hello" }));
    let addr = start(router, limits, &lifecycle);

    // Proves that the only place is taken: this connection has been answered and stays open.
    let mut first = TcpStream::connect(addr).await.unwrap();
    first
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();

    let mut second = TcpStream::connect(addr).await.unwrap();
    second
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    let early = tokio::time::timeout(
        Duration::from_millis(50),
        second.read_to_string(&mut answer),
    );
    assert!(early.await.is_err(), "answered above the limit: {answer}");
    drop(first);
    second.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
    ended(&lifecycle).await;
}

/// Elsewhere the system gives up by itself, and later.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_that_never_reads_loses_its_place() {
    let lifecycle = Lifecycle::default();
    let limits = HttpLimits {
        connections: 1,
        silence: Duration::from_millis(300),
        ..HttpLimits::default()
    };
    // More than the system takes for a client that reads nothing.
    let large = Bytes::from(vec![b'x'; 32 * 1024 * 1024]);
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/large", get(|| async { large }));
    let addr = start(router, limits, &lifecycle);

    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut deaf = socket.connect(addr).await.unwrap();
    deaf.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut other = TcpStream::connect(addr).await.unwrap();
    other
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
    // What the system had taken may still be there to read, but it ends before the answer does.
    let mut taken = Vec::new();
    let end = deaf.read_to_end(&mut taken).await;
    assert!(end.is_err() && taken.len() < 32 * 1024 * 1024, "{end:?}");
    ended(&lifecycle).await;
}
