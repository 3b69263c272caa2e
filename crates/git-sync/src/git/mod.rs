//! Git, by its own command: bare clones of the sources' branches, and what lies in their commits.
//!
//! Every call is isolated from the user's and the system's git configuration and from variables
//! that a surrounding git hook has set, never asks anybody, and ends with its future.

mod address;
mod error;
mod mirror;
mod objects;
mod parse;

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::Semaphore;

pub(crate) use address::Address;
pub(crate) use error::GitError;
pub(crate) use mirror::{Mirror, Relation, prepare_work_dir};
pub(crate) use objects::{Found, Objects};
pub(crate) use parse::{CommitObject, EntryKind, TreeEntry, commit_object, tree_entries};

/// Fetches at a time, over all sources: each is several processes.
const FETCHES: usize = 4;

/// The oldest git that takes all settings from its environment: credentials, and no configuration
/// of the user's.
const OLDEST: (u32, u32) = (2, 32);

/// How a person's credentials and certificates reach git; all other `GIT_...` variables are left out.
const KEPT: [&str; 8] = [
    "GIT_ASKPASS",
    "GIT_PROXY_COMMAND",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSH_VARIANT",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_CERT",
];

/// Settings that hold for every call.
const OPTIONS: [&str; 6] = [
    // Housekeeping would be in the way of a push; a clone is tidied when its process starts.
    "gc.auto=0",
    "maintenance.auto=false",
    // The clone is a cache: what a crash damages is fetched again.
    "core.fsync=none",
    "core.hooksPath=/dev/null",
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=30",
];

/// The `git` command.
pub(crate) struct Git {
    program: &'static str,
    limit: Duration,
    fetches: Semaphore,
}

impl Git {
    /// The `git` on the PATH; a call that takes longer than `limit` is ended.
    pub(crate) fn new(limit: Duration) -> Self {
        Self::with_program("git", limit)
    }

    fn with_program(program: &'static str, limit: Duration) -> Self {
        Self {
            program,
            limit,
            fetches: Semaphore::new(FETCHES),
        }
    }

    /// Makes sure that git can be run and is new enough, and returns what it says of its version.
    pub(crate) async fn version(&self) -> Result<String, GitError> {
        let output = self
            .output(self.command(Path::new(".")).arg("version"))
            .await?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if is_too_old(&text) {
            return Err(GitError::TooOld {
                found: text,
                oldest: OLDEST,
            });
        }
        Ok(text)
    }

    /// A command on the repository in `dir`, and never on one around it.
    fn command(&self, dir: &Path) -> Command {
        let mut command = Command::new(self.program);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("GIT_") && !KEPT.contains(&&*text) {
                command.env_remove(&name);
            }
        }
        if std::env::var_os("GIT_SSH_COMMAND").is_none() && std::env::var_os("GIT_SSH").is_none() {
            command.env(
                "GIT_SSH_COMMAND",
                "ssh -o BatchMode=yes -o ConnectTimeout=10",
            );
        }
        command
            .env_remove("SSH_ASKPASS")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            // Its words are read by `error`.
            .env("LC_ALL", "C")
            .env("GIT_DIR", dir)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // Ctrl-C is for this process, which ends git when it is done with it.
        #[cfg(unix)]
        command.process_group(0);
        for option in OPTIONS {
            command.arg("-c").arg(option);
        }
        command
    }

    /// Runs a command to its end; the process is killed if the future is dropped before.
    async fn output(&self, command: &mut Command) -> Result<Output, GitError> {
        match tokio::time::timeout(self.limit, command.output()).await {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(source)) => Err(GitError::NotRun { source }),
            Err(_) => Err(GitError::TimedOut { limit: self.limit }),
        }
    }
}

/// Reads `git version 2.39.3 (Apple Git-146)`; what is not understood is taken to be new.
fn is_too_old(text: &str) -> bool {
    let version = text.strip_prefix("git version ").unwrap_or(text);
    let mut numbers = version.split('.').map_while(|part| part.parse().ok());
    let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else {
        return false;
    };
    (major, minor) < OLDEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_git_says_what_to_do() {
        let git = Git::with_program("git-that-is-not-there", Duration::from_secs(5));
        let error = git.version().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "`git` can't be run; install it, or put its folder on the PATH"
        );
    }

    #[test]
    fn a_git_that_would_ignore_our_settings_is_too_old() {
        for (text, expected) in [
            ("git version 2.30.2", true),
            ("git version 1.8.3.1", true),
            ("git version 2.32.0", false),
            ("git version 2.39.3 (Apple Git-146)", false),
            ("git version 3.0.GIT", false),
            ("another git", false),
        ] {
            assert_eq!(is_too_old(text), expected, "{text}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_call_that_hangs_is_ended() {
        let git = Git::with_program("sleep", Duration::from_millis(50));
        let mut command = Command::new("sleep");
        command.arg("60").kill_on_drop(true);
        let error = git.output(&mut command).await.unwrap_err();
        assert_eq!(error.to_string(), "git gave no answer within 50ms");
    }
}
