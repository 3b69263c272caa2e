//! TMAP's one envelope for all errors.

use axum::Json;
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;

use super::model::{ErrorBody, ErrorEnvelope};

/// Why TMAP does not answer with data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TmapError {
    /// The key is missing or not accepted.
    InvalidApiKey,
    /// A parameter that is required is missing.
    Missing(&'static str),
    /// A parameter has a value that is not understood, or not simulated.
    Invalid(&'static str),
    /// The address does not exist.
    NoAddress,
    /// There is no such operation.
    NotFound,
}

impl IntoResponse for TmapError {
    fn into_response(self) -> Response {
        let bad = StatusCode::BAD_REQUEST;
        let (status, category, code, message) = match self {
            Self::InvalidApiKey => {
                let message = "Forbidden".to_owned();
                (StatusCode::FORBIDDEN, "gw", "INVALID_API_KEY", message)
            }
            Self::Missing(name) => {
                let message = format!("required parameter is missing: {name}");
                (bad, "tmap", "9401", message)
            }
            Self::Invalid(name) => (bad, "tmap", "9402", format!("invalid parameter: {name}")),
            Self::NoAddress => {
                let message = "[A2C500] no matching address".to_owned();
                (bad, "tmap", "1100", message)
            }
            Self::NotFound => {
                let message = "Not Found".to_owned();
                (StatusCode::NOT_FOUND, "gw", "NOT_FOUND", message)
            }
        };
        envelope(status, category, code, message)
    }
}

/// The refusal that a fault asks for: TMAP's own words for `status`, or its HTML page from 500 on.
pub(crate) fn refuse(_path: &str, status: StatusCode, code: Option<&str>) -> Response {
    let (category, usual, message) = match status {
        StatusCode::FORBIDDEN => ("gw", "INVALID_API_KEY", "Forbidden"),
        StatusCode::TOO_MANY_REQUESTS => ("gw", "QUOTA_EXCEEDED", "Limit Exceeded"),
        StatusCode::BAD_REQUEST => ("tmap", "9402", "invalid parameter"),
        _ if status.is_server_error() && code.is_none() => {
            let page = format!("<html><body><h1>{status}</h1></body></html>");
            return (status, Html(page)).into_response();
        }
        _ => (
            "gw",
            status.as_str(),
            status.canonical_reason().unwrap_or("Error"),
        ),
    };
    envelope(status, category, code.unwrap_or(usual), message.to_owned())
}

fn envelope(status: StatusCode, category: &str, code: &str, message: String) -> Response {
    let error = ErrorBody {
        id: status.as_str().to_owned(),
        category: category.to_owned(),
        code: code.to_owned(),
        message,
    };
    (status, Json(ErrorEnvelope { error })).into_response()
}
