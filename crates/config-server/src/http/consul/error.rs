//! Refusals as Consul words them: a status and a line of plain text.

use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::app::access::{Denied, Forbidden, OverLimit};
use crate::app::error::Error;
use crate::http::body::BodyError;
use crate::http::{retry_after, status_of};

/// An answer that is no success.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    text: String,
    retry_after: Option<Duration>,
}

impl Refused {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
            retry_after: None,
        }
    }

    /// The request breaks a rule.
    pub(super) fn bad(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// Where Consul answers 500, some of the client's mistakes included.
    pub(super) fn internal(text: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }

    /// The body begins as Consul's does, which clients look for.
    fn forbidden(reason: &impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            format!("Permission denied: {reason}"),
        )
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.text).into_response();
        if let Some(pause) = self.retry_after {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, retry_after(pause));
        }
        response
    }
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Limited(over) => over.into(),
            denied => Self::forbidden(&denied),
        }
    }
}

impl From<OverLimit> for Refused {
    fn from(over: OverLimit) -> Self {
        Self {
            retry_after: Some(over.retry_after),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, over.to_string())
        }
    }
}

impl From<Forbidden> for Refused {
    fn from(forbidden: Forbidden) -> Self {
        Self::forbidden(&forbidden)
    }
}

impl From<BodyError> for Refused {
    fn from(error: BodyError) -> Self {
        Self::new(error.status(), error.to_string())
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match &error {
            Error::Forbidden(forbidden) => Self::forbidden(forbidden),
            Error::OverLimit(over) => over.clone().into(),
            other => Self::new(status_of(other), error.to_string()),
        }
    }
}
