use secrecy::ExposeSecret;

use super::*;

fn read(json: &str) -> Result<MapConfig, String> {
    let document: serde_json::Value = serde_json::from_str(json).expect("JSON");
    serde_json::from_value(document).map_err(|error| error.to_string())
}

const TWO: &str = r#""maps": {
    "a": {"vendor": "tmap", "appKey": "key-a"},
    "b": {"vendor": "naver", "clientId": "id-b", "clientSecret": "secret-b", "timeout": "1s"}
}"#;

fn two(rest: &str) -> Result<MapConfig, String> {
    read(&format!("{{{TWO}, {rest}}}"))
}

#[test]
fn a_whole_document_is_read_with_defaults() {
    let config =
        two(r#""aMapPercentage": 90, "bMapPercentage": 10, "somebodyElses": [1]"#).expect("valid");
    let names: Vec<&str> = config
        .providers
        .iter()
        .map(|provider| provider.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(config.deadline, Duration::from_millis(1500));
    assert_eq!(config.providers[0].timeout, Duration::from_millis(800));
    assert_eq!(config.providers[1].timeout, Duration::from_secs(1));
    let percent: Vec<f64> = config
        .shares
        .as_slice()
        .iter()
        .map(|share| share.percent())
        .collect();
    assert_eq!(percent, [90.0, 10.0]);
    let VendorSettings::Tmap(tmap) = &config.providers[0].vendor else {
        panic!("`a` is tmap")
    };
    assert_eq!(tmap.app_key.expose_secret(), "key-a");
    assert_eq!(tmap.base_url.as_str(), "https://apis.openapi.sk.com/");
    assert_eq!(tmap.key_in, KeyIn::Header);
}

#[test]
fn every_spelling_of_a_name_is_read() {
    let config = read(
        r#"{"a_map_percentage": 33.33, "B-MAP-PERCENTAGE": 66.67, "search": {"DeadLine": "2s"},
            "maps": {"A": {"vendor": "TMAP", "app_key": 12345, "key-in": "query", "base_url": "http://127.0.0.1:8531"},
                     "b": {"vendor": "naver", "client-id": "i", "client_secret": "s", "dialect": "developers",
                           "localClientId": "li", "localClientSecret": "ls"}}}"#,
    )
    .expect("valid");
    assert_eq!(config.deadline, Duration::from_secs(2));
    let VendorSettings::Tmap(tmap) = &config.providers[0].vendor else {
        panic!("`a` is tmap")
    };
    assert_eq!(
        (tmap.app_key.expose_secret(), tmap.key_in),
        ("12345", KeyIn::Query)
    );
    let VendorSettings::Naver(naver) = &config.providers[1].vendor else {
        panic!("`b` is naver")
    };
    assert_eq!(naver.local_base_url.as_str(), "https://openapi.naver.com/");
    assert_eq!(
        (
            naver.maps.id.expose_secret(),
            naver.local.id.expose_secret()
        ),
        ("i", "li")
    );
}

#[test]
fn shares_have_to_be_right() {
    let check = |rest: &str, expected: &str| assert_eq!(two(rest).expect_err(rest), expected);
    check(
        r#""aMapPercentage": 90, "bMapPercentage": 20"#,
        "`aMapPercentage` makes shares that add up to 110, not to 100: `aMapPercentage` 90, `bMapPercentage` 20; change them together",
    );
    check(
        r#""search": null"#,
        "`maps` has no shares: give its providers their percentages, such as `aMapPercentage: 100`",
    );
    check(
        r#""aMapPercentage": 101, "bMapPercentage": -1"#,
        "`aMapPercentage` is 101: give a number from 0 to 100, with at most two decimals; \
         `bMapPercentage` is -1: give a number from 0 to 100, with at most two decimals",
    );
    check(
        r#""aMapPercentage": "90""#,
        "`aMapPercentage` is not a number: give a number from 0 to 100, with at most two decimals",
    );
    check(
        r#""aMapPercentage": 100, "cMapPercentage": 0"#,
        "`cMapPercentage` has no provider: declare `maps.c` or remove the percentage",
    );
    check(
        r#""aMapPercentage": 100, "a-map-percentage": 100"#,
        "`a-map-percentage` is the same name as `aMapPercentage`: keep one of them",
    );
}

#[test]
fn providers_have_to_be_right() {
    let check = |maps: &str, expected: &str| {
        let found = read(&format!(r#"{{"aMapPercentage": 100, "maps": {maps}}}"#));
        assert_eq!(found.expect_err(maps), expected);
    };
    check(
        r#"{"a": {"vendor": "goggle", "whatever": 1}}"#,
        "`maps.a.vendor` is `goggle`: give one of `tmap`, `naver`",
    );
    check(
        r#"{"a": {}}"#,
        "`maps.a.vendor` is missing: give one of `tmap`, `naver`",
    );
    check(
        r#"{"a": {"vendor": "tmap", "appKey": "k", "appkeys": "k"}}"#,
        "`maps.a.appkeys` is not known here: known are `timeout`, `vendor`, `appKey`, `baseUrl`, `keyIn`",
    );
    check(r#"{"a": {"vendor": "tmap"}}"#, "`maps.a.appKey` is missing");
    check(
        r#"{"a": {"vendor": "tmap", "appKey": ["s3cret"]}}"#,
        "`maps.a.appKey` has to be text: put it in quotes",
    );
    check(
        r#"{"a": {"vendor": "naver", "clientId": "i", "clientSecret": "s", "localClientId": "l"}}"#,
        "`maps.a.localClientSecret` is missing",
    );
    check(
        r#"{"a": {"vendor": "tmap", "appKey": "k", "baseUrl": "ftp://x"}}"#,
        "`maps.a.baseUrl` has to be `https://host[:port][/path]` without credentials and query",
    );
    check(
        r#"{"a": {"vendor": "tmap", "appKey": "k", "timeout": 800}}"#,
        "`maps.a.timeout` has to be a time with its unit, such as `800ms` or `1s`",
    );
    check(
        r#"{"a": {"vendor": "tmap", "appKey": "k"}, "A": {"vendor": "tmap", "appKey": "k"}}"#,
        "`maps.A` is the same name as another provider: keep one of them",
    );
    check(
        r#"{"a": 5}"#,
        "`maps.a` has to be a map with `vendor` and its settings",
    );
    check(
        "{}",
        "`maps` declares no provider: add one, such as `a: {vendor: tmap, appKey: …}`; \
         `aMapPercentage` has no provider: declare `maps.a` or remove the percentage",
    );
}

#[test]
fn all_faults_are_told_at_once() {
    let error = read(
        r#"{"aMapPercentage": 90, "search": {"deadline": "0s", "cash": 1},
            "maps": {"a": {"vendor": "tmap", "timeout": "2h"}, "b": {"vendor": "x"}, "c!": {}}}"#,
    )
    .expect_err("faulty");
    for path in [
        "search.deadline",
        "search.cash",
        "maps.a.timeout",
        "maps.a.appKey",
        "maps.b.vendor",
        "maps.c!",
    ] {
        assert!(error.contains(&format!("`{path}`")), "{path} in {error}");
    }
    assert!(error.contains("add up to 90"), "{error}");
}

#[test]
fn secrets_stay_out_of_debug_and_faults() {
    let config = two(r#""aMapPercentage": 100"#).expect("valid");
    let shown = format!("{config:?}");
    for secret in ["key-a", "id-b", "secret-b"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let error =
        read(r#"{"maps": {"a": {"vendor": "tmap", "appKey": "s3cret key"}}}"#).expect_err("faulty");
    assert!(!error.contains("s3cret"), "{error}");
}

#[test]
fn anything_else_than_a_map_is_refused() {
    assert!(read("[]").is_err());
    assert!(
        read("{}")
            .expect_err("empty")
            .contains("declares no provider")
    );
}
