use axum::body::to_bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;
use crate::gazetteer::tests::samples;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../fixtures/tmap/", $name))
    };
}

struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

async fn ask(gazetteer: Arc<Gazetteer>, path: &str, params: &[(&str, &str)]) -> Answer {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(params);
    let request = http::Request::get(format!("{path}?{}", query.finish()))
        .header("appKey", "test-key")
        .body(axum::body::Body::empty())
        .unwrap();
    send(router(gazetteer, None), request).await
}

async fn send(router: Router, request: Request) -> Answer {
    let response = router.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    Answer { status, body }
}

async fn pois(params: &[(&str, &str)]) -> Answer {
    let all = [&[("version", "1")], params].concat();
    ask(Gazetteer::embedded(), "/tmap/pois", &all).await
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
    round_trip::<model::PoisAnswer>(fixture!("pois-urban.json"));
    round_trip::<model::PoisAnswer>(fixture!("pois-rural.json"));
    round_trip::<model::ReverseAnswer>(fixture!("reverse-urban.json"));
    round_trip::<model::ReverseAnswer>(fixture!("reverse-rural.json"));
    round_trip::<model::GeocodeAnswer>(fixture!("geocode-road.json"));
    round_trip::<model::GeocodeAnswer>(fixture!("geocode-coarse.json"));
    round_trip::<model::ErrorEnvelope>(fixture!("error-invalid-key.json"));
    round_trip::<model::ErrorEnvelope>(fixture!("error-quota.json"));
    round_trip::<model::ErrorEnvelope>(fixture!("error-missing-parameter.json"));
    round_trip::<model::ErrorEnvelope>(fixture!("error-no-address.json"));
}

#[test]
fn the_recorded_malformed_answer_is_no_json() {
    let body = fixture!("reverse-malformed.txt");
    assert!(serde_json::from_str::<Value>(body).is_err());
}

#[tokio::test]
async fn the_sample_place_is_served_as_in_the_urban_sample() {
    let params = [("version", "1"), ("searchKeyword", "장은빌딩")];
    let answer = ask(samples(), "/tmap/pois", &params).await.json();
    let sample = value(fixture!("pois-urban.json"));
    let poi = "/searchPoiInfo/pois/poi/0";
    assert_eq!(answer.pointer(poi), sample.pointer(poi));
    assert_eq!(answer["searchPoiInfo"]["totalCount"], "1");
}

#[tokio::test]
async fn the_sample_place_is_served_as_in_the_rural_sample() {
    let params = [
        ("version", "1"),
        ("searchKeyword", "두물머리식당"),
        ("centerLat", "37.5331204"),
        ("centerLon", "127.3323"),
    ];
    let mut answer = ask(samples(), "/tmap/pois", &params).await.json();
    let mut sample = value(fixture!("pois-rural.json"));
    let poi = answer.pointer_mut("/searchPoiInfo/pois/poi/0").unwrap();
    let radius = poi["radius"].as_str().unwrap().to_owned();
    assert!(radius.starts_with("1.2") && radius.len() == 5, "{radius}");
    // The distance depends on where it is asked from; the other two members vary between
    // recorded answers as well.
    let expected = sample.pointer_mut("/searchPoiInfo/pois/poi/0").unwrap();
    expected["radius"] = radius.into();
    expected["bizName"] = "".into();
    expected["newAddressList"]["newAddress"][0]["roadId"] = "4441019".into();
    assert_eq!(answer, sample);
}

#[tokio::test]
async fn nothing_found_is_204_without_a_body() {
    for params in [
        &[("searchKeyword", "없는가게이름")][..],
        &[("searchKeyword", "코엑스"), ("page", "9")],
        &[
            ("searchKeyword", "코엑스"),
            ("centerLat", "35.1"),
            ("centerLon", "129.0"),
            ("radius", "1"),
        ],
    ] {
        let answer = pois(params).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (204, ""),
            "{params:?}"
        );
    }
}

#[tokio::test]
async fn pages_are_slices_of_one_list() {
    let page = async |page: &'static str| {
        let params = [("searchKeyword", "롯데"), ("count", "1"), ("page", page)];
        pois(&params).await.json()["searchPoiInfo"].clone()
    };
    let (first, second) = (page("1").await, page("2").await);
    assert_eq!(first["totalCount"], second["totalCount"]);
    assert_eq!(
        (&first["count"], &second["page"]),
        (&"1".into(), &"2".into())
    );
    assert_ne!(first["pois"], second["pois"]);
}

#[tokio::test]
async fn by_distance_the_nearest_comes_first() {
    let params = [
        ("searchKeyword", "신세계백화점"),
        ("searchtypCd", "R"),
        ("centerLat", "35.17"),
        ("centerLon", "129.13"),
    ];
    let answer = pois(&params).await.json();
    let names = answer.pointer("/searchPoiInfo/pois/poi").unwrap();
    assert_eq!(names[0]["name"], "신세계백화점 센텀시티점");
    assert_eq!(names[1]["name"], "신세계백화점 강남점");
}

