//! Bodies of requests: bounded in size and in time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::error::Refused;

/// How long a body may take to arrive: it takes room from other writers meanwhile.
const BODY_LIMIT: Duration = Duration::from_secs(30);

/// How many bytes will come at most; fails if they are said to be too many.
pub(super) fn announced(headers: &HeaderMap, limit: usize) -> Result<usize, Refused> {
    let header = headers.get(header::CONTENT_LENGTH);
    let length = header.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    match length {
        Some(bytes) if bytes > limit => Err(too_large(&format!("{bytes} bytes"), limit)),
        Some(bytes) => Ok(bytes),
        None => Ok(limit),
    }
}

/// The body, of `limit` bytes at most.
pub(super) async fn received(body: Body, limit: usize) -> Result<Bytes, Refused> {
    let limited = Limited::new(body, limit);
    let collected = tokio::time::timeout(BODY_LIMIT, limited.collect());
    let collected = (collected.await).map_err(|_| {
        Refused::new(
            StatusCode::REQUEST_TIMEOUT,
            "the request's body did not come",
        )
    })?;
    match collected {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large("more bytes", limit)),
        Err(error) => Err(Refused::bad(format!(
            "the request's body ended early: {error}"
        ))),
    }
}

fn too_large(found: &str, limit: usize) -> Refused {
    let text = format!("Request body({found}) too large, max size: {limit} bytes.");
    Refused::new(StatusCode::PAYLOAD_TOO_LARGE, text)
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
        assert_eq!(refused.text(), "the request's body did not come");
        assert_eq!(started.elapsed(), BODY_LIMIT);
    }
}
