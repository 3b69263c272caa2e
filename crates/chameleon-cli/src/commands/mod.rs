//! One module for each question a person asks of a running server.

pub(crate) mod audit;
pub(crate) mod delete;
pub(crate) mod diff;
pub(crate) mod export;
pub(crate) mod fleet;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod hold;
pub(crate) mod import;
pub(crate) mod ls;
pub(crate) mod put;
pub(crate) mod rollback;
pub(crate) mod search;
pub(crate) mod source;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod validate;
pub(crate) mod watch;
mod written;

use std::fmt;

use chameleon_client::Selection;
use chameleon_model::{Key, Prefix, Timestamp};
use clap::CommandFactory as _;
use clap_complete::Shell;
use serde::{Serialize, Serializer};

use crate::args::Cli;
use crate::screen;

/// A key, or all keys under a prefix; what ends in `/` or is empty is a prefix.
enum Target {
    Key(Key),
    Prefix(Prefix),
}

impl Target {
    fn parse(text: &str) -> anyhow::Result<Self> {
        if text.is_empty() || text.ends_with('/') {
            Ok(Self::Prefix(Prefix::new(text)))
        } else {
            Ok(Self::Key(Key::new(text)?))
        }
    }

    /// What it names, to read or to watch.
    fn selection(self) -> Selection {
        match self {
            Self::Key(key) => Selection::key(key),
            Self::Prefix(prefix) => Selection::prefix(prefix),
        }
    }
}

/// The person at the keyboard, as far as the system knows.
fn author() -> String {
    std::env::var("USER")
        .or_else(|_| std::env::var("LOGNAME"))
        .unwrap_or_default()
}

/// Prints the completion script of `shell`.
pub(crate) fn completion(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    // Not to standard output at once: that panics where its reader has gone away.
    clap_complete::generate(shell, &mut Cli::command(), "chameleon", &mut script);
    screen::print(&script)
}

/// A moment: for people in local time, to the second; for programs as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy)]
struct Moment(chrono::DateTime<chrono::Utc>);

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        Self(chrono::DateTime::from_timestamp_micros(at.0).unwrap_or_default())
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = self.0.with_timezone(&chrono::Local);
        local.format("%Y-%m-%d %H:%M:%S").fmt(f)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        serializer.serialize_str(&text)
    }
}

/// The first characters of a commit id, as git prints them.
fn short(commit: &str) -> &str {
    commit.get(..8).unwrap_or(commit)
}
