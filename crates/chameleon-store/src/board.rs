//! The board: where the servers on one database tell each other what each of them alone has seen.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chameleon_model::{Epoch, Key, Prefix, Revision, SourceName, Stamp, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::StoreError;

/// The most instances, and the most deliveries, that one [`Report`] should carry, so that no statement
/// takes long.
pub const REPORT_ROWS: usize = 1_000;

/// The most instances that are read off a board.
pub const BOARD_INSTANCES: usize = 100_000;

/// The most deliveries that one question reads off a board.
pub const BOARD_DELIVERIES: u32 = 20_000;

/// Of how many sources a board keeps git-sync's words.
pub const BOARD_SOURCES: u32 = 1_000;

/// What several servers on one database tell each other; see [`Store::board`](crate::Store::board).
///
/// Nothing on it takes a revision or wakes anybody, and none of it has to last: a crash of the
/// database may empty it, and its writers notice.
#[async_trait]
pub trait Board: Send + Sync + 'static {
    /// Writes a report and renews its server's lease, in one statement.
    ///
    /// After an error it may or may not have been written. One that comes after a later one of the same
    /// server changes nothing.
    async fn post(&self, report: &Report) -> Result<Posted, StoreError>;

    /// Takes a server off the board with its instances; its deliveries stay. The server ends: a report
    /// of it that comes later counts until its lease ends.
    async fn leave(&self, replica: ReplicaId) -> Result<(), StoreError>;

    /// Forgets the servers whose leases have ended, and their instances; says how many they were. Of the
    /// words on sources the newest [`BOARD_SOURCES`] stay; of the ways of revisions before `oldest`,
    /// nothing that a server has told that is gone. Any number of servers may do this at once.
    async fn forget_lost(&self, oldest: (Epoch, Revision)) -> Result<u64, StoreError>;

    /// The instances at servers other than `own` whose leases have not ended; at most
    /// [`BOARD_INSTANCES`].
    async fn instances(&self, own: ReplicaId) -> Result<Vec<BoardInstance>, StoreError>;

    /// What servers other than `own` have seen of the ways of these revisions; at most `limit` deliveries
    /// of each, and [`BOARD_DELIVERIES`] in all, those of the newest revisions before others.
    async fn ways(
        &self,
        own: ReplicaId,
        epoch: Epoch,
        revisions: &[Revision],
        limit: u32,
    ) -> Result<BoardWays, StoreError>;

    /// The newest report of each source, whichever server took it; the newest `limit` of them.
    async fn sync_reports(&self, limit: u32) -> Result<Vec<PostedSync>, StoreError>;
}

/// One start of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(pub Uuid);

impl ReplicaId {
    /// One that no server has had.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

/// What a server has to tell since its last report.
#[derive(Clone, Debug)]
pub struct Report {
    /// The server.
    pub replica: ReplicaId,
    /// What people know it by.
    pub name: String,
    /// Its number among the server's reports, which rises.
    pub number: u64,
    /// How long the server counts as living if it is not heard of again.
    pub lease: Duration,
    /// New and changed instances, each once.
    pub instances: Vec<PostedInstance>,
    /// Connections that have ended; none of `instances` is one of them.
    pub left: Vec<u64>,
    /// If given, connections that no report from this number on has told of have ended too.
    pub complete_since: Option<u64>,
    /// New deliveries.
    pub deliveries: Vec<PostedDelivery>,
    /// How long it took to store what was committed at the server.
    pub stored: Vec<PostedStored>,
    /// The oldest revision whose way is still wanted; what the server told of earlier ones is deleted.
    pub oldest: (Epoch, Revision),
    /// New words of git-sync, each source once.
    pub syncs: Vec<PostedSync>,
}

/// What a board knew before a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// Nothing of this server: it is new, was away for longer than its lease, or the board was emptied.
    Anew,
    /// The server's reports up to this number.
    After(u64),
    /// A later report of this server; this one has changed nothing.
    Late,
}

/// What an instance watches, in the form in which it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Watched(Arc<str>);

#[derive(Serialize, Deserialize)]
struct StoredSelection<K, P> {
    keys: K,
    prefixes: P,
}

