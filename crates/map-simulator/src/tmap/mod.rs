//! SK TMAP: search, reverse geocoding and geocoding in its wire format.

mod error;
mod geocode;
mod model;
mod pois;
mod reverse;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use secrecy::{ExposeSecret as _, SecretString};

use crate::gazetteer::Gazetteer;
use crate::params::{Invalid, Params};

use error::TmapError;
pub(crate) use error::refuse;

/// The one projection that is simulated.
const WGS84: &str = "WGS84GEO";
/// Positions further from any place than this are outside the service's area.
const REVERSE_LIMIT_M: f64 = 3_000.0;

/// The vendor's routes behind its key check; `key` is the one that it accepts, any without one.
pub(crate) fn router(gazetteer: Arc<Gazetteer>, key: Option<SecretString>) -> Router {
    Router::new()
        .route("/tmap/pois", get(pois::answer))
        .route("/tmap/geo/reversegeocoding", get(reverse::answer))
        .route("/tmap/geo/fullAddrGeo", get(geocode::answer))
        .fallback(|| async { TmapError::NotFound })
        .method_not_allowed_fallback(|| async { TmapError::NotFound })
        .with_state(gazetteer)
        .layer(middleware::from_fn_with_state(key, check_key))
}

async fn check_key(
    State(key): State<Option<SecretString>>,
    params: Params,
    request: Request,
    next: Next,
) -> Response {
    let header = request.headers().get("appKey");
    let given = header
        .and_then(|value| value.to_str().ok())
        .or_else(|| params.text("appKey"))
        .unwrap_or_default();
    let accepted = match &key {
        Some(key) => key.expose_secret() == given,
        None => !given.is_empty(),
    };
    if accepted {
        next.run(request).await
    } else {
        TmapError::InvalidApiKey.into_response()
    }
}

/// What every operation asks first.
fn check_common(params: &Params) -> Result<(), TmapError> {
    match params.text("version") {
        None => return Err(TmapError::Missing("version")),
        Some("1") => {}
        Some(_) => return Err(TmapError::Invalid("version")),
    }
    match params.text("format") {
        None | Some("json") => Ok(()),
        Some(_) => Err(TmapError::Invalid("format")),
    }
}

/// Refuses any projection but the simulated one.
fn check_wgs84(params: &Params, names: &[&'static str]) -> Result<(), TmapError> {
    let other = |name: &&&'static str| params.text(name).is_some_and(|value| value != WGS84);
    match names.iter().find(other) {
        Some(name) => Err(TmapError::Invalid(name)),
        None => Ok(()),
    }
}

fn required<'p>(params: &'p Params, name: &'static str) -> Result<&'p str, TmapError> {
    params.text(name).ok_or(TmapError::Missing(name))
}

impl From<Invalid> for TmapError {
    fn from(Invalid(name): Invalid) -> Self {
        Self::Invalid(name)
    }
}

#[cfg(test)]
mod tests;
