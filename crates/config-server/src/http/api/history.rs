//! `/api/v1/history` and `/api/v1/diff`: what was changed, by whom, and how.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chameleon_model::{Change, Commit, Prefix, Revision, StageTime};
use chameleon_store::HistoryQuery;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::ANSWER_BYTES;
use super::extract::{Admitted, Parameters, key, revision, selection};
use super::problem::Problem;
use super::words::{Content, KeyChange, Stamp, micros, moment};
use crate::app::App;
use crate::app::diff::Difference;
use crate::app::error::Error;
use crate::app::fleet::{Delivery, Journey};

/// How many changed keys and deliveries an answer tells of before the rest is left to the next.
const ROWS: usize = 50_000;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryParameters {
    /// Only changes of this key.
    key: Option<String>,
    /// Only changes under this prefix.
    prefix: Option<String>,
    /// Only changes before this revision: `next` of the answer before.
    before: Option<u64>,
    /// At most so many, up to 1,000; 50 if left out.
    limit: Option<u32>,
}

/// Past transactions, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct History {
    commits: Vec<CommitAnswer>,
    /// Where the next answer goes on, as `before`; absent if older ones were not looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// A transaction that was applied.
#[derive(Serialize, ToSchema)]
struct CommitAnswer {
    /// The state that it led to.
    stamp: Stamp,
    /// When.
    at: String,
    /// The person, for example a git author.
    author: String,
    /// Why, for example a commit's message.
    message: String,
    /// Through which face, from where and with which token.
    via: String,
    /// Where in git it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    git: Option<GitAnswer>,
    /// The git source whose new state it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// The keys that it changed, as far as the token may read them.
    changes: Vec<KeyChange>,
    /// How long each stage before the instances took.
    stages: Vec<StageAnswer>,
    /// How it reached the instances; kept for the newest revisions only.
    deliveries: Vec<DeliveryAnswer>,
}

#[derive(Serialize, ToSchema)]
struct GitAnswer {
    repository: String,
    branch: String,
    commit: String,
}

#[derive(Serialize, ToSchema)]
struct StageAnswer {
    /// `notified`, `fetched`, `checked` or `stored`.
    stage: &'static str,
    took_us: u64,
}

#[derive(Serialize, ToSchema)]
struct DeliveryAnswer {
    service: String,
    profile: String,
    instance: String,
    /// From storing to delivery.
    delivered_us: u64,
    /// From delivery to the instance's word.
    applied_us: u64,
    /// Why the instance rejected it; absent if it was applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<String>,
}

