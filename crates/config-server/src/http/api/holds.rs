//! `/api/v1/holds`: keys that stay as they are against their git source.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::State;
use chameleon_model::{Hold, Operation, Origin, Timestamp, Transaction};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::extract::{Admitted, JsonBody, KeyInPath, Parameters, request_id};
use super::problem::Problem;
use super::store;
use super::words::{OutcomeAnswer, moment};
use crate::app::App;

/// The most holds in one answer.
const MOST: usize = 10_000;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HoldsParameters {
    /// Only keys behind this one: `next` of the answer before.
    after: Option<String>,
}

/// Holds in the order of their keys.
#[derive(Serialize, ToSchema)]
pub(super) struct HoldsAnswer {
    holds: Vec<HoldAnswer>,
    /// Where the next answer goes on, as `after`; absent if this is all.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A key that is held.
#[derive(Serialize, ToSchema)]
struct HoldAnswer {
    key: String,
    /// The git source that owns the key.
    source: String,
    /// Who holds it.
    author: String,
    /// Why.
    reason: String,
    /// When it was put or last renewed.
    since: String,
    /// From when on somebody should look. It stays in force.
    expires: String,
    /// True once that time has come.
    expired: bool,
    /// The revision that last changed the hold.
    revision: u64,
    /// False if the source has no such file: a release deletes the key.
    in_git: bool,
}

/// Why a key is to be held.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HoldBody {
    /// Why, for whoever finds it.
    #[serde(default)]
    reason: String,
    /// Who holds it; the token's name if left out.
    #[serde(default)]
    author: String,
    /// How long until it counts as expired; the server's setting if left out.
    lasts_seconds: Option<u64>,
    /// A UUID of the writer's: a retry under the same one gets the first outcome.
    request_id: Option<Uuid>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReleaseParameters {
    /// Who releases it, for the history; the token's name if left out.
    author: Option<String>,
    /// Why, for the history.
    message: Option<String>,
    /// A UUID of the writer's: a retry under the same one gets the first outcome.
    request_id: Option<Uuid>,
}

/// List holds
///
/// Those on keys that the token may read.
#[utoipa::path(
    get, path = "/api/v1/holds", tag = "holds", operation_id = "list_holds",
    params(HoldsParameters),
    responses(
        (status = 200, description = "The holds", body = HoldsAnswer),
        (status = "default", description = "Not served", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Admitted(caller): Admitted,
    Parameters(asked): Parameters<HoldsParameters>,
) -> Json<HoldsAnswer> {
    let after = asked.after.unwrap_or_default();
    let all = app.holds(&caller);
    let behind: Vec<_> = (all.iter())
        .filter(|hold| hold.key.as_str() > after.as_str())
        .collect();
    let told = &behind[..behind.len().min(MOST)];
    let is_all = told.len() == behind.len();
    let next = told.last().filter(|_| !is_all);
    let now = SystemTime::now().into();
    Json(HoldsAnswer {
        next: next.map(|hold| hold.key.to_string()),
        holds: told.iter().map(|hold| HoldAnswer::of(hold, now)).collect(),
    })
}

impl HoldAnswer {
    fn of(hold: &Hold, now: Timestamp) -> Self {
        Self {
            key: hold.key.to_string(),
            source: hold.source.to_string(),
            author: hold.author.clone(),
            reason: hold.reason.clone(),
            since: moment(hold.since),
            expires: moment(hold.expires),
            expired: hold.is_expired(now),
            revision: hold.revision.0,
            in_git: hold.git.is_some(),
        }
    }
}

/// Hold a key
///
/// Keeps a key of a git source as it is, or renews its hold: pushes do not reach it until it is released,
/// or its file changes in git. Takes the right `override`. A write to such a key holds it by itself.
#[utoipa::path(
    put, path = "/api/v1/holds/{*key}", tag = "holds", operation_id = "hold_key",
    params(("*key" = String, Path, description = "The key, with its slashes")),
    request_body = HoldBody,
    responses(
        (status = 200, description = "Held", body = OutcomeAnswer),
        (status = 409, description = "No git source owns the key", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Not served", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn hold(
    State(app): State<Arc<App>>,
    Admitted(caller): Admitted,
    KeyInPath(key): KeyInPath,
    JsonBody(body): JsonBody<HoldBody>,
) -> Result<Json<OutcomeAnswer>, Problem> {
    if body.lasts_seconds == Some(0) {
        let reason = "is 0; release the key instead";
        return Err(Problem::invalid("lasts_seconds", reason));
    }
    let transaction = Transaction {
        request_id: request_id(body.request_id),
        operations: vec![Operation::Hold { key }],
        hold_for: body.lasts_seconds.map(Duration::from_secs),
        origin: Origin {
            author: body.author,
            message: body.reason,
            ..Origin::default()
        },
        ..Transaction::default()
    };
    let reservation = app.replica.reservation();
    store(&app, &caller, transaction, reservation).await
}

/// Release a key
///
/// Ends its hold, and brings back what git has. Takes the right `override`.
#[utoipa::path(
    delete, path = "/api/v1/holds/{*key}", tag = "holds", operation_id = "release_key",
    params(("*key" = String, Path, description = "The key, with its slashes"), ReleaseParameters),
    responses(
        (status = 200, description = "Released", body = OutcomeAnswer),
        (status = 409, description = "The key is not held", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A document would be broken", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Not served", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn release(
    State(app): State<Arc<App>>,
    Admitted(caller): Admitted,
    KeyInPath(key): KeyInPath,
    Parameters(asked): Parameters<ReleaseParameters>,
) -> Result<Json<OutcomeAnswer>, Problem> {
    let transaction = Transaction {
        request_id: request_id(asked.request_id),
        operations: vec![Operation::Release { key }],
        origin: Origin {
            author: asked.author.unwrap_or_default(),
            message: asked.message.unwrap_or_default(),
            ..Origin::default()
        },
        ..Transaction::default()
    };
    let reservation = app.replica.reservation();
    store(&app, &caller, transaction, reservation).await
}
