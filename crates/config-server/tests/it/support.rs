//! A server on free ports, and clients that speak its protocols.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chameleon_proto::v1;
use chameleon_proto::v1::audit_client::AuditClient;
use chameleon_proto::v1::config_client::ConfigClient;
use chameleon_proto::v1::tokens_client::TokensClient;
use chameleon_store::Store;
use config_server::{Listeners, Settings};
use reqwest::{Method, RequestBuilder, Response};
use service_kit::http_client::{self, HttpClientSettings};
use service_kit::{Lifecycle, listen};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

/// Long enough for a loaded machine; a test that passes never waits for it.
const LIMIT: Duration = Duration::from_secs(30);

/// What a server is started with that needs a token.
pub(crate) const BOOTSTRAP: &str = "0123456789abcdef0123456789abcdef";

pub(crate) const BETA: &str = "config/location-beta.yml";

/// A running server. Stop it by [`stop`](Self::stop), or leave it to the end of the test.
pub(crate) struct Server {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) lifecycle: Lifecycle,
    client: reqwest::Client,
}

pub(crate) fn free_listener() -> tokio::net::TcpListener {
    listen("127.0.0.1:0".parse().unwrap(), "tests", "none").unwrap()
}

impl Server {
    /// A server of its own with a store in memory.
    pub(crate) async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let store = chameleon_store::open("sqlite::memory:").await.unwrap();
        Self::of(settings, store).await
    }

    pub(crate) async fn of(settings: Settings, store: Arc<dyn Store>) -> Self {
        let listeners = Listeners {
            http: free_listener(),
            grpc: free_listener(),
            admin: None,
        };
        let http = listeners.http.local_addr().unwrap();
        let grpc = listeners.grpc.local_addr().unwrap();
        let lifecycle = Lifecycle::default();
        config_server::start(settings, store, listeners, &lifecycle)
            .await
            .unwrap();
        let mut client = HttpClientSettings::new("config-server-test/0");
        client.timeout = LIMIT;
        Self {
            http,
            grpc,
            lifecycle,
            client: http_client::new(&client).unwrap(),
        }
    }

    /// A request that is ready to be sent; `path` begins with `/`.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("http://{}{path}", self.http))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub(crate) async fn put(&self, path: &str, body: impl Into<reqwest::Body>) -> Response {
        self.request(Method::PUT, path)
            .body(body)
            .send()
            .await
            .unwrap()
    }

    pub(crate) async fn delete(&self, path: &str) -> Response {
        self.request(Method::DELETE, path).send().await.unwrap()
    }

    pub(crate) async fn client(&self) -> ConfigClient<Channel> {
        ConfigClient::connect(format!("http://{}", self.grpc))
            .await
            .unwrap()
    }

    /// A client that shows `token` with every call.
    pub(crate) async fn client_with(&self, token: &str) -> ConfigClient<Guarded> {
        let endpoint = Channel::from_shared(format!("http://{}", self.grpc)).unwrap();
        ConfigClient::with_interceptor(endpoint.connect().await.unwrap(), Bearer::of(token))
    }

    /// A client that manages tokens by the bootstrap token.
    pub(crate) async fn tokens(&self) -> TokensClient<Guarded> {
        self.tokens_with(BOOTSTRAP).await
    }

    pub(crate) async fn tokens_with(&self, token: &str) -> TokensClient<Guarded> {
        let endpoint = Channel::from_shared(format!("http://{}", self.grpc)).unwrap();
        TokensClient::with_interceptor(endpoint.connect().await.unwrap(), Bearer::of(token))
    }

    /// A client that reads the audit by `token`.
    pub(crate) async fn audit_with(&self, token: &str) -> AuditClient<Guarded> {
        let endpoint = Channel::from_shared(format!("http://{}", self.grpc)).unwrap();
        AuditClient::with_interceptor(endpoint.connect().await.unwrap(), Bearer::of(token))
    }

    /// Creates a token that allows `rules` for ever, and returns its secret.
    pub(crate) async fn token(&self, name: &str, rules: &[&str]) -> String {
        let request = v1::CreateTokenRequest {
            name: name.to_owned(),
            rules: rules.iter().map(|&rule| rule.to_owned()).collect(),
            lives_ms: 0,
        };
        let created = self.tokens().await.create(request).await.unwrap();
        created.into_inner().secret
    }

    /// A call of the Consul dialect that shows `token`: its status and body.
    pub(crate) async fn consul(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> (u16, String) {
        let request = self.request(method, path).header("x-consul-token", token);
        let response = request.body(body).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.text().await.unwrap())
    }

    /// Writes a key through the Consul dialect; it has to succeed.
    pub(crate) async fn write(&self, key: &str, value: &'static str) {
        let response = self.put(&format!("/v1/kv/{key}"), value).await;
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
    }

    pub(crate) async fn status(&self) -> v1::StatusResponse {
        let mut client = self.client().await;
        client
            .status(v1::StatusRequest {})
            .await
            .unwrap()
            .into_inner()
    }

    /// Ends the server and waits until all of its tasks have ended.
    pub(crate) async fn stop(self) {
        self.lifecycle.shut_down();
        self.lifecycle.finished().await.unwrap();
    }
}

/// A channel whose calls show a token.
pub(crate) type Guarded = InterceptedService<Channel, Bearer>;

#[derive(Clone)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

