//! Serving HTTP as part of a process.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::ConnectInfo;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Service, ServiceExt as _};

use crate::Lifecycle;
use crate::accept::{Accepted, Acceptor, SILENCE};

/// Bounds of one HTTP listener. Bodies and times of handlers are bounded by their routers.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// Connections at a time; more wait unaccepted, without using memory of the process.
    pub connections: usize,
    /// Time for a request's head to arrive whole, from the end of the answer before. An idle
    /// connection is closed after it.
    pub head_timeout: Duration,
    /// Time for which the other end may take nothing of an answer.
    pub silence: Duration,
}

impl Default for HttpLimits {
    /// 10,000 connections, 60 s for a head, [`SILENCE`].
    fn default() -> Self {
        Self {
            connections: 10_000,
            head_timeout: Duration::from_mins(1),
            silence: SILENCE,
        }
    }
}

/// Serves `service`, mostly an axum router, over HTTP/1.1 on `listener`, as the task `name` of
/// `lifecycle`.
///
/// Handlers find the other end's address as [`ConnectInfo<SocketAddr>`]. At the shutdown the port
/// is closed first, requests that are being answered are finished, idle connections are closed. A
/// handler that waits or streams has to end by [`Lifecycle::soft`]; else it is cut off after the
/// grace.
pub fn serve<S, B>(
    name: &'static str,
    listener: TcpListener,
    service: S,
    limits: HttpLimits,
    lifecycle: &Lifecycle,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let acceptor = Acceptor::new(name, listener, limits.connections, limits.silence);
    serve_accepted(acceptor, service, limits.head_timeout, lifecycle);
}

/// The same for connections that `acceptor` takes, after whose name the task is called: within TLS,
/// or with a limit for each address.
pub fn serve_accepted<S, B>(
    acceptor: Acceptor,
    service: S,
    head_timeout: Duration,
    lifecycle: &Lifecycle,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let soft = lifecycle.soft();
    lifecycle.own(acceptor.name(), async move {
        run(acceptor, service, head_timeout, soft).await;
        Ok(())
    });
}

async fn run<S, B>(
    mut acceptor: Acceptor,
    service: S,
    head_timeout: Duration,
    soft: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    // Dropped with this future, so a hard stop ends the connections too.
    let mut connections = JoinSet::new();
    while let Some(accepted) = soft.run_until_cancelled(acceptor.next()).await {
        connections.spawn(serve_connection(
            accepted,
            service.clone(),
            head_timeout,
            soft.clone(),
        ));
        while connections.try_join_next().is_some() {}
    }
    drop(acceptor);
    while connections.join_next().await.is_some() {}
}

async fn serve_connection<S, B>(
    accepted: Accepted,
    service: S,
    head_timeout: Duration,
    soft: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send,
    S::Future: Send,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let Accepted {
        stream,
        peer,
        place: _place,
    } = accepted;
    let service = service.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = soft.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        // The other end went away or sent nonsense, which is its affair.
        tracing::debug!(%peer, "failed to serve a connection: {error}");
    }
}
