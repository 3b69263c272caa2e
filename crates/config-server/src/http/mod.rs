//! The HTTP faces, and the pages that orchestrators and Prometheus read.

mod consul;

use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use service_kit::Lifecycle;
use service_kit::http::HttpLimits;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::app::App;
use crate::app::access::bearer;
use crate::settings::Limits;

/// Serves the faces on `listener`, as tasks of `lifecycle`; `pages` on `admin` where it is given,
/// else beside the faces.
pub(crate) fn serve(
    app: &Arc<App>,
    listener: TcpListener,
    admin: Option<TcpListener>,
    pages: Router,
    limits: Limits,
    lifecycle: &Lifecycle,
) -> anyhow::Result<()> {
    let bounds = HttpLimits {
        connections: limits.connections,
        ..HttpLimits::default()
    };
    let address = listener.local_addr().context("read the HTTP address")?;
    let mut router = Router::new()
        .merge(consul::router(Arc::clone(app), address, lifecycle.soft()))
        .fallback(|| async { (StatusCode::NOT_FOUND, "there is nothing here; try /v1/kv\n") });
    if let Some(admin) = admin {
        service_kit::http::serve("admin", admin, pages, bounds, lifecycle);
    } else {
        let guard = middleware::from_fn_with_state(Arc::clone(app), guard_metrics);
        router = router.merge(pages.layer(guard));
    }
    let counted = middleware::from_fn_with_state(Arc::clone(app), count);
    let router = router.layer(counted);
    service_kit::http::serve("http", listener, router, bounds, lifecycle);
    Ok(())
}

/// Health is for everybody; metrics beside the faces need the token as the faces do.
async fn guard_metrics(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let is_health = request.uri().path().starts_with("/health/");
    if !is_health && let Err(denied) = app.access.admit(token(request.headers())) {
        return (StatusCode::UNAUTHORIZED, format!("{denied}\n")).into_response();
    }
    next.run(request).await
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?;
    bearer(value.to_str().ok()?)
}

async fn count(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let method = method_name(request.method());
    let route = route_name(request.extensions().get::<MatchedPath>());
    let started = Instant::now();
    let response = next.run(request).await;
    (app.metrics).http(method, route, response.status().as_u16(), started.elapsed());
    response
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

fn route_name(path: Option<&MatchedPath>) -> &'static str {
    match path.map(MatchedPath::as_str) {
        Some(path) if path.starts_with("/v1/kv") => "/v1/kv",
        Some("/v1/txn") => "/v1/txn",
        Some(path) if path.starts_with("/v1/session/") => "/v1/session",
        Some("/v1/agent/self") => "/v1/agent/self",
        Some("/v1/catalog/nodes") => "/v1/catalog/nodes",
        Some("/v1/catalog/datacenters") => "/v1/catalog/datacenters",
        Some("/v1/status/leader") => "/v1/status/leader",
        Some("/v1/status/peers") => "/v1/status/peers",
        Some("/health/live") => "/health/live",
        Some("/health/ready") => "/health/ready",
        Some("/metrics") => "/metrics",
        _ => "other",
    }
}
