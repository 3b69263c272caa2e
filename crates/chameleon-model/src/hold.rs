//! Keys that are kept as they are against their git source.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::{Key, Revision, SourceName, Timestamp};

/// How long a hold lasts until it counts as expired, where nobody says otherwise.
pub const DEFAULT_HOLD: Duration = Duration::from_hours(4);

/// The most bytes of a hold's author and of its reason; what is longer is cut off.
const MAX_TEXT_BYTES: usize = 2048;

/// A key that stays as it is while its git source says something else.
///
/// It ends when it is released, or when a later commit of the source changes the key's file; never
/// by time alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Hold {
    /// Which key. It may be gone: then that is what is held.
    pub key: Key,
    /// The source that owns the key.
    pub source: SourceName,
    /// What the source's applied commit has there; `None` if it has no such file.
    pub git: Option<GitValue>,
    /// What git had when the key was first held. A branch that was rewound and comes back to it has
    /// not changed the file.
    pub against: GitValue,
    /// Who holds it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When it was put or last renewed, by the database's clock.
    pub since: Timestamp,
    /// From when on somebody should look: it stays in force.
    pub expires: Timestamp,
    /// The revision that last changed it.
    pub revision: Revision,
}

/// What a git source has at a key.
#[derive(Clone, PartialEq, Eq)]
pub struct GitValue {
    /// The file's bytes.
    pub value: Bytes,
    /// The writer's number.
    pub flags: u64,
}

/// The effect of a commit on one hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldChange {
    /// The key is held so now.
    Put(std::sync::Arc<Hold>),
    /// The key is held no more.
    Ended(Key),
}

impl HoldChange {
    /// Which key it is about.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(hold) => &hold.key,
            Self::Ended(key) => key,
        }
    }
}

impl Hold {
    /// Says whether somebody should look at it by now.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires <= now
    }

    /// Says whether the source, which has `offered` there, has changed the file since the key was
    /// held.
    pub(crate) fn is_outdated_by(&self, offered: Option<&GitValue>) -> bool {
        offered != self.git.as_ref() && offered != Some(&self.against)
    }
}

/// `text` up to the length that a hold keeps.
pub(crate) fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT_BYTES)].to_owned()
}

impl fmt::Debug for GitValue {
    /// Leaves the value out: it may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, flags {}", self.value.len(), self.flags)
    }
}

impl fmt::Debug for Hold {
    /// Leaves the values out: they may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold")
            .field("key", &self.key)
            .field("source", &self.source)
            .field("git", &self.git)
            .field("against", &self.against)
            .field("author", &self.author)
            .field("expires", &self.expires)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}
