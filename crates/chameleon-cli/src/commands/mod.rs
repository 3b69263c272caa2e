//! One module for each question a person asks of a running server.

pub(crate) mod fleet;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod ls;
pub(crate) mod put;
pub(crate) mod status;
pub(crate) mod validate;
pub(crate) mod watch;

use chameleon_model::{Key, Prefix, Timestamp};
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;

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
}

/// Prints the completion script of `shell`.
pub(crate) fn completion(shell: Shell) {
    let mut command = Cli::command();
    clap_complete::generate(shell, &mut command, "chameleon", &mut std::io::stdout());
}

/// The moment in local time, to the second.
fn time_text(at: Timestamp) -> String {
    chrono::DateTime::from_timestamp_micros(at.0)
        .map(|time| time.with_timezone(&chrono::Local))
        .map_or_else(String::new, |time| {
            time.format("%Y-%m-%d %H:%M:%S").to_string()
        })
}

/// The first characters of a commit id, as git prints them.
fn short(commit: &str) -> &str {
    commit.get(..8).unwrap_or(commit)
}
