//! What git can fail with, in words that say what to do.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::address::redacted;

/// Why git could not do something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    /// There is no git.
    #[error("`git` can't be run; install it, or put its folder on the PATH")]
    NotRun {
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// There is a git, from before the settings that keep it apart from the user's.
    #[error("`{found}` is too old; install {}.{} or newer", .oldest.0, .oldest.1)]
    TooOld {
        /// What it says of itself.
        found: String,
        /// The oldest that will do.
        oldest: (u32, u32),
    },
    /// The folder of the clones can't be used.
    #[error("work folder `{path}` can't be written; choose another with `--work-dir`")]
    WorkDir {
        /// Which folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The repository is not there, or not for us.
    #[error(
        "repository `{repository}` does not exist or is not visible; check `repository`, and the \
         credentials if it is private"
    )]
    NoRepository {
        /// Its address, without credentials.
        repository: String,
    },
    /// The branch is not there, for example deleted.
    #[error(
        "branch `{branch}` does not exist in `{repository}`; what was applied stays; push the \
         branch, or change `branch`"
    )]
    NoBranch {
        /// Its address, without credentials.
        repository: String,
        /// The branch.
        branch: String,
    },
    /// The remote refuses us.
    #[error("repository `{repository}` refuses access: {reason}; check the credentials")]
    Denied {
        /// Its address, without credentials.
        repository: String,
        /// What it said.
        reason: String,
    },
    /// The repository is a folder of this machine that is somebody else's.
    #[error(
        "repository `{repository}` belongs to another user, so git does not read it; run git-sync \
         as that user, or give the repository a URL"
    )]
    Foreign {
        /// Its path.
        repository: String,
    },
    /// A call took too long.
    #[error("git gave no answer within {limit:?}")]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// Anything else that git complains about.
    #[error("`git {verb}`: {reason}")]
    Failed {
        /// The sub-command.
        verb: &'static str,
        /// What git said.
        reason: String,
    },
    /// Objects are missing or broken.
    #[error("clone `{path}` is damaged and is fetched anew: {reason}")]
    Damaged {
        /// The clone.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl GitError {
    /// Reads why a fetch failed from what git wrote.
    pub(super) fn of_fetch(stderr: &[u8], repository: &str, branch: &str) -> Self {
        let text = redacted(&String::from_utf8_lossy(stderr));
        let repository = repository.to_owned();
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if says(&["couldn't find remote ref"]) {
            return Self::NoBranch {
                repository,
                branch: branch.to_owned(),
            };
        }
        if says(&["dubious ownership"]) {
            return Self::Foreign { repository };
        }
        if says(&[
            "Authentication failed",
            "could not read Username",
            "could not read Password",
            "Permission denied",
            "error: 403",
            "Host key verification failed",
        ]) {
            let reason = reason(&text);
            return Self::Denied { repository, reason };
        }
        if says(&[
            "does not appear to be a git repository",
            "epository not found",
            "not found",
            "does not exist",
            "No such file or directory",
        ]) {
            return Self::NoRepository { repository };
        }
        Self::Failed {
            verb: "fetch",
            reason: reason(&text),
        }
    }

    /// An error of any other sub-command.
    pub(super) fn of_call(verb: &'static str, stderr: &[u8]) -> Self {
        let reason = reason(&redacted(&String::from_utf8_lossy(stderr)));
        Self::Failed { verb, reason }
    }
}

/// The line of git's words that says most, without its label.
fn reason(text: &str) -> String {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let labelled = |label| lines().find_map(move |line| line.strip_prefix(label));
    labelled("fatal: ")
        .or_else(|| labelled("error: "))
        .or_else(|| lines().next_back())
        .unwrap_or("it said nothing")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gits_words_become_what_to_do() {
        for (stderr, message) in [
            (
                "fatal: couldn't find remote ref refs/heads/live\n",
                "branch `live` does not exist in `https://x/y`; what was applied stays; push the \
                 branch, or change `branch`",
            ),
            (
                "fatal: '/y' does not appear to be a git repository\nfatal: Could not read from \
                 remote repository.\n",
                "repository `https://x/y` does not exist or is not visible; check `repository`, \
                 and the credentials if it is private",
            ),
            (
                "fatal: could not read Username for 'https://x': terminal prompts disabled\n",
                "repository `https://x/y` refuses access: could not read Username for \
                 'https://x': terminal prompts disabled; check the credentials",
            ),
            (
                "warning: x\nfatal: unable to access 'https://a:b@x/y': Could not resolve host\n",
                "`git fetch`: unable to access 'https://***@x/y': Could not resolve host",
            ),
            (
                "fatal: detected dubious ownership in repository at '/y'\nTo add an exception for \
                 this directory, call:\n",
                "repository `https://x/y` belongs to another user, so git does not read it; run \
                 git-sync as that user, or give the repository a URL",
            ),
            ("", "`git fetch`: it said nothing"),
        ] {
            let error = GitError::of_fetch(stderr.as_bytes(), "https://x/y", "live");
            assert_eq!(error.to_string(), message);
        }
    }
}
