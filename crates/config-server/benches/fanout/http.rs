//! Clients of Consul's HTTP API that cost as little as possible: requests are formatted once, answers
//! are only looked into for what is needed.

use std::net::SocketAddr;

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::value::{self, Seen, Sightings};

/// A server.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    /// What follows the first line of each request.
    headers: String,
}

/// A connection that is kept alive.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What an answer says.
struct Answer<'a> {
    status: u16,
    index: Option<u64>,
    body: &'a [u8],
}

/// A client that polls one key.
pub(crate) struct Watcher {
    connection: Connection,
    target: Target,
    key: String,
    id: usize,
    index: u64,
}

impl Target {
    pub(crate) fn new(address: &str, token: Option<&str>) -> anyhow::Result<Self> {
        let token = token.map(|token| format!("X-Consul-Token: {token}\r\n"));
        Ok(Self {
            address: address.parse()?,
            headers: format!("Host: {address}\r\n{}", token.unwrap_or_default()),
        })
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(self.address).await.context("connect")?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            buffer: Vec::new(),
        })
    }

    pub(crate) async fn watch(&self, key: &str, id: usize) -> anyhow::Result<Watcher> {
        Ok(Watcher {
            connection: self.connect().await?,
            target: self.clone(),
            key: key.to_owned(),
            id,
            index: 0,
        })
    }

    pub(crate) async fn put(
        &self,
        connection: &mut Connection,
        key: &str,
        value: &[u8],
    ) -> anyhow::Result<()> {
        let head = format!(
            "PUT /v1/kv/{key} HTTP/1.1\r\n{}Content-Length: {}\r\n\r\n",
            self.headers,
            value.len()
        );
        let answer = connection.call(&[head.as_bytes(), value].concat()).await?;
        let (status, body) = (answer.status, String::from_utf8_lossy(answer.body));
        ensure!(
            status == 200 && body.trim() == "true",
            "the write was answered by {status}: {body}"
        );
        Ok(())
    }

    /// The request for a key's bytes.
    pub(crate) fn raw_get(&self, key: &str) -> Vec<u8> {
        format!("GET /v1/kv/{key}?raw HTTP/1.1\r\n{}\r\n", self.headers).into_bytes()
    }
}

impl Connection {
    /// Sends a request, and fails unless it is answered by 200.
    pub(crate) async fn expect_ok(&mut self, request: &[u8]) -> anyhow::Result<()> {
        let status = self.call(request).await?.status;
        ensure!(status == 200, "a request was answered by {status}");
        Ok(())
    }

    async fn call(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.buffer.clear();
        self.stream.write_all(request).await.context("send")?;
        let head = loop {
            let before = self.buffer.len().saturating_sub(3);
            self.receive().await?;
            let end = self.buffer[before..]
                .windows(4)
                .position(|part| part == b"\r\n\r\n");
            if let Some(end) = end {
                break before + end + 4;
            }
        };
        let (status, index, length) = parse(&self.buffer[..head])?;
        while self.buffer.len() < head + length {
            self.receive().await?;
        }
        Ok(Answer {
            status,
            index,
            body: &self.buffer[head..head + length],
        })
    }

    async fn receive(&mut self) -> anyhow::Result<()> {
        let count = (self.stream.read_buf(&mut self.buffer).await).context("receive")?;
        ensure!(count > 0, "the server closed the connection");
        Ok(())
    }
}

impl Watcher {
    /// Goes on where the watcher of a lost connection had come to.
    pub(crate) fn from(self, index: u64) -> Self {
        Self { index, ..self }
    }

    pub(crate) fn index(&self) -> u64 {
        self.index
    }

    pub(crate) async fn follow(&mut self, seen: &Sightings) -> anyhow::Result<()> {
        loop {
            let request = format!(
                "GET /v1/kv/{}?index={}&wait=9m HTTP/1.1\r\n{}\r\n",
                self.key, self.index, self.target.headers
            );
            let answer = self.connection.call(request.as_bytes()).await?;
            let at = Instant::now();
            if answer.status != 200 {
                let body = String::from_utf8_lossy(answer.body);
                bail!("a long poll was answered by {}: {body}", answer.status);
            }
            let round = value::round_in_json(answer.body).context("read the value")?;
            self.index = answer.index.context("find `X-Consul-Index`")?;
            let watcher = self.id;
            // Nobody listens any more at the end of a run.
            let _ = seen.send(Seen { watcher, round, at });
        }
    }
}

/// Status, index and length of the body.
fn parse(head: &[u8]) -> anyhow::Result<(u16, Option<u64>, usize)> {
    let text = std::str::from_utf8(head)?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let (mut index, mut length) = (None, None);
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if name.eq_ignore_ascii_case("x-consul-index") {
            index = Some(value.trim().parse()?);
        } else if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse()?);
        }
    }
    Ok((
        status.context("find the status")?.parse()?,
        index,
        length.context("find `Content-Length`")?,
    ))
}
