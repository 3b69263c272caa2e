//! `/api/v1/transactions`: several changes, applied whole or not at all.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequest as _, Request, State};
use chameleon_model::{
    Key, Operation, Origin, Precondition, Prefix, Revision, SessionId, Transaction,
};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::extract::{Admitted, BulkBody, key, request_id};
use super::problem::Problem;
use super::store;
use super::words::{Content, OutcomeAnswer};
use crate::app::App;
use crate::app::error::Error;

/// A set of operations that is applied whole or not at all.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TransactionBody {
    /// A UUID of the writer's: a retry under the same one gets the first outcome.
    request_id: Option<Uuid>,
    /// What must hold before anything is applied.
    #[serde(default)]
    preconditions: Vec<PreconditionBody>,
    /// Applied in order; each sees the effect of those before it.
    operations: Vec<OperationBody>,
    /// Who writes, for the history; the token's name if left out.
    #[serde(default)]
    author: String,
    /// Why, for the history.
    #[serde(default)]
    message: String,
    /// How long the holds last that it puts on keys of git sources; the server's setting if left out.
    hold_seconds: Option<u64>,
}

/// What must hold for a transaction to be applied.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
enum PreconditionBody {
    /// The key's last change is this revision.
    AtRevision { key: String, revision: u64 },
    /// The key does not exist.
    Absent { key: String },
    /// Nothing under the prefix was changed or deleted after this revision.
    Unchanged { prefix: String, since: u64 },
    /// This session holds the key's lock.
    HeldBy { key: String, session: Uuid },
    /// The session is live.
    SessionLive { session: Uuid },
}

/// One change of the keyspace.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
enum OperationBody {
    /// Writes a value; an existing lock stays.
    Put(PutBody),
    /// Removes a key; nothing happens if it is not there.
    Delete { key: String },
    /// Removes every key with this prefix.
    DeletePrefix { prefix: String },
    /// Writes a value and takes the key's lock; refused while another session holds it.
    Lock(LockingBody),
    /// Writes a value and gives the key's lock back; refused unless the session holds it.
    Unlock(LockingBody),
    /// Keeps a key of a git source as it is, or renews its hold.
    Hold { key: String },
    /// Ends a key's hold, and brings back what git has.
    Release { key: String },
}

#[derive(Deserialize, ToSchema)]
struct PutBody {
    key: String,
    #[serde(flatten)]
    value: Content,
    /// The writer's number.
    #[serde(default)]
    flags: u64,
}

#[derive(Deserialize, ToSchema)]
struct LockingBody {
    /// Who takes or holds the lock.
    session: Uuid,
    #[serde(flatten)]
    put: PutBody,
}

/// Apply a transaction
///
/// Documents are checked as they are after it, together with the others of their services. Where a
/// git source owns a key, changing it takes the right `override`.
#[utoipa::path(
    post, path = "/api/v1/transactions", tag = "entries", operation_id = "commit",
    request_body = TransactionBody,
    responses(
        (status = 200, description = "Applied, or so already", body = OutcomeAnswer),
        (status = 409, description = "A condition was not met; nothing was applied", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A document would be broken; nothing was applied", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Not served", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn commit(
    State(app): State<Arc<App>>,
    Admitted(caller): Admitted,
    request: Request,
) -> Result<Json<OutcomeAnswer>, Problem> {
    // Before the body takes room from others.
    caller.may_write_anywhere()?;
    let BulkBody::<TransactionBody>(body, reservation) =
        BulkBody::from_request(request, &app).await?;
    let most = app.limits.transaction_operations;
    if body.operations.len() > most {
        let detail = format!(
            "the transaction has {} operations, {most} are allowed \
             (`--max-transaction-operations`)",
            body.operations.len()
        );
        return Err(Error::TooLarge(detail).into());
    }
    let transaction = body.transaction()?;
    store(&app, &caller, transaction, reservation).await
}

impl TransactionBody {
    fn transaction(self) -> Result<Transaction, Problem> {
        let numbered = |field: &str, at: usize| format!("{field}[{at}]");
        let preconditions = (self.preconditions.into_iter().enumerate())
            .map(|(at, one)| one.precondition(&numbered("preconditions", at)))
            .collect::<Result<_, _>>()?;
        let operations = (self.operations.into_iter().enumerate())
            .map(|(at, one)| one.operation(&numbered("operations", at)))
            .collect::<Result<_, _>>()?;
        Ok(Transaction {
            request_id: request_id(self.request_id),
            preconditions,
            operations,
            hold_for: self.hold_seconds.map(Duration::from_secs),
            origin: Origin {
                author: self.author,
                message: self.message,
                ..Origin::default()
            },
            ..Transaction::default()
        })
    }
}

impl PreconditionBody {
    fn precondition(self, field: &str) -> Result<Precondition, Problem> {
        Ok(match self {
            Self::AtRevision {
                key: text,
                revision,
            } => Precondition::AtRevision {
                key: key(field, &text)?,
                revision: Revision(revision),
            },
            Self::Absent { key: text } => Precondition::Absent {
                key: key(field, &text)?,
            },
            Self::Unchanged { prefix, since } => Precondition::Unchanged {
                prefix: Prefix::new(&prefix),
                since: Revision(since),
            },
            Self::HeldBy { key: text, session } => Precondition::HeldBy {
                key: key(field, &text)?,
                session: SessionId(session),
            },
            Self::SessionLive { session } => Precondition::SessionLive {
                session: SessionId(session),
            },
        })
    }
}

impl OperationBody {
    fn operation(self, field: &str) -> Result<Operation, Problem> {
        Ok(match self {
            Self::Put(put) => {
                let (key, value, flags) = put.parts(field)?;
                Operation::Put { key, value, flags }
            }
            Self::Delete { key: text } => Operation::Delete {
                key: key(field, &text)?,
            },
            Self::DeletePrefix { prefix } => Operation::DeletePrefix {
                prefix: Prefix::new(&prefix),
            },
            Self::Hold { key: text } => Operation::Hold {
                key: key(field, &text)?,
            },
            Self::Release { key: text } => Operation::Release {
                key: key(field, &text)?,
            },
            Self::Lock(locking) => {
                let (key, value, flags) = locking.put.parts(field)?;
                Operation::Lock {
                    key,
                    value,
                    flags,
                    session: SessionId(locking.session),
                }
            }
            Self::Unlock(locking) => {
                let (key, value, flags) = locking.put.parts(field)?;
                Operation::Unlock {
                    key,
                    value,
                    flags,
                    session: SessionId(locking.session),
                }
            }
        })
    }
}

impl PutBody {
    fn parts(self, field: &str) -> Result<(Key, bytes::Bytes, u64), Problem> {
        let key = key(field, &self.key)?;
        let value = self.value.bytes(field, &key)?;
        Ok((key, value, self.flags))
    }
}
