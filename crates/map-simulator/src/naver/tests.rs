use axum::body::{Body, to_bytes};
use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;
use crate::gazetteer::tests::samples;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../fixtures/naver/", $name))
    };
}

const GEOCODE: &str = "/map-geocode/v2/geocode";
const GC: &str = "/map-reversegeocode/v2/gc";
const HUB: &str = "/search/v1/local";
const DEVELOPERS: &str = "/v1/search/local.json";
const GATEWAY_KEYS: [(&str, &str); 2] = [
    ("x-ncp-apigw-api-key-id", "id"),
    ("x-ncp-apigw-api-key", "secret"),
];
const DEVELOPERS_KEYS: [(&str, &str); 2] = [
    ("X-Naver-Client-Id", "id"),
    ("X-Naver-Client-Secret", "secret"),
];

struct Answer {
    status: u16,
    content_type: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

async fn send(
    gazetteer: Arc<Gazetteer>,
    client: Option<NaverClient>,
    headers: &[(&str, &str)],
    uri: &str,
) -> Answer {
    let mut request = http::Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    read(router(gazetteer, client).oneshot(request).await.unwrap()).await
}

async fn read(response: Response) -> Answer {
    let status = response.status().as_u16();
    let content_type = response.headers().get("content-type");
    let content_type = content_type.map(|value| value.to_str().unwrap().to_owned());
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    Answer {
        status,
        content_type: content_type.unwrap_or_default(),
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

async fn ask(gazetteer: Arc<Gazetteer>, path: &str, params: &[(&str, &str)]) -> Answer {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(params);
    let headers = [GATEWAY_KEYS, DEVELOPERS_KEYS].concat();
    send(
        gazetteer,
        None,
        &headers,
        &format!("{path}?{}", query.finish()),
    )
    .await
}

fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

/// Reads `json` into the model, which refuses unknown members, and writes it again.
fn round_trip<T: Serialize + DeserializeOwned>(json: &str) {
    let model: T = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_value(model).unwrap(), value(json));
}

#[test]
fn the_model_has_exactly_the_members_of_the_sample_answers() {
    round_trip::<model::GeocodeAnswer>(fixture!("geocode-urban.json"));
    round_trip::<model::GeocodeAnswer>(fixture!("geocode-rural.json"));
    round_trip::<model::GeocodeAnswer>(fixture!("geocode-nothing.json"));
    round_trip::<model::GeocodeRefusal>(fixture!("geocode-invalid.json"));
    round_trip::<gc_model::GcAnswer>(fixture!("reverse-urban.json"));
    round_trip::<gc_model::GcAnswer>(fixture!("reverse-rural.json"));
    round_trip::<gc_model::GcAnswer>(fixture!("reverse-nothing.json"));
    round_trip::<model::LocalAnswer>(fixture!("local-found.json"));
    round_trip::<model::LocalAnswer>(fixture!("local-nothing.json"));
    round_trip::<model::GatewayEnvelope>(fixture!("gateway-not-subscribed.json"));
    round_trip::<model::GatewayEnvelope>(fixture!("local-hub-not-subscribed.json"));
    round_trip::<model::DevelopersBody>(fixture!("local-unauthorized.json"));
    round_trip::<model::DevelopersBody>(fixture!("local-daily-limit.json"));
    round_trip::<model::DevelopersBody>(fixture!("local-rate-limit.json"));
}

/// Takes over members of the sample that the gazetteer rounds or words otherwise.
fn take_over(answer: &mut Value, sample: &Value, paths: &[&str]) {
    for path in paths {
        let expected = sample.pointer(path).unwrap().clone();
        let actual = answer.pointer_mut(path).unwrap();
        assert_eq!(
            std::mem::discriminant(actual),
            std::mem::discriminant(&expected),
            "{path}"
        );
        *actual = expected;
    }
}

#[tokio::test]
async fn the_sample_address_is_geocoded_as_in_the_urban_sample() {
    let params = [("query", "서울 송파구 위례성대로 2")];
    let mut answer = ask(samples(), GEOCODE, &params).await.json();
    assert_eq!(answer["addresses"][0]["x"], "127.1129874");
    let sample = value(fixture!("geocode-urban.json"));
    take_over(&mut answer, &sample, &["/addresses/0/x", "/addresses/0/y"]);
    assert_eq!(answer, sample);
}

#[tokio::test]
async fn the_sample_address_is_geocoded_as_in_the_rural_sample() {
    let params = [
        ("query", "경기 양평군 양서면 두물머리길 125"),
        ("coordinate", "127.3323,37.5331204"),
    ];
    let mut answer = ask(samples(), GEOCODE, &params).await.json();
    let distance = answer["addresses"][0]["distance"].as_f64().unwrap();
    assert!((1_270.0..1_290.0).contains(&distance), "{distance}");
    let sample = value(fixture!("geocode-rural.json"));
    take_over(&mut answer, &sample, &["/addresses/0/distance"]);
    assert_eq!(answer, sample);
}

#[tokio::test]
async fn an_unknown_address_is_an_empty_200() {
    for query in ["없는시 없는로 1", "롯데월드타워"] {
        let answer = ask(Gazetteer::embedded(), GEOCODE, &[("query", query)]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json(), value(fixture!("geocode-nothing.json")));
    }
}

#[tokio::test]
async fn coarse_addresses_have_no_numbers() {
    let answer = ask(
        Gazetteer::embedded(),
        GEOCODE,
        &[("query", "송파구 올림픽로")],
    )
    .await;
    let json = answer.json();
    assert_eq!(json["meta"]["totalCount"], 1);
    assert_eq!(
        json["addresses"][0]["roadAddress"],
        "서울특별시 송파구 올림픽로"
    );
    let answer = ask(
        Gazetteer::embedded(),
        GEOCODE,
        &[("query", "성남시 분당구")],
    )
    .await;
    let json = answer.json();
    assert_eq!(json["addresses"][0]["roadAddress"], "");
    assert_eq!(json["addresses"][0]["jibunAddress"], "경기도 성남시 분당구");
}

#[tokio::test]
async fn nearness_orders_and_codes_filter() {
    let query = |more: &[(&'static str, &'static str)]| {
        let params = [&[("query", "중구")], more].concat();
        async move { ask(Gazetteer::embedded(), GEOCODE, &params).await.json() }
    };
    let near_busan = query(&[("coordinate", "129.03,35.10")]).await;
    assert_eq!(
        near_busan["addresses"][0]["jibunAddress"],
        "부산광역시 중구"
    );
    let none = query(&[("filter", "BCODE@1168010100")]).await;
    assert_eq!(none["meta"]["totalCount"], 0);
}

#[tokio::test]
async fn geocode_refuses_in_its_own_words() {
    let answer = ask(samples(), GEOCODE, &[]).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json(), value(fixture!("geocode-invalid.json")));
    for (name, text) in [
        ("count", "101"),
        ("page", "0"),
        ("coordinate", "127.1"),
        ("filter", "1168010100"),
    ] {
        let answer = ask(samples(), GEOCODE, &[("query", "서울"), (name, text)]).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json()["errorMessage"], format!("{name} is INVALID"));
    }
}

