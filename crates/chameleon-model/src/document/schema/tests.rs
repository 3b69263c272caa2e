use super::{Mode, Schema};
use crate::document::{Document, Merged};

const SCHEMA: &str = r##"
$schema: https://json-schema.org/draft/2020-12/schema
type: object
required: [aMapPercentage, maps]
additionalProperties: false
x-sum: { of: [aMapPercentage, bMapPercentage], equals: 100 }
properties:
  aMapPercentage: { $ref: "#/$defs/share" }
  b-map-percentage: { $ref: "#/properties/aMapPercentage" }
  port: { type: integer }
  host: { type: string, pattern: "^[a-z.]+$" }
  level: { enum: [low, high] }
  limit: { oneOf: [{ type: integer, minimum: 1 }, { const: none }] }
  maps:
    type: object
    minProperties: 1
    propertyNames: { pattern: "^[a-z]+$" }
    additionalProperties: { $ref: "#/$defs/map" }
  extras:
    patternProperties: { "^[a-z]Percentage$": { type: integer } }
    additionalProperties: false
$defs:
  share: { type: integer, minimum: 0, maximum: 100 }
  map:
    type: object
    required: [vendor]
    properties:
      vendor: { enum: [tmap, naver] }
      appKey: { type: string, minLength: 4 }
      timeout: { type: string }
    dependentRequired: { appKey: [timeout] }
"##;

fn faults(schema: &str, mode: Mode, layers: &[(&str, &str)]) -> Vec<String> {
    let schema = Schema::compile("schemas/x.schema.yml", schema.as_bytes(), mode).unwrap();
    let documents: Vec<_> = layers
        .iter()
        .map(|(file, text)| Document::parse(file, text.as_bytes()).unwrap())
        .collect();
    let faults = schema.check(&Merged::of(&documents).with_defaults());
    faults.iter().map(ToString::to_string).collect()
}

fn check(text: &str, expected: &[&str]) {
    assert_eq!(
        faults(SCHEMA, Mode::Whole, &[("x.yml", text)]),
        expected,
        "{text}"
    );
}

const GOOD: &str = "a-map-percentage: 90\nb_map_percentage: 10\nmaps: { a: { vendor: tmap } }\n";

#[test]
fn names_match_whatever_their_spelling() {
    check(GOOD, &[]);
    check(
        "AMapPercentage: 100\nMaps: { a: { Vendor: naver, app_key: abcd, TIMEOUT: 1s } }\n",
        &[],
    );
    check(
        &format!("{GOOD}extras: {{ a-percentage: 1, bPercentage: 2 }}\n"),
        &[],
    );
}

#[test]
fn every_fault_has_its_place_and_words() {
    check(
        "aMapPercentage: 100\n",
        &["x.yml:1:1: `maps` is required; add it"],
    );
    check(
        "a-map-percentage: 80\nbMapPercentage: 10\nmaps: { a: { vendor: tmap } }\n",
        &[
            "x.yml:1:1: `aMapPercentage` 80 + `bMapPercentage` 10 is 90, must be 100; change them together",
        ],
    );
    check(
        "aMapPercentage: 110\nmaps: { a: { vendor: osm } }\n",
        &[
            "x.yml:1:1: `aMapPercentage` 110 + `bMapPercentage` absent is 110, must be 100; change them together",
            "x.yml:1:17: aMapPercentage: must be at most 100, is 110",
            "x.yml:2:22: maps.a.vendor: must be one of `tmap`, `naver`, is `osm`",
        ],
    );
    check(
        "aMapPercentage: lots\nmaps: { a: { vendor: tmap } }\n",
        &[
            "x.yml:1:17: aMapPercentage: must be a number, is a text",
            "x.yml:1:17: aMapPercentage: must be an integer, is a text",
        ],
    );
    for (addition, expected) in [
        (
            "Prot: 80\n",
            "x.yml:4:1: Prot: is not known to the schema; remove it or correct its name",
        ),
        (
            "port: '80'\n",
            "x.yml:4:7: port: must be an integer, is a text",
        ),
        (
            "host: A B\n",
            "x.yml:4:7: host: must match `^[a-z.]+$`, is `A B`",
        ),
        (
            "limit: 0\n",
            "x.yml:4:8: limit: fits none of the schema's choices: must be at least 1, is 0",
        ),
        (
            "extras: { x: 1 }\n",
            "x.yml:4:11: extras.x: is not known to the schema; remove it or correct its name",
        ),
    ] {
        check(&format!("{GOOD}{addition}"), &[expected]);
    }
    check(
        "aMapPercentage: 100\nmaps: { a: {} }\n",
        &["x.yml:2:9: maps.a: `vendor` is required; add it"],
    );
    check(
        "aMapPercentage: 100\nmaps: { a1: { vendor: tmap } }\n",
        &["x.yml:2:7: maps: has the name `a1`, which the schema does not allow"],
    );
}

#[test]
fn secrets_are_not_shown() {
    check(
        "aMapPercentage: 100\nmaps: { a: { vendor: tmap, appKey: abc, timeout: 1s } }\n",
        &["x.yml:2:36: maps.a.appKey: must have at least 4 characters, is (redacted)"],
    );
}

