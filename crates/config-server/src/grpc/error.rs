//! How the use cases' errors look in gRPC.

use chameleon_proto::Invalid;
use tonic::{Code, Status};

use crate::app::access::{Denied, OverLimit};
use crate::app::error::Error;

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::OverLimit(over) => return over.into(),
            Error::Invalid(_) => Code::InvalidArgument,
            Error::Forbidden(_) => Code::PermissionDenied,
            Error::Faulty(_) => Code::FailedPrecondition,
            // Nothing is wrong with the call: another server, or this one later, may take it.
            Error::Unavailable(_)
            | Error::Stopping
            | Error::Overloaded
            | Error::TooManyWatches { .. } => Code::Unavailable,
            Error::TooLarge(_) => Code::ResourceExhausted,
            Error::NoSuchRevision(_) => Code::OutOfRange,
            Error::Internal(reason) => {
                tracing::error!("failed to serve a call: {reason}");
                Code::Internal
            }
        };
        Self::new(code, error.to_string())
    }
}

impl From<Denied> for Status {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Limited(over) => Self::from(&over),
            denied => Self::unauthenticated(denied.to_string()),
        }
    }
}

impl From<&OverLimit> for Status {
    /// With the header by which clients of gRPC know that, and when, they may try again: other
    /// messages that are too large have the same code.
    fn from(over: &OverLimit) -> Self {
        let mut status = Self::resource_exhausted(over.to_string());
        let millis = over.retry_after.as_millis().max(1);
        if let Ok(pause) = millis.to_string().parse() {
            status
                .metadata_mut()
                .insert("grpc-retry-pushback-ms", pause);
        }
        status
    }
}

/// The error for a field of a message that breaks a rule.
pub(super) fn invalid(field: &str, reason: impl std::fmt::Display) -> Error {
    Error::Invalid(format!("{field}: {reason}"))
}

impl From<Invalid> for Error {
    fn from(error: Invalid) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// The name of a status code in metrics.
pub(super) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::InvalidArgument => "invalid_argument",
        Code::Unauthenticated => "unauthenticated",
        Code::PermissionDenied => "permission_denied",
        Code::Unavailable => "unavailable",
        Code::ResourceExhausted => "resource_exhausted",
        Code::OutOfRange => "out_of_range",
        Code::FailedPrecondition => "failed_precondition",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::Cancelled => "cancelled",
        Code::Internal => "internal",
        _ => "other",
    }
}