/// Replaces all positions of region centres, which are means of the gazetteer's places.
fn without_centers(mut answer: Value) -> Value {
    for result in answer["results"].as_array_mut().unwrap() {
        for (_, area) in result["region"].as_object_mut().unwrap() {
            let center = &mut area["coords"]["center"];
            let has_position = center["crs"] == "EPSG:4326";
            for axis in ["x", "y"] {
                assert_eq!(center[axis].as_f64().unwrap() != 0.0, has_position);
                center[axis] = 0.0.into();
            }
        }
    }
    answer
}

#[tokio::test]
async fn the_sample_position_is_reversed_as_in_the_urban_sample() {
    let params = [
        ("coords", "127.1130,37.5164"),
        ("orders", "roadaddr,addr,admcode,legalcode"),
        ("output", "json"),
    ];
    let answer = ask(samples(), GC, &params).await.json();
    let sample = value(fixture!("reverse-urban.json"));
    assert_eq!(without_centers(answer), without_centers(sample));
}

#[tokio::test]
async fn the_sample_position_is_reversed_as_in_the_rural_sample() {
    let params = [
        ("coords", "127.3301,37.5501"),
        ("orders", "roadaddr,addr,admcode"),
        ("output", "json"),
    ];
    let answer = ask(samples(), GC, &params).await.json();
    let sample = value(fixture!("reverse-rural.json"));
    assert_eq!(without_centers(answer), without_centers(sample));
}

