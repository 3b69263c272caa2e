//! `DELETE /v1/kv/{key}`: one key, or all under a prefix.

use axum::http::request::Parts;
use axum::response::Response;
use chameleon_model::{Key, Operation, Outcome, Precondition, Prefix, Refusal, Transaction};

use super::answer::{json, revision_of};
use super::error::Refused;
use super::query::Query;
use super::{Face, admit, key_of};

pub(super) async fn delete(face: &Face, request: &Parts) -> Result<Response, Refused> {
    let query = Query::of(&request.uri);
    let caller = admit(face, &query, request)?;
    query.check_datacenter()?;
    let transaction = transaction(&key_of(&request.uri)?, &query)?;
    let reservation = face.app.replica.reservation();
    let outcome = (face.app)
        .commit_single(&caller, transaction, reservation)
        .await?;
    Ok(json(query.layout(), &is_gone(&outcome)))
}

fn transaction(key: &str, query: &Query<'_>) -> Result<Transaction, Refused> {
    query.exclude(&["recurse", "cas"])?;
    let mut preconditions = Vec::new();
    let operation = if query.has("recurse") {
        Operation::DeletePrefix {
            prefix: Prefix::new(key),
        }
    } else {
        if key.is_empty() {
            return Err(Refused::bad("Missing key name"));
        }
        let key = Key::new(key).map_err(|error| Refused::bad(error.to_string()))?;
        if let Some(index) = query.number("cas")? {
            preconditions.push(Precondition::AtRevision {
                key: key.clone(),
                revision: revision_of(index),
            });
        }
        Operation::Delete { key }
    };
    Ok(Transaction {
        preconditions,
        operations: vec![operation],
        ..Transaction::default()
    })
}

/// Says whether the key is not there any more, because of this call or another.
fn is_gone(outcome: &Outcome) -> bool {
    let Outcome::Refused(refusals) = outcome else {
        return true;
    };
    (refusals.iter()).all(|refusal| matches!(refusal, Refusal::WrongRevision { actual: None, .. }))
}
