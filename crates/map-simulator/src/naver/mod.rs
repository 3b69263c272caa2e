//! NAVER: geocode and reverse geocode of NAVER Maps, and local search in both of its dialects.

mod english;
mod error;
mod gc;
mod gc_model;
mod geocode;
mod local;
mod markup;
mod model;
mod xml;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use secrecy::{ExposeSecret as _, SecretString};

use crate::gazetteer::Gazetteer;

pub(crate) use error::refuse;
use error::{Developers, Gateway};

/// An application's id and secret, which NAVER wants in two headers.
#[derive(Clone, Debug)]
pub struct NaverClient {
    /// `x-ncp-apigw-api-key-id` or `X-Naver-Client-Id`.
    pub id: String,
    /// `x-ncp-apigw-api-key` or `X-Naver-Client-Secret`.
    pub secret: SecretString,
}

/// The vendor's routes behind its key check; `client` is the one that it accepts, any without one.
///
/// The real hosts differ by product; here one listener serves all paths.
pub(crate) fn router(gazetteer: Arc<Gazetteer>, client: Option<NaverClient>) -> Router {
    let gateway = Router::new()
        .route("/map-geocode/v2/geocode", get(geocode::answer))
        .route("/map-reversegeocode/v2/gc", get(gc::answer))
        .route("/search/v1/local", get(local::hub))
        .layer(middleware::from_fn_with_state(
            client.clone(),
            check_gateway,
        ));
    let developers = Router::new()
        .route("/v1/search/local.json", get(local::developers_json))
        .route("/v1/search/local.xml", get(local::developers_xml))
        .layer(middleware::from_fn_with_state(client, check_developers));
    gateway
        .merge(developers)
        .fallback(|| async { Gateway::NotFound })
        .method_not_allowed_fallback(|| async { Gateway::NotFound })
        .with_state(gazetteer)
}

/// What the headers say about who is asking.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Identity {
    Accepted,
    Missing,
    Wrong,
}

fn identity(
    headers: &HeaderMap,
    id: &str,
    secret: &str,
    accepted: Option<&NaverClient>,
) -> Identity {
    let text = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.filter(|value| !value.is_empty())
    };
    match (text(id), text(secret), accepted) {
        (Some(id), Some(secret), Some(client))
            if client.id != id || client.secret.expose_secret() != secret =>
        {
            Identity::Wrong
        }
        (Some(_), Some(_), _) => Identity::Accepted,
        _ => Identity::Missing,
    }
}

async fn check_gateway(
    State(client): State<Option<NaverClient>>,
    request: Request,
    next: Next,
) -> Response {
    let (id, secret) = ("x-ncp-apigw-api-key-id", "x-ncp-apigw-api-key");
    match identity(request.headers(), id, secret, client.as_ref()) {
        Identity::Accepted => next.run(request).await,
        Identity::Missing => Gateway::KeysMissing.into_response(),
        Identity::Wrong => Gateway::KeysWrong.into_response(),
    }
}

async fn check_developers(
    State(client): State<Option<NaverClient>>,
    request: Request,
    next: Next,
) -> Response {
    let (id, secret) = ("X-Naver-Client-Id", "X-Naver-Client-Secret");
    match identity(request.headers(), id, secret, client.as_ref()) {
        Identity::Accepted => next.run(request).await,
        Identity::Missing | Identity::Wrong => Developers::UNAUTHORIZED.into_response(),
    }
}

#[cfg(test)]
mod tests;
