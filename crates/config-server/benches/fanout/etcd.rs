//! Clients of etcd: what of its gRPC contract is needed here, under etcd's names and numbers.

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Streaming};
use tonic_prost::ProstCodec;

use crate::value::{self, Seen, Sightings};

#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

#[derive(Clone, PartialEq, prost::Message)]
struct WatchRequest {
    /// One of several requests there.
    #[prost(message, optional, tag = "1")]
    create_request: Option<WatchCreateRequest>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WatchCreateRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WatchResponse {
    #[prost(bool, tag = "3")]
    created: bool,
    #[prost(bool, tag = "4")]
    canceled: bool,
    #[prost(message, repeated, tag = "11")]
    events: Vec<Event>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Event {
    #[prost(message, optional, tag = "2")]
    kv: Option<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct KeyValue {
    #[prost(bytes = "bytes", tag = "5")]
    value: Bytes,
}

/// A server.
#[derive(Clone)]
pub(crate) struct Target {
    endpoint: Endpoint,
}

/// A connection.
#[derive(Clone)]
pub(crate) struct Client {
    grpc: Grpc<Channel>,
}

/// A client that watches one key.
pub(crate) struct Watcher {
    responses: Streaming<WatchResponse>,
    /// The stream ends when this does.
    _requests: mpsc::Sender<WatchRequest>,
    id: usize,
}

impl Target {
    pub(crate) fn new(address: &str) -> anyhow::Result<Self> {
        Ok(Self {
            endpoint: Endpoint::from_shared(format!("http://{address}"))?,
        })
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        let channel = self.endpoint.connect().await.context("connect")?;
        Ok(Client {
            grpc: Grpc::new(channel),
        })
    }

    pub(crate) async fn watch(&self, key: &str, id: usize) -> anyhow::Result<Watcher> {
        let Client { mut grpc } = self.connect().await?;
        let (requests, receiver) = mpsc::channel(1);
        let request = WatchRequest {
            create_request: Some(WatchCreateRequest {
                key: Bytes::copy_from_slice(key.as_bytes()),
            }),
        };
        requests.send(request).await?;
        grpc.ready().await?;
        let responses = grpc
            .streaming(
                Request::new(ReceiverStream::new(receiver)),
                PathAndQuery::from_static("/etcdserverpb.Watch/Watch"),
                ProstCodec::<WatchRequest, WatchResponse>::default(),
            )
            .await?;
        Ok(Watcher {
            responses: responses.into_inner(),
            _requests: requests,
            id,
        })
    }
}

impl Client {
    pub(crate) async fn put(&mut self, key: &str, value: Bytes) -> anyhow::Result<()> {
        let key = Bytes::copy_from_slice(key.as_bytes());
        self.grpc.ready().await?;
        self.grpc
            .unary(
                Request::new(PutRequest { key, value }),
                PathAndQuery::from_static("/etcdserverpb.KV/Put"),
                ProstCodec::<PutRequest, PutResponse>::default(),
            )
            .await?;
        Ok(())
    }
}

impl Watcher {
    /// Tells every value; that the watch exists counts as round 0, because etcd sends only what
    /// changes from then on.
    pub(crate) async fn follow(&mut self, seen: &Sightings) -> anyhow::Result<()> {
        loop {
            let response = self.responses.message().await?;
            let response = response.context("the server ended the stream")?;
            let at = Instant::now();
            ensure!(!response.canceled, "the server cancelled the watch");
            let values = response.events.iter().filter_map(|event| event.kv.as_ref());
            let newest = values.filter_map(|kv| value::round(&kv.value)).max();
            if let Some(round) = newest.or(response.created.then_some(0)) {
                let watcher = self.id;
                // Nobody listens any more at the end of a run.
                let _ = seen.send(Seen { watcher, round, at });
            }
        }
    }
}
