//! Errors towards clients: one envelope with stable codes; no vendor's status or text gets through.

use std::any::Any;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{lookup::Unserved, query::QueryError};

/// What a client can be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("`{0}` is missing")]
    MissingParameter(&'static str),
    #[error("{0}")]
    Query(#[from] QueryError),
    #[error("`{0}` is not a number: give decimal degrees such as `37.5163775`")]
    NotANumber(&'static str),
    #[error(
        "the point is outside of South Korea: `lat` goes from 33.0 to 38.7, `lng` from 124.5 to 132.0"
    )]
    OutsideKorea,
    #[error("this text or point can not be searched")]
    Refused,
    #[error("too many searches at a time: try again in a moment")]
    Overloaded,
    #[error("no map provider can answer at the moment: try again in a moment")]
    Unavailable,
    #[error("no map provider answered in time: try again in a moment")]
    TimedOut,
    #[error("no such page: `/location/address` and `/location/reverse` are here")]
    NotFound,
    #[error("only GET is answered here")]
    MethodNotAllowed,
    #[error("an internal error; it is logged")]
    Internal,
}

#[derive(Serialize)]
struct Envelope {
    error: Body,
}

#[derive(Serialize)]
struct Body {
    code: &'static str,
    message: String,
}

impl ApiError {
    fn parts(&self) -> (StatusCode, &'static str) {
        match self {
            Self::MissingParameter(_) => (StatusCode::BAD_REQUEST, "missing_parameter"),
            Self::Query(QueryError::Empty) => (StatusCode::BAD_REQUEST, "query_empty"),
            Self::Query(QueryError::TooLong(_)) => (StatusCode::BAD_REQUEST, "query_too_long"),
            Self::NotANumber(_) => (StatusCode::BAD_REQUEST, "not_a_number"),
            Self::OutsideKorea => (StatusCode::BAD_REQUEST, "outside_korea"),
            Self::Refused => (StatusCode::BAD_REQUEST, "query_refused"),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "providers_unavailable"),
            Self::TimedOut => (StatusCode::GATEWAY_TIMEOUT, "providers_timed_out"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

impl From<Unserved> for ApiError {
    fn from(unserved: Unserved) -> Self {
        match unserved {
            Unserved::Refused => Self::Refused,
            Unserved::TimedOut => Self::TimedOut,
            Unserved::Unavailable => Self::Unavailable,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.parts();
        let message = self.to_string();
        let mut response = (
            status,
            Json(Envelope {
                error: Body { code, message },
            }),
        )
            .into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Turns a handler's panic into an answer, so that the connection and the other requests live on.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the layer hands the panic over"
)]
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no text");
    tracing::error!("a request handler panicked: {text}");
    ApiError::Internal.into_response()
}
