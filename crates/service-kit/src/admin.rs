//! The pages that orchestrators and Prometheus read.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use crate::health::Health;
use crate::metrics::{self, Registry};

/// `/health/live`, `/health/ready` and `/metrics`, to be merged into a router or served alone.
///
/// Live answers 200 whenever it answers. Ready answers 200 or 503, and its JSON body says which
/// check fails and why.
pub fn router(health: Health, registry: Registry) -> Router {
    Router::new()
        .route("/health/live", get(|| async { "live\n" }))
        .route("/health/ready", get(move || async move { ready(&health) }))
        .route(
            "/metrics",
            get(move || async move {
                let content_type = [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)];
                (content_type, registry.text())
            }),
        )
}

fn ready(health: &Health) -> Response {
    let readiness = health.readiness();
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness)).into_response()
}
