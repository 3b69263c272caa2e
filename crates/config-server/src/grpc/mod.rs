//! The gRPC face: `chameleon.v1`, with health and reflection.

mod audit;
mod commit;
mod convert;
mod error;
mod face;
mod service;
mod states;
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
use service_kit::http2::{self, Http2Limits};
use service_kit::tls::Protocol;
use tokio::net::TcpListener;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tower::util::BoxCloneSyncService;

use crate::Gate;
use crate::app::App;
use crate::app::access::Caller;
use crate::settings::Limits;
use audit::Audit;
use error::code_name;
use face::{Face, Services};
use service::Service;
use states::States;
use tokens::Tokens;

/// The largest single message that is taken: chunks have about 1 MiB, and one value 512 KiB.
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// How long a client may take to send the text that HTTP/2 begins with.
const OPENING: Duration = Duration::from_secs(10);

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
pub(crate) async fn serve(
    app: &Arc<App>,
    listener: TcpListener,
    limits: Limits,
    gate: &Gate,
    lifecycle: &Lifecycle,
) -> anyhow::Result<()> {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .context("read the compiled .proto files")?;
    let config = ConfigServer::new(Service::new(Arc::clone(app)))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let health = HealthReporter::new();
    health.set_serving::<ConfigServer<Service>>().await;
    let health = HealthServer::new(HealthService::from_health_reporter(health));
    let face = Face::new(Services {
        app: Arc::clone(app),
        states: Arc::new(States::default()),
        config,
        tokens: TokensServer::new(Tokens::new(Arc::clone(app))),
        audit: AuditServer::new(Audit::new(Arc::clone(app))),
        reflection: BoxCloneSyncService::new(reflection),
        health: BoxCloneSyncService::new(health),
    });
    let acceptor = Acceptor::new("grpc", listener, limits.connections, SILENCE);
    let limits = Http2Limits {
        opening: OPENING,
        keepalive: KEEPALIVE,
        keepalive_timeout: KEEPALIVE_TIMEOUT,
        streams: MAX_STREAMS,
        closing: CLOSING,
    };
    http2::serve_accepted(gate.at(acceptor, Protocol::Http2), face, limits, lifecycle);
    Ok(())
}

/// Counts how `method` was answered.
fn counted<T>(
    app: &App,
    method: &'static str,
    answer: Result<T, Status>,
) -> Result<Response<T>, Status> {
    count(app, method, &answer);
    answer.map(Response::new)
}

/// The same for an answer that is no message.
fn count<T>(app: &App, method: &'static str, answer: &Result<T, Status>) {
    let code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
    app.metrics.grpc(method, code_name(code));
}

/// Who makes the call.
fn caller<T>(request: &Request<T>) -> Caller {
    let caller = request.extensions().get().cloned();
    caller.expect("`Face` lets nobody in without")
}
