//! How the use cases' errors look in gRPC.

use chameleon_proto::Invalid;
use tonic::{Code, Status};

use crate::app::access::Denied;
use crate::app::error::Error;

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = match &error {
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
        Self::unauthenticated(denied.to_string())
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
