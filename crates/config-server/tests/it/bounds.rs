//! Clients that are too many, and clients that take nothing: bounded, nothing lost, nobody else slowed.

use chameleon_proto::v1;
use config_server::{Limits, Settings};
use serde_json::Value;
use test_kit::eventually;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Server, Watch, commit, put, stamp_of, subscribe};

/// A connection on which nothing is sent or read but what a test says.
struct Raw(BufReader<TcpStream>);

impl Raw {
    async fn connect(server: &Server) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // The system should take little for who does not read.
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        Self(BufReader::new(socket.connect(server.http).await.unwrap()))
    }

    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// The status, index and body of the next answer.
    async fn answer(&mut self) -> (u16, Option<u64>, String) {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let (mut index, mut length) = (None, 0);
        loop {
            line.clear();
            self.0.read_line(&mut line).await.unwrap();
            let Some((name, value)) = line.split_once(": ") else {
                break;
            };
            match name {
                "x-consul-index" => index = Some(value.trim().parse().unwrap()),
                "content-length" => length = value.trim().parse().unwrap(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        (status, index, String::from_utf8(body).unwrap())
    }
}

async fn with(limits: Limits) -> Server {
    Server::with(Settings {
        limits,
        ..Settings::default()
    })
    .await
}

async fn with_one_connection() -> Server {
    with(Limits {
        connections: 1,
        ..Limits::default()
    })
    .await
}

#[tokio::test]
async fn an_http_connection_too_many_waits_for_its_turn_and_loses_nothing() {
    let server = with_one_connection().await;
    let mut first = Raw::connect(&server).await;
    first
        .send("GET /v1/kv/a?index=1&wait=10m HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    eventually("the poll waits", async || {
        (server.status().await.watches == 1).then_some(())
    })
    .await;
    let mut second = Raw::connect(&server).await;
    second
        .send("PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nnew")
        .await;
    // Time enough to be served, were it not for the bound.
    for value in ["1", "2", "3", "4", "5"] {
        let change = vec![put("b", value)];
        commit(&server, v1::CommitHeader::default(), change)
            .await
            .unwrap();
    }
    let status = server.status().await;
    assert_eq!((status.watches, status.head.unwrap().revision), (1, 5));
    drop(first);
    assert_eq!(second.answer().await, (200, None, "true".to_owned()));
    assert_eq!(server.status().await.head.unwrap().revision, 6);
}

#[tokio::test]
async fn a_grpc_connection_too_many_waits_for_its_turn_and_loses_nothing() {
    let server = with_one_connection().await;
    let mut watch = Watch::open(&server, subscribe(&["a"], &[])).await;
    let change = vec![put("b", "x")];
    let second = commit(&server, v1::CommitHeader::default(), change);
    let mut second = std::pin::pin!(second);
    let changes = async {
        for value in ["1", "2", "3", "4", "5"] {
            server.write("a", value).await;
            watch.until("a", Some(value)).await;
        }
    };
    tokio::select! {
        biased;
        outcome = &mut second => panic!("served above the limit: {outcome:?}"),
        () = changes => {}
    }
    drop(watch);
    assert_eq!(stamp_of(&second.await.unwrap()).revision, 6);
}

#[tokio::test]
async fn a_long_poll_too_many_is_refused_and_the_others_go_on() {
    let server = with(Limits {
        watches: 1,
        ..Limits::default()
    })
    .await;
    let waiting = server.get("/v1/kv/a?index=1&wait=10m");
    let refused = async {
        eventually("the poll waits", async || {
            (server.status().await.watches == 1).then_some(())
        })
        .await;
        for path in [
            "/v1/kv/a?index=1&wait=10m",
            "/v1/kv/?recurse&index=1",
            "/v1/session/list?index=1",
        ] {
            let response = server.get(path).await;
            assert_eq!(response.status(), 429, "{path}");
            assert_eq!(
                response.text().await.unwrap(),
                "1 watches are open, which is the limit (`--max-watches`); use another server"
            );
        }
        // Who does not wait needs no place.
        assert_eq!(server.get("/v1/kv/a").await.status(), 404);
        server.write("a", "x").await;
    };
    let (response, ()) = tokio::join!(waiting, refused);
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn a_client_that_asks_and_never_reads_gets_the_newest_and_slows_nobody() {
    const POLLS: usize = 40;
    const WRITES: u8 = 20;
    let server = Server::start().await;
    let value = |round: u8| {
        let mut value = vec![b'x'; 384 * 1024];
        value.push(round);
        vec![put("a", value)]
    };
    commit(&server, v1::CommitHeader::default(), value(0))
        .await
        .unwrap();
    let mut deaf = Raw::connect(&server).await;
    let poll = "GET /v1/kv/a?index=1&wait=10m HTTP/1.1\r\nHost: x\r\n\r\n";
    deaf.send(&poll.repeat(POLLS)).await;
    let (status, first, _) = deaf.answer().await;
    assert_eq!((status, first), (200, Some(2)));

    let mut other = Watch::open(&server, subscribe(&["a"], &[])).await;
    for round in 1..=WRITES {
        let outcome = commit(&server, v1::CommitHeader::default(), value(round)).await;
        let stamp = stamp_of(&outcome.unwrap());
        while other.stamp != Some(stamp) {
            other.next().await;
        }
    }

    let newest = u64::from(WRITES) + 2;
    let mut indexes = Vec::new();
    for _ in 1..POLLS {
        let (_, index, body) = deaf.answer().await;
        let index = index.unwrap();
        let entries: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(entries[0]["ModifyIndex"], index, "an answer is one state");
        indexes.push(index);
    }
    assert!(indexes.is_sorted(), "{indexes:?}");
    // Answers that were made before wait in the system's buffers, and the rest is not made ahead.
    let made_ahead = indexes.iter().filter(|index| **index < newest).count();
    assert!(made_ahead < POLLS / 2, "{indexes:?}");
}

#[tokio::test]
async fn a_large_body_of_unknown_length_is_refused_and_changes_nothing() {
    let server = Server::start().await;
    let mut client = Raw::connect(&server).await;
    client
        .send("PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n80001\r\n")
        .await;
    client.send(&"x".repeat(512 * 1024 + 1)).await;
    let (status, _, text) = client.answer().await;
    assert_eq!(
        (status, text.as_str()),
        (
            413,
            "Request body(more bytes) too large, max size: 524288 bytes."
        )
    );
    assert_eq!(server.status().await.head.unwrap().revision, 0);
}

/// Room is taken as a body arrives: one that is only announced keeps nobody out, and one that comes
/// without an end does not get more than there is.
#[tokio::test]
async fn a_body_takes_the_room_of_what_has_come() {
    let limits = Limits {
        queued_bytes: 1024,
        ..Limits::default()
    };
    let server = Server::with(Settings {
        limits,
        ..Settings::default()
    })
    .await;
    let mut silent = Raw::connect(&server).await;
    silent
        .send("POST /api/v1/transactions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        .await;
    let mut endless = Raw::connect(&server).await;
    endless
        .send("POST /api/v1/transactions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2000\r\n")
        .await;
    endless.send(&"x".repeat(0x2000)).await;
    assert_eq!(endless.answer().await.0, 429);
    let written = server.put("/api/v1/entries/k", "x".repeat(1000)).await;
    assert_eq!(written.status(), 200, "{}", written.text().await.unwrap());
    drop(silent);
}

#[tokio::test]
async fn half_a_body_changes_nothing() {
    let server = Server::start().await;
    let mut client = Raw::connect(&server).await;
    client
        .send("PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        .await;
    client.0.shutdown().await.unwrap();
    // Answered or not, it is over when the server closes.
    let mut rest = Vec::new();
    client.0.read_to_end(&mut rest).await.unwrap();
    assert!(!String::from_utf8(rest).unwrap().contains("200 OK"));
    assert_eq!(server.get("/v1/kv/a").await.status(), 404);
    assert_eq!(server.status().await.head.unwrap().revision, 0);
}
