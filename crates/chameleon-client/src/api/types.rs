//! What the calls take and answer, in the model's words.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use chameleon_model::{
    CommitId, Entry, Key, Origin, Prefix, Revision, Rule, SourceName, Stamp, Timestamp, TokenName,
};

/// Which keys are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// These keys.
    pub keys: Vec<Key>,
    /// All keys under these prefixes.
    pub prefixes: Vec<Prefix>,
}

impl Selection {
    /// Selects one key.
    pub fn key(key: Key) -> Self {
        Self {
            keys: vec![key],
            prefixes: Vec::new(),
        }
    }

    /// Selects all keys under a prefix.
    pub fn prefix(prefix: Prefix) -> Self {
        Self {
            keys: Vec::new(),
            prefixes: vec![prefix],
        }
    }

    /// Selects everything.
    pub fn all() -> Self {
        Self::prefix(Prefix::all())
    }

    /// The keys and the prefixes as they are sent.
    pub(super) fn names(&self) -> (Vec<String>, Vec<String>) {
        let keys = self.keys.iter().map(ToString::to_string).collect();
        let prefixes = self.prefixes.iter().map(ToString::to_string).collect();
        (keys, prefixes)
    }
}

/// The selected entries at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The state's name.
    pub stamp: Stamp,
    /// The entries, in the order of their keys.
    pub entries: Vec<Entry>,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It was applied and led to this state.
    Committed(Stamp),
    /// Everything was already so; this is the state that was found.
    Unchanged(Stamp),
    /// Nothing was applied.
    Refused {
        /// All reasons, in words for people.
        reasons: Vec<String>,
        /// True if somebody else came first: read again, and try again on the newest state.
        conflict: bool,
    },
}

/// What became of a rollback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolledBack {
    /// What became of it, and which keys it holds now.
    pub effects: CommitEffects,
    /// The keys that differed; of many only the first.
    pub changes: Vec<KeyChange>,
    /// How many keys differed.
    pub changed: u64,
}

/// What became of a transaction, and what it did to holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitEffects {
    /// What became of it.
    pub outcome: CommitOutcome,
    /// Holds that it has put or renewed. A retry that gets its first outcome is told none.
    pub held: Vec<HeldKey>,
    /// Keys whose holds it has ended.
    pub released: Vec<Key>,
    /// Of a source's new state: the held keys that it did not reach.
    pub skipped: Vec<HeldKey>,
}

/// A key that stays as it is against its git source, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldKey {
    /// Which key.
    pub key: Key,
    /// The source that owns it.
    pub source: SourceName,
    /// Who holds it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When it was put or last renewed, by the database's clock.
    pub since: Timestamp,
    /// From when on somebody should look. It stays in force.
    pub expires: Timestamp,
    /// The revision that last changed it.
    pub revision: Revision,
}

/// Which past commits are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Only those that changed this key.
    pub key: Option<Key>,
    /// Only those that changed a key under this prefix.
    pub prefix: Option<Prefix>,
    /// Only those before this revision.
    pub before: Option<Revision>,
    /// At most so many; `None` for the server's default.
    pub limit: Option<u32>,
}

/// One past commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRecord {
    /// The state that it led to.
    pub stamp: Stamp,
    /// When it was stored, by the database's or the server's clock.
    pub at: Timestamp,
    /// Who changed something, and on what grounds.
    pub origin: Origin,
    /// The git source whose new state it was.
    pub source: Option<SourceName>,
    /// The keys that it changed.
    pub changes: Vec<KeyChange>,
    /// How it reached the instances; kept for the newest revisions only.
    pub deliveries: Vec<Delivery>,
    /// The holds that it has put, renewed or ended.
    pub holds: Vec<HoldChange>,
}

/// What a commit did to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// Which key.
    pub key: Key,
    /// True if the commit deleted it.
    pub deleted: bool,
}

/// What a commit did to the hold on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldChange {
    /// Which key.
    pub key: Key,
    /// True if the key is held no more.
    pub ended: bool,
}

