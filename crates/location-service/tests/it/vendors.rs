//! The vendors' own samples through the whole service: what is asked, and what comes out.

use serde_json::{Value, json};
use wiremock::{
    Mock, ResponseTemplate,
    matchers::{header, path, query_param, query_param_is_missing},
};

use crate::support::{
    Client, FULL_ADDRESS, GC, GEOCODE, LOCAL, POIS, TMAP_REVERSE, World, fixture, ok, status,
};

const REVERSE: &str = "/location/reverse?lat=37.5163775&lng=127.1129874";

/// An item without its position: the samples of the vendors differ there.
fn without_position(mut item: Value) -> Value {
    let members = item.as_object_mut().expect("an item");
    members.remove("lat").expect("a latitude");
    members.remove("lng").expect("a longitude");
    item
}

#[tokio::test]
async fn both_vendors_samples_are_one_canonical_item() {
    let world = World::new().await;
    let of = async |a, b, text: &str| {
        without_position(world.client(a, b).search(text).await.json()["items"][0].clone())
    };
    let item = of(100, 0, "장은빌딩").await;
    insta::assert_json_snapshot!(item);
    assert_eq!(of(0, 100, "장은빌딩").await, item, "by the shop search");
    assert_eq!(
        of(0, 100, "위례성대로 2").await,
        item,
        "by the address search"
    );
    assert_eq!(of(0, 100, "송파구 장은빌딩").await, item, "by both");
}

#[tokio::test]
async fn both_vendors_samples_are_one_address_at_a_point() {
    let world = World::silent().await;
    world
        .tmap_answers(TMAP_REVERSE, ok(fixture!("tmap/reverse_urban.json")))
        .await;
    world
        .tmap_answers(FULL_ADDRESS, ok(fixture!("tmap/full_address_road.json")))
        .await;
    world
        .naver_answers(GC, ok(fixture!("naver/gc_urban.json")))
        .await;
    let by_tmap = world.client(100, 0).get(REVERSE).await;
    insta::assert_json_snapshot!(by_tmap.json());
    let by_naver = world.client(0, 100).get(REVERSE).await;
    assert_eq!((by_tmap.provider(), by_naver.provider()), ("a", "b"));
    assert_eq!(by_naver.json(), by_tmap.json());
}

#[tokio::test]
async fn an_address_is_given_without_its_zip_code_if_need_be() {
    let world = World::silent().await;
    world
        .tmap_answers(TMAP_REVERSE, ok(fixture!("tmap/reverse_urban.json")))
        .await;
    world
        .tmap_answers(FULL_ADDRESS, status(429, fixture!("tmap/error_quota.json")))
        .await;
    let reply = world.client(100, 0).get(REVERSE).await;
    assert_eq!(reply.provider(), "a");
    let item = &reply.json()["items"][0];
    assert_eq!(
        (&item["zip_code"], &item["building"]),
        (&Value::Null, &json!("장은빌딩"))
    );
}

#[tokio::test]
async fn a_point_without_an_address_is_an_empty_answer() {
    let world = World::silent().await;
    world
        .tmap_answers(TMAP_REVERSE, ResponseTemplate::new(204))
        .await;
    world
        .naver_answers(GC, ok(fixture!("naver/gc_nothing.json")))
        .await;
    for (a, b) in [(100, 0), (0, 100)] {
        assert_eq!(
            world.client(a, b).get(REVERSE).await.text,
            r#"{"items":[],"count":0}"#
        );
    }
}

#[tokio::test]
async fn unescaped_quotes_in_a_reverse_answer_fail_over() {
    let world = World::silent().await;
    world
        .tmap_answers(TMAP_REVERSE, ok(fixture!("tmap/reverse_malformed.txt")))
        .await;
    world
        .naver_answers(GC, ok(fixture!("naver/gc_urban.json")))
        .await;
    let client = world.client(100, 0);
    assert_eq!(client.get(REVERSE).await.provider(), "b");
    client.assert_counted(
        r#"location_provider_requests_total{provider="a",vendor="tmap",operation="reverse",outcome="malformed"} 1"#,
    );
}

#[tokio::test]
async fn naver_asks_only_what_the_text_needs() {
    for (text, expected) in [
        ("위례성대로 2", vec![GEOCODE]),
        ("장은빌딩", vec![LOCAL]),
        ("송파구 장은빌딩", vec![LOCAL, GEOCODE]),
    ] {
        let world = World::new().await;
        world.client(0, 100).search(text).await;
        let mut asked = World::paths(&world.naver).await;
        asked.sort_by_key(|path| path != LOCAL);
        assert_eq!(asked, expected, "{text}");
    }
}

