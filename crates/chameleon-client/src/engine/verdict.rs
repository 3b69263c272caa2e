//! What is said of a client and of the states that it was sent.

use std::fmt;
use std::time::Instant;

use chameleon_model::Stamp;
use chameleon_model::document::Fault;

/// How a client stands to its servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// Connected; the values follow the server.
    Ready,
    /// No server has sent a state since the last one was lost; the values are the last good ones.
    Stale {
        /// Since when.
        since: Instant,
    },
    /// The values come from the last-known-good file or are the defaults, because since the start no
    /// good state has come from a server.
    Fallback,
}

/// Why a state was not applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Which state.
    pub stamp: Stamp,
    /// Everything that is wrong with it, each with file, line and path.
    pub faults: Vec<Fault>,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&faults_line(&self.faults))
    }
}

/// Faults in one line; a long list is cut, for it travels back to the server.
pub(crate) fn faults_line(faults: &[Fault]) -> String {
    const SHOWN: usize = 20;
    let mut lines: Vec<_> = (faults.iter().take(SHOWN))
        .map(ToString::to_string)
        .collect();
    if faults.len() > SHOWN {
        lines.push(format!("and {} more", faults.len() - SHOWN));
    }
    lines.join("; ")
}

/// What became of a state that a server has sent.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    Applied(Stamp),
    Rejected(Rejection),
}

impl Verdict {
    pub(crate) fn stamp(&self) -> Stamp {
        match self {
            Self::Applied(stamp) => *stamp,
            Self::Rejected(rejection) => rejection.stamp,
        }
    }
}
