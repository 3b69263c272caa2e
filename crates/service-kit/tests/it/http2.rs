//! The HTTP/2 server over real sockets: its streams, their faults, and how it ends.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use futures::StreamExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use service_kit::accept::{Acceptor, SILENCE};
use service_kit::http2::{Http2Limits, serve_accepted};
use service_kit::{Lifecycle, listen};
use test_kit::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

const LIMITS: Http2Limits = Http2Limits {
    opening: Duration::from_secs(10),
    keepalive: Duration::from_secs(20),
    keepalive_timeout: Duration::from_secs(10),
    streams: 100,
    closing: Duration::from_secs(3),
};

/// More than a connection's own task takes.
const MANY: usize = 20;

/// A server whose handlers do what the path says, and what is seen of them.
struct Server {
    addr: SocketAddr,
    lifecycle: Lifecycle,
    /// Lets those go on that wait.
    gate: watch::Sender<bool>,
    /// A word for each handler that begins to wait, and one for each that was dropped.
    entered: mpsc::UnboundedReceiver<()>,
    dropped: mpsc::UnboundedReceiver<()>,
}

#[derive(Clone)]
struct Handlers {
    gate: watch::Receiver<bool>,
    entered: mpsc::UnboundedSender<()>,
    dropped: mpsc::UnboundedSender<()>,
}

struct Told(mpsc::UnboundedSender<()>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

impl Handlers {
    async fn answer(mut self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let _told = Told(self.dropped.clone());
        let text = match request.uri().path() {
            "/peer" => {
                let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
                peer.unwrap().ip().to_string()
            }
            "/count" => {
                let frames = Body::new(request.into_body()).into_data_stream();
                let count = async |count, frame: Result<Bytes, _>| count + frame.unwrap().len();
                frames.fold(0, count).await.to_string()
            }
            "/panic" => panic!("a test's panic, not a fault"),
            "/hang" => {
                self.entered.send(()).unwrap();
                std::future::pending().await
            }
            _ => {
                self.entered.send(()).unwrap();
                self.gate.wait_for(|open| *open).await.unwrap();
                "waited".to_owned()
            }
        };
        Ok(Response::new(Body::from(text)))
    }
}

impl Server {
    fn start(limits: Http2Limits, connections: usize) -> Self {
        let lifecycle = Lifecycle::default();
        let listener = listen("127.0.0.1:0".parse().unwrap(), "HTTP/2", "--listen").unwrap();
        let addr = listener.local_addr().unwrap();
        let gate = watch::Sender::new(false);
        let (entered, enters) = mpsc::unbounded_channel();
        let (dropped, drops) = mpsc::unbounded_channel();
        let handlers = Handlers {
            gate: gate.subscribe(),
            entered,
            dropped,
        };
        let acceptor = Acceptor::new("http2", listener, connections, SILENCE);
        let service = service_fn(move |request: Request<Incoming>| {
            assert_ne!(
                request.uri().path(),
                "/refuse",
                "a test's panic, not a fault"
            );
            handlers.clone().answer(request)
        });
        serve_accepted(acceptor, service, limits, &lifecycle);
        Self {
            addr,
            lifecycle,
            gate,
            entered: enters,
            dropped: drops,
        }
    }

    async fn client(&self) -> Client {
        let stream = TcpStream::connect(self.addr).await.unwrap();
        let (requests, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let _ = connection.await;
        });
        Client { requests, task }
    }

    /// Has `client` begin many calls that wait.
    async fn begin_many(&mut self, client: &Client, path: &str) -> JoinSet<hyper::Result<String>> {
        let mut waiting = JoinSet::new();
        for _ in 0..MANY {
            waiting.spawn(client.ask(path));
            self.entered.recv().await.unwrap();
        }
        waiting
    }

    async fn stop(self) {
        self.lifecycle.shut_down();
        self.lifecycle.finished().await.unwrap();
    }
}

/// A connection; dropping it closes it.
struct Client {
    requests: SendRequest<Body>,
    task: JoinSet<()>,
}

impl Client {
    fn ask(&self, path: &str) -> impl Future<Output = hyper::Result<String>> + Send + use<> {
        let request = Request::get(format!("http://server{path}"))
            .body(Body::empty())
            .unwrap();
        let mut requests = self.requests.clone();
        async move {
            let response = requests.send_request(request).await?;
            assert_eq!(response.status(), StatusCode::OK);
            let body = axum::body::to_bytes(Body::new(response.into_body()), 100).await;
            Ok(String::from_utf8(body.unwrap().to_vec()).unwrap())
        }
    }