/// List past transactions
#[utoipa::path(
    get, path = "/api/v1/history", tag = "history", operation_id = "list_history",
    params(HistoryParameters),
    responses(
        (status = 200, description = "The transactions, newest first", body = History),
        (status = "default", description = "Not served", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn history(
    State(app): State<Arc<App>>,
    Admitted(caller): Admitted,
    Parameters(asked): Parameters<HistoryParameters>,
) -> Result<Json<History>, Problem> {
    let query = HistoryQuery {
        key: (asked.key.as_deref())
            .map(|text| key("key", text))
            .transpose()?,
        prefix: asked.prefix.as_deref().map(Prefix::new),
        within: None,
        before: revision(asked.before),
        limit: asked.limit.unwrap_or_default(),
    };
    let found = app.history(&caller, query).await?;
    let (mut commits, mut rows) = (Vec::new(), 0);
    for (commit, journey) in &found {
        rows += commit.changes.len() + journey.deliveries.len();
        // One alone is always told.
        if rows > ROWS && !commits.is_empty() {
            break;
        }
        commits.push(CommitAnswer::of(commit, journey));
    }
    let next = found.get(commits.len().wrapping_sub(1));
    Ok(Json(History {
        next: next.map(|(commit, _)| commit.stamp.revision.0),
        commits,
    }))
}

impl CommitAnswer {
    fn of(commit: &Commit, journey: &Journey) -> Self {
        let origin = &commit.origin;
        let change = |change: &Change| KeyChange {
            key: change.key().to_string(),
            deleted: matches!(change, Change::Delete(_)),
        };
        Self {
            stamp: commit.stamp.into(),
            at: moment(commit.at),
            author: origin.author.clone(),
            message: origin.message.clone(),
            via: origin.via.clone(),
            git: origin.git.as_ref().map(|git| GitAnswer {
                repository: git.repository.clone(),
                branch: git.branch.clone(),
                commit: git.commit.to_string(),
            }),
            source: (commit.source.as_ref()).map(|update| update.name.to_string()),
            changes: commit.changes.iter().map(change).collect(),
            stages: (origin.stages.iter().chain(&journey.stored))
                .map(StageAnswer::from)
                .collect(),
            deliveries: journey.deliveries.iter().map(Into::into).collect(),
        }
    }
}

impl From<&StageTime> for StageAnswer {
    fn from(time: &StageTime) -> Self {
        Self {
            stage: time.stage.name(),
            took_us: micros(time.took),
        }
    }
}

impl From<&Delivery> for DeliveryAnswer {
    fn from(delivery: &Delivery) -> Self {
        Self {
            service: delivery.identity.service.clone(),
            profile: delivery.identity.profile.clone(),
            instance: delivery.identity.instance.clone(),
            delivered_us: micros(delivery.delivered),
            applied_us: micros(delivery.applied),
            rejected: delivery.rejected.as_deref().map(str::to_owned),
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DiffParameters {
    /// The one revision.
    from: u64,
    /// The other; the newest if left out.
    to: Option<u64>,
    /// Only this key.
    key: Option<String>,
    /// Only keys that begin so.
    prefix: Option<String>,
}

/// What differs between two states.
#[derive(Serialize, ToSchema)]
pub(super) struct DiffAnswer {
    from: Stamp,
    to: Stamp,
    /// The keys that differ, in order.
    entries: Vec<DifferenceAnswer>,
}

/// A key whose value differs.
#[derive(Serialize, ToSchema)]
struct DifferenceAnswer {
    key: String,
    /// Its value at `from`; absent if it did not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Content>,
    /// Its value at `to`; absent if it does not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Content>,
}

/// Compare two revisions
#[utoipa::path(
    get, path = "/api/v1/diff", tag = "history", operation_id = "compare",
    params(DiffParameters),
    responses(
        (status = 200, description = "What differs", body = DiffAnswer),
        (status = 404, description = "A revision is not kept", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Too much differs for one answer; ask for a longer prefix", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Not served", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn diff(
    State(app): State<Arc<App>>,
    Admitted(caller): Admitted,
    Parameters(asked): Parameters<DiffParameters>,
) -> Result<Json<DiffAnswer>, Problem> {
    let selection = selection(asked.key.as_deref(), asked.prefix.as_deref())?;
    let (from, to) = (Revision(asked.from), revision(asked.to));
    let (from, to, differences) = app.diff(&caller, from, to, &selection).await?;
    if differences.iter().map(Difference::bytes).sum::<usize>() > ANSWER_BYTES {
        let detail = format!(
            "the difference has more than {ANSWER_BYTES} bytes of values; ask for a longer prefix"
        );
        return Err(Error::TooLarge(detail).into());
    }
    Ok(Json(DiffAnswer {
        from: from.into(),
        to: to.into(),
        entries: differences.iter().map(Into::into).collect(),
    }))
}

impl From<&Difference> for DifferenceAnswer {
    fn from(difference: &Difference) -> Self {
        let value = |entry: &Option<Arc<chameleon_model::Entry>>| {
            entry.as_ref().map(|entry| Content::from(&entry.value))
        };
        Self {
            key: difference.key.to_string(),
            before: value(&difference.before),
            after: value(&difference.after),
        }
    }
}
