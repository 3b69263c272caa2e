//! Bodies of requests: bounded in size and in time.

use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

/// How long a body may take to arrive: it takes room from other writers meanwhile.
pub(super) const BODY_LIMIT: Duration = Duration::from_secs(30);

/// Why a body was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// It has more bytes than are allowed.
    #[error("Request body({found}) too large, max size: {limit} bytes.")]
    TooLarge { found: String, limit: usize },
    /// It did not come in time.
    #[error("the request's body did not come")]
    Late,
    /// Its sender has gone, or sends no HTTP.
    #[error("the request's body ended early: {0}")]
    Broken(BoxError),
}

/// How many bytes will come at most; fails if they are said to be too many.
pub(super) fn announced(headers: &HeaderMap, limit: usize) -> Result<usize, BodyError> {
    let header = headers.get(header::CONTENT_LENGTH);
    let length = header.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    match length {
        Some(bytes) if bytes > limit => Err(BodyError::TooLarge {
            found: format!("{bytes} bytes"),
            limit,
        }),
        Some(bytes) => Ok(bytes),
        None => Ok(limit),
    }
}

/// The body, of `limit` bytes at most.
pub(super) async fn received(body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let limited = Limited::new(body, limit);
    let collected = tokio::time::timeout(BODY_LIMIT, limited.collect());
    let collected = collected.await.map_err(|_| BodyError::Late)?;
    let body = collected.map_err(|error| BodyError::of(error, limit))?;
    Ok(body.to_bytes())
}

impl BodyError {
    /// The status that tells it.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// Why a body of `limit` bytes at most was not read on.
    pub(super) fn of(error: BoxError, limit: usize) -> Self {
        if error.is::<LengthLimitError>() {
            let found = "more bytes".to_owned();
            return Self::TooLarge { found, limit };
        }
        Self::Broken(error)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures::stream;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        let started = Instant::now();
        let body = Body::from_stream(stream::pending::<io::Result<Bytes>>());
        let refused = received(body, 10).await.unwrap_err();
        assert_eq!(refused.to_string(), "the request's body did not come");
        assert_eq!(started.elapsed(), BODY_LIMIT);
    }
}