impl Watched {
    /// These keys, and all keys under these prefixes.
    pub fn new<'a>(
        keys: impl Iterator<Item = &'a Key>,
        prefixes: impl Iterator<Item = &'a Prefix>,
    ) -> Self {
        let stored = StoredSelection {
            keys: keys.map(Key::as_str).collect::<Vec<_>>(),
            prefixes: prefixes.map(Prefix::as_str).collect::<Vec<_>>(),
        };
        let text = serde_json::to_string(&stored).expect("texts can be written as JSON");
        Self(text.into())
    }

    /// One that was read from a database; [`parts`](Self::parts) says whether it is good.
    pub(crate) fn stored(text: String) -> Self {
        Self(text.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Its size, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.0.len()
    }

    /// The keys and the prefixes.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the database holds something else.
    pub fn parts(&self) -> Result<(Vec<Key>, Vec<Prefix>), StoreError> {
        let damaged = |reason: String| {
            StoreError::Damaged(format!(
                "what an instance watches is not understood: {reason}"
            ))
        };
        let stored: StoredSelection<Vec<String>, Vec<String>> =
            serde_json::from_str(&self.0).map_err(|error| damaged(error.to_string()))?;
        let keys = (stored.keys.iter())
            .map(|key| Key::new(key).map_err(|error| damaged(error.to_string())))
            .collect::<Result<_, _>>()?;
        let prefixes = stored.prefixes.iter().map(|prefix| Prefix::new(prefix));
        Ok((keys, prefixes.collect()))
    }
}

/// Who an instance says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PostedIdentity {
    /// Its service.
    pub service: String,
    /// Its profile.
    pub profile: String,
    /// Its name.
    pub instance: String,
    /// Its version.
    pub version: String,
    /// Where it runs.
    pub host: String,
    /// The prefix of its team.
    pub prefix: String,
}

/// One connection as its server knows it.
#[derive(Clone, Debug)]
pub struct PostedInstance {
    /// The connection's number at its server, never used again.
    pub connection: u64,
    /// Who it is; told of a connection for good.
    pub identity: PostedIdentity,
    /// What it watches; told of a connection for good.
    pub watched: Watched,
    /// How long ago it was opened.
    pub connected: Duration,
    /// The newest state that it was sent.
    pub sent: Option<Stamp>,
    /// The newest state that it has applied.
    pub applied: Option<Stamp>,
    /// Why it rejected the newest state that it has judged.
    pub rejected: Option<Arc<str>>,
}

/// An instance at another server.
#[derive(Clone, Debug)]
pub struct BoardInstance {
    /// The server's name.
    pub replica: Arc<str>,
    /// The instance; how long it is connected is by the database's clock.
    pub instance: PostedInstance,
}

/// How one revision reached one instance.
#[derive(Clone, Debug)]
pub struct PostedDelivery {
    /// The revision's epoch.
    pub epoch: Epoch,
    /// The revision.
    pub revision: Revision,
    /// The connection's number at its server.
    pub connection: u64,
    /// The instance's service.
    pub service: String,
    /// The instance's profile.
    pub profile: String,
    /// The instance's name.
    pub instance: String,
    /// What it watches.
    pub watched: Watched,
    /// From the commit to the instance.
    pub delivered: Duration,
    /// From there to its verdict.
    pub applied: Duration,
    /// Why it was rejected.
    pub rejected: Option<Arc<str>>,
}

/// How long it took to store one revision, as only the server knows that it was committed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostedStored {
    /// The revision's epoch.
    pub epoch: Epoch,
    /// The revision.
    pub revision: Revision,
    /// From the writer's request to the store's answer.
    pub took: Duration,
}

/// What other servers have seen of the ways of some revisions.
#[derive(Clone, Debug, Default)]
pub struct BoardWays {
    /// How long it took to store them.
    pub stored: Vec<PostedStored>,
    /// How they reached the instances.
    pub deliveries: Vec<PostedDelivery>,
}

/// git-sync's word on a source's newest commit, as a server took it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostedSync {
    /// The source.
    pub source: SourceName,
    /// The commit.
    pub commit: String,
    /// Whether it was applied.
    pub accepted: bool,
    /// Why not.
    pub faults: Vec<String>,
    /// When, by git-sync's clock.
    pub at: Timestamp,
    /// The token that it was reported with.
    pub by: String,
    /// How long ago the server took it; on the board by the database's clock.
    pub age: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_watched_survives_its_stored_form() {
        let keys = [Key::new("config/ü\".yml").unwrap()];
        let prefixes = [Prefix::new("a/\u{0}"), Prefix::new("")];
        let watched = Watched::new(keys.iter(), prefixes.iter());
        assert!(!watched.as_str().contains('\0'));
        let (read, under) = watched.parts().unwrap();
        assert_eq!((&read[..], &under[..]), (&keys[..], &prefixes[..]));
        let error = Watched::stored("[]".to_owned()).parts().unwrap_err();
        assert!(matches!(error, StoreError::Damaged(_)), "{error}");
    }
}
