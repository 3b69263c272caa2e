//! `/api/v1/audit`: who did what, or was refused it.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use chameleon_model::{AuditId, AuditQuery, AuditRecord, Prefix, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::extract::{Admitted, Parameters, key};
use super::problem::Problem;
use super::words::moment;
use crate::app::App;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditParameters {
    /// Only what this token did or was refused.
    who: Option<String>,
    /// Only what concerns this key, also through a prefix.
    key: Option<String>,
    /// Only what concerns keys that begin so.
    prefix: Option<String>,
    /// Only what was refused (`true`), or only what was not (`false`).
    refused: Option<bool>,
    /// Only what happened at this time or later, in RFC 3339.
    #[param(example = "2026-11-27T03:00:00Z")]
    since: Option<String>,
    /// Only records before this one: `next` of the answer before.
    before: Option<Uuid>,
    /// At most so many, up to 1,000; 50 if left out.
    limit: Option<u32>,
}

/// Records of the audit, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct AuditAnswer {
    records: Vec<RecordAnswer>,
    /// Where the next answer goes on, as `before`; absent if there are no records.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Uuid>,
}

/// One thing that somebody did or was refused, or several that are alike. Holds neither a value nor a
/// secret.
#[derive(Serialize, ToSchema)]
struct RecordAnswer {
    id: Uuid,
    /// When it happened; of several the first.
    at: String,
    /// The token's name; empty where none was needed or valid.
    who: String,
    /// The dialect it was asked in: `grpc`, `consul`, `api`, `http`; empty for the server itself.
    dialect: String,
    /// The other end of the connection, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    /// What was done or asked for.
    #[schema(example = "put")]
    action: &'static str,
    /// With what; absent for the server as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<TargetAnswer>,
    /// What became of it.
    #[schema(example = "committed")]
    outcome: &'static str,
    /// The revision that it led to or found.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    /// How many equal ones it stands for.
    times: u64,
    /// More in words, such as why it was refused.
    detail: String,
}

#[derive(Serialize, ToSchema)]
struct TargetAnswer {
    /// `key`, `prefix`, `token`, `source` or `session`.
    kind: &'static str,
    name: String,
}

/// List the audit
///
/// Writes and refusals of all servers. The bootstrap token sees all; any other what it did or was refused
/// itself, and what concerns keys that it may read.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "audit", operation_id = "list_audit",
    params(AuditParameters),
    responses(
        (status = 200, description = "The records, newest first", body = AuditAnswer),
        (status = "default", description = "Not served", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn audit(
    State(app): State<Arc<App>>,
    Admitted(caller): Admitted,
    Parameters(asked): Parameters<AuditParameters>,
) -> Result<Json<AuditAnswer>, Problem> {
    let query = AuditQuery {
        who: asked.who,
        key: (asked.key.as_deref())
            .map(|text| key("key", text))
            .transpose()?,
        prefix: asked.prefix.as_deref().map(Prefix::new),
        refused: asked.refused,
        since: asked.since.as_deref().map(since).transpose()?,
        before: asked.before.map(AuditId),
        limit: asked.limit.unwrap_or_default(),
    };
    let records = app.audit(&caller, query).await?;
    Ok(Json(AuditAnswer {
        next: records.last().map(|record| record.id.0),
        records: records.into_iter().map(Into::into).collect(),
    }))
}

fn since(text: &str) -> Result<Timestamp, Problem> {
    let time: SystemTime =
        humantime::parse_rfc3339(text).map_err(|error| Problem::invalid("since", error))?;
    Ok(time.into())
}

impl From<AuditRecord> for RecordAnswer {
    fn from(record: AuditRecord) -> Self {
        let (kind, name) = record.target.parts();
        Self {
            id: record.id.0,
            at: moment(record.at),
            who: record.who,
            dialect: record.dialect,
            peer: record.peer.map(|peer| peer.to_string()),
            action: record.action.name(),
            target: (!kind.is_empty()).then_some(TargetAnswer { kind, name }),
            outcome: record.outcome.verdict.name(),
            revision: record.outcome.revision.map(|revision| revision.0),
            times: record.times,
            detail: record.detail,
        }
    }
}
