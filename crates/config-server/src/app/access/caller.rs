//! One call's principal, and the question whether it may do what it asks for.

use std::fmt;
use std::sync::Arc;

use chameleon_model::{
    AuditReader, Grant, Key, Operation, Origin, Precondition, Prefix, Right, Session, SessionId,
    Snapshot, SourceName, Token, TokenHash, Transaction,
};

use super::{Peer, audit};
use crate::app::audit::Trail;
use crate::app::selection::Selection;

/// Somebody with rights.
#[derive(Debug)]
pub(crate) struct Principal {
    /// Empty where no token is needed.
    name: Arc<str>,
    power: Power,
    /// What it does is told there.
    trail: Arc<Trail>,
}

#[derive(Debug)]
enum Power {
    /// Everything, tokens included.
    All,
    Granted(Grant),
}

/// The hash of the secret that let a caller in, where it can become invalid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proof(pub(super) TokenHash);

/// Who calls, and from where. Whatever it does is asked here first.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    principal: Arc<Principal>,
    proof: Option<Proof>,
    peer: Peer,
}

/// What a caller may not do. It stands in the audit when it comes into being.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Forbidden {
    /// A key is out of reach.
    #[error("token `{who}` lacks the right `{}` on key `{key}`", right.name())]
    Key {
        who: Arc<str>,
        right: Right,
        key: Key,
    },
    /// Not all keys under a prefix are within reach.
    #[error("token `{who}` lacks the right `{}` on all of prefix `{prefix}`", right.name())]
    Prefix {
        who: Arc<str>,
        right: Right,
        prefix: Prefix,
    },
    /// A source has keys out of reach, which are not told.
    #[error("token `{who}` lacks the right `{}` on keys of source `{source_name}`", right.name())]
    Source {
        who: Arc<str>,
        right: Right,
        source_name: SourceName,
    },
    /// Nothing is within reach at all.
    #[error("token `{who}` has the right `{}` nowhere", right.name())]
    Nowhere { who: Arc<str>, right: Right },
    /// A session is somebody else's.
    #[error("token `{who}` has not opened session `{session}`")]
    Session { who: Arc<str>, session: SessionId },
    /// The tokens themselves.
    #[error("token `{who}` may not manage tokens; the bootstrap token may")]
    Tokens { who: Arc<str> },
}

impl Principal {
    /// Who may do everything.
    pub(super) fn all(name: Option<&str>, trail: Arc<Trail>) -> Self {
        Self {
            name: name.unwrap_or_default().into(),
            power: Power::All,
            trail,
        }
    }

