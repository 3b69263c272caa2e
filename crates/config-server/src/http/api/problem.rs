//! Errors as problem details (RFC 9457).

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chameleon_model::Refusal;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::access::{Denied, Forbidden, OverLimit};
use crate::app::error::Error;
use crate::http::body::BodyError;
use crate::http::{retry_after, status_of};

/// Why a request was not served.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// The status in words.
    title: String,
    /// The HTTP status.
    #[schema(example = 409)]
    status: u16,
    /// What was wrong, where, and what to do.
    detail: String,
    /// Each reason by itself, where there are several: a document's faults with file and line, or the
    /// conditions that were not met.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
    /// When trying again may help.
    #[serde(skip)]
    retry_after: Option<Duration>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            reasons: Vec::new(),
            retry_after: None,
        }
    }

    /// `field` of the request breaks a rule.
    pub(super) fn invalid(field: &str, reason: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("{field}: {reason}"))
    }

    /// A transaction whose conditions were not met.
    pub(super) fn refused(refusals: &[Refusal]) -> Self {
        let reasons: Vec<_> = refusals.iter().map(ToString::to_string).collect();
        Self {
            reasons: reasons.clone(),
            ..Self::new(StatusCode::CONFLICT, reasons.join("; "))
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).expect("a problem is always JSON");
        let json = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, json, body).into_response();
        let headers = response.headers_mut();
        match status {
            StatusCode::UNAUTHORIZED => {
                let scheme = HeaderValue::from_static("Bearer");
                headers.insert(header::WWW_AUTHENTICATE, scheme);
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                let pause = self.retry_after.unwrap_or_default();
                headers.insert(header::RETRY_AFTER, retry_after(pause));
            }
            _ => {}
        }
        response
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Limited(over) => over.into(),
            Denied::Missing | Denied::Unknown => {
                Self::new(StatusCode::UNAUTHORIZED, denied.to_string())
            }
        }
    }
}

impl From<OverLimit> for Problem {
    fn from(over: OverLimit) -> Self {
        Self {
            retry_after: Some(over.retry_after),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, over.to_string())
        }
    }
}

impl From<Forbidden> for Problem {
    fn from(forbidden: Forbidden) -> Self {
        Error::from(forbidden).into()
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        Self::new(error.status(), error.to_string())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match &error {
            Error::OverLimit(over) => over.clone().into(),
            Error::Faulty(faults) => Self {
                reasons: faults.iter().map(ToString::to_string).collect(),
                ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
            },
            other => Self::new(status_of(other), error.to_string()),
        }
    }
}
