//! What a writer asks for, and what became of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::{Entry, HoldChange, Key, Prefix, Revision, Session, SessionId, Stamp, Timestamp};

/// A set of operations that is applied whole or not at all.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    /// Makes a retry return the first outcome.
    pub request_id: Option<RequestId>,
    /// What must hold before anything is applied.
    pub preconditions: Vec<Precondition>,
    /// Applied in order; each sees the effect of those before it.
    pub operations: Vec<Operation>,
    /// Set when the transaction is a git source's new state.
    pub source: Option<SourceUpdate>,
    /// How long the holds that it puts last; the server's setting if absent.
    pub hold_for: Option<Duration>,
    /// Ends no hold, even where git has another file by now: the source's branch was rewound, or a
    /// mirror of it lags.
    pub keeps_holds: bool,
    /// Who asks, and on what grounds.
    pub origin: Origin,
}

/// Names one attempt of a writer, over all its retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub Uuid);

impl RequestId {
    /// A new one, of version 7: what is asked one after the other lies beside each other in a
    /// database, so that commits write fewer pages.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

/// One change of the keyspace.
#[derive(Clone, PartialEq, Eq)]
pub enum Operation {
    /// Writes a value; an existing lock stays.
    Put {
        /// Where.
        key: Key,
        /// What.
        value: Bytes,
        /// The writer's number.
        flags: u64,
    },
    /// Removes a key; nothing happens if it is not there.
    Delete {
        /// Which.
        key: Key,
    },
    /// Removes every key with this prefix.
    DeletePrefix {
        /// Which.
        prefix: Prefix,
    },
    /// Writes a value and takes the key's lock; refused while another session holds it.
    Lock {
        /// Where.
        key: Key,
        /// What.
        value: Bytes,
        /// The writer's number.
        flags: u64,
        /// Who takes the lock; must be live.
        session: SessionId,
    },
    /// Writes a value and gives the key's lock back; refused unless the session holds it.
    Unlock {
        /// Where.
        key: Key,
        /// What.
        value: Bytes,
        /// The writer's number.
        flags: u64,
        /// Who held the lock.
        session: SessionId,
    },
    /// Opens a session.
    OpenSession(Session),
    /// Ends a session and frees or deletes what it has locked; nothing happens if it is not live.
    EndSession(SessionId),
    /// Brings back a file that a git source had at a key and has no more, and holds it; a plain write
    /// where the key is there or is the source's still. Only a server asks for it, in a rollback.
    Restore {
        /// Where.
        key: Key,
        /// What.
        value: Bytes,
        /// The writer's number.
        flags: u64,
        /// Whose file it was.
        source: SourceName,
    },
    /// Keeps a key of a git source as it is, or keeps it on.
    Hold {
        /// Which.
        key: Key,
    },
    /// Ends a hold, and puts back what git has there.
    Release {
        /// Which.
        key: Key,
    },
}

/// What must hold for a transaction to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// The key's last change is this revision.
    AtRevision {
        /// Which key.
        key: Key,
        /// Its expected modify revision.
        revision: Revision,
    },
    /// The key does not exist.
    Absent {
        /// Which key.
        key: Key,
    },
    /// This session holds the key's lock.
    HeldBy {
        /// Which key.
        key: Key,
        /// The expected holder.
        session: SessionId,
    },
    /// The session is live.
    SessionLive {
        /// Which session.
        session: SessionId,
    },
    /// Nothing under the prefix was changed or deleted after this revision.
    Unchanged {
        /// Under which prefix.
        prefix: Prefix,
        /// The newest revision that may have changed it.
        since: Revision,
    },
}

impl Precondition {
    /// That the key's last change is `revision`; that it does not exist for 0.
    pub fn last_changed(key: Key, revision: Revision) -> Self {
        match revision {
            Revision::ZERO => Self::Absent { key },
            revision => Self::AtRevision { key, revision },
        }
    }
}

/// The new state of a git source: the puts of the transaction, and nothing else, are its keys.
///
/// Every key that the source owned and that is not put again is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceUpdate {
    /// Which source.
    pub name: SourceName,
    /// The commit that must be the applied one; `None` for the first.
    pub expected: Option<CommitId>,
    /// The commit that becomes the applied one.
    pub commit: CommitId,
    /// The profiles that the source declares.
    pub profiles: Vec<String>,
}

