//! Going back to an earlier state by a new revision.

use std::sync::Arc;

use chameleon_model::{Operation, Origin, Precondition, RequestId, Revision, Transaction};

use super::App;
use super::access::Caller;
use super::diff::{self, Difference};
use super::error::Error;
use super::holds::Effects;
use super::selection::Selection;
use crate::metrics::Face;

/// Which part of the state goes back to which revision.
pub(crate) struct Rollback {
    pub(crate) to: Revision,
    pub(crate) selection: Selection,
    pub(crate) request_id: Option<RequestId>,
    pub(crate) origin: Origin,
}

/// What a rollback has changed, from the newest state to the earlier one, and what became of it.
pub(crate) struct RolledBack {
    pub(crate) differences: Vec<Difference>,
    pub(crate) effects: Effects,
}

impl App {
    /// Brings every selected key to how it was at a revision, in one transaction.
    ///
    /// It is a change like any other: checked, in the history, and refused if somebody changes one of
    /// its keys meanwhile. Locks stay as they are, and a key that a source owns takes `override` and
    /// is held from then on.
    pub(crate) async fn roll_back(
        self: &Arc<Self>,
        face: Face,
        caller: &Caller,
        rollback: Rollback,
    ) -> Result<RolledBack, Error> {
        let Rollback {
            to,
            selection,
            request_id,
            mut origin,
        } = rollback;
        caller.may_read(&selection)?;
        let earlier = self.snapshot_at(Some(to)).await?;
        let newest = self.replica.snapshot();
        let differences = diff::between(&selection, &newest, &earlier);
        let most = self.limits.transaction_operations;
        if differences.len() > most {
            return Err(Error::TooLarge(format!(
                "{} keys would change, and a transaction may have {most} operations \
                 (`--max-transaction-operations`); name a longer prefix, and go back in parts",
                differences.len()
            )));
        }
        if origin.message.is_empty() {
            origin.message = format!("Roll back to revision {to}");
        }
        let transaction = Transaction {
            request_id,
            preconditions: differences.iter().map(unchanged).collect(),
            operations: differences.iter().map(back).collect(),
            origin,
            ..Transaction::default()
        };
        let mut reservation = self.replica.reservation();
        reservation.grow(differences.iter().map(Difference::bytes).sum())?;
        let effects = self
            .commit_checked(face, caller, transaction, reservation)
            .await?;
        Ok(RolledBack {
            differences,
            effects,
        })
    }
}

fn unchanged(difference: &Difference) -> Precondition {
    let key = difference.key.clone();
    match &difference.before {
        Some(entry) => Precondition::AtRevision {
            key,
            revision: entry.modify_revision,
        },
        None => Precondition::Absent { key },
    }
}

fn back(difference: &Difference) -> Operation {
    let key = difference.key.clone();
    match &difference.after {
        Some(entry) => Operation::Put {
            key,
            value: entry.value.clone(),
            flags: entry.flags,
        },
        None => Operation::Delete { key },
    }
}
