//! The contract that both stores pass the same suite for.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chameleon_model::{
    AuditQuery, AuditReader, AuditRecord, Commit, Epoch, Grant, Key, Outcome, Prefix, Revision,
    Scope, Session, SessionId, Snapshot, SourceMarker, Stamp, Token, TokenHash, TokenName,
    Transaction,
};
use futures::stream::BoxStream;

use crate::board::Board;

/// Durable state with full history. One verb is one database transaction.
///
/// Every method may be cancelled; a cancelled [`commit`](Self::commit) may or may not have been
/// applied, which a retry under the same request id finds out.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The newest state, with the deletions above the floor.
    async fn load(&self) -> Result<Snapshot, StoreError>;

    /// Decides and commits `group` on the newest state, with an outcome for each member.
    ///
    /// `base` is what the caller holds. [`Committed::commits`] leads from it to the new head
    /// without a gap: first what others committed since, then what this group added.
    ///
    /// # Errors
    /// [`StoreError::BaseLost`] if no chain of commits leads from `base` to the head: load again
    /// and retry. Nothing was applied then. After [`StoreError::Unavailable`] it may or may not have
    /// been: the answer to the database's commit can be lost. A retry under the same request id
    /// within [`REQUEST_MEMORY`](crate::REQUEST_MEMORY) finds the first outcome.
    async fn commit(
        &self,
        base: &Snapshot,
        group: Vec<Transaction>,
    ) -> Result<Committed, StoreError>;

    /// What was committed after `stamp`, oldest first.
    ///
    /// More than [`REPLAY_LIMIT`](crate::REPLAY_LIMIT) commits are not handed out one by one: the
    /// answer is [`Changes::Compacted`] then too, since loading is quicker.
    async fn changes_since(&self, stamp: Stamp) -> Result<Changes, StoreError>;

    /// Past commits above the floor, newest first, each whole.
    async fn history(&self, query: &HistoryQuery) -> Result<Vec<Arc<Commit>>, StoreError>;

    /// The state as it was at `revision`.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRevision`] if it lies in the future or was compacted.
    async fn snapshot_at(&self, revision: Revision) -> Result<Snapshot, StoreError>;

    /// The applied commits of all git sources.
    async fn sources(&self) -> Result<Vec<SourceMarker>, StoreError>;

    /// The newest revision that was committed, as all before it, more than `age` ago by the
    /// database's clock; the floor if there is none.
    async fn newest_older_than(&self, age: Duration) -> Result<Revision, StoreError>;

    /// Forgets history and deletions below `floor`, never a live value. A floor below the present
    /// one changes nothing.
    ///
    /// Readers see the new floor at once; the rows go in steps, and a cancelled or failed
    /// compaction is finished by the next.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRevision`] if `floor` lies above the head.
    async fn compact(&self, floor: Revision) -> Result<(), StoreError>;

    /// Starts an epoch later than both the head's and `above` if the head is still `found`, and
    /// returns the new head.
    ///
    /// `above` is the epoch that readers hold: a copy restored from far back does not know the
    /// epochs that began since, and readers accept a lower revision only under a later epoch.
    ///
    /// # Errors
    /// [`StoreError::BaseLost`] if the head is another one.
    async fn begin_epoch(&self, found: Stamp, above: Epoch) -> Result<Stamp, StoreError>;

    /// Renews a session on the database's clock, and returns it; `None` if it is not live. Takes no
    /// revision and wakes nobody.
    async fn renew_session(&self, id: SessionId) -> Result<Option<Arc<Session>>, StoreError>;

    /// Ends the sessions that were not renewed for twice their time to live, in one transaction; as
    /// [`commit`](Self::commit), without any outcome if there are none.
    ///
    /// `renewable` is for how long the caller has been able to take renewals: a session whose life
    /// is longer had no chance, and is left alone. Any number of callers may do this at once.
    async fn end_overdue_sessions(
        &self,
        base: &Snapshot,
        renewable: Duration,
    ) -> Result<Committed, StoreError>;

    /// All tokens that were not revoked, by name; those that have expired too.
    async fn tokens(&self) -> Result<Vec<Token>, StoreError>;

    /// Creates a token; `None` if there is or was one of that name. Takes no revision, but wakes
    /// the followers of all stores, as [`rotate_token`](Self::rotate_token) and
    /// [`revoke_token`](Self::revoke_token) do.
    async fn create_token(&self, token: NewToken) -> Result<Option<Token>, StoreError>;

    /// Gives a token a new secret; the one that it had is valid for `grace` more. `None` if there is
    /// no such token, or no more.
    ///
    /// Within the grace of a rotation before, the secret in between ends at once, and the one before
    /// that stays: a rotation whose answer was lost can be repeated.
    async fn rotate_token(
        &self,
        name: &TokenName,
        hash: TokenHash,
        grace: Duration,
    ) -> Result<Option<Token>, StoreError>;

    /// Ends a token, and says whether there was one. Its name is never given again.
    async fn revoke_token(&self, name: &TokenName) -> Result<bool, StoreError>;

    /// Adds records to the audit, all or none; those that it has already, by their id, are left as they
    /// are, so that a batch whose answer was lost can be repeated. Takes no revision and wakes nobody.
    ///
    /// Characters that a database does not take are replaced.
    async fn append_audit(&self, records: &[AuditRecord]) -> Result<(), StoreError>;

    /// The records that `query` asks for and `reader` may see, newest first.
    async fn audit(
        &self,
        query: &AuditQuery,
        reader: &AuditReader,
    ) -> Result<Vec<AuditRecord>, StoreError>;

    /// Deletes the records that are older than `age` by the database's clock, and says how many. The
    /// rows go in steps; a cancelled or failed pruning is finished by the next.
    async fn prune_audit(&self, age: Duration) -> Result<u64, StoreError>;

    /// Forgets the answers to requests from before [`REQUEST_MEMORY`](crate::REQUEST_MEMORY), and
    /// says how many. May be called beside anything else, by any number of servers.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; what was forgotten by then stays forgotten.
    async fn prune_requests(&self) -> Result<u64, StoreError>;

    /// Where the servers on this database tell each other what each of them alone has seen; `None` if
    /// there is no such place, and what a server has seen stays in its memory.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while it is not known yet which it is.
    async fn board(&self) -> Result<Option<Arc<dyn Board>>, StoreError>;

    /// A stream that says "look again": after each commit by anybody, after every lost connection,
    /// and from time to time for safety. Items may be merged into the newest and may come without
    /// cause; the first comes at once.
    ///
    /// One task of the store serves all streams; it and they end with the store.
    fn notifications(&self) -> Notifications;
}

