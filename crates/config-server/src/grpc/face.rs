//! From a call's path to the service that answers it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use chameleon_proto::v1::audit_server::{self, AuditServer};
use chameleon_proto::v1::config_server::{self, ConfigServer};
use chameleon_proto::v1::tokens_server::{self, TokensServer};
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::{Status, TimeoutExpired};
use tower::Service as _;
use tower::util::BoxCloneSyncService;

use super::audit::Audit;
use super::service::Service;
use super::tokens::Tokens;
use crate::app::App;
use crate::app::access::{Peer, bearer};

/// What health and reflection are called.
const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";

/// One of tonic's services, whose type has no name.
pub(super) type Foreign = BoxCloneSyncService<Request<Incoming>, Response<Body>, Infallible>;

type Answer = BoxFuture<'static, Result<Response<Body>, Infallible>>;

/// The services of the face. A clone is a handle to the same ones.
#[derive(Clone)]
pub(super) struct Face(Arc<Services>);

/// One for each service, so that calls go to theirs without a search.
pub(super) struct Services {
    pub(super) app: Arc<App>,
    pub(super) config: ConfigServer<Service>,
    pub(super) tokens: TokensServer<Tokens>,
    pub(super) audit: AuditServer<Audit>,
    pub(super) reflection: Foreign,
    pub(super) health: Foreign,
}

impl Face {
    pub(super) fn new(services: Services) -> Self {
        Self(Arc::new(services))
    }

    fn answer(&self, mut request: Request<Incoming>) -> Answer {
        let services = &*self.0;
        let path = request.uri().path();
        let service = (path.strip_prefix('/')).and_then(|path| path.split_once('/'));
        // Clones are handles; all of these services are ready at any time.
        match service.map(|(service, _)| service) {
            // Whether a server is well is told without a token.
            Some(HEALTH) => services.health.clone().call(request),
            Some(config_server::SERVICE_NAME) => match services.admit(&mut request) {
                Ok(()) => services.config.clone().call(request),
                Err(status) => refused(status),
            },
            Some(tokens_server::SERVICE_NAME) => match services.admit(&mut request) {
                Ok(()) => services.tokens.clone().call(request),
                Err(status) => refused(status),
            },
            Some(audit_server::SERVICE_NAME) => match services.admit(&mut request) {
                Ok(()) => services.audit.clone().call(request),
                Err(status) => refused(status),
            },
            Some(REFLECTION) => match services.admit(&mut request) {
                Ok(()) => services.reflection.clone().call(request),
                Err(status) => refused(status),
            },
            _ => refused(Status::unimplemented("")),
        }
    }
}

impl Services {
    /// Lets in who shows a token; its [`caller`](super::caller) goes along.
    fn admit(&self, request: &mut Request<Incoming>) -> Result<(), Status> {
        let header = request.headers().get("authorization");
        let token = header
            .and_then(|value| value.to_str().ok())
            .and_then(bearer);
        let address = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let peer = Peer {
            dialect: "grpc",
            address: address.map(|ConnectInfo(peer)| peer.ip()),
        };
        let caller = self.app.access.admit(token, peer)?;
        request.extensions_mut().insert(caller);
        Ok(())
    }
}

impl hyper::service::Service<Request<Incoming>> for Face {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        let limit = time_limit(request.headers());
        let answer = self.answer(request);
        match limit {
            None => answer,
            Some(limit) => Box::pin(async move {
                let answered = tokio::time::timeout(limit, answer).await;
                answered.unwrap_or_else(|_| {
                    let status = Status::cancelled(TimeoutExpired(()).to_string());
                    Ok(status.into_http())
                })
            }),
        }
    }
}

fn refused(status: Status) -> Answer {
    Box::pin(std::future::ready(Ok(status.into_http())))
}

/// How long the client waits for the beginning of an answer, if it says so in a way that gRPC knows.
fn time_limit(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let digits =
        (1..=8).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| digits)?;
    match unit {
        "H" => Some(Duration::from_hours(number)),
        "M" => Some(Duration::from_mins(number)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_time_limit_is_read_as_grpc_writes_it() {
        let limit = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            time_limit(&headers)
        };
        assert_eq!(limit("2H"), Some(Duration::from_hours(2)));
        assert_eq!(limit("1M"), Some(Duration::from_mins(1)));
        assert_eq!(limit("99999999S"), Some(Duration::from_secs(99_999_999)));
        assert_eq!(limit("250m"), Some(Duration::from_millis(250)));
        assert_eq!(limit("7u"), Some(Duration::from_micros(7)));
        assert_eq!(limit("0n"), Some(Duration::ZERO));
        for text in ["", "S", "1", "1s", "+1S", "123456789S", "1 S"] {
            assert_eq!(limit(text), None, "{text}");
        }
        assert_eq!(time_limit(&HeaderMap::new()), None);
    }
}
