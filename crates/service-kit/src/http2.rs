//! Serving HTTP/2 as part of a process, for many connections that are mostly quiet.
//!
//! Each connection is one task: the first few streams on it are polled by that task itself, and only
//! what was woken is polled. So an event touches one task and little memory, which is what counts
//! where thousands of connections have one stream each.

mod connection;
mod reading;
mod shared;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use futures::future::BoxFuture;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http2;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tower::BoxError;

use crate::Lifecycle;
use crate::accept::{Accepted, Acceptor};
use connection::Connection;
use reading::Reading;
use shared::Shared;

/// Bounds of one HTTP/2 listener. Bodies and times of handlers are bounded by the service.
#[derive(Clone, Copy, Debug)]
pub struct Http2Limits {
    /// Time to send the text that HTTP/2 begins with. From then on a client has to answer pings;
    /// before, nothing else would ever end a connection that says nothing.
    pub opening: Duration,
    /// How often a silent connection is asked whether its other end is still there.
    pub keepalive: Duration,
    /// How long the answer to that may take.
    pub keepalive_timeout: Duration,
    /// Streams at a time on one connection.
    pub streams: u32,
    /// How long streams may go on after the soft stop.
    pub closing: Duration,
}

/// Serves `service` over HTTP/2 on the connections that `acceptor` takes, as a task of `lifecycle`
/// that is called after it.
///
/// Handlers find the other end's address as [`ConnectInfo<SocketAddr>`]. A handler that panics ends
/// its own stream and no other. At the shutdown the port is closed first and no new stream is taken;
/// those that are open may go on for [`Http2Limits::closing`], then their connections are cut.
pub fn serve_accepted<S, B>(
    acceptor: Acceptor,
    service: S,
    limits: Http2Limits,
    lifecycle: &Lifecycle,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let soft = lifecycle.soft();
    lifecycle.own(acceptor.name(), async move {
        run(acceptor, service, limits, soft).await;
        Ok(())
    });
}

async fn run<S, B>(mut acceptor: Acceptor, service: S, limits: Http2Limits, soft: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    // Dropped with this future, so a hard stop ends the connections too.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = soft.cancelled() => break,
            accepted = acceptor.next() => {
                connections.spawn(connection(accepted, service.clone(), limits, &soft));
            }
            Some(ended) = connections.join_next() => tell_of_panic(&ended),
        }
    }
    drop(acceptor);
    let ended = async {
        while let Some(ended) = connections.join_next().await {
            tell_of_panic(&ended);
        }
    };
    let _ = tokio::time::timeout(limits.closing, ended).await;
    connections.shutdown().await;
}

fn tell_of_panic(ended: &Result<(), JoinError>) {
    if ended.as_ref().is_err_and(JoinError::is_panic) {
        tracing::error!("failed to serve a connection: it panicked");
    }
}

fn connection<S, B>(
    accepted: Accepted,
    service: S,
    limits: Http2Limits,
    soft: &CancellationToken,
) -> impl Future<Output = ()> + Send + use<S, B>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let Accepted {
        stream,
        peer,
        place,
    } = accepted;
    let shared = Shared::new();
    let served = http2::Builder::new(shared.executor())
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.keepalive)
        .keep_alive_timeout(limits.keepalive_timeout)
        .max_concurrent_streams(limits.streams)
        .serve_connection(
            TokioIo::new(Reading::new(stream, limits.opening, Arc::clone(&shared))),
            FromPeer { service, peer },
        );
    Connection::new(served, shared, soft.clone().cancelled_owned(), peer, place)
}

/// Tells a service's handlers who asks, and calls them as part of their stream, with which they fail.
struct FromPeer<S> {
    service: S,
    peer: SocketAddr,
}

impl<S> Service<Request<Incoming>> for FromPeer<S>
where
    S: Service<Request<Incoming>, Future: Send> + Clone + Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let service = self.service.clone();
        Box::pin(async move { service.call(request).await })
    }
}
