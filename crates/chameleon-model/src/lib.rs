//! The pure heart of Chameleon: what its words mean, without I/O and without an async runtime.
//!
//! * [`Key`], [`Prefix`], [`Entry`], [`Session`]: what the store holds;
//! * [`Hold`]: a key that is kept as it is against its git source;
//! * [`Transaction`], [`Operation`], [`Precondition`], [`Outcome`], [`Commit`]: how it changes;
//! * [`Snapshot`], [`Stamp`]: the whole of it at one revision, and that state's name;
//! * [`Right`], [`Rule`], [`Grant`], [`Token`]: who may do what;
//! * [`AuditRecord`]: who did what, or was refused it;
//! * [`decide()`](decide()): the rules by which transactions become commits.

mod access;
mod audit;
pub mod check;
mod decide;
pub mod document;
mod entry;
mod hold;
mod key;
mod snapshot;
mod stamp;
mod transaction;

pub use access::{
    Grant, Right, Rule, RuleError, Scope, Token, TokenHash, TokenName, TokenNameError,
};
pub use audit::{
    AuditAction, AuditId, AuditOutcome, AuditQuery, AuditReader, AuditRecord, AuditTarget,
    AuditVerdict,
};
pub use decide::{Decided, Known, decide};
pub use entry::{Entry, MAX_VALUE_BYTES, Session, SessionBehavior, SessionId};
pub use hold::{DEFAULT_HOLD, GitValue, Hold, HoldChange};
pub use key::{Key, KeyError, MAX_KEY_BYTES, Prefix};
pub use snapshot::{NotContiguous, Snapshot, SnapshotParts};
pub use stamp::{Epoch, Revision, Stamp, Tag, Timestamp};
pub use transaction::{
    Change, Commit, CommitId, GitOrigin, MAX_SOURCE_NAME_BYTES, Operation, Origin, Outcome,
    Precondition, Refusal, RequestId, SessionChange, SourceMarker, SourceName, SourceUpdate, Stage,
    StageTime, Transaction,
};
