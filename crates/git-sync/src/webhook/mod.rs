//! Webhooks: who may ring, and what they are answered. One module for each sender.

mod deliveries;
pub mod github;
mod signature;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Path, Request, State};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use secrecy::SecretString;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::metrics::{Metrics, Sender, WebhookAnswer};
use crate::settings::Source;
use crate::sync::{Doorbell, Notice};
use deliveries::Deliveries;

/// GitHub's own limit.
const MAX_BODY_BYTES: usize = 25 * 1024 * 1024;
/// What bodies may take together before anybody knows who sent them, in units of [`BODY_UNIT`].
const BODY_UNITS: usize = 1024;
/// Small enough that a usual push takes one unit.
const BODY_UNIT: usize = 64 * 1024;
/// Time for a request's body to arrive.
const BODY_LIMIT: Duration = Duration::from_secs(30);

/// What webhooks need to know of the sources.
pub(crate) struct Hooks {
    sources: BTreeMap<String, Hook>,
    metrics: Metrics,
    bodies: Semaphore,
}

struct Hook {
    branch: String,
    secret: Option<SecretString>,
    bell: Arc<Doorbell>,
    seen: Deliveries,
}

/// What a sender is told, in a word for people.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: StatusCode,
    note: String,
}

impl Answer {
    fn new(status: StatusCode, note: impl Into<String>) -> Self {
        Self {
            status,
            note: note.into(),
        }
    }

    fn ignored(note: impl Into<String>) -> Self {
        Self::new(StatusCode::OK, note)
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        (self.status, format!("{}\n", self.note)).into_response()
    }
}

/// What a verified request says.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    /// A branch or tag has moved.
    Push {
        /// Its full ref.
        reference: String,
        /// True if it is gone.
        deleted: bool,
    },
    /// The sender tries out whether anybody is there.
    Ping,
    /// Something that is of no concern here.
    Other(String),
}

impl Hooks {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self {
            sources: BTreeMap::new(),
            metrics,
            bodies: Semaphore::new(BODY_UNITS),
        }
    }

    /// Lets the webhooks of `source` ring `bell`.
    pub(crate) fn add(&mut self, source: &Source, bell: Arc<Doorbell>) {
        let hook = Hook {
            branch: source.branch.clone(),
            secret: source.secret.clone(),
            bell,
            seen: Deliveries::default(),
        };
        self.sources.insert(source.name.to_string(), hook);
    }

    /// The webhooks' router.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/webhook/github/{source}", post(github_push))
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(Arc::new(self))
    }
}

async fn github_push(
    State(hooks): State<Arc<Hooks>>,
    Path(source): Path<String>,
    request: Request,
) -> Answer {
    let arrived = Instant::now();
    let answer = match receive(&hooks, &source, request, arrived).await {
        Ok(answer) | Err(answer) => answer,
    };
    let kind = match answer.status {
        StatusCode::ACCEPTED => WebhookAnswer::accepted,
        status if status.is_success() => WebhookAnswer::ignored,
        status => {
            let status = status.as_u16();
            tracing::warn!(status, "refused a webhook ({status}): {}", answer.note);
            WebhookAnswer::refused
        }
    };
    hooks.metrics.webhook(Sender::github, kind);
    answer
}

async fn receive(
    hooks: &Hooks,
    source: &str,
    request: Request,
    arrived: Instant,
) -> Result<Answer, Answer> {
    let hook = hooks.sources.get(source).ok_or_else(|| {
        // The name came from outside, so it is not repeated.
        Answer::new(
            StatusCode::NOT_FOUND,
            "no source of that name is synced here",
        )
    })?;
    let secret = hook.secret.as_ref().ok_or_else(|| {
        let note = "this source takes no webhook; set its `secret` or `secretFile`";
        Answer::new(StatusCode::FORBIDDEN, note)
    })?;
    let headers = request.headers().clone();
    let signature = github::signature(&headers).ok_or_else(unauthorized)?;
    let _held = (hooks.bodies.try_acquire_many(units(&headers))).map_err(|_| {
        let note = "too many webhooks at once; the next look at the repository finds this push";
        Answer::new(StatusCode::SERVICE_UNAVAILABLE, note)
    })?;
    let body = body(request).await?;
    let verified = signature.verify(secret, &body).ok_or_else(unauthorized)?;
    let event = github::event(&headers, verified)
        .map_err(|reason| Answer::new(StatusCode::BAD_REQUEST, reason))?;
    let (reference, deleted) = match event {
        Event::Push { reference, deleted } => (reference, deleted),
        Event::Ping => return Ok(Answer::ignored("pong: the signature is right")),
        Event::Other(event) => {
            return Ok(Answer::ignored(format!(
                "event `{event}` is not a push: ignored"
            )));
        }
    };
    if let Some(id) = github::delivery(&headers)
        && !hook.seen.is_new(id)
    {
        return Ok(Answer::ignored("this delivery was taken before: ignored"));
    }
    if reference.strip_prefix("refs/heads/") != Some(&*hook.branch) {
        let branch = &hook.branch;
        let note = format!("`{reference}` is not the synced branch `{branch}`: ignored");
        return Ok(Answer::ignored(note));
    }
    hook.bell.ring(Notice {
        arrived,
        notified: github::notified(&headers),
    });
    let note = if deleted {
        "the branch is gone: what is live stays"
    } else {
        "accepted"
    };
    Ok(Answer::new(StatusCode::ACCEPTED, note))
}

fn unauthorized() -> Answer {
    Answer::new(
        StatusCode::UNAUTHORIZED,
        "the signature is missing or wrong; give the sender the same secret as this source",
    )
}

/// What a body may take: as much as its sender announces, or the most there may be.
fn units(headers: &HeaderMap) -> u32 {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    let bytes = announced
        .and_then(|text| text.parse().ok())
        .unwrap_or(MAX_BODY_BYTES);
    let units = bytes.min(MAX_BODY_BYTES).div_ceil(BODY_UNIT).max(1);
    u32::try_from(units).expect("the largest body has few units")
}

async fn body(request: Request) -> Result<Bytes, Answer> {
    match tokio::time::timeout(BODY_LIMIT, Bytes::from_request(request, &())).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let note = format!("the body has over {MAX_BODY_BYTES} bytes");
            Err(Answer::new(StatusCode::PAYLOAD_TOO_LARGE, note))
        }
        Ok(Err(rejection)) => Err(Answer::new(StatusCode::BAD_REQUEST, rejection.body_text())),
        Err(_) => Err(Answer::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time",
        )),
    }
}

#[cfg(test)]
mod tests;
