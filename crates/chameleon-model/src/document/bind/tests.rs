use crate::document::{Allowed, layered};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;

#[derive(Debug, PartialEq, Deserialize)]
struct Config {
    a_map_percentage: u8,
    #[serde(default)]
    b_map_percentage: u8,
    #[serde(default)]
    maps: BTreeMap<String, Map>,
    #[serde(default)]
    search: Search,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Map {
    vendor: Vendor,
    #[serde(alias = "key")]
    app_key: Option<String>,
    #[serde(default)]
    weights: Vec<f64>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Vendor {
    Tmap,
    Custom { base_url: String },
    Other(u16),
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Search {
    cache_size: Option<u32>,
    at_most: i64,
}

fn bind<T: DeserializeOwned>(text: &str, path: &str) -> Result<T, String> {
    let environment = |name: &str| (name == "APP_DIGITS").then(|| "987654".to_owned());
    let merged = layered([("x.yml", Some(text.as_bytes()))]).unwrap();
    let resolved = merged.resolve(&Allowed::default(), environment).unwrap();
    resolved.bind(path).map_err(|fault| fault.to_string())
}

fn check<T: DeserializeOwned + Debug + PartialEq>(text: &str, path: &str, expected: T) {
    assert_eq!(bind::<T>(text, path), Ok(expected), "{text}");
}

#[test]
fn fields_match_whatever_their_spelling() {
    let text = "a-map-percentage: 60\nBMAPPERCENTAGE: 40\nmaps:\n  my-a: { Vendor: tmap, app-key: k, weights: [1, 2.5] }\n  b: { vendor: { custom: { baseUrl: u } }, KEY: x }\nsearch: { cache_size: 5, at-most: -1 }\n";
    let config = bind::<Config>(text, "").unwrap();
    assert_eq!((config.a_map_percentage, config.b_map_percentage), (60, 40));
    let map = &config.maps["my-a"];
    assert_eq!(
        (&map.vendor, map.app_key.as_deref(), map.weights.as_slice()),
        (&Vendor::Tmap, Some("k"), [1.0, 2.5].as_slice())
    );
    let custom = &config.maps["b"];
    assert_eq!(
        (&custom.vendor, custom.app_key.as_deref()),
        (
            &Vendor::Custom {
                base_url: "u".to_owned()
            },
            Some("x")
        )
    );
    assert_eq!(
        config.search,
        Search {
            cache_size: Some(5),
            at_most: -1
        }
    );
}

#[test]
fn parts_are_bound_by_path() {
    check(
        "maps: { a: { vendor: { other: 7 } } }\n",
        "Maps.a.vendor",
        Vendor::Other(7),
    );
    check("list: [ { x: 1 }, { x: 2 } ]\n", "list[1].x", 2_u8);
    check("a: ~\n", "a", None::<u8>);
    check("a: 18446744073709551615\n", "a", u64::MAX);
}

#[test]
fn what_is_absent_is_left_to_the_types_defaults() {
    check("a: 1\n", "search", Search::default());
    assert_eq!(
        bind::<Config>("", "").unwrap_err(),
        "x.yml:1:1: `a_map_percentage` is missing; add it"
    );
    assert_eq!(
        bind::<Map>("maps:\n  b: 1\n", "maps.a").unwrap_err(),
        "x.yml:2:3: maps.a: `vendor` is missing; add it"
    );
}

#[test]
fn a_filled_placeholder_is_a_text_where_one_is_wanted() {
    let text = "n: ${APP_DIGITS}\n";
    check(text, "n", "987654".to_owned());
    check(text, "n", 987_654_u32);
    check(text, "n", Some("987654".to_owned()));
    check("n: ${APP_NONE:}\n", "n", String::new());
}

#[test]
fn errors_name_file_line_and_path_but_no_value() {
    let cases = [
        (
            "aMapPercentage: 300\n",
            "x.yml:1:17: aMapPercentage: must be u8, is an integer out of its range",
        ),
        (
            "a_map_percentage: hunter2\n",
            "x.yml:1:19: a_map_percentage: must be u8, is a text",
        ),
        (
            "aMapPercentage: 1\nmaps: []\n",
            "x.yml:2:7: maps: must be a map, is a list",
        ),
        (
            "aMapPercentage: 1\nmaps: { a: [tmap] }\n",
            "x.yml:2:12: maps.a: must be struct Map, is a list",
        ),
        (
            "aMapPercentage: 1\nmaps:\n  a: { vendor: nobody }\n",
            "x.yml:3:16: maps.a.vendor: `nobody` is not one of `tmap`, `custom`, `other`",
        ),
        (
            "aMapPercentage: 1\nmaps:\n  a: { vendor: '${APP_DIGITS}x' }\n",
            "x.yml:3:16: maps.a.vendor: what its placeholder stands for is not accepted here",
        ),
        (
            "aMapPercentage: 1\nmaps:\n  a: { vendor: tmap, apKey: 1 }\n",
            "x.yml:3:29: maps.a.apKey: is not a known name; remove it or use one of `vendor`, `app_key`, `key`, `weights`",
        ),
        (
            "aMapPercentage: 1\nmaps: { a: { vendor: tmap, weights: [1, x] } }\n",
            "x.yml:2:41: maps.a.weights[1]: must be f64, is a text",
        ),
        (
            "aMapPercentage: 1\nmaps: { a: { vendor: { custom: { baseUrl: 1 } } } }\n",
            "x.yml:2:43: maps.a.vendor.custom.baseUrl: must be a string, is an integer",
        ),
        (
            "aMapPercentage: 1\nkey: 1\nKEY-x: 2\nmaps: { a: { vendor: tmap, key: 1, appKey: 2 } }\n",
            "x.yml:4:33: maps.a.key: must be a string, is an integer",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(bind::<Config>(text, "").unwrap_err(), expected, "{text}");
    }
    assert!(
        bind::<u8>("a: 1\n", "a..b")
            .unwrap_err()
            .contains("is no path")
    );
}

#[test]
fn no_reason_shows_what_an_environment_holds() {
    #[derive(Debug, Deserialize)]
    enum Kind {
        Fast,
    }
    #[derive(Debug, Deserialize)]
    struct Inner {
        #[expect(dead_code, reason = "only its error matters")]
        kind: Kind,
    }
    // serde reads the fields of a flattened struct by itself, far from their marks.
    #[derive(Debug, Deserialize)]
    struct Outer {
        #[serde(flatten)]
        _inner: Inner,
    }
    let text = b"kind: ${APP_KIND}\nport: ${APP_PORT:80}\nurl: 'http://${APP_KIND}@x'\n".as_slice();
    let lookup = |name: &str| (name == "APP_KIND").then(|| "hunter2".to_owned());
    let resolved = layered([("x.yml", Some(text))]).unwrap();
    let resolved = resolved.resolve(&Allowed::default(), lookup).unwrap();
    assert_eq!(
        resolved.bind::<Outer>("").unwrap_err().reason,
        "`(redacted)` is not one of `Fast`"
    );
    let own = "`http://hunter2@x` is no URL for `hunter2`, port 80 is";
    assert_eq!(
        resolved.fault("url".parse().unwrap(), own).reason,
        "`(redacted)` is no URL for `(redacted)`, port 80 is"
    );
}
