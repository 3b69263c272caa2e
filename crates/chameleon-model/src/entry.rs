//! What the store holds: entries, and the sessions that may lock them.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::{Key, Revision, SourceName};

/// The largest value that is accepted, in bytes (Consul's own limit).
pub const MAX_VALUE_BYTES: usize = 512 * 1024;

/// One key with its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub key: Key,
    /// Its bytes, as they were written.
    pub value: Bytes,
    /// An opaque number of the writer's.
    pub flags: u64,
    /// The revision that created it.
    pub create_revision: Revision,
    /// The revision that last changed it.
    pub modify_revision: Revision,
    /// How often a session has newly locked it.
    pub lock_index: u64,
    /// The session that holds its lock.
    pub session: Option<SessionId>,
    /// The git source that owns it.
    pub owner: Option<SourceName>,
}

impl Entry {
    /// Says whether both carry the same content, whenever it was written.
    pub fn same_content(&self, other: &Self) -> bool {
        self.value == other.value
            && self.flags == other.flags
            && self.lock_index == other.lock_index
            && self.session == other.session
            && self.owner == other.owner
    }
}

impl fmt::Debug for Entry {
    /// Leaves the value out: it may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key)
            .field("value_bytes", &self.value.len())
            .field("modify_revision", &self.modify_revision)
            .field("session", &self.session)
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

/// Names a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub Uuid);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A client's claim to be alive, which locks hang on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// A name for people; may be empty.
    pub name: String,
    /// What becomes of its locked entries when it ends.
    pub behavior: SessionBehavior,
    /// How long it lives without a renewal; for ever if absent.
    pub ttl: Option<Duration>,
    /// How long its entries refuse a new lock after it ended without releasing them.
    pub lock_delay: Duration,
    /// The token that opened it, which alone may end it; empty where none was needed.
    pub opened_by: String,
    /// The revision that opened it.
    pub create_revision: Revision,
}

/// What becomes of a session's locked entries when it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionBehavior {
    /// The lock is taken off, the entry stays.
    #[default]
    Release,
    /// The entry is deleted.
    Delete,
}