#[tokio::test]
async fn hard_places_keep_their_peculiarities() {
    let poi = async |name: &'static str| {
        let answer = pois(&[("searchKeyword", name), ("count", "1")])
            .await
            .json();
        answer.pointer("/searchPoiInfo/pois/poi/0").unwrap().clone()
    };
    let peak = poi("설악산 대청봉").await;
    assert_eq!(
        (&peak["mlClass"], &peak["firstNo"]),
        (&"2".into(), &"1".into())
    );
    assert_eq!(peak["upperAddrName"], "강원");
    assert_eq!(
        peak["newAddressList"]["newAddress"],
        Value::Array(Vec::new())
    );
    let station = poi("강남역").await;
    assert_eq!(
        station["newAddressList"]["newAddress"][0]["fullAddressRoad"],
        "서울 강남구 강남대로 지하 396"
    );
    let hall = poi("세종특별자치시청").await;
    assert_eq!(
        (&hall["upperAddrName"], &hall["middleAddrName"]),
        (&"세종".into(), &"".into())
    );
}

#[tokio::test]
async fn the_sample_position_is_reversed_as_in_the_urban_sample() {
    let params = [
        ("version", "1"),
        ("lat", "37.5164"),
        ("lon", "127.1130"),
        ("coordType", "WGS84GEO"),
        ("addressType", "A10"),
    ];
    let mut answer = ask(samples(), "/tmap/geo/reversegeocoding", &params)
        .await
        .json();
    let sample = value(fixture!("reverse-urban.json"));
    let distance = answer["addressInfo"]["mappingDistance"].as_str().unwrap();
    assert!(distance.parse::<f64>().unwrap() < 10.0);
    answer["addressInfo"]["mappingDistance"] = sample["addressInfo"]["mappingDistance"].clone();
    assert_eq!(answer, sample);
}

#[tokio::test]
async fn the_sample_position_is_reversed_as_in_the_rural_sample() {
    let params = [
        ("version", "1"),
        ("lat", "37.5332"),
        ("lon", "127.3180"),
        ("addressType", "A10"),
    ];
    let mut answer = ask(samples(), "/tmap/geo/reversegeocoding", &params)
        .await
        .json();
    let sample = value(fixture!("reverse-rural.json"));
    answer["addressInfo"]["mappingDistance"] = sample["addressInfo"]["mappingDistance"].clone();
    assert_eq!(answer, sample);
}

#[tokio::test]
async fn a_position_at_sea_or_abroad_is_204() {
    for (lat, lon) in [("36.0", "130.5"), ("48.85", "2.35")] {
        let params = [("version", "1"), ("lat", lat), ("lon", lon)];
        let answer = ask(Gazetteer::embedded(), "/tmap/geo/reversegeocoding", &params).await;
        assert_eq!(answer.status, 204);
    }
}

#[tokio::test]
async fn the_address_type_chooses_the_parts() {
    for (address_type, full_address) in [
        ("A00", "서울특별시 강남구 역삼1동,서울특별시 강남구 역삼동"),
        ("A01", "서울특별시 강남구 역삼1동"),
        ("A02", "서울특별시 강남구 역삼동 737"),
        ("A03", "서울특별시 강남구 테헤란로"),
        ("A04", "서울특별시 강남구 테헤란로 152 강남파이낸스센터"),
    ] {
        let params = [
            ("version", "1"),
            ("lat", "37.500028"),
            ("lon", "127.036502"),
            ("addressType", address_type),
        ];
        let answer = ask(Gazetteer::embedded(), "/tmap/geo/reversegeocoding", &params).await;
        assert_eq!(answer.json()["addressInfo"]["fullAddress"], full_address);
    }
}

#[tokio::test]
async fn the_sample_address_is_geocoded_as_in_the_sample() {
    let params = [("version", "1"), ("fullAddr", "서울 송파구 위례성대로 2")];
    let mut answer = ask(samples(), "/tmap/geo/fullAddrGeo", &params)
        .await
        .json();
    let sample = value(fixture!("geocode-road.json"));
    // The use of a building is not in the gazetteer; its category stands in.
    let category = "/coordinateInfo/coordinate/0/newBuildingCateName";
    *answer.pointer_mut(category).unwrap() = sample.pointer(category).unwrap().clone();
    // The samples of one place differ in the last digit.
    let latitude = answer
        .pointer_mut("/coordinateInfo/coordinate/0/newLat")
        .unwrap();
    assert_eq!(*latitude, "37.516377");
    *latitude = "37.516378".into();
    assert_eq!(answer, sample);
}

