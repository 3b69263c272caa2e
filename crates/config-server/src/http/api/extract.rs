//! What handlers take from a request, with this face's errors.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use chameleon_model::{Key, MAX_VALUE_BYTES, Prefix, RequestId, Revision};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::problem::Problem;
use crate::app::App;
use crate::app::access::Caller;
use crate::app::replica::Reservation;
use crate::app::selection::Selection;
use crate::http::body::{announced, received};
use crate::http::{peer, token};

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

/// A JSON body, and the room that is reserved for it.
pub(super) struct JsonBody<T>(pub(super) T, pub(super) Reservation);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let limit = app.limits.transaction_bytes.saturating_mul(JSON_BYTES);
        let (parts, body) = request.into_parts();
        let (bytes, reservation) = taken(app, &parts, body, limit).await?;
        let value = serde_json::from_slice(&bytes)
            .map_err(|error| Problem::invalid("the body is not as described", error))?;
        Ok(Self(value, reservation))
    }
}

/// A body that is a value as it is, and the room that is reserved for it.
pub(super) struct ValueBody(pub(super) bytes::Bytes, pub(super) Reservation);

impl FromRequest<Arc<App>> for ValueBody {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let (value, reservation) = taken(app, &parts, body, MAX_VALUE_BYTES).await?;
        Ok(Self(value, reservation))
    }
}

async fn taken(
    app: &App,
    parts: &Parts,
    body: Body,
    limit: usize,
) -> Result<(bytes::Bytes, Reservation), Problem> {
    let mut reservation = app.replica.reservation();
    // Where no length is announced, room is taken for what has come: a whole limit would keep
    // others out.
    let known = parts
        .headers
        .contains_key(axum::http::header::CONTENT_LENGTH);
    if known {
        reservation.grow(announced(&parts.headers, limit)?)?;
    }
    let bytes = received(body, limit).await?;
    if !known {
        reservation.grow(bytes.len())?;
    }
    Ok((bytes, reservation))
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