#[tokio::test]
async fn a_position_without_a_place_has_no_result() {
    let params = [("coords", "130.5,36.0"), ("output", "json")];
    let answer = ask(Gazetteer::embedded(), GC, &params).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), value(fixture!("reverse-nothing.json")));
}

#[tokio::test]
async fn off_the_road_only_regions_are_known_in_the_order_that_was_asked() {
    let names = async |coords: &'static str, orders: &'static str| {
        let params = [("coords", coords), ("orders", orders), ("output", "json")];
        let json = ask(Gazetteer::embedded(), GC, &params).await.json();
        let results = json["results"].as_array().unwrap();
        let names = results
            .iter()
            .map(|result| result["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let all = "addr,legalcode,roadaddr,admcode";
    assert_eq!(
        names("127.036502,37.500028", all).await,
        ["addr", "legalcode", "roadaddr", "admcode"]
    );
    assert_eq!(
        names("127.036502,37.5030", all).await,
        ["legalcode", "admcode"]
    );
}

#[tokio::test]
async fn sejong_has_no_district() {
    let params = [("coords", "127.289000,36.480050"), ("output", "json")];
    let json = ask(Gazetteer::embedded(), GC, &params).await.json();
    let region = &json["results"][0]["region"];
    assert_eq!(region["area1"]["alias"], "세종");
    assert_eq!(region["area2"]["name"], "");
    assert_eq!(region["area3"]["name"], "보람동");
}

#[tokio::test]
async fn reverse_answers_xml_unless_asked_for_json() {
    let answer = ask(
        Gazetteer::embedded(),
        GC,
        &[("coords", "127.036502,37.500028")],
    )
    .await;
    assert!(answer.content_type.starts_with("text/xml"));
    assert!(answer.body.starts_with("<?xml"));
    assert!(
        answer.body.contains("<name>legalcode</name>"),
        "{}",
        answer.body
    );
    assert!(
        !answer.body.contains("<name>addr</name>"),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn reverse_refuses_in_its_own_words() {
    for (name, text) in [
        ("coords", "127.1"),
        ("coords", ""),
        ("orders", "legalcode,zip"),
        ("sourcecrs", "NHN:2048"),
        ("output", "yaml"),
    ] {
        let mut params = vec![("coords", "127.1,37.5"), ("output", "json")];
        params.push((name, text));
        let answer = ask(samples(), GC, &params).await;
        assert_eq!(answer.status, 400, "{name}={text}");
        assert_eq!(answer.json()["status"]["code"], 100);
    }
}

#[tokio::test]
async fn both_dialects_find_what_is_in_the_local_sample() {
    let sample = value(fixture!("local-found.json"));
    for path in [HUB, DEVELOPERS] {
        let params = [("query", "장은"), ("display", "5")];
        let mut answer = ask(samples(), path, &params).await.json();
        let item = "/items/0";
        assert_eq!(answer.pointer(item).unwrap()["title"], "<b>장은</b>빌딩");
        assert_eq!(answer.pointer(item).unwrap()["mapx"], "1271129874");
        let others = [
            "/lastBuildDate",
            "/items/0/title",
            "/items/0/category",
            "/items/0/mapx",
            "/items/0/mapy",
        ];
        take_over(&mut answer, &sample, &others);
        assert_eq!(answer, sample);
    }
}

#[tokio::test]
async fn local_finds_nothing_as_in_the_sample() {
    let mut answer = ask(samples(), HUB, &[("query", "없는가게")]).await.json();
    let sample = value(fixture!("local-nothing.json"));
    take_over(&mut answer, &sample, &["/lastBuildDate"]);
    assert_eq!(answer, sample);
}

#[tokio::test]
async fn local_shows_one_by_default_and_five_at_most() {
    let display = async |params: &[(&str, &str)]| {
        let params = [&[("query", "박물관")], params].concat();
        let json = ask(Gazetteer::embedded(), HUB, &params).await.json();
        assert_eq!(json["total"], 5);
        json["items"].as_array().unwrap().len()
    };
    assert_eq!(display(&[]).await, 1);
    assert_eq!(display(&[("display", "5")]).await, 5);
    assert_eq!(display(&[("display", "15")]).await, 5);
}

#[tokio::test]
async fn local_refuses_in_the_words_of_its_dialect() {
    for (params, code) in [
        (&[][..], "SE01"),
        (&[("query", "x"), ("display", "0")], "SE02"),
        (&[("query", "x"), ("display", "101")], "SE02"),
        (&[("query", "x"), ("start", "2")], "SE03"),
        (&[("query", "x"), ("sort", "name")], "SE04"),
    ] {
        let answer = ask(samples(), DEVELOPERS, params).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json()["errorCode"], code);
        let answer = ask(samples(), HUB, params).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json()["error"]["errorCode"], "100");
    }
}

#[tokio::test]
async fn local_answers_xml_where_it_is_asked_for() {
    for (path, params) in [
        (HUB, &[("query", "상상마당"), ("format", "xml")][..]),
        ("/v1/search/local.xml", &[("query", "상상마당")]),
    ] {
        let answer = ask(Gazetteer::embedded(), path, params).await;
        assert!(answer.content_type.starts_with("text/xml"));
        let title = "<title>KT&amp;amp;G &lt;b&gt;상상마당&lt;/b&gt; 홍대</title>";
        assert!(answer.body.contains(title), "{}", answer.body);
    }
}

#[tokio::test]
async fn every_product_wants_its_own_headers() {
    for path in [GEOCODE, GC, HUB] {
        let uri = format!("{path}?query=a&coords=127,37&output=json");
        assert_eq!(send(samples(), None, &GATEWAY_KEYS, &uri).await.status, 200);
        for headers in [&[][..], &GATEWAY_KEYS[..1], &DEVELOPERS_KEYS] {
            let answer = send(samples(), None, headers, &uri).await;
            assert_eq!(answer.status, 401);
            let json = answer.json();
            assert_eq!(json["error"]["errorCode"], "200");
            assert_eq!(
                json["error"]["details"],
                "Authentication information are missing."
            );
        }
    }
    let uri = format!("{DEVELOPERS}?query=a");
    assert_eq!(
        send(samples(), None, &DEVELOPERS_KEYS, &uri).await.status,
        200
    );
    let answer = send(samples(), None, &GATEWAY_KEYS, &uri).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json(), value(fixture!("local-unauthorized.json")));
}

#[tokio::test]
async fn a_chosen_client_is_the_only_one() {
    let client = |secret: &str| {
        Some(NaverClient {
            id: "id".to_owned(),
            secret: secret.into(),
        })
    };
    let uri = format!("{HUB}?query=a");
    assert_eq!(
        send(samples(), client("secret"), &GATEWAY_KEYS, &uri)
            .await
            .status,
        200
    );
    let answer = send(samples(), client("other"), &GATEWAY_KEYS, &uri).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["error"]["message"], "Authentication Failed");
}

#[tokio::test]
async fn other_paths_and_methods_are_not_found() {
    let answer = ask(samples(), "/map-static/v2/raster", &[]).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["errorCode"]),
        (404, &"300".into())
    );
}

#[tokio::test]
async fn refusals_by_a_fault_are_in_the_words_of_the_product() {
    let told = async |path: &str, status: u16, code: Option<&str>| {
        let response = refuse(path, StatusCode::from_u16(status).unwrap(), code);
        let answer = read(response).await;
        assert_eq!(answer.status, status);
        answer.json()
    };
    assert_eq!(
        told(HUB, 401, Some("210")).await,
        value(fixture!("local-hub-not-subscribed.json"))
    );
    assert_eq!(told(GC, 429, None).await["error"]["errorCode"], "400");
    assert_eq!(
        told(GC, 429, Some("410")).await["error"]["message"],
        "Throttle Limited"
    );
    assert_eq!(told(GC, 503, None).await["error"]["errorCode"], "500");
    assert_eq!(told(GC, 418, None).await["error"]["errorCode"], "900");
    assert_eq!(
        told(DEVELOPERS, 429, None).await,
        value(fixture!("local-daily-limit.json"))
    );
    assert_eq!(
        told(DEVELOPERS, 429, Some("012")).await,
        value(fixture!("local-rate-limit.json"))
    );
    assert_eq!(told(DEVELOPERS, 502, None).await["errorCode"], "SE99");
}
