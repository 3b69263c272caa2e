//! Who did what: one log event for each write and each refusal, under the target `audit`, and a record
//! of the same on its way to the store.
//!
//! Names only, never a value or a secret.

use chameleon_model::{
    AuditAction, AuditOutcome, AuditTarget, AuditVerdict, Operation, Outcome, Prefix, Revision,
    Right, TokenName, Transaction,
};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{Caller, Denied, Forbidden, Peer};
use crate::app::audit::{Event, Trail};
use crate::app::error::Error;

/// Where the events go; a log filter such as `warn,audit=info` names it.
const TARGET: &str = "audit";

/// How many of a transaction's operations are told by name.
const TOLD: usize = 20;

/// A call came without a valid token, or `who` had one that has ended meanwhile.
pub(super) fn turned_away(trail: &Trail, who: &str, peer: Peer, denied: &Denied) {
    let from = peer.to_string();
    let reason = denied.to_string();
    tracing::warn!(
        target: TARGET,
        who,
        from = from.as_str(),
        reason = reason.as_str(),
        "turned a call away"
    );
    trail.take(Event {
        who,
        from: peer,
        action: AuditAction::Enter,
        target: AuditTarget::Nothing,
        outcome: AuditVerdict::TurnedAway.into(),
        times: 1,
        detail: reason,
    });
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
    let (action, target) = asked(forbidden);
    caller.trail().take(Event {
        who: caller.name(),
        from: caller.peer(),
        action,
        target,
        outcome: AuditVerdict::Refused.into(),
        times: 1,
        // What is longer than any key names none.
        detail: reason
            .chars()
            .take(2 * chameleon_model::MAX_KEY_BYTES)
            .collect(),
    });
}

/// What it was that is forbidden.
fn asked(forbidden: &Forbidden) -> (AuditAction, AuditTarget) {
    let action = |right: &Right| match right {
        Right::Read => AuditAction::Read,
        Right::Write => AuditAction::Write,
        Right::Override => AuditAction::Override,
    };
    match forbidden {
        Forbidden::Key { right, key, .. } => (action(right), AuditTarget::Key(key.clone())),
        Forbidden::Prefix { right, prefix, .. } => (action(right), AuditTarget::under(prefix)),
        Forbidden::Source {
            right, source_name, ..
        } => (action(right), AuditTarget::Source(source_name.clone())),
        Forbidden::Nowhere { right, .. } => (action(right), AuditTarget::Nothing),
        Forbidden::Session { session, .. } => {
            (AuditAction::UseSession, AuditTarget::Session(*session))
        }
        Forbidden::Tokens { .. } => (AuditAction::ManageTokens, AuditTarget::Nothing),
    }
}

/// A change that `caller` asks for, whose end is told also where the caller does not wait for it.
pub(crate) struct Attempt<'a> {
    caller: &'a Caller,
    parts: Vec<Part>,
    is_told: bool,
    /// The end of the server waits for what becomes of it.
    _act: TaskTrackerToken,
}

/// Something that a transaction does, or several operations that are not told by name.
struct Part {
    action: AuditAction,
    target: AuditTarget,
    times: usize,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(caller: &'a Caller, transaction: &Transaction) -> Self {
        Self {
            caller,
            parts: parts(transaction),
            is_told: false,
            _act: caller.trail().act(),
        }
    }

    /// Tells what became of it.
    pub(crate) fn ended(mut self, outcome: &Result<Outcome, Error>) {
        match outcome {
            Ok(Outcome::Committed(stamp)) => {
                self.tell(AuditVerdict::Committed, Some(stamp.revision));
            }
            Ok(Outcome::Unchanged(stamp)) => {
                self.tell(AuditVerdict::Unchanged, Some(stamp.revision));
            }
            Ok(Outcome::Refused(_)) => self.tell(AuditVerdict::NotMet, None),
            // It has an event of its own.
            Err(Error::Forbidden(_)) => self.is_told = true,
            Err(Error::Faulty(_)) => self.tell(AuditVerdict::Faulty, None),
            Err(_) => self.tell(AuditVerdict::Failed, None),
        }
    }

    fn tell(&mut self, verdict: AuditVerdict, revision: Option<Revision>) {
        self.is_told = true;
        if tracing::enabled!(target: TARGET, tracing::Level::INFO) {
            let from = self.caller.peer().to_string();
            let what: Vec<_> = self.parts.iter().map(Part::told).collect();
            let (what, outcome) = (what.join(", "), spaced(verdict.name()));
            tracing::info!(
                target: TARGET,
                who = self.caller.name(),
                from = from.as_str(),
                what = what.as_str(),
                outcome = outcome.as_str(),
                revision = revision.map(|revision| revision.0),
                "asked for a change"
            );
        }
        for part in self.parts.drain(..) {
            let detail = if part.times > 1 {
                format!("{} more of the same transaction", part.times)
            } else {
                String::new()
            };
            self.caller.trail().take(Event {
                who: self.caller.name(),
                from: self.caller.peer(),
                action: part.action,
                target: part.target,
                outcome: AuditOutcome { verdict, revision },
                times: part.times as u64,
                detail,
            });
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            self.tell(AuditVerdict::Left, None);
        }
    }
}