    /// Waits for the server to close the connection.
    async fn closed(mut self) {
        drop(self.requests);
        self.task.join_next().await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn streams_go_on_while_others_wait() {
    let mut server = Server::start(LIMITS, 10);
    let client = server.client().await;
    let mut waiting = JoinSet::new();
    for _ in 0..MANY {
        waiting.spawn(client.ask("/wait"));
        server.entered.recv().await.unwrap();
        assert_eq!(client.ask("/peer").await.unwrap(), "127.0.0.1");
    }
    server.gate.send_replace(true);
    for answer in waiting.join_all().await {
        assert_eq!(answer.unwrap(), "waited");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_panic_ends_its_own_stream_only() {
    let mut server = Server::start(LIMITS, 10);
    let client = server.client().await;
    let mut waiting = JoinSet::new();
    for _ in 0..MANY {
        for path in ["/panic", "/refuse"] {
            let error = client.ask(path).await.unwrap_err();
            assert!(!client.requests.is_closed(), "{error}");
        }
        waiting.spawn(client.ask("/wait"));
        server.entered.recv().await.unwrap();
    }
    server.gate.send_replace(true);
    for answer in waiting.join_all().await {
        assert_eq!(answer.unwrap(), "waited");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_flood_of_small_frames_is_read_by_its_stream() {
    const FRAMES: usize = 5_000;
    let server = Server::start(LIMITS, 10);
    let mut client = TcpStream::connect(server.addr).await.unwrap();
    // Settings, a POST of `/count` on stream 1 (its path a literal, the rest from HPACK's table), and a
    // body in frames of a byte, all at once.
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    let head = b"\x83\x86\x04\x06/count\x41\x01s";
    sent.extend([0, 0, u8::try_from(head.len()).unwrap(), 1, 4, 0, 0, 0, 1]);
    sent.extend(head);
    for frame in 1..=FRAMES {
        sent.extend([0, 0, 1, 0, u8::from(frame == FRAMES), 0, 0, 0, 1, b'x']);
    }
    client.write_all(&sent).await.unwrap();
    let mut received = Vec::new();
    let answer = FRAMES.to_string();
    while !(received.windows(answer.len())).any(|bytes| bytes == answer.as_bytes()) {
        assert_ne!(
            client.read_buf(&mut received).await.unwrap(),
            0,
            "{received:?}"
        );
    }
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn handlers_end_with_their_connection() {
    let mut server = Server::start(LIMITS, 10);
    let client = server.client().await;
    let waiting = server.begin_many(&client, "/hang").await;
    drop((client, waiting));
    for _ in 0..MANY {
        server.dropped.recv().await.unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn a_shutdown_finishes_open_streams_and_takes_no_more() {
    let mut server = Server::start(LIMITS, 10);
    let client = server.client().await;
    let idle = server.client().await;
    let waiting = server.begin_many(&client, "/wait").await;
    server.lifecycle.shut_down();
    idle.closed().await;
    eventually("the client knows", async || client.ask("/peer").await.err()).await;
    server.gate.send_replace(true);
    for answer in waiting.join_all().await {
        assert_eq!(answer.unwrap(), "waited");
    }
    client.closed().await;
    server.stop().await;
}

#[tokio::test]
async fn streams_that_never_end_are_cut_off() {
    let closing = Duration::from_millis(50);
    let mut server = Server::start(Http2Limits { closing, ..LIMITS }, 10);
    let client = server.client().await;
    let waiting = server.begin_many(&client, "/hang").await;
    server.lifecycle.shut_down();
    server.lifecycle.finished().await.unwrap();
    for answer in waiting.join_all().await {
        answer.unwrap_err();
    }
    for _ in 0..MANY {
        server.dropped.recv().await.unwrap();
    }
    client.closed().await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_gives_its_place_to_another() {
    let opening = Duration::from_millis(50);
    let server = Server::start(Http2Limits { opening, ..LIMITS }, 1);
    let mut silent = TcpStream::connect(server.addr).await.unwrap();
    let client = server.client().await;
    assert_eq!(client.ask("/peer").await.unwrap(), "127.0.0.1");
    // The server's settings, and its word that this is over.
    silent.read_to_end(&mut Vec::new()).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_let_go() {
    let limits = Http2Limits {
        keepalive: Duration::from_millis(20),
        keepalive_timeout: Duration::from_millis(20),
        ..LIMITS
    };
    let server = Server::start(limits, 10);
    let mut silent = TcpStream::connect(server.addr).await.unwrap();
    let opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    silent.write_all(opening).await.unwrap();
    silent.read_to_end(&mut Vec::new()).await.unwrap();
    server.stop().await;
}
