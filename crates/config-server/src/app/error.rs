//! What the use cases can fail with; each face has its own translation.

use chameleon_model::Revision;
use chameleon_model::document::Fault;

use super::access::{Forbidden, OverLimit};

/// Why a use case did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The request breaks a rule; the text names the field.
    #[error("{0}")]
    Invalid(String),
    /// The caller's token does not allow it; nothing was told or changed.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The client has more of something than one may have.
    #[error(transparent)]
    OverLimit(#[from] OverLimit),
    /// Documents would be broken; nothing was changed.
    #[error("{}", lines(.0))]
    Faulty(Vec<Fault>),
    /// The store gave no answer.
    #[error("{0}")]
    Unavailable(String),
    /// More is waiting to be stored than is allowed.
    #[error(
        "too much is waiting to be stored (`--max-queued-bytes`); try again in a moment, or at \
         another server"
    )]
    Overloaded,
    /// All places for watches are taken.
    #[error("{limit} watches are open, which is the limit (`--max-watches`); use another server")]
    TooManyWatches {
        /// How many are allowed.
        limit: usize,
    },
    /// A request is larger than is allowed.
    #[error("{0}")]
    TooLarge(String),
    /// The revision was compacted away or lies in the future.
    #[error("revision {0} is not kept; it was compacted or lies in the future")]
    NoSuchRevision(Revision),
    /// The server is on its way out.
    #[error("the server is shutting down; use another")]
    Stopping,
    /// The server or its database is broken; the log has the cause.
    #[error("{0}")]
    Internal(String),
}

impl From<chameleon_store::StoreError> for Error {
    fn from(error: chameleon_store::StoreError) -> Self {
        use chameleon_store::StoreError;
        match error {
            StoreError::Unavailable(_) => {
                Self::Unavailable("the database is unavailable; try again later".to_owned())
            }
            StoreError::NoSuchRevision(revision) => Self::NoSuchRevision(revision),
            other => Self::Internal(other.to_string()),
        }
    }
}

fn lines(faults: &[Fault]) -> String {
    let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