/// What a transaction is about: the first operations by name, the others together.
fn parts(transaction: &Transaction) -> Vec<Part> {
    let source = transaction.source.iter().map(|update| Part {
        action: AuditAction::MoveSource,
        target: AuditTarget::Source(update.name.clone()),
        times: 1,
    });
    let operations = &transaction.operations;
    let (told, rest) = operations.split_at(operations.len().min(TOLD));
    let more = (!rest.is_empty()).then(|| Part {
        action: AuditAction::Write,
        target: AuditTarget::under(&common(rest)),
        times: rest.len(),
    });
    source.chain(told.iter().map(part)).chain(more).collect()
}

fn part(operation: &Operation) -> Part {
    let (action, target) = match operation {
        Operation::Put { key, .. } | Operation::Restore { key, .. } => {
            (AuditAction::Put, AuditTarget::Key(key.clone()))
        }
        Operation::Delete { key } => (AuditAction::Delete, AuditTarget::Key(key.clone())),
        Operation::DeletePrefix { prefix } => (AuditAction::Delete, AuditTarget::under(prefix)),
        Operation::Lock { key, .. } => (AuditAction::Lock, AuditTarget::Key(key.clone())),
        Operation::Unlock { key, .. } => (AuditAction::Unlock, AuditTarget::Key(key.clone())),
        Operation::OpenSession(session) => {
            (AuditAction::OpenSession, AuditTarget::Session(session.id))
        }
        Operation::EndSession(session) => (AuditAction::EndSession, AuditTarget::Session(*session)),
        Operation::Hold { key } => (AuditAction::Hold, AuditTarget::Key(key.clone())),
        Operation::Release { key } => (AuditAction::Release, AuditTarget::Key(key.clone())),
    };
    Part {
        action,
        target,
        times: 1,
    }
}

/// The folder that all keys of `operations` lie in; that of all keys if there is none.
fn common(operations: &[Operation]) -> Prefix {
    let name = |operation| match part(operation).target {
        AuditTarget::Key(key) => Some(key.to_string()),
        AuditTarget::Prefix(prefix) => Some(prefix.to_string()),
        _ => None,
    };
    let common = (operations.iter().filter_map(name)).reduce(|one, other| {
        let same = one.chars().zip(other.chars());
        let same = same.take_while(|(one, other)| one == other);
        same.map(|(same, _)| same).collect()
    });
    let common = common.unwrap_or_default();
    Prefix::new(
        common
            .rsplit_once('/')
            .map_or("", |(folder, _)| &common[..=folder.len()]),
    )
}

impl Part {
    /// As the log has it.
    fn told(&self) -> String {
        match self.action {
            AuditAction::MoveSource => format!("source {}", self.target),
            _ if self.times > 1 => format!("{} more", self.times),
            AuditAction::Write => "1 more".to_owned(),
            action => format!("{} {}", spaced(action.name()), self.target),
        }
    }
}

/// A name as it reads in a sentence.
fn spaced(name: &str) -> String {
    name.replace('_', " ")
}

/// A token was created, rotated or revoked.
pub(crate) fn managed(caller: &Caller, action: AuditAction, token: &TokenName) {
    let what = match action {
        AuditAction::CreateToken => "created",
        AuditAction::RotateToken => "rotated",
        AuditAction::RevokeToken => "revoked",
        other => other.name(),
    };
    let from = caller.peer().to_string();
    tracing::info!(
        target: TARGET,
        who = caller.name(),
        from = from.as_str(),
        what,
        token = token.as_str(),
        "managed a token"
    );
    caller.trail().take(Event {
        who: caller.name(),
        from: caller.peer(),
        action,
        target: AuditTarget::Token(token.clone()),
        outcome: AuditVerdict::Done.into(),
        times: 1,
        detail: String::new(),
    });
}

#[cfg(test)]
mod tests {
    use chameleon_model::{Key, SourceUpdate};

    use super::*;

    fn put(key: &str) -> Operation {
        Operation::Put {
            key: Key::new(key).unwrap(),
            value: "x".into(),
            flags: 0,
        }
    }

    fn told(transaction: &Transaction) -> Vec<String> {
        parts(transaction).iter().map(Part::told).collect()
    }

    #[test]
    fn a_large_transaction_is_told_in_part() {
        let many = (1..=TOLD + 3).map(|n| put(&format!("a/{}/{n}", n / 100)));
        let transaction = Transaction {
            source: Some(SourceUpdate {
                name: "shop".into(),
                expected: None,
                commit: "0123456789abcdef0123456789abcdef01234567".into(),
                profiles: Vec::new(),
            }),
            operations: many.collect(),
            ..Transaction::default()
        };
        let told = told(&transaction);
        assert_eq!(told.len(), 1 + TOLD + 1);
        assert_eq!((&*told[0], &*told[1]), ("source shop", "put a/0/1"));
        assert_eq!(told.last().unwrap(), "3 more");
        let rest = parts(&transaction).pop().unwrap();
        assert_eq!(rest.target, AuditTarget::Prefix(Prefix::new("a/0/")));
        assert_eq!(rest.times, 3);
    }

    #[test]
    fn what_keys_have_in_common_is_a_folder() {
        for (keys, folder) in [
            (&["a/x", "a/xy"][..], "a/"),
            (&["a/x/1", "a/x/2"], "a/x/"),
            (&["a/x", "b/x"], ""),
            (&["가/나", "가/다"], "가/"),
            (&["one"], ""),
        ] {
            let operations: Vec<_> = keys.iter().map(|key| put(key)).collect();
            assert_eq!(common(&operations), Prefix::new(folder), "{keys:?}");
        }
        let end = Operation::EndSession(chameleon_model::SessionId(uuid::Uuid::nil()));
        assert_eq!(common(&[end]), Prefix::all());
    }
}
