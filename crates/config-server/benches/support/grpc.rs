//! Clients of `chameleon.v1` that answer each state as the SDK does.

use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use chameleon_model::RequestId;
use chameleon_proto::v1;
use chameleon_proto::v1::config_client::ConfigClient;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Streaming};

use crate::value::{self, Seen, Sightings};

/// A server.
#[derive(Clone)]
pub(crate) struct Target {
    endpoint: Endpoint,
    authorization: MetadataValue<Ascii>,
}

/// A connection.
#[derive(Clone)]
pub(crate) struct Client {
    client: ConfigClient<Channel>,
    authorization: MetadataValue<Ascii>,
}

/// A client that watches one key.
pub(crate) struct Watcher {
    states: Streaming<v1::State>,
    requests: mpsc::Sender<v1::WatchRequest>,
    id: usize,
    last: Option<v1::Stamp>,
}

impl Target {
    pub(crate) fn new(address: &str, token: &str) -> anyhow::Result<Self> {
        Ok(Self {
            endpoint: Endpoint::from_shared(format!("http://{address}"))?,
            authorization: format!("Bearer {token}").parse()?,
        })
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        let channel = self.endpoint.connect().await.context("connect")?;
        Ok(Client {
            client: ConfigClient::new(channel),
            authorization: self.authorization.clone(),
        })
    }
}

impl Client {
    pub(crate) async fn put(&mut self, key: &str, value: Bytes) -> anyhow::Result<()> {
        use v1::commit_request::Message;
        use v1::operation::Operation;
        let header = v1::CommitHeader {
            request_id: RequestId::generate().0.to_string(),
            ..v1::CommitHeader::default()
        };
        let put = v1::Put {
            key: key.to_owned(),
            value,
            flags: 0,
        };
        let operations = v1::Operations {
            operations: vec![v1::Operation {
                operation: Some(Operation::Put(put)),
            }],
        };
        let messages = [Message::Header(header), Message::Operations(operations)];
        let messages = messages.map(|message| v1::CommitRequest {
            message: Some(message),
        });
        let request = self.request(tokio_stream::iter(messages));
        let response = self.client.commit(request).await?.into_inner();
        match response.outcome {
            Some(v1::commit_response::Outcome::Refused(refused)) => {
                bail!("the write was refused: {:?}", refused.reasons)
            }
            _ => Ok(()),
        }
    }

    /// Opens a stream; `last` is the state that the client has.
    pub(crate) async fn watch(
        mut self,
        key: &str,
        id: usize,
        last: Option<v1::Stamp>,
    ) -> anyhow::Result<Watcher> {
        let subscribe = v1::Subscribe {
            keys: vec![key.to_owned()],
            prefixes: Vec::new(),
            last,
            identity: Some(v1::Identity {
                service: String::from("bench"),
                profile: String::from("prod"),
                instance: format!("bench-{id}"),
                version: String::from("1"),
                host: String::from("localhost"),
                prefix: String::new(),
            }),
        };
        let (requests, receiver) = mpsc::channel(2);
        let message = v1::watch_request::Message::Subscribe(subscribe);
        let first = v1::WatchRequest {
            message: Some(message),
        };
        requests.send(first).await?;
        let request = self.request(ReceiverStream::new(receiver));
        Ok(Watcher {
            states: self.client.watch(request).await?.into_inner(),
            requests,
            id,
            last,
        })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert("authorization", self.authorization.clone());
        request
    }
}

impl Watcher {
    /// The newest state that it has.
    pub(crate) fn last(&self) -> Option<v1::Stamp> {
        self.last
    }

    /// Tells every value and answers every state; one that has no value counts as round 0.
    pub(crate) async fn follow(&mut self, seen: &Sightings) -> anyhow::Result<()> {
        let mut round = 0;
        let mut due: Option<(Instant, Duration)> = None;
        loop {
            let waiting = async {
                match due {
                    Some((at, jitter)) => {
                        tokio::time::sleep_until(at).await;
                        jitter
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                state = self.states.message() => {
                    let state = state?.context("the server ended the stream")?;
                    let at = Instant::now();
                    if let Some(newest) = state.puts.iter().find_map(|put| value::round(&put.value)) {
                        round = newest;
                    }
                    if state.more {
                        continue;
                    }
                    self.last = state.stamp;
                    let watcher = self.id;
                    // Nobody listens any more at the end of a run.
                    let _ = seen.send(Seen { watcher, round, at });
                    // As the SDK does.
                    let within = Duration::from_millis(state.outcome_within_ms.into());
                    let jitter = within.mul_f64(rand::random_range(0.2..=1.0));
                    due = Some((at + jitter, jitter));
                }
                jitter = waiting => {
                    due = None;
                    self.requests.send(self.applied(jitter)).await?;
                }
            }
        }
    }

    fn applied(&self, jitter: Duration) -> v1::WatchRequest {
        let outcome = v1::Outcome {
            stamp: self.last,
            verdict: Some(v1::outcome::Verdict::Applied(v1::Applied {})),
            apply_us: 50,
            jitter_us: u64::try_from(jitter.as_micros()).unwrap_or(u64::MAX),
        };
        v1::WatchRequest {
            message: Some(v1::watch_request::Message::Outcome(outcome)),
        }
    }
}