#[test]
fn faults_of_merged_documents_name_the_layer() {
    let layers = [
        (
            "location.yml",
            "port: x\naMapPercentage: 100\nmaps: { a: { vendor: tmap } }\n",
        ),
        ("location-beta.yml", "\nbMapPercentage: 10\n"),
    ];
    assert_eq!(
        faults(SCHEMA, Mode::Whole, &layers),
        [
            "location-beta.yml:2:1: `aMapPercentage` 100 + `bMapPercentage` 10 is 110, must be 100; change them together",
            "location.yml:1:7: port: must be an integer, is a text",
        ]
    );
}

#[test]
fn placeholders_without_default_pass_where_they_stand() {
    check(
        &format!("{GOOD}port: ${{APP_PORT}}\nlevel: ${{APP_LEVEL}}\nlimit: ${{APP_LIMIT}}\n"),
        &[],
    );
    check(
        "aMapPercentage: ${APP_SHARE}\nmaps: { a: { vendor: '${APP_V}', appKey: '${K}', timeout: 1s } }\n",
        &[],
    );
    check(&format!("{GOOD}host: X${{APP_HOST}}\n"), &[]);
    check(
        &format!("{GOOD}port: 80${{APP_PORT}}\n"),
        &["x.yml:4:7: port: must be an integer, is a text"],
    );
    check(
        &format!("{GOOD}port: ${{APP_PORT:http}}\n"),
        &["x.yml:4:7: port: must be an integer, is a text"],
    );
    check(
        "aMapPercentage: 100\nmaps: ${APP_MAPS}\nport: x\n",
        &["x.yml:3:7: port: must be an integer, is a text"],
    );
}

#[test]
fn one_layer_alone_is_held_to_less() {
    let own = |text: &str| faults(SCHEMA, Mode::OwnDocument, &[("x.yml", text)]);
    assert!(own("aMapPercentage: 10\n").is_empty());
    assert!(own("maps: { a: { appKey: abcd } }\n").is_empty());
    assert!(own("maps: {}\n").is_empty());
    assert_eq!(
        own("port: x\n"),
        ["x.yml:1:7: port: must be an integer, is a text"]
    );
    assert_eq!(own("limit: 0\n").len(), 1);
    assert_eq!(own("prot: 1\n").len(), 1);
}

#[test]
fn bad_schemas_are_refused() {
    let cases = [
        (
            "type: strin\n",
            "x.schema.yml:1:1: type: is no valid schema: ",
        ),
        (
            "properties: { a: { minimum: x } }\n",
            "x.schema.yml:1:20: properties.a.minimum: is no valid schema: ",
        ),
        (
            "properties:\n  a: { $ref: 'https://example.com/x.json' }\n",
            "x.schema.yml:2:8: properties.a.$ref: `https://example.com/x.json` is outside of this schema; copy it into `$defs` and write `#/$defs/...`",
        ),
        (
            "$ref: '#/$defs/none'\n",
            "x.schema.yml:1:1: is no valid schema: ",
        ),
        (
            "x-sum: { of: a, equals: 100 }\n",
            "x.schema.yml:1:1: x-sum: `x-sum` is written like `{of: [aMapPercentage, bMapPercentage], equals: 100}`",
        ),
        (
            "patternProperties: { '^x-': {} }\n",
            "x.schema.yml:1:22: patternProperties.^x-: names are compared without `-` and `_`, so this pattern never matches; leave them out of it",
        ),
        (
            "properties: { aB: {}, a-b: {} }\n",
            "x.schema.yml:1:23: properties: `a-b` and `aB` in line 1 are the same name; keep one",
        ),
    ];
    for (text, expected) in cases {
        let faults = Schema::compile("x.schema.yml", text.as_bytes(), Mode::Whole).unwrap_err();
        assert!(
            faults[0].to_string().starts_with(expected),
            "{text}: {}",
            faults[0]
        );
    }
}

#[test]
fn schemas_that_refer_to_themselves_end() {
    let tree = "properties: { child: { $ref: '#' }, name: { type: string } }\n";
    let text = "name: a\nchild: { name: b, child: { name: 1 } }\n";
    assert_eq!(
        faults(tree, Mode::Whole, &[("x.yml", text)]),
        ["x.yml:2:34: child.child.name: must be a text, is an integer"]
    );
    for looping in [
        "$ref: '#'\n",
        "allOf: [{ $ref: '#' }]\n",
        "$ref: '#/$defs/a'\n$defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } }\n",
    ] {
        assert!(
            faults(looping, Mode::Whole, &[("x.yml", "a: 1\n")]).is_empty(),
            "{looping}"
        );
    }
}

#[test]
fn a_sum_of_nothing_is_told_once() {
    let sum = "x-sum: { of: [aShare, b-share], equals: 100 }\n";
    let told = |schema: &str, text: &str| faults(schema, Mode::Whole, &[("x.yml", text)]);
    let absent =
        "x.yml:1:1: `aShare` absent + `b-share` absent is 0, must be 100; change them together";
    assert_eq!(told(sum, "a: 1\n"), [absent]);
    let one = format!("required: [a-share]\n{sum}");
    let missing = |name: &str| format!("x.yml:1:1: `{name}` is required; add it");
    assert_eq!(
        told(&one, "a: 1\n"),
        [missing("a-share"), absent.to_owned()]
    );
    let both = format!("required: [a_share, bShare]\n{sum}");
    assert_eq!(
        told(&both, "a: 1\n"),
        [missing("a_share"), missing("bShare")]
    );
    let half = "x.yml:1:1: `aShare` 90 + `b-share` absent is 90, must be 100; change them together";
    assert_eq!(
        told(&both, "aShare: 90\n"),
        [half.to_owned(), missing("bShare")]
    );
}
