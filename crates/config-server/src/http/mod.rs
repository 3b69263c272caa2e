//! The HTTP faces, and the pages that orchestrators and Prometheus read.

mod api;
mod body;
mod consul;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response as Answer};
use service_kit::Lifecycle;
use service_kit::accept::Acceptor;
use service_kit::http::HttpLimits;
use service_kit::tls::Protocol;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tower::{BoxError, Service, service_fn};
use tower_http::CompressionLevel;
use tower_http::compression::predicate::SizeAbove;
use tower_http::compression::{Compression, CompressionBody};

use crate::Gate;
use crate::app::App;
use crate::app::access::{Denied, Peer, bearer};
use crate::app::error::Error;
use crate::settings::Limits;

/// From how many bytes on an answer is compressed for a client that takes it so; Consul's bound.
const COMPRESSED_FROM: u64 = 1400;

/// Serves the faces on `listener`, as tasks of `lifecycle`; `pages` on `admin` where it is given,
/// else beside the faces.
pub(crate) fn serve(
    app: &Arc<App>,
    listener: TcpListener,
    admin: Option<TcpListener>,
    pages: Router,
    limits: Limits,
    gate: &Gate,
    lifecycle: &Lifecycle,
) -> anyhow::Result<()> {
    let bounds = HttpLimits {
        connections: limits.connections,
        ..HttpLimits::default()
    };
    let HttpLimits { head_timeout, .. } = bounds;
    let address = listener.local_addr().context("read the HTTP address")?;
    let mut router = Router::new()
        .merge(consul::router(Arc::clone(app), address, lifecycle.soft()))
        .merge(api::router(Arc::clone(app)))
        .fallback(|| async {
            let text = "there is nothing here; try /v1/kv or /api/v1/openapi.json\n";
            (StatusCode::NOT_FOUND, text)
        });
    if let Some(admin) = admin {
        service_kit::http::serve("admin", admin, pages, bounds, lifecycle);
    } else {
        let guard = middleware::from_fn_with_state(Arc::clone(app), guard_metrics);
        router = router.merge(pages.layer(guard));
    }
    let acceptor = Acceptor::new("http", listener, bounds.connections, bounds.silence);
    let acceptor = gate.at(acceptor, Protocol::Http1);
    let router = around(router, Arc::clone(app));
    service_kit::http::serve_accepted(acceptor, router, head_timeout, lifecycle);
    Ok(())
}

/// The router with what holds for all requests. Around it and not as its layers, which would cost
/// some allocations for each of them on every request.
fn around<B>(
    router: Router,
    app: Arc<App>,
) -> impl Service<
    Request<B>,
    Response = Response<CompressionBody<Body>>,
    Error = Infallible,
    Future: Send,
> + Clone
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let compressed = Compression::new(router)
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(COMPRESSED_FROM));
    service_fn(move |request: Request<B>| {
        let method = method_name(request.method());
        let route = route_name(request.uri().path());
        let started = Instant::now();
        let answer = compressed.clone().call(request);
        let app = Arc::clone(&app);
        async move {
            let response = answer.await?;
            (app.metrics).http(method, route, response.status().as_u16(), started.elapsed());
            Ok(response)
        }
    })
}

/// Health is for everybody; metrics beside the faces need the token as the faces do.
async fn guard_metrics(State(app): State<Arc<App>>, request: Request, next: Next) -> Answer {
    let is_health = request.uri().path().starts_with("/health/");
    let from = peer("http", request.extensions());
    if is_health {
        return next.run(request).await;
    }
    match app.access.admit(token(request.headers()), from) {
        Ok(_) => next.run(request).await,
        Err(Denied::Limited(over)) => {
            let pause = [(header::RETRY_AFTER, retry_after(over.retry_after))];
            (StatusCode::TOO_MANY_REQUESTS, pause, format!("{over}\n")).into_response()
        }
        Err(denied) => (StatusCode::UNAUTHORIZED, format!("{denied}\n")).into_response(),
    }
}

/// The status of a use case's error, where a face has none of its own. What is broken here is logged.
fn status_of(error: &Error) -> StatusCode {
    match error {
        Error::Invalid(_) | Error::Faulty(_) => StatusCode::BAD_REQUEST,
        Error::Forbidden(_) => StatusCode::FORBIDDEN,
        Error::Unavailable(_) | Error::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        Error::Overloaded | Error::TooManyWatches { .. } | Error::OverLimit(_) => {
            StatusCode::TOO_MANY_REQUESTS
        }
        Error::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Error::NoSuchRevision(_) => StatusCode::NOT_FOUND,
        Error::Internal(reason) => {
            tracing::error!("failed to serve a call: {reason}");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

/// Whole seconds, so that nobody comes back too early.
fn retry_after(pause: Duration) -> HeaderValue {
    let whole = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
    HeaderValue::from(whole.max(1))
}

/// Where a request comes from.
fn peer(dialect: &'static str, extensions: &Extensions) -> Peer {
    let connection = extensions.get::<ConnectInfo<SocketAddr>>();
    Peer {
        dialect,
        address: connection.map(|ConnectInfo(peer)| peer.ip()),
    }
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?;
    bearer(value.to_str().ok()?)
}

/// Only names that are written here become labels: paths and methods come from anybody.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::POST => "POST",
        _ => "other",
    }
}

fn route_name(path: &str) -> &'static str {
    /// Those that stand for themselves.
    const PAGES: [&str; 9] = [
        "/v1/txn",
        "/v1/agent/self",
        "/v1/catalog/nodes",
        "/v1/catalog/datacenters",
        "/v1/status/leader",
        "/v1/status/peers",
        "/health/live",
        "/health/ready",
        "/metrics",
    ];
    if path == "/v1/kv" || path.starts_with("/v1/kv/") {
        return "/v1/kv";
    }
    if path.starts_with("/v1/session/") {
        return "/v1/session";
    }
    if let Some(route) = api::route_name(path) {
        return route;
    }
    let page = PAGES.into_iter().find(|page| *page == path);
    page.unwrap_or("other")
}
