//! The HTTP face: two searches in one canonical body, and the routing in force.

mod error;
mod lookups;
mod shed;

use axum::{Json, Router, extract::State, middleware, routing::get};
use tower_http::catch_panic::CatchPanicLayer;

use crate::service::LocationService;
use error::ApiError;

/// `GET /location/address` and `GET /location/reverse`, of which at most `max_in_flight` run at a time.
///
/// More are answered 503 with `Retry-After` at once, because a queue would only make all of them late.
pub fn router(service: LocationService, max_in_flight: usize) -> Router {
    Router::new()
        .route("/location/address", get(lookups::address))
        .route("/location/reverse", get(lookups::reverse))
        .layer(middleware::from_fn_with_state(
            shed::Gate::new(max_in_flight),
            shed::admit,
        ))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(CatchPanicLayer::custom(error::panicked))
        .with_state(service)
}

/// `GET /location/routing`: shares, revision and providers as JSON, without secrets; for the admin listener.
pub fn admin_router(service: LocationService) -> Router {
    Router::new()
        .route("/location/routing", get(routing))
        .with_state(service)
}

async fn routing(State(service): State<LocationService>) -> Json<crate::table::Overview> {
    Json(service.overview())
}
