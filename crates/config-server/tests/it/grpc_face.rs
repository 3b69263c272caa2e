//! What the gRPC face makes of calls before a service sees them, and many calls on one connection.

use bytes::Bytes;
use chameleon_proto::v1;
use config_server::Settings;
use futures::StreamExt as _;
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::handshake;
use hyper::{Method, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::support::{BOOTSTRAP, Server, put, requests, subscribe};

async fn guarded() -> Server {
    Server::with(Settings {
        token: Some(BOOTSTRAP.into()),
        ..Settings::default()
    })
    .await
}

fn with_token<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let token: MetadataValue<_> = format!("Bearer {BOOTSTRAP}").parse().unwrap();
    request.metadata_mut().insert("authorization", token);
    request
}

#[tokio::test]
async fn what_is_not_there_is_unimplemented() {
    let server = guarded().await;
    let endpoint = Endpoint::from_shared(format!("http://{}", server.grpc)).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let call = async |path: &'static str, request: Request<v1::StatusRequest>| -> Status {
        let mut client = Grpc::new(channel.clone());
        client.ready().await.unwrap();
        let codec = ProstCodec::<v1::StatusRequest, v1::StatusResponse>::default();
        let answer = client.unary(request, path.parse().unwrap(), codec).await;
        answer.unwrap_err()
    };
    for path in [
        "/chameleon.v1.Nothing/Status",
        "/chameleon.v1.Config/Nothing",
        "/chameleon.v1.Config/Status/more",
        "/chameleon.v1.Config",
        "/chameleon.v1.Configs/Status",
        "/",
    ] {
        let status = call(path, with_token(v1::StatusRequest {})).await;
        assert_eq!(status.code(), Code::Unimplemented, "{path}: {status}");
    }
    for path in [
        "/chameleon.v1.Config/Status",
        "/chameleon.v1.Config/Nothing",
        "/chameleon.v1.Tokens/List",
        "/chameleon.v1.Audit/List",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ] {
        let status = call(path, Request::new(v1::StatusRequest {})).await;
        assert_eq!(status.code(), Code::Unauthenticated, "{path}: {status}");
    }
}

#[tokio::test]
async fn the_services_are_told_to_who_has_a_token() {
    let server = guarded().await;
    let endpoint = Endpoint::from_shared(format!("http://{}", server.grpc)).unwrap();
    let mut client = ServerReflectionClient::new(endpoint.connect().await.unwrap());
    let question = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..ServerReflectionRequest::default()
    };
    let questions = with_token(futures::stream::iter([question]));
    let answers = client.server_reflection_info(questions).await.unwrap();
    let answer = answers.into_inner().next().await.unwrap().unwrap();
    let ServerReflectionResponse {
        message_response: Some(MessageResponse::ListServicesResponse(list)),
        ..
    } = answer
    else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = list.service.into_iter().map(|one| one.name).collect();
    for name in ["chameleon.v1.Config", "grpc.health.v1.Health"] {
        assert!(names.iter().any(|found| found == name), "{names:?}");
    }
}

#[tokio::test]
async fn many_calls_on_one_connection_do_not_wait_for_each_other() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut watches = Vec::new();
    for _ in 0..100 {
        let first = v1::watch_request::Message::Subscribe(subscribe(&["a"], &[]));
        let first = v1::WatchRequest {
            message: Some(first),
        };
        let requests = futures::stream::iter([first]).chain(futures::stream::pending());
        let mut states = client.watch(requests).await.unwrap().into_inner();
        assert!(states.message().await.unwrap().unwrap().puts.is_empty());
        watches.push(states);
    }
    for value in ["1", "2", "3"] {
        let change = requests(v1::CommitHeader::default(), vec![vec![put("a", value)]]);
        client.commit(change).await.unwrap();
        for states in &mut watches {
            let state = states.message().await.unwrap().unwrap();
            assert_eq!(state.puts[0].value, value);
        }
    }
    server.stop().await;
    for states in &mut watches {
        let status = states.message().await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
    }
}

/// Sends a request for a watch that tonic's client would not send as it is, with a body that never ends.
async fn answered(
    server: &Server,
    request: hyper::http::request::Builder,
) -> hyper::Response<Incoming> {
    let stream = TcpStream::connect(server.grpc).await.unwrap();
    let (mut client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    let mut task = JoinSet::new();
    task.spawn(connection);
    let silent = futures::stream::pending::<Result<Frame<Bytes>, Status>>();
    let request = request
        .uri("http://server/chameleon.v1.Config/Watch")
        .header("content-type", "application/grpc")
        .body(StreamBody::new(silent))
        .unwrap();
    client.send_request(request).await.unwrap()
}

#[tokio::test]
async fn a_call_ends_when_its_client_waits_no_longer() {
    let server = Server::start().await;
    let request = hyper::Request::builder().method(Method::POST);
    let answer = answered(&server, request.header("grpc-timeout", "50m")).await;
    let status = Status::from_header_map(answer.headers()).unwrap();
    assert_eq!(status.code(), Code::Cancelled, "{status}");
}

#[tokio::test]
async fn what_is_no_post_is_not_allowed() {
    let server = Server::start().await;
    for method in [Method::GET, Method::PUT] {
        let answer = answered(&server, hyper::Request::builder().method(method)).await;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers()["allow"], "POST");
    }
}

#[tokio::test]
async fn a_watch_that_is_compressed_is_refused() {
    let server = Server::start().await;
    let mut request = Request::new(futures::stream::pending());
    request
        .metadata_mut()
        .insert("grpc-encoding", MetadataValue::from_static("gzip"));
    let status = server.client().await.watch(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
    let accepted = status.metadata().get("grpc-accept-encoding").unwrap();
    assert_eq!(accepted, "identity");
}
