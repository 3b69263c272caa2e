//! How one look at a source ends.

use chameleon_client::{ApiError, HeldKey};
use chameleon_model::{CommitId, Key, Stamp};
use tokio::time::Instant;

use crate::git::{CommitObject, GitError};

/// What became of a source's newest commit.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// It is live now.
    Applied(Applied),
    /// It was live before.
    Unchanged {
        /// The commit.
        commit: CommitId,
        /// The state that it led to, or that was found.
        stamp: Option<Stamp>,
        /// Held keys that it does not reach, if they were not told before.
        held: Vec<HeldKey>,
    },
    /// It is not good; what was live stays.
    Rejected(Rejected),
    /// It looks older than the applied one; it is looked at again.
    Waiting {
        /// The head.
        commit: CommitId,
        /// The applied commit.
        applied: CommitId,
        /// When the head will be believed.
        until: Instant,
    },
}

/// A commit that went live.
#[derive(Clone, Debug)]
pub(crate) struct Applied {
    pub(crate) commit: CommitObject,
    pub(crate) stamp: Stamp,
    pub(crate) files: usize,
    pub(crate) warnings: Vec<String>,
    /// Held keys that it does not reach.
    pub(crate) held: Vec<HeldKey>,
    /// Keys whose holds it has ended, because it changes their files.
    pub(crate) released: Vec<Key>,
}

/// A commit that was refused.
#[derive(Clone, Debug)]
pub(crate) struct Rejected {
    pub(crate) commit: CommitId,
    /// File, line and reason of every fault.
    pub(crate) faults: Vec<String>,
    pub(crate) warnings: Vec<String>,
    /// True if it was told before, and nothing has changed since.
    pub(crate) again: bool,
}

/// Why a look at a source could not be finished; it is worth another try.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SyncError {
    /// Git, or the repository.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The config server.
    #[error(transparent)]
    Server(#[from] ApiError),
    /// Somebody else syncs the same source, again and again.
    #[error(
        "source `{name}` is moved by another git-sync all the time; let only one of them sync it"
    )]
    Contended {
        /// The source.
        name: String,
    },
}

/// Says of a held key, for people, that a commit does not reach it.
pub(crate) fn held_line(held: &HeldKey) -> String {
    let HeldKey {
        key,
        author,
        reason,
        ..
    } = held;
    let reason = reason.lines().next().unwrap_or_default();
    let why = if reason.is_empty() { "" } else { ": " };
    format!("key `{key}` is held by `{author}`, the commit does not reach it{why}{reason}")
}

/// The first digits of a commit's id, as people write it.
pub(crate) fn short(commit: &CommitId) -> &str {
    commit.0.get(..10).unwrap_or(&commit.0)
}
