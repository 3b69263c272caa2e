//! Going back to an earlier state by a new revision.

use std::sync::Arc;

use chameleon_model::{
    Operation, Origin, Precondition, RequestId, Revision, SourceName, Transaction,
};

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
        if to == Revision::ZERO {
            let reason = "to: revision 0 is before the first change; delete the keys instead";
            return Err(Error::Invalid(reason.to_owned()));
        }
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
            operations: differences.iter().map(|one| self.back(one)).collect(),
            origin,
            ..Transaction::default()
        };
        let bytes: usize = (differences.iter())
            .filter_map(|one| one.after.as_ref())
            .map(|entry| entry.key.as_str().len() + entry.value.len())
            .sum();
        let limit = self.limits.transaction_bytes;
        if bytes > limit {
            return Err(Error::TooLarge(format!(
                "{bytes} bytes would come back, and a transaction may have {limit} \
                 (`--max-transaction-bytes`); name a longer prefix, and go back in parts"
            )));
        }
        let mut reservation = self.replica.reservation();
        reservation.grow(bytes)?;
        let effects = self
            .commit_checked(face, caller, transaction, reservation)
            .await?;
        Ok(RolledBack {
            differences,
            effects,
        })
    }

    /// What brings a key back. A file that its source has deleted since is the source's again, and held.
    fn back(&self, difference: &Difference) -> Operation {
        let key = difference.key.clone();
        let Some(entry) = &difference.after else {
            return Operation::Delete { key };
        };
        let (value, flags) = (entry.value.clone(), entry.flags);
        let vanished = (entry.owner.as_ref())
            .filter(|source| difference.before.is_none() && self.has_source(source));
        match vanished.cloned() {
            Some(source) => Operation::Restore {
                key,
                value,
                flags,
                source,
            },
            None => Operation::Put { key, value, flags },
        }
    }

    fn has_source(&self, name: &SourceName) -> bool {
        self.replica.sources().contains_key(name)
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
