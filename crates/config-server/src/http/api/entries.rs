//! `/api/v1/entries`: keys and their values.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequest as _, Request, State};
use axum::http::StatusCode;
use chameleon_model::{Key, Operation, Origin, Precondition, Prefix, Right, Transaction};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::extract::{KeyInPath, Parameters, ValueBody, request_id, revision};
use super::problem::Problem;
use super::words::{EntryAnswer, OutcomeAnswer, Stamp};
use super::{ANSWER_BYTES, Admitted, store};
use crate::app::App;
use crate::app::access::Caller;
use crate::app::replica::Reservation;
use crate::app::selection::Selection;

/// The most entries in one answer.
const MOST: u32 = 10_000;

/// The number of entries in an answer where no other is asked for.
const USUAL: u32 = 1_000;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParameters {
    /// Only keys that begin so; all if left out.
    prefix: Option<String>,
    /// The state as it was at this revision; the newest if left out.
    revision: Option<u64>,
    /// Only keys behind this one: `next` of the answer before.
    after: Option<String>,
    /// At most so many, up to 10,000; 1,000 if left out. Large values make an answer shorter.
    limit: Option<u32>,
}

/// Entries in the order of their keys.
#[derive(Serialize, ToSchema)]
pub(super) struct ListAnswer {
    /// The state that they were read from. Ask for the rest at its revision.
    stamp: Stamp,
    entries: Vec<EntryAnswer>,
    /// Where the next answer goes on, as `after`; absent if this is all.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// List entries
///
/// All under a prefix that the token may read, as they were at one revision, in parts of a bounded size.
#[utoipa::path(
    get, path = "/api/v1/entries", tag = "entries", operation_id = "list_entries",
    params(ListParameters),
    responses(
        (status = 200, description = "The entries", body = ListAnswer),
        (status = 404, description = "The revision is not kept", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Not served", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Admitted(caller): Admitted,
    Parameters(asked): Parameters<ListParameters>,
) -> Result<Json<ListAnswer>, Problem> {
    let limit = match asked.limit.unwrap_or(USUAL) {
        0 => return Err(Problem::invalid("limit", "is 0; ask for one entry or more")),
        limit => limit.min(MOST) as usize,
    };
    // Of a prefix that is not all the token's, its part is told.
    let selection = caller.readable(Prefix::new(asked.prefix.as_deref().unwrap_or_default()))?;
    let state = (app.read(&caller, &selection, revision(asked.revision))).await?;
    let after = asked.after.unwrap_or_default();
    let mut left: Vec<_> = (selection.entries(&state))
        .filter(|entry| entry.key.as_str() > after.as_str())
        .collect();
    // They come from several places where not all may be read.
    left.sort_by(|one, other| one.key.cmp(&other.key));
    let mut left = left.into_iter().peekable();
    let (mut entries, mut bytes) = (Vec::new(), 0);
    let mut last = None;
    while let Some(entry) = left.peek() {
        bytes += entry.value.len();
        if entries.len() == limit || (bytes > ANSWER_BYTES && !entries.is_empty()) {
            break;
        }
        last = Some(&entry.key);
        entries.push(EntryAnswer::from(&***entry));
        left.next();
    }
    let next = left.peek().and(last).map(ToString::to_string);
    Ok(Json(ListAnswer {
        stamp: state.stamp().into(),
        entries,
        next,
    }))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReadParameters {
    /// The state as it was at this revision; the newest if left out.
    revision: Option<u64>,
}

/// An entry, and the state that it was read from.
#[derive(Serialize, ToSchema)]
pub(super) struct ReadAnswer {
    stamp: Stamp,
    entry: EntryAnswer,
}

/// Read an entry
#[utoipa::path(
    get, path = "/api/v1/entries/{*key}", tag = "entries", operation_id = "read_entry",
    params(("*key" = String, Path, description = "The key, with its slashes"), ReadParameters),
    responses(
        (status = 200, description = "The entry", body = ReadAnswer),
        (status = 404, description = "There is no such key, or the revision is not kept", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Not served", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn read(
    State(app): State<Arc<App>>,
    Admitted(caller): Admitted,
    KeyInPath(key): KeyInPath,
    Parameters(asked): Parameters<ReadParameters>,
) -> Result<Json<ReadAnswer>, Problem> {
    let selection = Selection::key(key.clone());
    let state = (app.read(&caller, &selection, revision(asked.revision))).await?;
    let Some(entry) = state.get(key.as_str()) else {
        let at = state.stamp().revision;
        let detail = format!("there is no key `{key}` at revision {at}");
        return Err(Problem::new(StatusCode::NOT_FOUND, detail));
    };
    Ok(Json(ReadAnswer {
        stamp: state.stamp().into(),
        entry: EntryAnswer::from(&**entry),
    }))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WriteParameters {
    /// Only if the key's last change is this revision; 0: only if it does not exist.
    if_revision: Option<u64>,
    /// The writer's number; 0 if left out.
    flags: Option<u64>,
    /// Who writes, for the history; the token's name if left out.
    author: Option<String>,
    /// Why, for the history.
    message: Option<String>,
    /// A UUID of the writer's: a retry under the same one gets the first outcome.
    request_id: Option<Uuid>,
}

/// Write an entry
///
/// The body is the value as it is. A document is checked together with the others of its service, as
/// a push is. A key that a git source owns takes the right `override`.
#[utoipa::path(
    put, path = "/api/v1/entries/{*key}", tag = "entries", operation_id = "write_entry",
    params(("*key" = String, Path, description = "The key, with its slashes"), WriteParameters),
    request_body(content = String, content_type = "application/octet-stream", description = "The value"),
    responses(
        (status = 200, description = "Written, or so already", body = OutcomeAnswer),
        (status = 409, description = "The condition was not met", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A document would be broken", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Not served", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn write(
    State(app): State<Arc<App>>,
    Admitted(caller): Admitted,
    KeyInPath(key): KeyInPath,
    Parameters(asked): Parameters<WriteParameters>,
    request: Request,
) -> Result<Json<OutcomeAnswer>, Problem> {
    // Before the body takes room from others.
    caller.may(Right::Write, &key)?;
    let ValueBody(value, reservation) = ValueBody::from_request(request, &app).await?;
    let flags = asked.flags.unwrap_or(0);
    let put = Operation::Put {
        key: key.clone(),
        value,
        flags,
    };
    single(&app, &caller, key, put, asked, reservation).await
}

/// Delete an entry
///
/// Nothing happens if it is not there.
#[utoipa::path(
    delete, path = "/api/v1/entries/{*key}", tag = "entries", operation_id = "delete_entry",
    params(("*key" = String, Path, description = "The key, with its slashes"), WriteParameters),
    responses(
        (status = 200, description = "Deleted, or not there", body = OutcomeAnswer),
        (status = 409, description = "The condition was not met", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A document would be broken", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Not served", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Admitted(caller): Admitted,
    KeyInPath(key): KeyInPath,
    Parameters(asked): Parameters<WriteParameters>,
) -> Result<Json<OutcomeAnswer>, Problem> {
    let delete = Operation::Delete { key: key.clone() };
    let reservation = app.replica.reservation();
    single(&app, &caller, key, delete, asked, reservation).await
}

async fn single(
    app: &Arc<App>,
    caller: &Caller,
    key: Key,
    operation: Operation,
    asked: WriteParameters,
    reservation: Reservation,
) -> Result<Json<OutcomeAnswer>, Problem> {
    let precondition = (revision(asked.if_revision)).map(|at| Precondition::last_changed(key, at));
    let transaction = Transaction {
        request_id: request_id(asked.request_id),
        preconditions: precondition.into_iter().collect(),
        operations: vec![operation],
        origin: Origin {
            author: asked.author.unwrap_or_default(),
            message: asked.message.unwrap_or_default(),
            ..Origin::default()
        },
        ..Transaction::default()
    };
    store(app, caller, transaction, reservation).await
}
