//! The layer in front of a vendor's routes that makes things go wrong.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Active, Effect, Faults};
use crate::traffic::Traffic;
use crate::vendor::{Operation, Vendor};

/// Far above what any simulated answer takes.
const BODY_LIMIT: usize = 4 << 20;

/// How a vendor words a refusal: the path that was asked, the status, and the code that was chosen.
pub(crate) type Refuse = fn(&str, StatusCode, Option<&str>) -> Response;

/// What the layer knows of its vendor.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) vendor: Vendor,
    pub(crate) refuse: Refuse,
    pub(crate) faults: Faults,
    pub(crate) traffic: Traffic,
    /// Ends all waiting.
    pub(crate) soft: CancellationToken,
}

/// Why a wait came to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waited {
    /// All of it.
    Through,
    /// The fault was changed or switched off.
    Changed,
    /// The process is shutting down.
    Stopped,
}

/// Counts the request, and lets the vendor's fault have its way with it.
pub(crate) async fn inject(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut changes = gate.faults.sender(gate.vendor).subscribe();
    let active = changes.borrow_and_update().clone();
    let fault = active.as_deref().and_then(Active::pick);
    gate.traffic
        .count(gate.vendor, Operation::of(&path), fault.is_some());
    let Some(fault) = fault else {
        return next.run(request).await;
    };
    let refuse = |status| (gate.refuse)(&path, status, None);
    if !fault.delay.is_zero() {
        match gate
            .wait(&mut changes, tokio::time::sleep(fault.delay))
            .await
        {
            Waited::Through => {}
            Waited::Changed => return next.run(request).await,
            Waited::Stopped => return refuse(StatusCode::SERVICE_UNAVAILABLE),
        }
    }
    match &fault.effect {
        None => next.run(request).await,
        Some(Effect::Status { status, code }) => (gate.refuse)(&path, *status, code.as_deref()),
        Some(Effect::Silence) => match gate.wait(&mut changes, std::future::pending()).await {
            Waited::Through | Waited::Changed => next.run(request).await,
            Waited::Stopped => refuse(StatusCode::SERVICE_UNAVAILABLE),
        },
        Some(Effect::BrokenJson) => break_json(next.run(request).await).await,
        Some(Effect::Cut) => cut(next.run(request).await).await,
    }
}

impl Gate {
    async fn wait(
        &self,
        changes: &mut watch::Receiver<Option<Arc<Active>>>,
        through: impl Future<Output = ()>,
    ) -> Waited {
        tokio::select! {
            biased;
            () = self.soft.cancelled() => Waited::Stopped,
            // The sender lives in `self`, so this is a change and never the channel's end.
            _ = changes.changed() => Waited::Changed,
            () = through => Waited::Through,
        }
    }
}

/// Ends the body in its middle, as if that were all of it.
async fn break_json(response: Response) -> Response {
    let (mut parts, whole) = taken_apart(response).await;
    parts.headers.remove(header::CONTENT_LENGTH);
    // An answer without a body has nothing to break, and would still be understood.
    if parts.status == StatusCode::NO_CONTENT {
        parts.status = StatusCode::OK;
    }
    parts.headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json;charset=UTF-8"),
    );
    Response::from_parts(parts, Body::from(first_half(&whole)))
}

/// Promises the whole body, sends half of it and closes the connection.
async fn cut(response: Response) -> Response {
    let (mut parts, whole) = taken_apart(response).await;
    if parts.status == StatusCode::NO_CONTENT {
        parts.status = StatusCode::OK;
    }
    let half = first_half(&whole);
    let promised = whole.len().max(half.len() + 1);
    parts
        .headers
        .insert(header::CONTENT_LENGTH, HeaderValue::from(promised));
    let chunks = [Ok(half), Err(std::io::Error::other("cut by a fault"))];
    Response::from_parts(parts, Body::from_stream(futures::stream::iter(chunks)))
}

async fn taken_apart(response: Response) -> (http::response::Parts, Bytes) {
    let (parts, body) = response.into_parts();
    let whole = to_bytes(body, BODY_LIMIT)
        .await
        .expect("simulated answers are whole and below the limit");
    (parts, whole)
}

fn first_half(whole: &Bytes) -> Bytes {
    if whole.len() < 2 {
        Bytes::from_static(b"{")
    } else {
        whole.slice(..whole.len() / 2)
    }
}