#[tokio::test]
async fn naver_asks_the_other_search_when_the_first_finds_nothing() {
    let world = World::silent().await;
    world
        .naver_answers(GEOCODE, ok(fixture!("naver/geocode_nothing.json")))
        .await;
    world
        .naver_answers(LOCAL, ok(fixture!("naver/local_nothing.json")))
        .await;
    for (text, expected) in [
        ("위례성대로 2", [GEOCODE, LOCAL]),
        ("장은빌딩", [LOCAL, GEOCODE]),
    ] {
        world.naver.reset().await;
        world
            .naver_answers(GEOCODE, ok(fixture!("naver/geocode_nothing.json")))
            .await;
        world
            .naver_answers(LOCAL, ok(fixture!("naver/local_nothing.json")))
            .await;
        let reply = world.client(0, 100).search(text).await;
        assert_eq!(reply.text, r#"{"items":[],"count":0}"#);
        assert_eq!(World::paths(&world.naver).await, expected, "{text}");
    }
}

#[tokio::test]
async fn tmap_asks_its_address_search_for_addresses_only() {
    let world = World::silent().await;
    world.tmap_answers(POIS, ResponseTemplate::new(204)).await;
    world
        .tmap_answers(FULL_ADDRESS, ok(fixture!("tmap/full_address_road.json")))
        .await;
    let client = world.client(100, 0);
    assert_eq!(client.search("위례성대로 2").await.names(), ["장은빌딩"]);
    assert!(client.search("없는 가게").await.names().is_empty());
    let mut asked = World::paths(&world.tmap).await;
    asked.sort();
    assert_eq!(asked, [FULL_ADDRESS, POIS, POIS]);
}

#[tokio::test]
async fn an_address_is_answered_by_its_building_and_not_by_the_shops_in_it() {
    let world = World::new().await;
    world
        .tmap_answers(FULL_ADDRESS, ok(fixture!("tmap/full_address_road.json")))
        .await;
    let by_tmap = world.client(100, 0).search("위례성대로 2").await;
    let by_naver = world.client(0, 100).search("위례성대로 2").await;
    assert_eq!((by_tmap.provider(), by_naver.provider()), ("a", "b"));
    assert_eq!(by_tmap.json(), by_naver.json());
    assert_eq!(
        by_tmap.json()["items"][0]["jibun_address"],
        "서울특별시 송파구 방이동 44-2"
    );
}

#[tokio::test]
async fn no_such_address_is_no_bad_request() {
    let world = World::silent().await;
    world.tmap_answers(POIS, ResponseTemplate::new(204)).await;
    world
        .tmap_answers(
            FULL_ADDRESS,
            status(400, fixture!("tmap/error_no_address.json")),
        )
        .await;
    let reply = world.client(100, 0).search("위례성대로 99999").await;
    assert_eq!((reply.status.as_u16(), reply.provider()), (200, "a"));
}

#[tokio::test]
async fn tmaps_key_travels_where_the_configuration_says() {
    let by_header = World::silent().await;
    Mock::given(path(POIS))
        .and(header("appKey", "tmap-s3cret"))
        .and(query_param("searchKeyword", "장은 빌딩"))
        .and(query_param("version", "1"))
        .and(query_param("resCoordType", "WGS84GEO"))
        .and(query_param_is_missing("appKey"))
        .respond_with(ok(fixture!("tmap/pois_urban.json")))
        .expect(1)
        .mount(&by_header.tmap)
        .await;
    assert_eq!(
        by_header
            .client(100, 0)
            .search(" 장은  빌딩 ")
            .await
            .provider(),
        "a"
    );

    let by_query = World::silent().await;
    Mock::given(path(POIS))
        .and(query_param("appKey", "tmap-s3cret"))
        .respond_with(ok(fixture!("tmap/pois_urban.json")))
        .expect(1)
        .mount(&by_query.tmap)
        .await;
    let mut config = by_query.config(100, 0);
    config["maps"]["a"]["keyIn"] = "query".into();
    assert_eq!(Client::new(config).search("장은빌딩").await.provider(), "a");
}

#[tokio::test]
async fn navers_generations_have_paths_and_headers_of_their_own() {
    let world = World::silent().await;
    Mock::given(path("/v1/search/local.json"))
        .and(header("x-naver-client-id", "local-id"))
        .and(header("x-naver-client-secret", "local-s3cret"))
        .and(query_param("display", "5"))
        .respond_with(ok(fixture!("naver/local_nothing.json")))
        .expect(1)
        .mount(&world.naver)
        .await;
    Mock::given(path(GEOCODE))
        .and(header("x-ncp-apigw-api-key-id", "naver-id"))
        .and(header("x-ncp-apigw-api-key", "naver-s3cret"))
        .respond_with(ok(fixture!("naver/geocode_urban.json")))
        .expect(1)
        .mount(&world.naver)
        .await;
    let mut config = world.config(0, 100);
    config["maps"]["b"]["dialect"] = "developers".into();
    config["maps"]["b"]["localClientId"] = "local-id".into();
    config["maps"]["b"]["localClientSecret"] = "local-s3cret".into();
    assert_eq!(Client::new(config).search("장은빌딩").await.provider(), "b");
}
