//! Who did what: one log event for each write and each refusal, under the target `audit`.
//!
//! Names only, never a value or a secret.

use chameleon_model::{Operation, Outcome, Transaction};

use super::{Caller, Denied, Forbidden, Peer};
use crate::app::error::Error;

/// Where the events go; a log filter such as `warn,audit=info` names it.
const TARGET: &str = "audit";

/// How many of a transaction's operations are told by name.
const TOLD: usize = 20;

/// A call came without a valid token, or `who` had one that has ended meanwhile.
pub(super) fn turned_away(who: &str, peer: Peer, denied: Denied) {
    let from = peer.to_string();
    let reason = denied.to_string();
    tracing::warn!(
        target: TARGET,
        who,
        from = from.as_str(),
        reason = reason.as_str(),
        "turned a call away"
    );
}

/// A caller asked for what its token does not allow.
pub(super) fn refused(caller: &Caller, forbidden: &Forbidden) {
    let from = caller.peer().to_string();
    let reason = forbidden.to_string();
    tracing::warn!(
        target: TARGET,
        who = caller.name(),
        from = from.as_str(),
        reason = reason.as_str(),
        "refused what the token does not allow"
    );
}

/// A change that `caller` asks for, whose end is told also where the caller does not wait for it.
pub(crate) struct Attempt<'a> {
    caller: &'a Caller,
    what: String,
    is_told: bool,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(caller: &'a Caller, transaction: &Transaction) -> Self {
        Self {
            caller,
            what: summary(transaction),
            is_told: false,
        }
    }

    /// Tells what became of it.
    pub(crate) fn ended(mut self, outcome: &Result<Outcome, Error>) {
        match outcome {
            Ok(Outcome::Committed(stamp)) => self.tell("committed", Some(stamp.revision.0)),
            Ok(Outcome::Unchanged(stamp)) => self.tell("unchanged", Some(stamp.revision.0)),
            Ok(Outcome::Refused(_)) => self.tell("not met", None),
            // It has an event of its own.
            Err(Error::Forbidden(_)) => self.is_told = true,
            Err(Error::Faulty(_)) => self.tell("faulty", None),
            Err(_) => self.tell("failed", None),
        }
    }

    fn tell(&mut self, outcome: &str, revision: Option<u64>) {
        self.is_told = true;
        let from = self.caller.peer().to_string();
        tracing::info!(
            target: TARGET,
            who = self.caller.name(),
            from = from.as_str(),
            what = self.what.as_str(),
            outcome,
            revision,
            "asked for a change"
        );
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            self.tell("left", None);
        }
    }
}

/// What a transaction is about; nothing where nobody listens.
fn summary(transaction: &Transaction) -> String {
    if !tracing::enabled!(target: TARGET, tracing::Level::INFO) {
        return String::new();
    }
    let mut told: Vec<_> = transaction.operations.iter().take(TOLD).map(name).collect();
    if let Some(more @ 1..) = transaction.operations.len().checked_sub(TOLD) {
        told.push(format!("{more} more"));
    }
    if let Some(update) = &transaction.source {
        told.insert(0, format!("source {}", update.name));
    }
    told.join(", ")
}

/// A token was created, rotated or revoked.
pub(crate) fn managed(caller: &Caller, what: &str, token: &str) {
    let from = caller.peer().to_string();
    tracing::info!(
        target: TARGET,
        who = caller.name(),
        from = from.as_str(),
        what,
        token,
        "managed a token"
    );
}

fn name(operation: &Operation) -> String {
    match operation {
        Operation::Put { key, .. } => format!("put {key}"),
        Operation::Delete { key } => format!("delete {key}"),
        Operation::DeletePrefix { prefix } => format!("delete {prefix}*"),
        Operation::Lock { key, .. } => format!("lock {key}"),
        Operation::Unlock { key, .. } => format!("unlock {key}"),
        Operation::OpenSession(session) => format!("open session {}", session.id),
        Operation::EndSession(session) => format!("end session {session}"),
        Operation::Hold { key } => format!("hold {key}"),
        Operation::Release { key } => format!("release {key}"),
    }
}