    /// Whoever shows `token`.
    pub(super) fn of(token: &Token, trail: Arc<Trail>) -> Self {
        Self {
            name: token.name.as_str().into(),
            power: Power::Granted(token.grant.clone()),
            trail,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Caller {
    pub(super) fn new(principal: Arc<Principal>, proof: Option<Proof>, peer: Peer) -> Self {
        Self {
            principal,
            proof,
            peer,
        }
    }

    pub(super) fn proof(&self) -> Option<Proof> {
        self.proof
    }

    pub(super) fn peer(&self) -> Peer {
        self.peer
    }

    pub(super) fn trail(&self) -> &Trail {
        &self.principal.trail
    }

    /// The token's name; empty where none is needed.
    pub(crate) fn name(&self) -> &str {
        self.principal.name()
    }

    /// What limits it; nothing does if `None`.
    fn grant(&self) -> Option<&Grant> {
        match &self.principal.power {
            Power::All => None,
            Power::Granted(grant) => Some(grant),
        }
    }

    /// Says whether there is nothing that it may not do.
    pub(crate) fn is_unlimited(&self) -> bool {
        self.grant().is_none()
    }

    /// What of the audit it may see.
    pub(crate) fn audit_reader(&self) -> AuditReader {
        match self.grant() {
            None => AuditReader::All,
            Some(grant) => AuditReader::Token {
                name: self.name().to_owned(),
                scopes: grant.scopes(Right::Read).cloned().collect(),
            },
        }
    }

    fn refused(&self, forbidden: Forbidden) -> Forbidden {
        audit::refused(self, &forbidden);
        forbidden
    }

    pub(super) fn who(&self) -> Arc<str> {
        Arc::clone(&self.principal.name)
    }

    /// Says whether `right` on `key` is allowed, for leaving out what is not.
    pub(crate) fn sees(&self, right: Right, key: &Key) -> bool {
        self.grant().is_none_or(|grant| grant.allows(right, key))
    }

    /// Says whether all of `selection` may be read, for leaving out what may not.
    pub(crate) fn sees_all(&self, selection: &Selection) -> bool {
        selection.keys().all(|key| self.sees(Right::Read, key))
            && (selection.prefixes()).all(|prefix| self.sees_under(Right::Read, prefix))
    }

    fn sees_under(&self, right: Right, prefix: &Prefix) -> bool {
        (self.grant()).is_none_or(|grant| grant.allows_all_under(right, prefix))
    }

    /// What lies under `prefix` and may be read.
    ///
    /// # Errors
    /// There is no place where anything could.
    pub(crate) fn readable(&self, prefix: Prefix) -> Result<Selection, Forbidden> {
        let all = Selection::prefix(prefix.clone());
        let Some(grant) = self.grant() else {
            return Ok(all);
        };
        let readable = all.within(grant.scopes(Right::Read));
        if readable.is_empty() {
            return Err(self.refused(Forbidden::Prefix {
                who: self.who(),
                right: Right::Read,
                prefix,
            }));
        }
        Ok(readable)
    }

    /// Fails unless `right` on `key` is allowed.
    pub(crate) fn may(&self, right: Right, key: &Key) -> Result<(), Forbidden> {
        if self.sees(right, key) {
            return Ok(());
        }
        Err(self.refused(Forbidden::Key {
            who: self.who(),
            right,
            key: key.clone(),
        }))
    }

    /// Fails unless `right` is allowed on all keys that begin with `prefix`.
    pub(crate) fn may_under(&self, right: Right, prefix: &Prefix) -> Result<(), Forbidden> {
        if self.sees_under(right, prefix) {
            return Ok(());
        }
        Err(self.refused(Forbidden::Prefix {
            who: self.who(),
            right,
            prefix: prefix.clone(),
        }))
    }

    /// Fails unless all of `selection` may be read.
    pub(crate) fn may_read(&self, selection: &Selection) -> Result<(), Forbidden> {
        (selection.keys()).try_for_each(|key| self.may(Right::Read, key))?;
        (selection.prefixes()).try_for_each(|prefix| self.may_under(Right::Read, prefix))
    }

    /// Fails unless `key` may be changed as it is in `state`: what a source owns takes more.
    pub(crate) fn may_change(&self, key: &Key, state: &Snapshot) -> Result<(), Forbidden> {
        let owned = state.owner_of(key.as_str()).is_some();
        self.may(if owned { Right::Override } else { Right::Write }, key)
    }

    /// Fails unless there is anything that may be written.
    pub(crate) fn may_write_anywhere(&self) -> Result<(), Forbidden> {
        let somewhere = |grant: &Grant| grant.scopes(Right::Write).next().is_some();
        if self.grant().is_none_or(somewhere) {
            return Ok(());
        }
        Err(self.refused(Forbidden::Nowhere {
            who: self.who(),
            right: Right::Write,
        }))
    }

    /// Fails unless tokens may be managed.
    pub(crate) fn may_manage_tokens(&self) -> Result<(), Forbidden> {
        match self.principal.power {
            Power::All => Ok(()),
            Power::Granted(_) => Err(self.refused(Forbidden::Tokens { who: self.who() })),
        }
    }

    /// Says whether `session` is the caller's: whoever may do everything has all of them.
    pub(crate) fn owns(&self, session: &Session) -> bool {
        self.grant().is_none() || session.opened_by == self.name()
    }

    /// Fails if `session` is somebody else's.
    pub(crate) fn may_use(&self, session: &Session) -> Result<(), Forbidden> {
        if self.owns(session) {
            return Ok(());
        }
        Err(self.refused(Forbidden::Session {
            who: self.who(),
            session: session.id,
        }))
    }

    /// Says whether every key that `source` owns in `state` is within reach; true if it owns none.
    pub(crate) fn reaches(&self, right: Right, source: &SourceName, state: &Snapshot) -> bool {
        self.grant().is_none() || state.keys_of(source).all(|key| self.sees(right, key))
    }

    /// Fails unless the caller may speak for `source`: all that it owns may be written.
    pub(crate) fn may_act_for(
        &self,
        source: &SourceName,
        state: &Snapshot,
    ) -> Result<(), Forbidden> {
        self.may_write_anywhere()?;
        if self.reaches(Right::Write, source, state) {
            return Ok(());
        }
        Err(self.refused(Forbidden::Source {
            who: self.who(),
            right: Right::Write,
            source_name: source.clone(),
        }))
    }

    /// Fails unless all that `transaction` asks for is allowed on `state`.
    ///
    /// Which source owns a key, and who a session, is taken from `state`, which may be a moment behind
    /// the store; which keys are within reach is not.
    pub(crate) fn may_commit(
        &self,
        transaction: &Transaction,
        state: &Snapshot,
    ) -> Result<(), Forbidden> {
        if self.grant().is_none() {
            return Ok(());
        }
        // A refusal tells of what a condition looks at.
        for precondition in &transaction.preconditions {
            match precondition {
                Precondition::AtRevision { key, .. }
                | Precondition::Absent { key }
                | Precondition::HeldBy { key, .. } => self.may(Right::Read, key)?,
                Precondition::Unchanged { prefix, .. } => self.may_under(Right::Read, prefix)?,
                Precondition::SessionLive { session } => self.may_use_id(*session, state)?,
            }
        }
        let source = transaction.source.as_ref().map(|update| &update.name);
        if let Some(source) = source {
            self.may_act_for(source, state)?;
        }
        for operation in &transaction.operations {
            match operation {
                Operation::Put { key, .. } => {
                    let owner = state.owner_of(key.as_str());
                    if source.is_some() && (owner.is_none() || owner == source) {
                        self.may(Right::Write, key)?;
                    } else {
                        self.may_change(key, state)?;
                    }
                }
                Operation::Delete { key } => self.may_change(key, state)?,
                Operation::Hold { key }
                | Operation::Release { key }
                | Operation::Restore { key, .. } => {
                    self.may(Right::Override, key)?;
                }
                Operation::DeletePrefix { prefix } => {
                    self.may_under(Right::Write, prefix)?;
                    (state.under(prefix))
                        .try_for_each(|entry| self.may_change(&entry.key, state))?;
                }
                Operation::Lock { key, session, .. } | Operation::Unlock { key, session, .. } => {
                    self.may_change(key, state)?;
                    self.may_use_id(*session, state)?;
                }
                Operation::OpenSession(_) => self.may_write_anywhere()?,
                Operation::EndSession(session) => self.may_use_id(*session, state)?,
            }
        }
        Ok(())
    }

    fn may_use_id(&self, id: SessionId, state: &Snapshot) -> Result<(), Forbidden> {
        (state.session(id)).map_or(Ok(()), |session| self.may_use(session))
    }

    /// Writes into `transaction` who asks for it. The author is the client's word, this is not.
    pub(crate) fn sign(&self, transaction: &mut Transaction) {
        let Origin { author, via, .. } = &mut transaction.origin;
        *via = self.to_string();
        if author.is_empty() {
            self.name().clone_into(author);
        }
        for operation in &mut transaction.operations {
            if let Operation::OpenSession(session) = operation {
                self.name().clone_into(&mut session.opened_by);
            }
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{} {address}", self.dialect),
            None => f.write_str(self.dialect),
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.peer.fmt(f)?;
        match self.name() {
            "" => Ok(()),
            name => write!(f, " token {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use chameleon_model::{Known, SessionBehavior, SourceUpdate, Tag, decide};
    use uuid::Uuid;

    use super::*;

    fn caller(rules: &[&str]) -> Caller {
        let principal = Principal {
            name: "a".into(),
            power: Power::Granted(Grant::new(rules.iter().map(|rule| rule.parse().unwrap()))),
            trail: Arc::new(Trail::new()),
        };
        let peer = Peer {
            dialect: "grpc",
            address: Some([127, 0, 0, 1].into()),
        };
        Caller::new(Arc::new(principal), None, peer)
    }

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    fn put(text: &str) -> Operation {
        Operation::Put {
            key: key(text),
            value: "x".into(),
            flags: 0,
        }
    }

    fn session(n: u128, opened_by: &str) -> Session {
        Session {
            id: SessionId(Uuid::from_u128(n)),
            name: String::new(),
            behavior: SessionBehavior::Release,
            ttl: None,
            lock_delay: std::time::Duration::ZERO,
            opened_by: opened_by.to_owned(),
            create_revision: chameleon_model::Revision::ZERO,
        }
    }

    fn source(name: &str) -> SourceUpdate {
        SourceUpdate {
            name: name.into(),
            expected: None,
            commit: "0123456789abcdef0123456789abcdef01234567".into(),
            profiles: Vec::new(),
        }
    }

    fn of(operations: Vec<Operation>) -> Transaction {
        Transaction {
            operations,
            ..Transaction::default()
        }
    }

    /// `a/git` and `a/held`, which is held as deleted, are a source's, `b/x` and the source `theirs` are another team's.
    fn state() -> Snapshot {
        let ours = Transaction {
            source: Some(source("ours")),
            ..of(vec![put("a/git"), put("a/held")])
        };
        let theirs = Transaction {
            source: Some(source("theirs")),
            ..of(vec![put("b/git")])
        };
        let rest = of(vec![
            put("a/x"),
            put("b/x"),
            Operation::Delete { key: key("a/held") },
            Operation::OpenSession(session(1, "a")),
            Operation::OpenSession(session(2, "b")),
        ]);
        let base = Snapshot::default();
        decide(
            &base,
            vec![ours, theirs, rest],
            Known::default(),
            Tag::default,
        )
        .snapshot
    }

    /// Why `a` may not commit `transaction`; empty if it may.
    fn refusal(rules: &[&str], transaction: &Transaction) -> String {
        let result = caller(rules).may_commit(transaction, &state());
        result
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn only_what_lies_in_reach_is_changed() {
        let writer = &["write:a/", "read:shared/"][..];
        let lock = |text: &str, n| Operation::Lock {
            key: key(text),
            value: "x".into(),
            flags: 0,
            session: session(n, "").id,
        };
        let hold = |text: &str| Operation::Hold { key: key(text) };
        let release = |text: &str| Operation::Release { key: key(text) };
        let under = |text: &str| Operation::DeletePrefix {
            prefix: Prefix::new(text),
        };
        for (operation, part) in [
            (put("a/x"), ""),
            (put("a/new"), ""),
            (put("a/git"), "the right `override` on key `a/git`"),
            (put("b/x"), "the right `write` on key `b/x`"),
            (put("shared/x"), "the right `write` on key `shared/x`"),
            (Operation::Delete { key: key("a/x") }, ""),
            (Operation::Delete { key: key("b/none") }, "on key `b/none`"),
            (under("a/x"), ""),
            (under("a/"), "the right `override` on key `a/git`"),
            (under(""), "the right `write` on all of prefix ``"),
            (under("b/"), "on all of prefix `b/`"),
            (hold("a/git"), "the right `override` on key `a/git`"),
            (release("a/git"), "the right `override` on key `a/git`"),
            (put("a/held"), "the right `override` on key `a/held`"),
            (lock("a/x", 1), ""),
            (lock("a/x", 2), "has not opened session"),
            (lock("b/x", 1), "on key `b/x`"),
            (Operation::EndSession(session(1, "").id), ""),
            (Operation::EndSession(session(2, "").id), "has not opened"),
            (Operation::OpenSession(session(3, "")), ""),
        ] {
            let found = refusal(writer, &of(vec![put("a/x"), operation]));
            assert_eq!(found.is_empty(), part.is_empty(), "{found}");
            assert!(found.contains(part), "{found}");
        }
        let open = of(vec![Operation::OpenSession(session(3, ""))]);
        assert_eq!(
            refusal(&["read:a/"], &open),
            "token `a` has the right `write` nowhere"
        );
        for operation in [under("a/"), hold("a/git"), release("a/held"), put("a/held")] {
            assert_eq!(refusal(&["override:a/"], &of(vec![operation])), "");
        }
    }

    #[test]
    fn a_condition_tells_only_of_what_may_be_read() {
        let absent = |text: &str| Precondition::Absent { key: key(text) };
        let unchanged = |text: &str| Precondition::Unchanged {
            prefix: Prefix::new(text),
            since: chameleon_model::Revision::ZERO,
        };
        let live = |n| Precondition::SessionLive {
            session: session(n, "").id,
        };
        for (precondition, part) in [
            (absent("a/x"), ""),
            (absent("b/x"), "the right `read` on key `b/x`"),
            (unchanged("a/"), ""),
            (unchanged(""), "the right `read` on all of prefix ``"),
            (live(1), ""),
            (live(2), "has not opened session"),
        ] {
            let transaction = Transaction {
                preconditions: vec![precondition],
                ..Transaction::default()
            };
            let found = refusal(&["write:a/"], &transaction);
            assert_eq!(found.is_empty(), part.is_empty(), "{found}");
            assert!(found.contains(part), "{found}");
        }
    }

    #[test]
    fn a_source_is_moved_by_whoever_may_write_all_of_it() {
        let moved = |name: &str, operations| Transaction {
            source: Some(source(name)),
            ..of(operations)
        };
        let writer = &["write:a/"][..];
        assert_eq!(refusal(writer, &moved("ours", vec![put("a/git")])), "");
        assert_eq!(refusal(writer, &moved("new", vec![put("a/y")])), "");
        // Its keys would vanish, which are not told.
        assert_eq!(
            refusal(writer, &moved("theirs", vec![put("a/y")])),
            "token `a` lacks the right `write` on keys of source `theirs`"
        );
        let stolen = refusal(writer, &moved("new", vec![put("a/git")]));
        assert!(stolen.contains("`override` on key `a/git`"), "{stolen}");
        let outside = refusal(writer, &moved("ours", vec![put("a/git"), put("b/y")]));
        assert!(outside.contains("`write` on key `b/y`"), "{outside}");
    }

    #[test]
    fn a_prefix_is_narrowed_to_what_may_be_read() {
        let reader = caller(&["read:a/", "write:b/one"]);
        let readable = |text: &str| reader.readable(Prefix::new(text));
        let selection = |keys: &[&str], prefixes: &[&str]| {
            Selection::new(
                keys.iter().map(|text| key(text)),
                prefixes.iter().map(|text| Prefix::new(text)),
            )
        };
        assert_eq!(readable("").unwrap(), selection(&["b/one"], &["a/"]));
        assert_eq!(readable("b").unwrap(), selection(&["b/one"], &[]));
        assert_eq!(readable("a/x").unwrap(), selection(&[], &["a/x"]));
        assert!(readable("b/two").is_err() && readable("c/").is_err());
    }

    #[test]
    fn a_signature_tells_token_and_peer_whatever_the_client_says() {
        let mut transaction = of(vec![Operation::OpenSession(session(3, "root"))]);
        transaction.origin.via = "grpc 10.0.0.1 token root".to_owned();
        caller(&[]).sign(&mut transaction);
        assert_eq!(transaction.origin.via, "grpc 127.0.0.1 token a");
        assert_eq!(transaction.origin.author, "a");
        let Operation::OpenSession(session) = &transaction.operations[0] else {
            panic!("the operation is the same");
        };
        assert_eq!(session.opened_by, "a");
        transaction.origin.author = "Ada".to_owned();
        caller(&[]).sign(&mut transaction);
        assert_eq!(transaction.origin.author, "Ada");
    }
}
