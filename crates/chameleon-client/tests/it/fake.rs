//! A config server over a real socket whose every move a test makes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chameleon_client::Stamp;
use chameleon_model::{Epoch, Revision, Tag};
use chameleon_proto::v1::config_server::{Config, ConfigServer};
use chameleon_proto::v1::{self, outcome::Verdict, watch_request::Message};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::task::JoinSet;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// Waits for something that must happen; the limit only keeps a broken test from hanging.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    (tokio::time::timeout(Duration::from_secs(30), future).await).expect("it happens in time")
}

pub(crate) fn stamp(epoch: u64, revision: u64) -> Stamp {
    Stamp {
        epoch: Epoch(epoch),
        revision: Revision(revision),
        tag: Tag(epoch * 1000 + revision),
    }
}

/// One chunk; puts are `(file, text)` in `config/`.
pub(crate) fn state(stamp: Stamp, base: Option<Stamp>, puts: &[(&str, &str)]) -> v1::State {
    v1::State {
        stamp: Some(stamp.into()),
        base: base.map(Into::into),
        puts: (puts.iter())
            .map(|(file, text)| v1::Entry {
                key: format!("config/{file}"),
                value: (*text).to_owned().into(),
                ..v1::Entry::default()
            })
            .collect(),
        ..v1::State::default()
    }
}

/// What the server was asked to do, and how it is to answer.
pub(crate) struct Shared {
    connections: mpsc::Sender<Connection>,
    refuses: AtomicBool,
    pub(crate) token: Mutex<Option<String>>,
    pub(crate) reads: Mutex<Vec<v1::State>>,
    pub(crate) commits: Mutex<Vec<Vec<v1::CommitRequest>>>,
    /// Given a turn for each commit, whose answer then never comes.
    pub(crate) swallowed: Notify,
    pub(crate) swallows: AtomicBool,
}

pub(crate) struct Fake {
    pub(crate) address: String,
    pub(crate) shared: Arc<Shared>,
    connections: mpsc::Receiver<Connection>,
    _tasks: JoinSet<()>,
}

/// One watch stream, seen from the server.
pub(crate) struct Connection {
    pub(crate) subscribe: v1::Subscribe,
    down: mpsc::Sender<Result<v1::State, Status>>,
    up: Streaming<v1::WatchRequest>,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (sender, connections) = mpsc::channel(16);
        let shared = Arc::new(Shared {
            connections: sender,
            refuses: AtomicBool::new(false),
            token: Mutex::default(),
            reads: Mutex::default(),
            commits: Mutex::default(),
            swallowed: Notify::new(),
            swallows: AtomicBool::new(false),
        });
        let service = ConfigServer::new(Service(Arc::clone(&shared)));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            let server = Server::builder().add_service(service);
            server.serve_with_incoming(incoming).await.unwrap();
        });
        Self {
            address,
            shared,
            connections,
            _tasks: tasks,
        }
    }

    /// Makes every call fail as on a server without its database.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.shared.refuses.store(refuses, Ordering::Relaxed);
    }

    /// The next watch stream.
    pub(crate) async fn accept(&mut self) -> Connection {
        soon(self.connections.recv()).await.unwrap()
    }

    /// The next watch stream, which gets a complete state at once.
    pub(crate) fn serve<'a>(
        &'a mut self,
        stamp: Stamp,
        puts: &[(&str, &str)],
    ) -> impl Future<Output = Connection> + use<'a> {
        let complete = state(stamp, None, puts);
        async {
            let connection = self.accept().await;
            connection.send(complete).await;
            connection
        }
    }
}

impl Connection {
    pub(crate) async fn send(&self, state: v1::State) {
        self.down.send(Ok(state)).await.unwrap();
    }

    pub(crate) fn last(&self) -> Option<Stamp> {
        self.subscribe.last.map(Into::into)
    }

    pub(crate) async fn outcome(&mut self) -> v1::Outcome {
        match soon(self.up.message()).await.unwrap().unwrap().message {
            Some(Message::Outcome(outcome)) => outcome,
            other => panic!("an outcome was expected: {other:?}"),
        }
    }

    /// The next outcome must say that `stamp` was applied.
    pub(crate) async fn applied(&mut self, stamp: Stamp) {
        let outcome = self.outcome().await;
        assert_eq!(outcome.stamp, Some(stamp.into()));
        assert!(
            matches!(outcome.verdict, Some(Verdict::Applied(_))),
            "{outcome:?}"
        );
        assert!(outcome.jitter_us < 1_000_000, "{outcome:?}");
    }

