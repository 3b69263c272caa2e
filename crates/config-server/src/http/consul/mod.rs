//! Consul's KV API, so that its clients work unmodified.
//!
//! Parameters count by presence, errors are plain text, and the index of an answer is that of the
//! asked key or prefix: its revision and one more. What of Consul is not served answers 404 and says so.

mod answer;
mod body;
mod delete;
mod duration;
mod error;
mod get;
mod put;
mod query;
mod session;
mod txn;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get as on_get, put as on_put};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::app::access::bearer;
use answer::json;
use error::Refused;
use query::Query;

/// The one node there is, which stands for all replicas.
const NODE: &str = "chameleon";

/// What the handlers share.
#[derive(Clone)]
struct Face {
    app: Arc<App>,
    /// The own address, which stands for Consul's leader.
    address: SocketAddr,
    soft: CancellationToken,
}

/// The routes under `/v1`.
pub(super) fn router(app: Arc<App>, address: SocketAddr, soft: CancellationToken) -> Router {
    Router::new()
        .route("/v1/kv", any(kv))
        .route("/v1/kv/", any(kv))
        .route("/v1/kv/{*key}", any(kv))
        .route("/v1/txn", on_put(txn::txn))
        .route("/v1/session/create", on_put(session::create))
        .route("/v1/session/destroy/{id}", on_put(session::destroy))
        .route("/v1/session/renew/{id}", on_put(session::renew))
        .route("/v1/session/info/{id}", on_get(session::info))
        .route("/v1/session/list", on_get(session::list))
        .route("/v1/session/node/{node}", on_get(session::node))
        .route("/v1/status/leader", on_get(leader))
        .route("/v1/status/peers", on_get(peers))
        .route("/v1", any(not_served))
        .route("/v1/{*path}", any(not_served))
        .with_state(Face { app, address, soft })
}

async fn kv(State(face): State<Face>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let result = match head.method {
        Method::GET => get::get(&face, &head).await,
        Method::PUT => put::put(&face, &head, body).await,
        Method::DELETE => delete::delete(&face, &head).await,
        Method::OPTIONS => Ok((StatusCode::OK, [(header::ALLOW, ALLOWED)]).into_response()),
        ref method => {
            let text = format!("method {method} not allowed");
            let allow = [(header::ALLOW, ALLOWED)];
            Ok((StatusCode::METHOD_NOT_ALLOWED, allow, text).into_response())
        }
    };
    result.unwrap_or_else(Refused::into_response)
}

const ALLOWED: &str = "OPTIONS, GET, PUT, DELETE";

async fn leader(State(face): State<Face>, uri: Uri, headers: HeaderMap) -> Response {
    let query = Query::of(&uri);
    let answer = admit(&face, &query, &headers).map(|()| json(&query, &face.leader()));
    answer.unwrap_or_else(Refused::into_response)
}

async fn peers(State(face): State<Face>, uri: Uri, headers: HeaderMap) -> Response {
    let query = Query::of(&uri);
    let answer = admit(&face, &query, &headers).map(|()| {
        let leader = face.leader();
        let peers: Vec<&str> = Some(leader.as_str())
            .filter(|it| !it.is_empty())
            .into_iter()
            .collect();
        json(&query, &peers)
    });
    answer.unwrap_or_else(Refused::into_response)
}

async fn not_served(uri: Uri) -> Response {
    let text = format!(
        "`{}` is not served here: of Consul's API there are /v1/kv, /v1/txn, /v1/session/... and \
         /v1/status/...\n",
        uri.path()
    );
    (StatusCode::NOT_FOUND, text).into_response()
}

impl Face {
    /// Who takes writes; empty while nobody does, as in Consul during an election.
    fn leader(&self) -> String {
        if self.app.replica.link().is_available() {
            self.address.to_string()
        } else {
            String::new()
        }
    }
}

/// Lets a call in that shows the token in one of Consul's ways.
fn admit(face: &Face, query: &Query, headers: &HeaderMap) -> Result<(), Refused> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let token = (query.text("token"))
        .or_else(|| header("x-consul-token").filter(|token| !token.is_empty()))
        .or_else(|| header("authorization").and_then(bearer));
    face.app.access.admit(token).map_err(Refused::from)
}

/// The key of a path, decoded once; empty for none.
fn key_of(uri: &Uri) -> Result<String, Refused> {
    let path = uri.path();
    let raw = path.strip_prefix("/v1/kv").unwrap_or_default();
    let raw = raw.strip_prefix('/').unwrap_or(raw);
    let key = percent_encoding::percent_decode_str(raw).decode_utf8();
    key.map(std::borrow::Cow::into_owned)
        .map_err(|_| Refused::bad("Invalid key: it is not UTF-8"))
}

/// Who asks, for the history.
fn via(request: &Parts) -> String {
    match request.extensions.get::<ConnectInfo<SocketAddr>>() {
        Some(ConnectInfo(peer)) => format!("consul {}", peer.ip()),
        None => "consul".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded_once() {
        for (path, key) in [
            (
                "/v1/kv/config/location-beta.yml",
                "config/location-beta.yml",
            ),
            (
                "/v1/kv/config%2Flocation-beta.yml",
                "config/location-beta.yml",
            ),
            ("/v1/kv/a%20b,%2Cc", "a b,,c"),
            ("/v1/kv/a%252Fb", "a%2Fb"),
            ("/v1/kv/%C3%A7+", "ç+"),
            ("/v1/kv//x", "/x"),
            ("/v1/kv/", ""),
            ("/v1/kv", ""),
        ] {
            assert_eq!(key_of(&path.parse().unwrap()).unwrap(), key, "{path}");
        }
        assert!(key_of(&"/v1/kv/%FF".parse().unwrap()).is_err());
    }
}
