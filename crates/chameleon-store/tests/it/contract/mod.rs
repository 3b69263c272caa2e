//! The cases of the contract, each a function that any store passes.

pub(crate) mod audit;
pub(crate) mod cancelling;
pub(crate) mod compaction;
pub(crate) mod following;
pub(crate) mod history;
pub(crate) mod holds;
pub(crate) mod lineage;
pub(crate) mod migrating;
pub(crate) mod reading;
pub(crate) mod retries;
pub(crate) mod sessions;
pub(crate) mod tokens;
pub(crate) mod writing;
