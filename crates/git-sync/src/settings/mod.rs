//! What git-sync is told to do.

mod args;
mod file;
mod source;

use std::path::PathBuf;
use std::time::Duration;

use chameleon_client::ApiSettings;
use service_kit::tls::ServerTls;

pub use args::SyncArgs;
pub use file::read_sources;
pub use source::{Source, SourceSettings, Sources};

/// How often a repository is looked at without being asked to, unless a source says otherwise.
pub const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(30);

/// Everything that [`start`](crate::start) and [`sync_once`](crate::sync_once) need to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is applied, and from where.
    pub sources: Sources,
    /// The config servers.
    pub api: ApiSettings,
    /// Where the clones are kept; made if it is not there.
    pub work_dir: PathBuf,
    /// The certificate by which webhooks are taken within TLS; plainly without.
    pub tls: Option<ServerTls>,
}

/// A setting that can't be used: which, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct SettingsError {
    place: String,
    reason: String,
}

impl SettingsError {
    fn new(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            reason: reason.into(),
        }
    }
}