/// What is known of a source's last applied commit. Lives outside the keyspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceMarker {
    /// Which source.
    pub name: SourceName,
    /// The applied commit.
    pub commit: CommitId,
    /// The profiles that the source declares.
    pub profiles: Vec<String>,
    /// The state that the commit led to.
    pub stamp: Stamp,
    /// When it was applied.
    pub at: Timestamp,
}

/// The longest name of a source, in bytes: it is part of database indexes, whose rows are bounded. What
/// comes over the wire is checked; a name that was made here is its maker's care.
pub const MAX_SOURCE_NAME_BYTES: usize = 256;

/// The name of a configured git source; see [`MAX_SOURCE_NAME_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceName(pub Arc<str>);

/// A git commit's full id in lower-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(pub Arc<str>);

/// Who changed something, and on what grounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The person, for example a git author.
    pub author: String,
    /// Why, for example a commit's message.
    pub message: String,
    /// The face and peer or token through which it came, for example `consul 127.0.0.1`.
    pub via: String,
    /// Where in git it stands.
    pub git: Option<GitOrigin>,
    /// How long the stages before storing took, in their order.
    pub stages: Vec<StageTime>,
}

/// Where in git a change stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitOrigin {
    /// The repository's address, without credentials.
    pub repository: String,
    /// The branch.
    pub branch: String,
    /// The commit.
    pub commit: CommitId,
}

/// One step on a change's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// From the remote's ref update to the webhook's arrival.
    Notified,
    /// Until git-sync had the commit's files.
    Fetched,
    /// Until they were found good.
    Checked,
    /// Until the store had committed them.
    Stored,
    /// Until the state had reached an instance.
    Delivered,
    /// Until the instance had decoded it and swapped it in.
    Applied,
}

impl Stage {
    /// All stages in their order.
    pub const ALL: [Self; 6] = [
        Self::Notified,
        Self::Fetched,
        Self::Checked,
        Self::Stored,
        Self::Delivered,
        Self::Applied,
    ];

    /// The stage's name for people, metrics and the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Notified => "notified",
            Self::Fetched => "fetched",
            Self::Checked => "checked",
            Self::Stored => "stored",
            Self::Delivered => "delivered",
            Self::Applied => "applied",
        }
    }

    /// The stage of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }
}

/// How long a stage took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageTime {
    /// Which stage.
    pub stage: Stage,
    /// How long it took by itself.
    pub took: Duration,
}

/// A transaction that was committed, with its effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The state that it led to.
    pub stamp: Stamp,
    /// When, by the committing server's or the database's clock.
    pub at: Timestamp,
    /// The writer's attempt.
    pub request_id: Option<RequestId>,
    /// Set when it was a git source's new state.
    pub source: Option<SourceUpdate>,
    /// Who, and on what grounds.
    pub origin: Origin,
    /// The net changes, at most one for each key, ordered by key.
    pub changes: Vec<Change>,
    /// Sessions that were opened or ended.
    pub sessions: Vec<SessionChange>,
    /// Holds that were put, renewed or ended, ordered by key.
    pub holds: Vec<HoldChange>,
}

/// The net effect of a commit on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The key has this entry now.
    Put(Arc<Entry>),
    /// The key is gone.
    Delete(Key),
}

impl Change {
    /// Which key it is about.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(entry) => &entry.key,
            Self::Delete(key) => key,
        }
    }
}

/// The effect of a commit on one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionChange {
    /// It is live now.
    Opened(Arc<Session>),
    /// It is live no more.
    Ended(SessionId),
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was applied and led to this state.
    Committed(Stamp),
    /// Everything was already so; no revision was spent, this is the state that was found.
    Unchanged(Stamp),
    /// Nothing was applied, for all these reasons.
    Refused(Vec<Refusal>),
}

