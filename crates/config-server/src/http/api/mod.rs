//! The native API: JSON under `/api/v1`, for scripts, pages and whatever speaks no gRPC.
//!
//! A module for each resource. Its handlers are routed and described by the same attribute, so that
//! the OpenAPI description (`/api/v1/openapi.json`) tells of exactly what is served. Errors are
//! problem details (RFC 9457).

mod audit;
mod entries;
mod extract;
mod fleet;
mod history;
mod holds;
mod problem;
mod rollback;
mod status;
mod tokens;
mod transactions;
mod words;

use std::sync::Arc;

use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use chameleon_model::Transaction;
use utoipa::Modify;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::app::access::Caller;
use crate::app::replica::Reservation;
use crate::metrics::Face;
use extract::Admitted;
use problem::Problem;
use words::OutcomeAnswer;

/// How many bytes of values an answer has before the rest is left to the next question.
const ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// The description, before the routes add themselves.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Chameleon",
        description = "Reads, changes and explains the configuration that a config server holds.\n\n\
            Where the server needs a token, send it as `Authorization: Bearer TOKEN`. Errors are problem \
            details: `detail` says what was wrong, where, and what to do. Times are RFC 3339 in UTC, \
            durations whole numbers with their unit in the name.",
    ),
    security(("token" = []), ()),
    modifiers(&BearerToken),
)]
struct Description;

struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        (api.components.get_or_insert_default())
            .add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The routes under `/api/v1`.
pub(super) fn router(app: Arc<App>) -> Router {
    let (router, description) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(entries::list))
        .routes(routes!(entries::read, entries::write, entries::delete))
        .routes(routes!(transactions::commit))
        .routes(routes!(history::history))
        .routes(routes!(history::diff))
        .routes(routes!(rollback::roll_back))
        .routes(routes!(fleet::fleet))
        .routes(routes!(fleet::sources))
        .routes(routes!(holds::list))
        .routes(routes!(holds::hold, holds::release))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(tokens::rotate))
        .routes(routes!(audit::audit))
        .routes(routes!(status::status))
        .split_for_parts();
    let description = text(&description);
    router
        .method_not_allowed_fallback(not_allowed)
        .route(
            "/api/v1/openapi.json",
            get(async move || {
                let json = [(header::CONTENT_TYPE, "application/json")];
                (json, description)
            }),
        )
        .route("/api/v1", any(not_served))
        .route("/api/v1/{*path}", any(not_served))
        .with_state(app)
}

/// Stores a transaction of checked documents, and answers what became of it.
async fn store(
    app: &Arc<App>,
    caller: &Caller,
    transaction: Transaction,
    reservation: Reservation,
) -> Result<Json<OutcomeAnswer>, Problem> {
    let stored = app.commit_checked(Face::Api, caller, transaction, reservation);
    OutcomeAnswer::of(stored.await?).map(Json)
}

/// The description as it is served. That a key may have slashes is marked for the router only.
fn text(description: &utoipa::openapi::OpenApi) -> String {
    let json = description.to_pretty_json();
    json.expect("a description is always JSON")
        .replace("{*key}", "{key}")
        .replace("\"*key\"", "\"key\"")
}

/// The name of a path in metrics, if it is one of this face.
pub(super) fn route_name(path: &str) -> Option<&'static str> {
    /// The first part of each path.
    const ROUTES: [&str; 12] = [
        "/api/v1/entries",
        "/api/v1/transactions",
        "/api/v1/history",
        "/api/v1/diff",
        "/api/v1/rollback",
        "/api/v1/fleet",
        "/api/v1/sources",
        "/api/v1/holds",
        "/api/v1/tokens",
        "/api/v1/audit",
        "/api/v1/status",
        "/api/v1/openapi.json",
    ];
    let is_of = |route: &&str| {
        let rest = path.strip_prefix(*route);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    ROUTES.into_iter().find(is_of)
}

async fn not_served(uri: Uri) -> Problem {
    let detail = format!(
        "`{}` is not served; /api/v1/openapi.json tells what is",
        uri.path()
    );
    Problem::new(StatusCode::NOT_FOUND, detail)
}

async fn not_allowed(method: Method, uri: Uri) -> Response {
    let detail = format!("{method} is not possible on `{}`", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).into_response()
}
