//! From a call's path to the service that answers it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::ConnectInfo;
use chameleon_proto::v1::audit_server::{self, AuditServer};
use chameleon_proto::v1::config_server::{self, ConfigServer};
use chameleon_proto::v1::tokens_server::{self, TokensServer};
use futures::future::BoxFuture;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Either;
use hyper::body::Incoming;
use tokio::time::Sleep;
use tonic::body::Body;
use tonic::metadata::{GRPC_CONTENT_TYPE, MetadataValue};
use tonic::{Status, TimeoutExpired};
use tower::Service as _;
use tower::util::BoxCloneSyncService;

use super::audit::Audit;
use super::service::Service;
use super::states::States;
use super::tokens::Tokens;
use super::watch::{Watch, watch};
use super::{MAX_MESSAGE_BYTES, count};
use crate::app::App;
use crate::app::access::{Caller, Peer, bearer};

/// The method that is answered here.
const WATCH: &str = "/chameleon.v1.Config/Watch";

/// What health and reflection are called.
const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";

/// One of tonic's services, whose type has no name.
pub(super) type Foreign = BoxCloneSyncService<Request<Incoming>, Response<Body>, Infallible>;

type Answered<B> = BoxFuture<'static, Result<Response<B>, Infallible>>;

/// A call that is being answered.
pub(super) struct Answer {
    call: Call,
    /// How long its client waits for the beginning.
    limit: Option<Pin<Box<Sleep>>>,
}

/// A call by its kind of answer. Watches have one of their own, so that nothing lies between it and the
/// connection.
enum Call {
    Watch(Answered<Watch>),
    Other(Answered<Body>),
}

/// The services of the face. A clone is a handle to the same ones.
#[derive(Clone)]
pub(super) struct Face(Arc<Services>);

/// One for each service, so that calls go to theirs without a search.
pub(super) struct Services {
    pub(super) app: Arc<App>,
    pub(super) states: Arc<States>,
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

    fn call(&self, mut request: Request<Incoming>) -> Call {
        if request.method() != Method::POST {
            return not_allowed();
        }
        let services = &*self.0;
        let path = request.uri().path();
        if path == WATCH {
            return match services.admit(&request) {
                Ok(caller) => services.watch(caller, request),
                Err(status) => refused(status),
            };
        }
        let service = (path.strip_prefix('/')).and_then(|path| path.split_once('/'));
        let service = match service.map(|(service, _)| service) {
            // Whether a server is well is told without a token.
            Some(HEALTH) => return Call::Other(services.health.clone().call(request)),
            Some(config_server::SERVICE_NAME) => Known::Config,
            Some(tokens_server::SERVICE_NAME) => Known::Tokens,
            Some(audit_server::SERVICE_NAME) => Known::Audit,
            Some(REFLECTION) => Known::Reflection,
            _ => return refused(Status::unimplemented("")),
        };
        match services.admit(&request) {
            Ok(caller) => request.extensions_mut().insert(caller),
            Err(status) => return refused(status),
        };
        // Clones are handles; all of these services are ready at any time.
        Call::Other(match service {
            Known::Config => services.config.clone().call(request),
            Known::Tokens => services.tokens.clone().call(request),
            Known::Audit => services.audit.clone().call(request),
            Known::Reflection => services.reflection.clone().call(request),
        })
    }
}

/// A service that asks for a token.
#[derive(Clone, Copy)]
enum Known {
    Config,
    Tokens,
    Audit,
    Reflection,
}

impl Services {
    /// Lets in who shows a token.
    fn admit(&self, request: &Request<Incoming>) -> Result<Caller, Status> {
        let header = request.headers().get("authorization");
        let token = header
            .and_then(|value| value.to_str().ok())
            .and_then(bearer);
        let address = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let peer = Peer {
            dialect: "grpc",
            address: address.map(|ConnectInfo(peer)| peer.ip()),
        };
        Ok(self.app.access.admit(token, peer)?)
    }

    fn watch(&self, caller: Caller, request: Request<Incoming>) -> Call {
        if let Err(status) = uncompressed(request.headers()) {
            return refused(status);
        }
        let (app, states) = (Arc::clone(&self.app), Arc::clone(&self.states));
        let requests = chameleon_proto::messages(request.into_body(), MAX_MESSAGE_BYTES);
        Call::Watch(Box::pin(async move {
            let opened = watch(Arc::clone(&app), states, caller, requests).await;
            count(&app, "Watch", &opened);
            Ok(match opened {
                Ok(watch) => {
                    let mut response = Response::new(watch);
                    let headers = response.headers_mut();
                    headers.insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
                    response
                }
                Err(refusal) => refusal.into_http(),
            })
        }))
    }
}

impl hyper::service::Service<Request<Incoming>> for Face {
    type Response = Response<Either<Watch, Body>>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        let limit = time_limit(request.headers());
        Answer {
            limit: limit.map(|limit| Box::pin(tokio::time::sleep(limit))),
            call: self.call(request),
        }
    }
}

impl Future for Answer {
    type Output = Result<Response<Either<Watch, Body>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answered = match &mut self.call {
            Call::Watch(call) => (call.as_mut().poll(context)).map_ok(|it| it.map(Either::Left)),
            Call::Other(call) => (call.as_mut().poll(context)).map_ok(|it| it.map(Either::Right)),
        };
        if answered.is_pending()
            && let Some(limit) = &mut self.limit
            && limit.as_mut().poll(context).is_ready()
        {
            let status = Status::cancelled(TimeoutExpired(()).to_string());
            return Poll::Ready(Ok(status.into_http().map(Either::Right)));
        }
        answered
    }
}

/// Every call of gRPC is a POST.
fn not_allowed() -> Call {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    let allowed = HeaderValue::from_static("POST");
    response.headers_mut().insert(ALLOW, allowed);
    Call::Other(Box::pin(std::future::ready(Ok(response))))
}

fn refused(status: Status) -> Call {
    Call::Other(Box::pin(std::future::ready(Ok(status.into_http()))))
}

/// Refuses compressed messages as tonic does.
fn uncompressed(headers: &HeaderMap) -> Result<(), Status> {
    match headers.get("grpc-encoding").map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(()),
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            let mut status = Status::unimplemented(format!(
                "messages are compressed with `{other}`; send them as they are"
            ));
            let accepted = MetadataValue::from_static("identity");
            status
                .metadata_mut()
                .insert("grpc-accept-encoding", accepted);
            Err(status)
        }
    }
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
