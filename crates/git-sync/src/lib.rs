//! Applies git folders to Chameleon: one transaction per commit, or nothing and the reason why.
//!
//! A push's way: a webhook or the poll wakes the source's task; it fetches the branch, reads the
//! folder at the commit from the object database, checks it as a whole, and replaces exactly this
//! source's keys, guarded by the marker of the commit that was applied before.
//!
//! [`start`] runs the service, [`sync_once`] is the job; [`github::signed_push`] makes the webhook that a
//! git server of one's own sends.

mod cli;
mod git;
mod hex;
mod metrics;
mod once;
mod service;
mod settings;
mod sync;
mod webhook;
mod worker;

pub use cli::{Cli, execute};
pub use once::{Report, SourceReport, SourceResult, sync_once};
pub use service::{Listeners, start};
pub use settings::{
    DEFAULT_POLL_INTERVAL, Settings, SettingsError, Source, SourceSettings, Sources, SyncArgs,
    read_sources,
};
pub use webhook::github;