/// See [`Store::notifications`].
pub type Notifications = BoxStream<'static, Notice>;

/// Why it is worth a look at the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// A commit has led to this head; who has come there already has nothing to look for.
    Head(Stamp),
    /// Anything may have happened.
    Look,
}

/// The effect of [`Store::commit`].
#[derive(Debug)]
pub struct Committed {
    /// One for each transaction of the group, in its order.
    pub outcomes: Vec<Outcome>,
    /// The way from the caller's base to the new head.
    pub commits: Vec<Arc<Commit>>,
    /// The state at the new head.
    pub snapshot: Snapshot,
}

/// The answer to [`Store::changes_since`].
#[derive(Debug)]
pub enum Changes {
    /// Everything after the stamp, contiguous; empty if it is the head.
    Since(Vec<Arc<Commit>>),
    /// The commits after the stamp are not kept any more, or too many: load.
    Compacted,
    /// The stamp does not name a state of this database: it was restored, or lags. Load.
    OtherLineage,
}

/// A token that is to be created.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What it is called.
    pub name: TokenName,
    /// The hash of its secret.
    pub hash: TokenHash,
    /// What it allows.
    pub grant: Grant,
    /// How long it lives, by the database's clock; for ever if absent.
    pub lives: Option<Duration>,
    /// Who asked for it.
    pub created_by: String,
}

/// Which past commits are wanted.
#[derive(Debug, Clone, Default)]
pub struct HistoryQuery {
    /// Only those that changed this key.
    pub key: Option<Key>,
    /// Only those that changed a key under this prefix.
    pub prefix: Option<Prefix>,
    /// Only those that changed a key in one of these scopes; everywhere if absent.
    pub within: Option<Vec<Scope>>,
    /// Only those before this revision.
    pub before: Option<Revision>,
    /// At most so many.
    pub limit: u32,
}

/// What a store can fail with.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database can't be reached or gave no answer in time; try again later.
    #[error("the database is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The caller's state does not lead to the database's; load again.
    #[error("the held state {held} does not lead to the database's state")]
    BaseLost {
        /// What the caller holds.
        held: Stamp,
    },
    /// The revision was compacted away or lies in the future.
    #[error("revision {0} is not kept; it was compacted or lies in the future")]
    NoSuchRevision(Revision),
    /// The address of the store is not understood.
    #[error("{0}")]
    Address(String),
    /// A newer version of this program has taken away from the tables what this one uses.
    #[error(
        "the database's tables are newer than this program, which does not know migration \
         `{migration}`; run the version that brought it, or one after it"
    )]
    TooNew {
        /// The migration that took it away.
        migration: String,
    },
    /// The database holds or says something that this program does not expect.
    #[error("the database is not as this program left it: {0}")]
    Damaged(String),
}
