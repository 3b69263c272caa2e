//! Consul's KV API, so that its clients work unmodified.
//!
//! Parameters count by presence, errors are plain text, and the index of an answer is that of the
//! asked key or prefix: its revision and one more. What of Consul is not served answers 404 and says so.

mod agent;
mod answer;
mod blocking;
mod delete;
mod duration;
mod encoded;
mod error;
mod get;
mod names;
mod put;
mod query;
mod session;
mod txn;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, any};
use tokio_util::sync::CancellationToken;

use super::peer;
use crate::app::App;
use crate::app::access::{Caller, bearer};
use agent::Page;
use encoded::Encoded;
use error::Refused;
use query::Query;

/// The one node there is, which stands for all replicas.
const NODE: &str = "chameleon";

/// What the handlers share.
#[derive(Clone)]
struct Face {
    app: Arc<App>,
    encoded: Arc<Encoded>,
    /// The own address, which stands for Consul's leader.
    address: SocketAddr,
    soft: CancellationToken,
}

/// The routes under `/v1`.
pub(super) fn router(app: Arc<App>, address: SocketAddr, soft: CancellationToken) -> Router {
    let page = |page: Page| -> MethodRouter<Face> {
        any(move |face: State<Face>, request: Request| page.serve(face, request))
    };
    Router::new()
        .route("/v1/kv", any(kv))
        .route("/v1/kv/", any(kv))
        .route("/v1/kv/{*key}", any(kv))
        .route("/v1/txn", only("OPTIONS,PUT", any(txn::txn)))
        .route(
            "/v1/session/create",
            only("OPTIONS,PUT", any(session::create)),
        )
        .route(
            "/v1/session/destroy/{id}",
            only("OPTIONS,PUT", any(session::destroy)),
        )
        .route(
            "/v1/session/renew/{id}",
            only("OPTIONS,PUT", any(session::renew)),
        )
        .route(
            "/v1/session/info/{id}",
            only("OPTIONS,GET", any(session::info)),
        )
        .route(
            "/v1/session/destroy/",
            only("OPTIONS,PUT", any(session::missing)),
        )
        .route(
            "/v1/session/renew/",
            only("OPTIONS,PUT", any(session::missing)),
        )
        .route(
            "/v1/session/info/",
            only("OPTIONS,GET", any(session::missing)),
        )
        .route("/v1/session/list", only("OPTIONS,GET", any(session::list)))
        .route(
            "/v1/session/node/{node}",
            only("OPTIONS,GET", any(session::node)),
        )
        .route("/v1/agent/self", page(Page::Agent))
        .route("/v1/catalog/nodes", page(Page::Nodes))
        .route("/v1/catalog/datacenters", page(Page::Datacenters))
        .route("/v1/status/leader", page(Page::Leader))
        .route("/v1/status/peers", page(Page::Peers))
        .route("/v1", any(not_served))
        .route("/v1/", any(not_served))
        .route("/v1/{*path}", any(not_served))
        .with_state(Face {
            app,
            encoded: Arc::new(Encoded::default()),
            address,
            soft,
        })
}

async fn kv(State(face): State<Face>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let result = match head.method {
        // A long poll holds nothing of its request while it waits.
        Method::GET => {
            drop(body);
            get::get(&face, head).await
        }
        Method::PUT => put::put(&face, &head, body).await,
        Method::DELETE => delete::delete(&face, &head).await,
        ref method => {
            let other = other_method(method, "OPTIONS,GET,PUT,DELETE");
            Ok(other.expect("the methods of keys are served above"))
        }
    };
    result.unwrap_or_else(Refused::into_response)
}

/// Answers a method beside those of an endpoint, as Consul lists them in `allowed`; HEAD is one of
/// these. `None` for a method that the endpoint itself answers.
fn other_method(method: &Method, allowed: &'static str) -> Option<Response> {
    let allow = [(header::ALLOW, allowed)];
    if method == Method::OPTIONS {
        return Some((StatusCode::OK, allow).into_response());
    }
    if allowed.split(',').any(|served| served == method.as_str()) {
        return None;
    }
    let text = format!("method {method} not allowed");
    Some((StatusCode::METHOD_NOT_ALLOWED, allow, text).into_response())
}

/// An endpoint that answers the methods of `allowed` only.
fn only(allowed: &'static str, endpoint: MethodRouter<Face>) -> MethodRouter<Face> {
    endpoint.layer(middleware::from_fn(
        move |request: Request, next: Next| async move {
            match other_method(request.method(), allowed) {
                Some(response) => response,
                None => next.run(request).await,
            }
        },
    ))
}

async fn not_served(uri: Uri) -> Response {
    let text = format!(
        "`{}` is not served here: of Consul's API there are /v1/kv, /v1/txn, /v1/session/..., \
         /v1/status/leader, /v1/status/peers, /v1/agent/self, /v1/catalog/nodes and /v1/catalog/datacenters\n",
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

/// Lets a call in that shows a token in one of Consul's ways, and says whose it is.
fn admit(face: &Face, query: &Query<'_>, request: &Parts) -> Result<Caller, Refused> {
    let header = |name: &str| {
        (request.headers)
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let token = (query.text("token"))
        .or_else(|| header("x-consul-token").filter(|token| !token.is_empty()))
        .or_else(|| header("authorization").and_then(bearer));
    let from = peer("consul", &request.extensions);
    Ok(face.app.access.admit(token, from)?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_beside_the_served_ones_are_answered_for_all_endpoints() {
        let status = |method: Method| {
            let response = other_method(&method, "OPTIONS,GET")?;
            assert_eq!(response.headers()[header::ALLOW], "OPTIONS,GET");
            Some(response.status().as_u16())
        };
        assert_eq!(status(Method::GET), None);
        assert_eq!(status(Method::OPTIONS), Some(200));
        for method in [Method::HEAD, Method::PUT, Method::POST, Method::DELETE] {
            assert_eq!(status(method), Some(405));
        }
    }

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
