//! Takes a transaction in as it streams.

use std::sync::Arc;
use std::time::Duration;

use chameleon_model::{Hold, Transaction};
use chameleon_proto::{commit_response, v1, without_values};
use prost::Message as _;
use tonic::{Status, Streaming};

use super::convert;
use super::error::invalid;
use crate::app::App;
use crate::app::access::Caller;
use crate::app::error::Error;
use crate::app::holds::Effects;
use crate::app::replica::Reservation;
use crate::metrics::Face;
use crate::settings::Limits;

/// How long the next message may take: what has come takes room from other writers meanwhile.
const MESSAGE_LIMIT: Duration = Duration::from_secs(30);

/// How many holds an answer tells of each kind, so that it stays below what clients take.
const TOLD: usize = 300;

/// Receives a transaction, has it stored, and answers what became of it.
pub(super) async fn commit(
    app: &Arc<App>,
    caller: &Caller,
    requests: &mut Streaming<v1::CommitRequest>,
) -> Result<v1::CommitResponse, Status> {
    let mut reservation = app.replica.reservation();
    let transaction = receive(app.limits, requests, &mut reservation).await?;
    match app
        .commit_checked(Face::Grpc, caller, transaction, reservation)
        .await
    {
        Ok(effects) => Ok(response(&effects)),
        Err(Error::Faulty(faults)) => Ok(convert::faulty(&faults)),
        Err(error) => Err(error.into()),
    }
}

/// What became of a transaction, and what it did to holds.
pub(super) fn response(effects: &Effects) -> v1::CommitResponse {
    v1::CommitResponse {
        held: told(&effects.held),
        released: (effects.released.iter().take(TOLD))
            .map(ToString::to_string)
            .collect(),
        skipped: told(&effects.skipped),
        ..commit_response(&effects.outcome)
    }
}

fn told(holds: &[Arc<Hold>]) -> Vec<v1::Hold> {
    let first = holds.iter().take(TOLD);
    first.map(|hold| without_values(hold)).collect()
}

async fn receive(
    limits: Limits,
    requests: &mut Streaming<v1::CommitRequest>,
    reservation: &mut Reservation,
) -> Result<Transaction, Status> {
    use v1::commit_request::Message;
    let mut header = None;
    let mut operations = Vec::new();
    let mut bytes = 0;
    loop {
        let request = tokio::time::timeout(MESSAGE_LIMIT, requests.message())
            .await
            .map_err(|_| Status::deadline_exceeded("the transaction did not go on for 30 s"))??;
        let Some(request) = request else { break };
        let size = request.encoded_len();
        bytes += size;
        if bytes > limits.transaction_bytes {
            return Err(Error::TooLarge(format!(
                "the transaction has more than {} bytes, which is the limit \
                 (`--max-transaction-bytes`)",
                limits.transaction_bytes
            ))
            .into());
        }
        reservation.grow(size)?;
        match request.message {
            Some(Message::Header(first)) if header.is_none() => header = Some(first),
            Some(Message::Header(_)) => {
                return Err(invalid("header", "came twice; send it first and once").into());
            }
            Some(Message::Operations(more)) if header.is_some() => {
                operations.extend(more.operations);
            }
            Some(Message::Operations(_)) | None => {
                return Err(invalid("header", "is missing; send it first").into());
            }
        }
        if operations.len() > limits.transaction_operations {
            return Err(Error::TooLarge(format!(
                "the transaction has more than {} operations, which is the limit \
                 (`--max-transaction-operations`)",
                limits.transaction_operations
            ))
            .into());
        }
    }
    let header = header.ok_or_else(|| invalid("header", "is missing; send it first"))?;
    Ok(chameleon_proto::transaction(header, operations).map_err(Error::from)?)
}
