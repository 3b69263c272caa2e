//! One HTTP call, sent byte by byte as the script has it: no client tidies its path up.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value};
use tokio::net::TcpStream;

use crate::script::{self, Step};

/// More than the longest wait of a script.
const LIMIT: Duration = Duration::from_secs(90);

/// What came back from a call or a command.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// The HTTP status or the exit code.
    pub(crate) status: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// What a command said beside its output.
    pub(crate) stderr: String,
    /// For a call with a wait: whether all of it went by.
    pub(crate) waited: Option<bool>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(given, _)| given == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// The answer with the parts of its JSON that `pointers` name; with all of them if none do.
    pub(crate) fn only(mut self, pointers: &[String]) -> Self {
        if pointers.is_empty() {
            return self;
        }
        let Ok(body) = serde_json::from_str::<Value>(&self.body) else {
            return self;
        };
        let parts: Map<String, Value> = pointers
            .iter()
            .map(|pointer| {
                let part = body.pointer(pointer).cloned();
                (pointer.clone(), part.unwrap_or("nothing".into()))
            })
            .collect();
        self.body = Value::Object(parts).to_string();
        self
    }
}

/// Sends the call of `step` on a connection of its own.
pub(crate) async fn send(address: SocketAddr, step: &Step) -> Answer {
    let mut request = Request::builder()
        .method(step.method.as_str())
        .uri(&step.target)
        .header("host", address.to_string());
    for (name, value) in &step.headers {
        request = request.header(name, value);
    }
    let body = Full::new(Bytes::from(step.body.clone()));
    let request = (request.body(body)).unwrap_or_else(|error| panic!("{}: {error}", step.name));
    let started = Instant::now();
    let exchanged = tokio::time::timeout(LIMIT, exchange(address, request)).await;
    let exchanged = exchanged.unwrap_or_else(|_| panic!("{}: no answer", step.name));
    let (response, body) = exchanged.unwrap_or_else(|error| panic!("{}: {error}", step.name));
    let wait = step.target.split(['?', '&']);
    let mut wait = wait.filter_map(|part| script::wait(part.strip_prefix("wait=")?));
    let compressed = response.headers().contains_key("content-encoding");
    Answer {
        status: response.status().as_u16().to_string(),
        headers: (response.headers().iter())
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect(),
        body: if compressed {
            "(compressed)".to_owned()
        } else {
            String::from_utf8_lossy(&body).into_owned()
        },
        stderr: String::new(),
        waited: wait.next().map(|wait| started.elapsed() >= wait),
    }
}

async fn exchange(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<(Response<()>, Bytes), Box<dyn std::error::Error>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok((Response::from_parts(head, ()), body))
    };
    tokio::pin!(answer);
    tokio::pin!(connection);
    let mut open = true;
    loop {
        tokio::select! {
            answer = &mut answer => return answer,
            _ended = &mut connection, if open => open = false,
        }
    }
}
