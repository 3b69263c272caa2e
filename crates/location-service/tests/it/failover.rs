//! Shares, failures and who steps in.

use std::time::Duration;

use http::StatusCode;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};
use wiremock::ResponseTemplate;

use crate::support::{Client, GEOCODE, LOCAL, POIS, World, fixture, ok, parse, status};

#[tokio::test]
async fn the_shares_decide_who_answers() {
    let world = World::new().await;
    for (a, b, provider, vendor) in [(100, 0, "a", "tmap"), (0, 100, "b", "naver")] {
        let reply = world.client(a, b).search("장은빌딩").await;
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(
            (reply.provider(), reply.header("x-chameleon-vendor")),
            (provider, vendor)
        );
    }
}

#[tokio::test]
async fn a_new_configuration_moves_the_next_request() {
    let world = World::new().await;
    let client = world.client(100, 0);
    assert_eq!(client.search("장은빌딩").await.provider(), "a");
    client.service.install(&parse(world.config(0, 100)), 8);
    assert_eq!(client.search("장은빌딩").await.provider(), "b");
    client.assert_counted("location_config_revision 8");
    client.assert_counted(r#"location_provider_share_ratios{provider="b"} 1.0"#);
}

#[tokio::test]
async fn a_request_in_flight_ends_by_its_old_configuration() {
    let world = World::new().await;
    let (slow, listener) = held_host(&world, "a").await;
    let client = Client::new(slow);
    let in_flight = client.search("장은빌딩");
    let change = async {
        let connection = arrived(&listener).await;
        // Only `b` is left; the request that waits for `a` must still be able to fail over by its own table.
        client.service.install(&parse(world.config(0, 100)), 8);
        drop(connection);
    };
    let (reply, ()) = tokio::join!(in_flight, change);
    assert_eq!((reply.status, reply.provider()), (StatusCode::OK, "b"));
    client.assert_counted(
        r#"location_provider_requests_total{provider="a",vendor="tmap",operation="address",outcome="connect"} 1"#,
    );
}

#[tokio::test]
async fn every_failure_of_one_vendor_is_answered_by_the_other() {
    let huge = format!(r#"{{"searchPoiInfo": "{}"}}"#, "x".repeat(1024 * 1024));
    let cases = [
        (status(403, fixture!("tmap/error_key.json")), "unauthorized"),
        (
            status(429, fixture!("tmap/error_quota.json")),
            "quota_daily",
        ),
        (
            status(429, r#"{"error": {"category": "gw", "code": "THROTTLED"}}"#),
            "quota_rate",
        ),
        (status(429, ""), "quota_rate"),
        (
            status(403, r#"{"error": {"category": "gw", "code": "DENIED"}}"#),
            "blocked_ip",
        ),
        (status(500, "<html>oops</html>"), "upstream_5xx"),
        (status(502, ""), "upstream_5xx"),
        (status(504, ""), "timeout"),
        (status(404, "{}"), "bad_request"),
        (ok("<html>a page</html>"), "malformed"),
        (ok(""), "malformed"),
        (ok(fixture!("tmap/reverse_malformed.txt")), "malformed"),
        (
            ok(r#"{"searchPoiInfo": {"pois": {"poi": 7}}}"#),
            "malformed",
        ),
        (ok(&huge), "malformed"),
        (
            ResponseTemplate::new(302).insert_header("location", "/elsewhere"),
            "malformed",
        ),
    ];
    for (response, class) in cases {
        let world = World::silent().await;
        world.tmap_answers(POIS, response).await;
        world
            .naver_answers(LOCAL, ok(fixture!("naver/local.json")))
            .await;
        let client = world.client(100, 0);
        let reply = client.search("장은빌딩").await;
        assert_eq!(
            (reply.status, reply.provider()),
            (StatusCode::OK, "b"),
            "{class}"
        );
        assert_eq!(
            World::paths(&world.tmap).await,
            [POIS],
            "{class}: asked once, no redirect followed"
        );
        client.assert_counted(&format!(
            r#"location_provider_requests_total{{provider="a",vendor="tmap",operation="address",outcome="{class}"}} 1"#
        ));
        client.assert_counted(
            r#"location_vendor_calls_total{provider="b",vendor="naver",call="local",outcome="found"} 1"#,
        );
    }
}

#[tokio::test]
async fn a_refused_connection_fails_over_at_once() {
    let world = World::new().await;
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = free.local_addr().expect("an address");
    drop(free);
    let mut config = world.config(100, 0);
    config["maps"]["a"]["baseUrl"] = format!("http://{address}").into();
    config["maps"]["a"]["timeout"] = "60s".into();
    let client = Client::new(config);
    assert_eq!(client.search("장은빌딩").await.provider(), "b");
    client.assert_counted(
        r#"location_provider_requests_total{provider="a",vendor="tmap",operation="address",outcome="connect"} 1"#,
    );
}

#[tokio::test]
async fn a_silent_vendor_leaves_time_for_the_other() {
    let world = World::new().await;
    let (mut config, listener) = held_host(&world, "a").await;
    config["maps"]["a"]["timeout"] = "50ms".into();
    let client = Client::new(config);
    let (reply, _held) = tokio::join!(client.search("장은빌딩"), arrived(&listener));
    assert_eq!((reply.status, reply.provider()), (StatusCode::OK, "b"));
}

#[tokio::test]
async fn if_all_fail_the_answer_is_503_and_names_no_secret() {
    let world = World::silent().await;
    world
        .tmap_answers(
            POIS,
            status(
                403,
                r#"{"error": {"code": "INVALID_API_KEY", "message": "tmap-s3cret"}}"#,
            ),
        )
        .await;
    world
        .naver_answers(LOCAL, status(429, fixture!("naver/local_error_daily.json")))
        .await;
    let client = world.client(50, 50);
    let reply = client.search("장은빌딩").await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        (reply.code().as_str(), reply.header("retry-after")),
        ("providers_unavailable", "1")
    );
    let routing = client.get("/location/routing").await;
    assert_eq!(
        routing.json()["providers"][0]["last_failure"]["class"],
        "unauthorized"
    );
    assert_eq!(routing.json()["providers"][1]["failing"], "quota_daily");
    assert_eq!(routing.json()["revision"], 7);
    for text in [reply.text, routing.text, client.metrics()] {
        assert!(
            !text.contains("s3cret") && !text.contains("naver-id"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn if_all_are_silent_the_answer_is_504() {
    let world = World::silent().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_hours(1));
    world.tmap_answers(POIS, slow.clone()).await;
    world.naver_answers(LOCAL, slow).await;
    let mut config = world.config(100, 0);
    config["search"]["deadline"] = "90ms".into();
    let reply = Client::new(config).search("장은빌딩").await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (StatusCode::GATEWAY_TIMEOUT, "providers_timed_out")
    );
}

#[tokio::test]
async fn nothing_found_is_an_answer() {
    let world = World::silent().await;
    world.tmap_answers(POIS, ResponseTemplate::new(204)).await;
    let reply = world.client(100, 0).search("없는 곳").await;
    assert_eq!((reply.status, reply.provider()), (StatusCode::OK, "a"));
    assert_eq!(reply.text, r#"{"items":[],"count":0}"#);
    assert!(World::paths(&world.naver).await.is_empty());
}

#[tokio::test]
async fn a_text_that_a_vendor_refuses_is_the_clients_affair() {
    let world = World::new().await;
    let refusing = World::silent().await;
    refusing
        .tmap_answers(POIS, status(400, fixture!("tmap/error_parameter.json")))
        .await;
    let mut config = world.config(100, 0);
    config["maps"]["a"]["baseUrl"] = refusing.tmap.uri().into();
    let reply = Client::new(config).search("장은빌딩").await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (StatusCode::BAD_REQUEST, "query_refused")
    );
    assert!(World::paths(&world.naver).await.is_empty());
}

#[tokio::test]
async fn half_of_a_composed_search_is_an_answer() {
    let world = World::silent().await;
    world.naver_answers(LOCAL, status(500, "")).await;
    world
        .naver_answers(GEOCODE, ok(fixture!("naver/geocode_urban.json")))
        .await;
    let reply = world.client(0, 100).search("송파구 장은빌딩").await;
    assert_eq!(
        (reply.provider(), reply.names()),
        ("b", vec!["장은빌딩".to_owned()])
    );
}

#[tokio::test]
async fn overload_is_answered_at_once() {
    let world = World::new().await;
    let (config, listener) = held_host(&world, "a").await;
    let client = Client::with_room(config, 1);
    let first = client.search("장은빌딩");
    let second = async {
        let held = arrived(&listener).await;
        let reply = client.search("장은빌딩").await;
        drop((held, listener));
        reply
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(
        (second.status, second.code().as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "overloaded")
    );
    assert_eq!(second.header("retry-after"), "1");
    assert_eq!(
        client.search("장은빌딩").await.status,
        StatusCode::OK,
        "the room is free again"
    );
}

/// A configuration whose provider is a host that takes connections and says nothing.
async fn held_host(world: &World, provider: &str) -> (serde_json::Value, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut config = world.config(100, 0);
    let address = listener.local_addr().expect("an address");
    config["maps"][provider]["baseUrl"] = format!("http://{address}").into();
    config["maps"][provider]["timeout"] = "60s".into();
    (config, listener)
}

/// Waits until a request has come in; dropping the connection breaks it.
async fn arrived(listener: &TcpListener) -> TcpStream {
    let (mut connection, _) = listener.accept().await.expect("a connection");
    let mut head = [0; 64];
    connection.read_exact(&mut head).await.expect("a request");
    connection
}