#[tokio::test]
async fn a_road_alone_is_geocoded_with_the_members_of_the_coarse_sample() {
    let params = [("version", "1"), ("fullAddr", "송파구 위례성대로")];
    let mut answer = ask(samples(), "/tmap/geo/fullAddrGeo", &params)
        .await
        .json();
    let sample = value(fixture!("geocode-coarse.json"));
    for (row, lat, lon) in [(0, "newLat", "newLon"), (1, "lat", "lon")] {
        let path = format!("/coordinateInfo/coordinate/{row}");
        let expected = sample.pointer(&path).unwrap();
        let actual = answer.pointer_mut(&path).unwrap();
        for name in [lat, lon] {
            assert!(actual[name].as_str().unwrap().parse::<f64>().is_ok());
            actual[name] = expected[name].clone();
        }
    }
    assert_eq!(answer, sample);
}

#[tokio::test]
async fn the_address_flag_chooses_the_half() {
    let geocode = async |address: &'static str, flag: &'static str| {
        let params = [
            ("version", "1"),
            ("fullAddr", address),
            ("addressFlag", flag),
        ];
        ask(Gazetteer::embedded(), "/tmap/geo/fullAddrGeo", &params).await
    };
    let lot = geocode("강남구 역삼동 737", "F01").await.json();
    let hit = &lot["coordinateInfo"]["coordinate"][0];
    assert_eq!(
        (&hit["matchFlag"], &hit["newMatchFlag"]),
        (&"M11".into(), &"".into())
    );
    assert_eq!(geocode("강남구 역삼동 737", "F02").await.status, 400);
}

#[tokio::test]
async fn bad_requests_have_the_recorded_envelopes() {
    let answer = pois(&[]).await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.json(),
        value(fixture!("error-missing-parameter.json"))
    );

    let params = [("version", "1"), ("fullAddr", "서울 송파구 없는로 1")];
    let answer = ask(samples(), "/tmap/geo/fullAddrGeo", &params).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json(), value(fixture!("error-no-address.json")));

    for (path, params, code) in [
        ("/tmap/pois", &[("searchKeyword", "x")][..], "9401"),
        (
            "/tmap/pois",
            &[("version", "1"), ("searchKeyword", "x"), ("count", "201")],
            "9402",
        ),
        (
            "/tmap/pois",
            &[
                ("version", "1"),
                ("searchKeyword", "x"),
                ("resCoordType", "KATEC"),
            ],
            "9402",
        ),
        (
            "/tmap/pois",
            &[
                ("version", "1"),
                ("searchKeyword", "x"),
                ("searchtypCd", "R"),
            ],
            "9401",
        ),
        (
            "/tmap/geo/reversegeocoding",
            &[("version", "1"), ("lat", "37.5")],
            "9401",
        ),
        (
            "/tmap/geo/reversegeocoding",
            &[("version", "1"), ("lat", "37.5"), ("lon", "east")],
            "9402",
        ),
        ("/tmap/geo/fullAddrGeo", &[("version", "1")], "9401"),
        ("/tmap/routes", &[("version", "1")], "NOT_FOUND"),
    ] {
        let answer = ask(samples(), path, params).await;
        assert_eq!(answer.json()["error"]["code"], code, "{path} {params:?}");
    }
}

#[tokio::test]
async fn a_key_is_needed_in_the_header_or_in_the_query() {
    let key = || Some(SecretString::from("right"));
    let check = async |key: Option<SecretString>, header: Option<&str>, query: &str| {
        let uri = format!("/tmap/pois?version=1&searchKeyword=a{query}");
        let mut request = http::Request::get(uri);
        if let Some(value) = header {
            request = request.header("appkey", value);
        }
        let request = request.body(axum::body::Body::empty()).unwrap();
        send(router(samples(), key), request).await
    };
    assert_eq!(check(None, None, "&appKey=any").await.status, 204);
    assert_eq!(check(key(), Some("right"), "").await.status, 204);
    for refused in [
        check(None, None, "").await,
        check(None, None, "&appKey=").await,
        check(key(), Some("wrong"), "").await,
        check(key(), None, "&appKey=wrong").await,
    ] {
        assert_eq!(refused.status, 403);
        assert_eq!(refused.json(), value(fixture!("error-invalid-key.json")));
    }
}

#[tokio::test]
async fn refusals_by_a_fault_are_in_the_vendors_words() {
    let told = async |status: u16, code: Option<&str>| {
        let status = http::StatusCode::from_u16(status).unwrap();
        let response = refuse("/tmap/pois", status, code);
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    };
    assert_eq!(
        value(&told(429, None).await),
        value(fixture!("error-quota.json"))
    );
    assert_eq!(
        value(&told(429, Some("THROTTLED")).await)["error"]["code"],
        "THROTTLED"
    );
    assert_eq!(
        value(&told(403, None).await),
        value(fixture!("error-invalid-key.json"))
    );
    assert!(told(503, None).await.starts_with("<html>"));
}
