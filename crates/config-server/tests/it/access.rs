//! Who is let in.

use chameleon_proto::v1;
use config_server::{Listeners, Settings};
use reqwest::Method;
use service_kit::{Lifecycle, listen};
use tonic::metadata::MetadataValue;
use tonic::transport::Endpoint;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{BOOTSTRAP as TOKEN, Server, free_listener};

type Headers<'a> = &'a [(&'a str, &'a str)];

fn with_token() -> Settings {
    Settings {
        token: Some(TOKEN.into()),
        ..Settings::default()
    }
}

#[tokio::test]
async fn http_calls_need_the_token_in_one_of_consuls_ways() {
    let server = Server::with(with_token()).await;
    let bearer = format!("bearer {TOKEN}");
    let cases: [(&str, Headers<'_>, u16); 9] = [
        ("/v1/kv/?keys", &[], 403),
        ("/v1/kv/?keys", &[("x-consul-token", "")], 403),
        ("/v1/kv/?keys", &[("x-consul-token", "wrong")], 403),
        (
            "/v1/kv/?keys&token=wrong",
            &[("x-consul-token", TOKEN)],
            403,
        ),
        ("/v1/kv/?keys", &[("x-consul-token", TOKEN)], 200),
        (
            "/v1/kv/?keys",
            &[("x-consul-token", ""), ("authorization", &bearer)],
            200,
        ),
        ("/v1/status/leader", &[], 403),
        ("/v1/status/peers", &[("authorization", &bearer)], 200),
        ("/metrics", &[("authorization", &bearer)], 200),
    ];
    for (path, headers, status) in cases {
        let mut request = server.request(Method::GET, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{path} {headers:?}");
        let text = response.text().await.unwrap();
        assert!(
            status != 403 || text.contains("Permission denied"),
            "{text}"
        );
    }
    // One that is empty is none, wherever it stands: the others count.
    let by_query = format!("/v1/kv/?keys&token={TOKEN}");
    for (path, header, status) in [
        (by_query.as_str(), None, 200),
        (&by_query, Some(""), 200),
        ("/v1/kv/?keys&token=", Some(TOKEN), 200),
        ("/v1/kv/?keys&token=", Some(""), 403),
    ] {
        let mut request = server.request(Method::GET, path);
        if let Some(header) = header {
            request = request.header("x-consul-token", header);
        }
        let got = request.send().await.unwrap().status();
        assert_eq!(got, status, "{path} {header:?}");
    }
    for method in [Method::PUT, Method::DELETE] {
        let response = server.request(method, "/v1/kv/a").send().await.unwrap();
        assert_eq!(response.status(), 403);
    }
    assert_eq!(server.get("/metrics").await.status(), 401);
    assert_eq!(server.get("/health/ready").await.status(), 200);
}

#[tokio::test]
async fn native_calls_need_the_token() {
    let server = Server::with(with_token()).await;
    let mut client = server.client().await;
    let status = client.status(v1::StatusRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(
        status.message().contains("authorization: Bearer"),
        "{}",
        status.message()
    );
    let with = |token: &str| {
        let mut request = Request::new(v1::StatusRequest {});
        let value = MetadataValue::try_from(format!("Bearer {token}")).unwrap();
        request.metadata_mut().insert("authorization", value);
        request
    };
    let status = client.status(with("wrong")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    client.status(with(TOKEN)).await.unwrap();

    let endpoint = Endpoint::from_shared(format!("http://{}", server.grpc)).unwrap();
    let mut health = HealthClient::new(endpoint.connect().await.unwrap());
    let answer = health.check(HealthCheckRequest {
        service: "chameleon.v1.Config".to_owned(),
    });
    assert_eq!(answer.await.unwrap().into_inner().status, 1);
}

#[tokio::test]
async fn without_a_token_nobody_outside_is_listened_to() {
    for exposed in ["http", "grpc", "admin"] {
        let outside = || listen("0.0.0.0:0".parse().unwrap(), "tests", "none").unwrap();
        let listeners = Listeners {
            http: if exposed == "http" {
                outside()
            } else {
                free_listener()
            },
            grpc: if exposed == "grpc" {
                outside()
            } else {
                free_listener()
            },
            admin: (exposed == "admin").then(outside),
        };
        let store = chameleon_store::open("sqlite::memory:").await.unwrap();
        let lifecycle = Lifecycle::default();
        let started = config_server::start(Settings::default(), store, listeners, &lifecycle).await;
        let text = format!("{:#}", started.unwrap_err());
        assert!(
            text.contains("--bootstrap-token-file") && !text.contains('\n'),
            "{exposed}: {text}"
        );
    }
}
