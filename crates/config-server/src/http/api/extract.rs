//! What handlers take from a request, with this face's errors.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use bytes::{Bytes, BytesMut};
use chameleon_model::{Key, MAX_VALUE_BYTES, Prefix, RequestId, Revision};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::problem::Problem;
use crate::app::App;
use crate::app::access::Caller;
use crate::app::replica::Reservation;
use crate::app::selection::Selection;
use crate::http::body::{BODY_LIMIT, BodyError, announced};
use crate::http::{peer, token};

/// The bytes of a body that carries no values.
const SMALL_BYTES: usize = 64 * 1024;

/// How much larger than its values a body may be: as JSON, most of all as base64, they take more.
const JSON_BYTES: usize = 2;

/// Who makes the request; it was let in.
pub(super) struct Admitted(pub(super) Caller);

impl FromRequestParts<Arc<App>> for Admitted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let from = peer("api", &parts.extensions);
        Ok(Self(app.access.admit(token(&parts.headers), from)?))
    }
}

/// The parameters of the address; one that is not known is refused, since it may be a typing error.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let parameters = Query::from_request_parts(parts, app).await;
        let Query(parameters) =
            parameters.map_err(|error| Problem::invalid("parameters", error.body_text()))?;
        Ok(Self(parameters))
    }
}

/// Of a call that takes no parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoParameters {}

/// The key that the address ends in.
pub(super) struct KeyInPath(pub(super) Key);

impl FromRequestParts<Arc<App>> for KeyInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let path: Result<Path<String>, _> = Path::from_request_parts(parts, app).await;
        let Path(text) = path.map_err(|error| Problem::invalid("key", error.body_text()))?;
        Ok(Self(key("key", &text)?))
    }
}

/// A small JSON body.
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        without_parameters(&request)?;
        let (bytes, _) = taken(app, request, SMALL_BYTES).await?;
        Ok(Self(parsed(&bytes)?))
    }
}

/// A JSON body with the values of a transaction, and the room that is reserved for it.
pub(super) struct BulkBody<T>(pub(super) T, pub(super) Reservation);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for BulkBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        without_parameters(&request)?;
        let limit = app.limits.transaction_bytes.saturating_mul(JSON_BYTES);
        let (bytes, reservation) = taken(app, request, limit).await?;
        Ok(Self(parsed(&bytes)?, reservation))
    }
}

/// A body that is a value as it is, and the room that is reserved for it.
pub(super) struct ValueBody(pub(super) Bytes, pub(super) Reservation);

impl FromRequest<Arc<App>> for ValueBody {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (value, reservation) = taken(app, request, MAX_VALUE_BYTES).await?;
        Ok(Self(value, reservation))
    }
}

/// The body, of `limit` bytes at most. Room is taken from other writers as it arrives, so that one who
/// sends nothing keeps nobody out.
async fn taken(app: &App, request: Request, limit: usize) -> Result<(Bytes, Reservation), Problem> {
    announced(request.headers(), limit)?;
    let mut reservation = app.replica.reservation();
    let mut body = Limited::new(request.into_body(), limit);
    let mut bytes = BytesMut::new();
    let arrived = async {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| BodyError::of(error, limit))?;
            if let Ok(data) = frame.into_data() {
                reservation.grow(data.len())?;
                bytes.extend_from_slice(&data);
            }
        }
        Ok::<_, Problem>(())
    };
    let arrived = tokio::time::timeout(BODY_LIMIT, arrived).await;
    arrived.map_err(|_| BodyError::Late)??;
    Ok((bytes.freeze(), reservation))
}

/// An empty body says nothing of anything.
fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| {
        let reason = format!("{error}; see /api/v1/openapi.json");
        Problem::invalid("the body is not as described", reason)
    })
}

/// What a body says can't be said by a parameter, which would be passed over.
fn without_parameters(request: &Request) -> Result<(), Problem> {
    match request.uri().query() {
        None | Some("") => Ok(()),
        Some(_) => {
            let reason = "this call takes none; say it in the body";
            Err(Problem::invalid("parameters", reason))
        }
    }
}

/// The key that `field` names.
pub(super) fn key(field: &str, text: &str) -> Result<Key, Problem> {
    Key::new(text).map_err(|error| Problem::invalid(field, error))
}

/// One key, or everything under a prefix; all where neither is given.
pub(super) fn selection(
    key_text: Option<&str>,
    prefix: Option<&str>,
) -> Result<Selection, Problem> {
    match (key_text, prefix) {
        (Some(_), Some(_)) => Err(Problem::invalid("key", "give it or `prefix`, not both")),
        (Some(text), None) => Ok(Selection::key(key("key", text)?)),
        (None, prefix) => Ok(Selection::prefix(Prefix::new(prefix.unwrap_or_default()))),
    }
}

pub(super) fn revision(number: Option<u64>) -> Option<Revision> {
    number.map(Revision)
}

pub(super) fn request_id(id: Option<Uuid>) -> Option<RequestId> {
    id.map(RequestId)
}
