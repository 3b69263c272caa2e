//! `/api/v1/rollback`: going back to an earlier state by a new revision.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chameleon_model::{Origin, Revision};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::extract::{Admitted, JsonBody, request_id, selection};
use super::problem::Problem;
use super::words::{KeyChange, OutcomeAnswer};
use crate::app::App;
use crate::app::rollback::{Rollback, RolledBack};
use crate::metrics::Face;

/// What goes back, and to which revision.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RollbackBody {
    /// The revision whose state comes back.
    to: u64,
    /// Only this key.
    key: Option<String>,
    /// Only keys that begin so; all if neither this nor `key` is given.
    prefix: Option<String>,
    /// Who does it, for the history; the token's name if left out.
    #[serde(default)]
    author: String,
    /// Why, for the history.
    #[serde(default)]
    message: String,
    /// A UUID of the writer's: a retry under the same one gets the first outcome.
    request_id: Option<Uuid>,
}

/// What became of a rollback, and what it changed.
#[derive(Serialize, ToSchema)]
pub(super) struct RollbackAnswer {
    #[serde(flatten)]
    outcome: OutcomeAnswer,
    /// The keys that differed.
    changes: Vec<KeyChange>,
}

/// Roll back
///
/// Brings keys to how they were at a revision, as one new transaction: checked and recorded like any
/// other, and refused if somebody changes one of the keys meanwhile. `/api/v1/diff?from=NEWEST&to=REVISION`
/// tells beforehand what would change.
#[utoipa::path(
    post, path = "/api/v1/rollback", tag = "history", operation_id = "roll_back",
    request_body = RollbackBody,
    responses(
        (status = 200, description = "Rolled back, or so already", body = RollbackAnswer),
        (status = 404, description = "The revision is not kept", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A key was changed meanwhile; nothing was applied", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A document would be broken; nothing was applied", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Not served", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn roll_back(
    State(app): State<Arc<App>>,
    Admitted(caller): Admitted,
    JsonBody(body): JsonBody<RollbackBody>,
) -> Result<Json<RollbackAnswer>, Problem> {
    let rollback = Rollback {
        to: Revision(body.to),
        selection: selection(body.key.as_deref(), body.prefix.as_deref())?,
        request_id: request_id(body.request_id),
        origin: Origin {
            author: body.author,
            message: body.message,
            ..Origin::default()
        },
    };
    let RolledBack {
        differences,
        effects,
    } = app.roll_back(Face::Api, &caller, rollback).await?;
    let changes = (differences.iter())
        .map(|difference| KeyChange {
            key: difference.key.to_string(),
            deleted: difference.after.is_none(),
        })
        .collect();
    Ok(Json(RollbackAnswer {
        outcome: OutcomeAnswer::of(effects)?,
        changes,
    }))
}
