//! What clients can get wrong.

use axum::body::Body;
use http::{Request, StatusCode};

use crate::support::World;

#[tokio::test]
async fn bad_input_has_one_envelope_and_stable_codes() {
    let world = World::silent().await;
    let client = world.client(100, 0);
    let endless = format!("/location/address?schvalue={}", "a".repeat(101));
    let cases = [
        ("/location/address", 400, "missing_parameter"),
        ("/location/address?SCHVALUE=x", 400, "missing_parameter"),
        ("/location/address?schvalue=", 400, "query_empty"),
        ("/location/address?schvalue=%20%09", 400, "query_empty"),
        ("/location/address?schvalue=%FF", 400, "query_empty"),
        (endless.as_str(), 400, "query_too_long"),
        ("/location/reverse?lat=37.5", 400, "missing_parameter"),
        ("/location/reverse?lat=x&lng=127.1", 400, "not_a_number"),
        ("/location/reverse?lat=&lng=127.1", 400, "not_a_number"),
        ("/location/reverse?lat=NaN&lng=127.1", 400, "outside_korea"),
        ("/location/reverse?lat=inf&lng=127.1", 400, "outside_korea"),
        ("/location/reverse?lat=127.1&lng=37.5", 400, "outside_korea"),
        ("/location/nowhere", 404, "not_found"),
    ];
    for (uri, status, code) in cases {
        let reply = client.get(uri).await;
        assert_eq!(
            (reply.status.as_u16(), reply.code().as_str()),
            (status, code),
            "{uri}"
        );
        assert!(reply.json()["error"]["message"].is_string());
    }
    assert!(
        World::paths(&world.tmap).await.is_empty(),
        "no vendor is asked"
    );
    client
        .assert_counted(r#"location_requests_total{operation="address",outcome="bad_request"} 6"#);
}

#[tokio::test]
async fn only_get_is_answered() {
    let client = World::silent().await.client(100, 0);
    let request = Request::post("/location/address?schvalue=x")
        .body(Body::empty())
        .expect("a request");
    let reply = client.request(request).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed")
    );
}