impl Bearer {
    fn of(token: &str) -> Self {
        Self(format!("Bearer {token}").parse().unwrap())
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A watch as a client keeps it: what was put together so far.
pub(crate) struct Watch {
    requests: mpsc::Sender<v1::WatchRequest>,
    states: Streaming<v1::State>,
    pub(crate) entries: BTreeMap<String, Bytes>,
    pub(crate) stamp: Option<v1::Stamp>,
}

/// One state as it came, its chunks put together.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) base: Option<v1::Stamp>,
    pub(crate) chunks: usize,
    pub(crate) largest: usize,
    pub(crate) puts: usize,
    pub(crate) deletes: Vec<String>,
}

pub(crate) fn subscribe(keys: &[&str], prefixes: &[&str]) -> v1::Subscribe {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    v1::Subscribe {
        keys: owned(keys),
        prefixes: owned(prefixes),
        ..v1::Subscribe::default()
    }
}

impl Watch {
    /// Opens a watch and receives its first state.
    pub(crate) async fn open(server: &Server, subscribe: v1::Subscribe) -> Self {
        let mut watch = Self::opened(server, subscribe).await.unwrap();
        watch.next().await;
        watch
    }

    pub(crate) async fn opened(
        server: &Server,
        subscribe: v1::Subscribe,
    ) -> Result<Self, tonic::Status> {
        let (requests, sent) = Self::requests(subscribe).await;
        let states = server.client().await.watch(sent).await?.into_inner();
        Ok(Self::of(requests, states))
    }

    /// Opens a watch that shows `token`.
    pub(crate) async fn guarded(
        server: &Server,
        token: &str,
        subscribe: v1::Subscribe,
    ) -> Result<Self, tonic::Status> {
        let (requests, sent) = Self::requests(subscribe).await;
        let mut client = server.client_with(token).await;
        let states = client.watch(sent).await?.into_inner();
        Ok(Self::of(requests, states))
    }

    async fn requests(
        subscribe: v1::Subscribe,
    ) -> (
        mpsc::Sender<v1::WatchRequest>,
        ReceiverStream<v1::WatchRequest>,
    ) {
        let (requests, sent) = mpsc::channel(8);
        let first = v1::watch_request::Message::Subscribe(subscribe);
        requests
            .send(v1::WatchRequest {
                message: Some(first),
            })
            .await
            .unwrap();
        (requests, ReceiverStream::new(sent))
    }

    fn of(requests: mpsc::Sender<v1::WatchRequest>, states: Streaming<v1::State>) -> Self {
        Self {
            requests,
            states,
            entries: BTreeMap::new(),
            stamp: None,
        }
    }

    /// Receives the next state whole and applies it.
    pub(crate) async fn next(&mut self) -> Received {
        self.try_next().await.unwrap().expect("the stream goes on")
    }

    pub(crate) async fn try_next(&mut self) -> Result<Option<Received>, tonic::Status> {
        let mut received = Received::default();
        loop {
            let chunk = tokio::time::timeout(LIMIT, self.states.message()).await;
            let Some(chunk) = chunk.expect("a state comes in time")? else {
                return Ok(None);
            };
            received.chunks += 1;
            received.largest = received.largest.max(prost::Message::encoded_len(&chunk));
            if received.chunks == 1 {
                received.base = chunk.base;
                if chunk.base.is_none() {
                    self.entries.clear();
                }
            }
            received.puts += chunk.puts.len();
            for entry in chunk.puts {
                self.entries.insert(entry.key, entry.value);
            }
            for key in chunk.deletes {
                self.entries.remove(&key);
                received.deletes.push(key);
            }
            if !chunk.more {
                self.stamp = chunk.stamp;
                return Ok(Some(received));
            }
        }
    }

    /// Receives states until `key` has `value`.
    pub(crate) async fn until(&mut self, key: &str, value: Option<&str>) {
        while self.value(key) != value {
            self.next().await;
        }
    }

    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        let value = self.entries.get(key)?;
        Some(std::str::from_utf8(value).unwrap())
    }

    pub(crate) async fn judge(&self, verdict: v1::outcome::Verdict) {
        let outcome = v1::Outcome {
            stamp: self.stamp,
            verdict: Some(verdict),
            apply_us: 1_500,
            jitter_us: 0,
        };
        self.send(v1::watch_request::Message::Outcome(outcome))
            .await;
    }

    pub(crate) async fn send(&self, message: v1::watch_request::Message) {
        let request = v1::WatchRequest {
            message: Some(message),
        };
        self.requests.send(request).await.unwrap();
    }
}

/// A put of one key in a native transaction.
pub(crate) fn put(key: &str, value: impl Into<Bytes>) -> v1::Operation {
    v1::Operation {
        operation: Some(v1::operation::Operation::Put(v1::Put {
            key: key.to_owned(),
            value: value.into(),
            flags: 0,
        })),
    }
}

/// The requests of a transaction whose operations come in these messages.
pub(crate) fn requests(
    header: v1::CommitHeader,
    messages: Vec<Vec<v1::Operation>>,
) -> impl futures::Stream<Item = v1::CommitRequest> + Send + 'static {
    use v1::commit_request::Message;
    let operations =
        (messages.into_iter()).map(|operations| Message::Operations(v1::Operations { operations }));
    let all = std::iter::once(Message::Header(header)).chain(operations);
    let requests: Vec<_> = all
        .map(|message| v1::CommitRequest {
            message: Some(message),
        })
        .collect();
    futures::stream::iter(requests)
}

/// Commits one transaction natively.
pub(crate) async fn commit(
    server: &Server,
    header: v1::CommitHeader,
    operations: Vec<v1::Operation>,
) -> Result<v1::commit_response::Outcome, tonic::Status> {
    let mut client = server.client().await;
    let response = client.commit(requests(header, vec![operations])).await?;
    Ok(response.into_inner().outcome.unwrap())
}

pub(crate) fn stamp_of(outcome: &v1::commit_response::Outcome) -> v1::Stamp {
    match outcome {
        v1::commit_response::Outcome::Committed(stamp) => *stamp,
        other => panic!("not committed: {other:?}"),
    }
}