/// How one commit reached one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The instance's service.
    pub service: String,
    /// The instance's profile.
    pub profile: String,
    /// The instance's name.
    pub instance: String,
    /// From storing to delivery.
    pub delivered: Duration,
    /// From delivery to the instance's verdict.
    pub applied: Duration,
    /// Why the instance rejected it.
    pub rejected: Option<String>,
}

/// What differs between two revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The earlier state.
    pub from: Stamp,
    /// The later state.
    pub to: Stamp,
    /// The keys that differ, in order.
    pub entries: Vec<EntryDiff>,
}

/// One key's value at two revisions.
#[derive(Clone, PartialEq, Eq)]
pub struct EntryDiff {
    /// Which key.
    pub key: Key,
    /// Its earlier value; `None` if it did not exist.
    pub before: Option<Bytes>,
    /// Its later value; `None` if it does not exist any more.
    pub after: Option<Bytes>,
}

impl std::fmt::Debug for EntryDiff {
    /// Leaves the values out: they may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = |value: &Option<Bytes>| value.as_ref().map(Bytes::len);
        f.debug_struct("EntryDiff")
            .field("key", &self.key)
            .field("before_bytes", &bytes(&self.before))
            .field("after_bytes", &bytes(&self.after))
            .finish()
    }
}

/// Who watches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The service's name.
    pub service: String,
    /// The profile that it runs in.
    pub profile: String,
    /// The instance's name, unlike that of any other running instance.
    pub instance: String,
    /// The service's version; may be empty.
    pub version: String,
    /// The host; may be empty.
    pub host: String,
    /// The prefix of its documents; may be empty.
    pub prefix: String,
}

/// All running instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// The instances.
    pub instances: Vec<Instance>,
    /// The newest state of the store.
    pub head: Stamp,
}

/// One running client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Who it is.
    pub identity: Identity,
    /// The newest state that it has applied.
    pub applied: Option<Stamp>,
    /// The newest state that it was sent.
    pub sent: Option<Stamp>,
    /// Why it rejected the newest state, if it did.
    pub rejected: Option<String>,
    /// How long its stream has been open.
    pub connected: Duration,
    /// True if it has applied the newest state of what it watches.
    pub current: bool,
    /// The name of the server that it watches through; empty from a server that tells none.
    pub replica: String,
}

/// A git source as the server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: SourceName,
    /// The applied commit; `None` before the first.
    pub commit: Option<CommitId>,
    /// The state that the commit led to.
    pub stamp: Option<Stamp>,
    /// When it was applied.
    pub at: Option<Timestamp>,
    /// The profiles that the source declares.
    pub profiles: Vec<String>,
    /// git-sync's newest report, if this server has one.
    pub report: Option<SyncReport>,
    /// Its keys that are held: pushes do not reach them.
    pub held: Vec<Key>,
}

/// What became of a source's newest commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncReport {
    /// Which source.
    pub source: SourceName,
    /// Its newest commit.
    pub commit: CommitId,
    /// False if it was rejected.
    pub accepted: bool,
    /// File, line and reason of every fault of a rejected commit.
    pub faults: Vec<String>,
    /// When git-sync judged it, by its own clock.
    pub at: Timestamp,
}

/// How a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerStatus {
    /// Its version.
    pub version: String,
    /// The newest state that it serves.
    pub head: Stamp,
    /// How many entries that state has.
    pub entries: u64,
    /// How many watches it serves.
    pub watches: u64,
    /// False while its database is away; reads and watches go on.
    pub store_available: bool,
    /// How long ago the database last answered.
    pub store_age: Duration,
    /// The store's kind: `postgres` or `sqlite`.
    pub store: String,
}

/// A token as the server tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInfo {
    /// What it is called.
    pub name: TokenName,
    /// What it allows.
    pub rules: Vec<Rule>,
    /// When it was created.
    pub created: Timestamp,
    /// The token that created it; empty where none was needed.
    pub created_by: String,
    /// When it ends; never if `None`.
    pub expires: Option<Timestamp>,
    /// Until when the secret of before the last rotation is valid.
    pub replaced_until: Option<Timestamp>,
}

/// A token with its secret, which the server does not know any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedToken {
    /// The token.
    pub token: TokenInfo,
    /// What to show for it.
    pub secret: Secret,
}

/// A text that is not printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub(super) String);

impl Secret {
    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