    /// The next outcome must reject `stamp`; returns the reason.
    pub(crate) async fn rejected(&mut self, stamp: Stamp) -> String {
        let outcome = self.outcome().await;
        assert_eq!(outcome.stamp, Some(stamp.into()));
        match outcome.verdict {
            Some(Verdict::Rejected(rejected)) => rejected.reason,
            other => panic!("a rejection was expected: {other:?}"),
        }
    }

    /// Waits until the client has ended the stream.
    pub(crate) async fn ended(mut self) {
        soon(async { while let Ok(Some(_)) = self.up.message().await {} }).await;
    }
}

struct Service(Arc<Shared>);

impl Service {
    async fn admit<T>(&self, request: &Request<T>) -> Result<(), Status> {
        if self.0.refuses.load(Ordering::Relaxed) {
            return Err(Status::unavailable("no database"));
        }
        let shown = request.metadata().get("authorization");
        match self.0.token.lock().await.as_ref() {
            Some(token) if shown.is_none_or(|shown| shown.to_str().unwrap() != token) => {
                Err(Status::unauthenticated("the token is not known"))
            }
            _ => Ok(()),
        }
    }
}

#[tonic::async_trait]
impl Config for Service {
    type WatchStream = ReceiverStream<Result<v1::State, Status>>;
    type ReadStream = tokio_stream::Iter<std::vec::IntoIter<Result<v1::State, Status>>>;
    type HoldsStream = tokio_stream::Iter<std::vec::IntoIter<Result<v1::Hold, Status>>>;

    async fn watch(
        &self,
        request: Request<Streaming<v1::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.admit(&request).await?;
        let mut up = request.into_inner();
        let Some(Message::Subscribe(subscribe)) = up.message().await?.and_then(|m| m.message)
        else {
            return Err(Status::invalid_argument("subscribe first"));
        };
        let (down, states) = mpsc::channel(16);
        let connection = Connection {
            subscribe,
            down,
            up,
        };
        // A test that is over takes no more connections.
        let _ = self.0.connections.send(connection).await;
        Ok(Response::new(ReceiverStream::new(states)))
    }

    async fn read(
        &self,
        request: Request<v1::ReadRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        self.admit(&request).await?;
        let states: Vec<_> = (self.0.reads.lock().await.iter().cloned())
            .map(Ok)
            .collect();
        Ok(Response::new(tokio_stream::iter(states)))
    }

    async fn commit(
        &self,
        request: Request<Streaming<v1::CommitRequest>>,
    ) -> Result<Response<v1::CommitResponse>, Status> {
        self.admit(&request).await?;
        let mut messages = request.into_inner();
        let mut received = Vec::new();
        while let Some(message) = messages.message().await? {
            received.push(message);
        }
        self.0.commits.lock().await.push(received);
        if self.0.swallows.load(Ordering::Relaxed) {
            self.0.swallowed.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(Response::new(v1::CommitResponse {
            outcome: Some(v1::commit_response::Outcome::Committed(stamp(1, 9).into())),
            ..v1::CommitResponse::default()
        }))
    }

    async fn history(
        &self,
        _: Request<v1::HistoryRequest>,
    ) -> Result<Response<v1::HistoryResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn diff(
        &self,
        _: Request<v1::DiffRequest>,
    ) -> Result<Response<v1::DiffResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn rollback(
        &self,
        _: Request<v1::RollbackRequest>,
    ) -> Result<Response<v1::RollbackResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn fleet(
        &self,
        _: Request<v1::FleetRequest>,
    ) -> Result<Response<v1::FleetResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn sources(
        &self,
        _: Request<v1::SourcesRequest>,
    ) -> Result<Response<v1::SourcesResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn holds(
        &self,
        _: Request<v1::HoldsRequest>,
    ) -> Result<Response<Self::HoldsStream>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn report_sync(
        &self,
        _: Request<v1::ReportSyncRequest>,
    ) -> Result<Response<v1::ReportSyncResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn status(
        &self,
        request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        self.admit(&request).await?;
        Ok(Response::new(v1::StatusResponse {
            version: "fake".into(),
            head: Some(stamp(1, 9).into()),
            ..v1::StatusResponse::default()
        }))
    }
}