/// One reason why a transaction was not applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The key has changed since.
    #[error("key `{key}` is not at revision {expected}: {}", found(*.actual))]
    WrongRevision {
        /// Which key.
        key: Key,
        /// What was asked for.
        expected: Revision,
        /// What it is; absent if there is no such key.
        actual: Option<Revision>,
    },
    /// The key exists already.
    #[error("key `{key}` exists, last changed at revision {actual}")]
    Exists {
        /// Which key.
        key: Key,
        /// Its modify revision.
        actual: Revision,
    },
    /// The session does not hold the key's lock.
    #[error("the lock of key `{key}` is not held by session `{session}`")]
    NotHeld {
        /// Which key.
        key: Key,
        /// Who should hold it.
        session: SessionId,
    },
    /// Another session holds the key's lock.
    #[error("the lock of key `{key}` is already held")]
    AlreadyHeld {
        /// Which key.
        key: Key,
    },
    /// The session that held the key's lock has ended without giving it back; see
    /// [`Session::lock_delay`](crate::Session::lock_delay).
    #[error("the lock of key `{key}` cannot be taken yet: its holder's lock-delay runs")]
    LockDelayed {
        /// Which key.
        key: Key,
    },
    /// Something under the prefix has changed since.
    #[error("a key that begins with `{prefix}` was changed at revision {actual}, after {since}")]
    ChangedUnder {
        /// Under which prefix.
        prefix: Prefix,
        /// What was asked for.
        since: Revision,
        /// When it was last changed.
        actual: Revision,
    },
    /// There is no such session.
    #[error("invalid session \"{session}\"")]
    NoSession {
        /// Which session.
        session: SessionId,
    },
    /// A session of that id is live already.
    #[error("session `{session}` exists")]
    SessionExists {
        /// Which session.
        session: SessionId,
    },
    /// Another sync has moved the source meanwhile.
    #[error(
        "source `{source_name}` is at commit {}, not at {}; read it again and retry",
        or_none(.actual.as_ref()),
        or_none(.expected.as_ref())
    )]
    MarkerMoved {
        /// Which source.
        source_name: SourceName,
        /// What was asked for.
        expected: Option<CommitId>,
        /// What it is.
        actual: Option<CommitId>,
    },
    /// Two sources claim one key.
    #[error(
        "key `{key}` belongs to source `{owner}`; give the sources different folders or prefixes"
    )]
    OwnedByOther {
        /// Which key.
        key: Key,
        /// Whose it is.
        owner: SourceName,
    },
    /// No git source would change the key.
    #[error("key `{key}` belongs to no git source, so that there is nothing to hold it against")]
    NotOwned {
        /// Which key.
        key: Key,
    },
    /// A git source's new state says nothing about holds.
    #[error("key `{key}`: a source's new state neither holds nor releases; send that apart")]
    HoldInUpdate {
        /// Which key.
        key: Key,
    },
    /// There is no hold to release.
    #[error("key `{key}` is not held; `chameleon hold` lists the keys that are")]
    NotOnHold {
        /// Which key.
        key: Key,
    },
}

fn found(revision: Option<Revision>) -> String {
    revision.map_or_else(
        || "it does not exist".to_owned(),
        |revision| format!("it is at revision {revision}"),
    )
}

fn or_none(commit: Option<&CommitId>) -> &str {
    commit.map_or("none", |commit| &commit.0)
}

impl fmt::Debug for Operation {
    /// Leaves values out: they may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { key, value, .. } => write!(f, "Put({key:?}, {} bytes)", value.len()),
            Self::Delete { key } => write!(f, "Delete({key:?})"),
            Self::DeletePrefix { prefix } => write!(f, "DeletePrefix({prefix:?})"),
            Self::Lock { key, session, .. } => write!(f, "Lock({key:?}, {session})"),
            Self::Unlock { key, session, .. } => write!(f, "Unlock({key:?}, {session})"),
            Self::OpenSession(session) => write!(f, "OpenSession({})", session.id),
            Self::EndSession(session) => write!(f, "EndSession({session})"),
            Self::Restore { key, value, .. } => {
                write!(f, "Restore({key:?}, {} bytes)", value.len())
            }
            Self::Hold { key } => write!(f, "Hold({key:?})"),
            Self::Release { key } => write!(f, "Release({key:?})"),
        }
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for SourceName {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<&str> for CommitId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}
