//! `/api/v1/status`: how the server is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::{Admitted, NoParameters, Parameters};
use super::problem::Problem;
use super::words::{Stamp, millis};
use crate::app::App;

/// How a server is.
#[derive(Serialize, ToSchema)]
pub(super) struct StatusAnswer {
    /// The program's version.
    version: &'static str,
    /// The newest state that it serves.
    head: Stamp,
    entries: usize,
    /// The watches that are open at it.
    watches: usize,
    /// `postgres` or `sqlite`.
    store: &'static str,
    /// False while the database is away; reads and watches go on, writes fail.
    store_available: bool,
    /// How long ago the database last answered: how old the state may be.
    store_age_ms: u64,
}

/// Tell how the server is
#[utoipa::path(
    get, path = "/api/v1/status", tag = "status", operation_id = "read_status",
    responses(
        (status = 200, description = "How it is", body = StatusAnswer),
        (status = "default", description = "Not served", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn status(
    State(app): State<Arc<App>>,
    Admitted(_): Admitted,
    _: Parameters<NoParameters>,
) -> Json<StatusAnswer> {
    let status = app.status();
    Json(StatusAnswer {
        version: env!("CARGO_PKG_VERSION"),
        head: status.head.into(),
        entries: status.entries,
        watches: status.watches,
        store: status.store,
        store_available: status.store_available,
        store_age_ms: millis(status.store_age),
    })
}
