//! The gRPC face: `chameleon.v1`, with health and reflection.

mod audit;
mod commit;
mod connection;
mod convert;
mod error;
mod service;
mod tokens;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chameleon_proto::FILE_DESCRIPTOR_SET;
use chameleon_proto::v1::audit_server::AuditServer;
use chameleon_proto::v1::config_server::ConfigServer;
use chameleon_proto::v1::tokens_server::TokensServer;
use service_kit::Lifecycle;
use service_kit::accept::{Acceptor, SILENCE};
use service_kit::tls::Protocol;
use tokio::net::TcpListener;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};

use crate::Gate;
use crate::app::App;
use crate::app::access::{Caller, Peer, bearer};
use crate::settings::Limits;
use audit::Audit;
use connection::incoming;
use error::code_name;
use service::Service;
use tokens::Tokens;

/// The largest single message that is taken: chunks have about 1 MiB, and one value 512 KiB.
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// How often a silent connection is asked whether its other end is still there, and how long it
/// may take to answer.
const KEEPALIVE: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Streams of one connection: far more than a client opens, far less than would hurt.
const MAX_STREAMS: u32 = 1_000;

/// How long calls may go on after the soft stop. Watches end by themselves; health and reflection
/// streams end when their clients do, which is not waited for.
const CLOSING: Duration = Duration::from_secs(3);

/// Serves the face on `listener`, as a task of `lifecycle`.
pub(crate) fn serve(
    app: &Arc<App>,
    listener: TcpListener,
    limits: Limits,
    gate: &Gate,
    lifecycle: &Lifecycle,
) -> anyhow::Result<()> {
    let soft = lifecycle.soft();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .context("read the compiled .proto files")?;
    let config = ConfigServer::new(Service::new(Arc::clone(app)))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let tokens = TokensServer::new(Tokens::new(Arc::clone(app)));
    let audit = AuditServer::new(Audit::new(Arc::clone(app)));
    let (health_reporter, health) = tonic_health::server::health_reporter();
    let router = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(MAX_STREAMS)
        .add_service(health)
        .add_service(InterceptedService::new(reflection, admission(app)))
        .add_service(InterceptedService::new(config, admission(app)))
        .add_service(InterceptedService::new(tokens, admission(app)))
        .add_service(InterceptedService::new(audit, admission(app)));
    let acceptor = Acceptor::new("grpc", listener, limits.connections, SILENCE);
    let incoming = incoming(gate.at(acceptor, Protocol::Http2));
    lifecycle.own("grpc", async move {
        health_reporter.set_serving::<ConfigServer<Service>>().await;
        let closing = async {
            soft.cancelled().await;
            tokio::time::sleep(CLOSING).await;
        };
        tokio::select! {
            served = router.serve_with_incoming_shutdown(incoming, soft.cancelled()) => {
                served.context("serve gRPC")
            }
            () = closing => Ok(()),
        }
    });
    Ok(())
}

/// Lets in who shows a token; its [`caller`] goes along.
fn admission(
    app: &Arc<App>,
) -> impl FnMut(Request<()>) -> Result<Request<()>, Status> + Clone + use<> {
    let app = Arc::clone(app);
    move |mut request| {
        let header = request.metadata().get("authorization");
        let token = header
            .and_then(|value| value.to_str().ok())
            .and_then(bearer);
        let peer = Peer {
            dialect: "grpc",
            address: request.remote_addr().map(|peer| peer.ip()),
        };
        let caller = app.access.admit(token, peer)?;
        request.extensions_mut().insert(caller);
        Ok(request)
    }
}

/// Counts how `method` was answered.
fn counted<T>(
    app: &App,
    method: &'static str,
    answer: Result<T, Status>,
) -> Result<Response<T>, Status> {
    let code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
    app.metrics.grpc(method, code_name(code));
    answer.map(Response::new)
}

/// Who makes the call.
fn caller<T>(request: &Request<T>) -> Caller {
    let caller = request.extensions().get().cloned();
    caller.expect("`admission` lets nobody in without")
}
