//! What a call to the server can fail with.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tonic::{Code, Status};

use super::state::Broken;
use super::tls::Trouble;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The settings name no server.
    #[error("no server is named; give at least one, for example `http://127.0.0.1:8502`")]
    NoServers,
    /// A server's address is not understood.
    #[error("server `{address}`: {reason}")]
    Address {
        /// The address as it was given.
        address: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// The token can't be read or sent.
    #[error("token file `{path}` can't be read")]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The token has characters that no token has.
    #[error("{origin} holds no token: it must be one line of visible ASCII characters")]
    TokenText {
        /// Where the token comes from; never the token.
        origin: String,
    },
    /// A file for TLS can't be read.
    #[error("TLS file `{path}` can't be read")]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// TLS can't be set up; the text names the file, if it is one's fault.
    #[error("{0}")]
    Tls(String),
    /// No server answers. The request may have arrived and its answer been lost.
    #[error("no server answers at {}", list(.servers))]
    Unreachable {
        /// All servers that were tried.
        servers: Vec<String>,
        /// Why the last of them failed.
        #[source]
        source: io::Error,
    },
    /// No server has answered in time.
    #[error("no answer from {} within {limit:?}", list(.servers))]
    TimedOut {
        /// All servers that were tried.
        servers: Vec<String>,
        /// The limit of the call.
        limit: Duration,
    },
    /// The token is missing or not valid, or does not allow this.
    #[error("denied: {0}")]
    Denied(String),
    /// The server refuses the request as it stands; another try would not help.
    #[error("{0}")]
    Invalid(String),
    /// The server can't do it now, for example without its database; try again later.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The server has ended the watch, for example because it shuts down.
    #[error("server `{server}` has ended the watch")]
    Ended {
        /// Which server.
        server: String,
    },
    /// The answer does not follow the contract, or the server has failed inside.
    #[error("server `{server}`: {reason}")]
    Protocol {
        /// Which server.
        server: String,
        /// What is wrong.
        reason: String,
    },
}

impl ApiError {
    /// Says whether it is about the request or the caller's rights, so that trying again is vain.
    pub fn is_final(&self) -> bool {
        match self {
            Self::NoServers
            | Self::Address { .. }
            | Self::TokenFile { .. }
            | Self::TokenText { .. }
            | Self::TlsFile { .. }
            | Self::Tls(_)
            | Self::Denied(_)
            | Self::Invalid(_) => true,
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Unavailable(_)
            | Self::Ended { .. }
            | Self::Protocol { .. } => false,
        }
    }
}

/// Why one try at one server failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server is not there or the connection broke; the next may be.
    Lost(Box<Status>),
    /// The server says that it can't now; the next may be able to.
    Unavailable(String),
    /// There was no answer in time.
    TimedOut,
    /// Any server would answer so.
    Final(ApiError),
}

impl Failure {
    /// Sorts a server's or the transport's word.
    pub(super) fn of(status: Status, server: &str) -> Self {
        // A status that came over the wire has no source; one that the transport made has.
        if status.source().is_some() {
            return Self::Lost(Box::new(status));
        }
        let message = status.message().to_owned();
        // It was refused for now, and not for what it is.
        let is_limit = status.metadata().contains_key("grpc-retry-pushback-ms");
        match status.code() {
            Code::Unavailable => Self::Unavailable(message),
            Code::ResourceExhausted if is_limit => Self::Unavailable(message),
            Code::DeadlineExceeded => Self::TimedOut,
            Code::Unauthenticated | Code::PermissionDenied => {
                Self::Final(ApiError::Denied(message))
            }
            Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::NotFound
            | Code::AlreadyExists
            | Code::ResourceExhausted => Self::Final(ApiError::Invalid(message)),
            code => Self::Final(ApiError::Protocol {
                server: server.to_owned(),
                reason: format!("{code:?}: {message}"),
            }),
        }
    }

    /// The failure of an answer that breaks the contract.
    pub(super) fn broken(broken: &Broken, server: &str) -> Self {
        Self::Final(ApiError::Protocol {
            server: server.to_owned(),
            reason: broken.to_string(),
        })
    }

    /// The same with the trouble of the connection, where it was lost to one.
    pub(super) fn because_of(self, trouble: &Trouble) -> Self {
        match (self, trouble.get()) {
            (Self::Lost(_), Some(reason)) => Self::Lost(Box::new(Status::from_error(Box::new(
                io::Error::other(reason),
            )))),
            (other, _) => other,
        }
    }

    /// The caller's view of it.
    pub(super) fn into_error(self, servers: Vec<String>, limit: Duration) -> ApiError {
        match self {
            Self::Lost(status) => ApiError::Unreachable {
                servers,
                source: cause(&status),
            },
            Self::Unavailable(message) => ApiError::Unavailable(message),
            Self::TimedOut => ApiError::TimedOut { servers, limit },
            Self::Final(error) => error,
        }
    }
}

/// The innermost cause, which is the system's word; the ones around it repeat it.
fn cause(status: &Status) -> io::Error {
    let mut cause: &dyn std::error::Error = status;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = cause.to_string();
    // A server's farewell to who does not speak TLS comes as this text only.
    if text.contains("this port speaks TLS") {
        return io::Error::other("the server speaks TLS; write `https://`");
    }
    let kind = (cause.downcast_ref::<io::Error>()).map_or(io::ErrorKind::Other, io::Error::kind);
    io::Error::new(kind, text)
}

fn list(servers: &[String]) -> String {
    let quoted: Vec<_> = servers.iter().map(|server| format!("`{server}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: Status) -> ApiError {
        Failure::of(status, "http://a").into_error(vec!["http://a".into()], Duration::from_secs(2))
    }

    #[test]
    fn statuses_become_what_the_caller_can_act_on() {
        for (status, message, is_final) in [
            (
                Status::unavailable("no database"),
                "unavailable: no database",
                false,
            ),
            (
                Status::unauthenticated("no token"),
                "denied: no token",
                true,
            ),
            (
                Status::permission_denied("read only"),
                "denied: read only",
                true,
            ),
            (
                Status::invalid_argument("put.key: empty"),
                "put.key: empty",
                true,
            ),
            (
                Status::deadline_exceeded(""),
                "no answer from `http://a` within 2s",
                false,
            ),
            (
                Status::internal("boom"),
                "server `http://a`: Internal: boom",
                false,
            ),
            (
                Status::from_error(Box::new(io::Error::other("connection refused"))),
                "no server answers at `http://a`",
                false,
            ),
        ] {
            let error = error(status);
            assert_eq!(error.to_string(), message);
            assert_eq!(error.is_final(), is_final, "{message}");
        }
    }
}
