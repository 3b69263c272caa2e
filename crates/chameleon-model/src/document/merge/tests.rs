use super::{Merged, layered};
use crate::document::name::canonical;
use crate::document::print::{print, tests::mappings};
use crate::document::{Document, Position};
use proptest::prelude::*;
use serde_json::{Value, json};

fn document(file: &str, value: &Value) -> Document {
    Document::parse(file, print(value).as_bytes()).unwrap()
}

fn merge(values: &[&Value]) -> Value {
    let documents: Vec<_> = values
        .iter()
        .map(|value| document("x.yml", value))
        .collect();
    Merged::of(&documents).value().clone()
}

fn check(layers: &[Value], expected: &Value) {
    let merged = merge(&layers.iter().collect::<Vec<_>>());
    assert_eq!(merged.to_string(), expected.to_string());
}

#[test]
fn layers_merge_deeply_and_later_ones_win() {
    check(&[], &json!({}));
    check(
        &[
            json!({"a": {"x": 1, "y": 2}}),
            json!({"a": {"y": 3, "z": 4}}),
        ],
        &json!({"a": {"x": 1, "y": 3, "z": 4}}),
    );
    check(
        &[json!({"a": [1, 2]}), json!({"a": [3]})],
        &json!({"a": [3]}),
    );
    check(
        &[json!({"a": {"x": 1}}), json!({"a": null})],
        &json!({"a": null}),
    );
    check(
        &[json!({"a": 1}), json!({"a": {"x": 1}})],
        &json!({"a": {"x": 1}}),
    );
    check(&[json!({"a": null}), json!({"a": {}})], &json!({"a": {}}));
}

#[test]
fn the_highest_spelling_is_kept_in_the_lowest_place() {
    check(
        &[
            json!({"a-map": 1, "z": 0}),
            json!({"n": 1, "aMap": 2}),
            json!({"A_MAP": 3}),
        ],
        &json!({"A_MAP": 3, "z": 0, "n": 1}),
    );
}

#[test]
fn values_remember_their_file_and_line() {
    let merged = layered([
        (
            "config/application.yml",
            Some(b"timeout: 1s\nmaps:\n  a: { x: 1 }\n".as_slice()),
        ),
        ("config/location.yml", None),
        (
            "config/location-beta.yml",
            Some(b"\nmaps:\n  a: { y: 2 }\n".as_slice()),
        ),
    ])
    .unwrap();
    let origin = |path: &str| merged.origin_of(&path.parse().unwrap());
    let at = |line, column| Position { line, column };
    assert_eq!(
        origin("timeout"),
        Some(("config/application.yml", at(1, 10)))
    );
    assert_eq!(
        origin("maps.a.x"),
        Some(("config/application.yml", at(3, 11)))
    );
    assert_eq!(
        origin("maps.a.y"),
        Some(("config/location-beta.yml", at(3, 11)))
    );
    assert_eq!(
        origin("maps.a"),
        Some(("config/location-beta.yml", at(3, 6)))
    );
    assert_eq!(origin("maps.b"), None);
    let fault = merged.fault("maps.b.x".parse().unwrap(), "is missing");
    assert_eq!(
        fault.to_string(),
        "config/location-beta.yml:2:1: maps.b.x: is missing"
    );
}

#[test]
fn faults_of_all_layers_are_collected() {
    let faults = layered([
        ("a.yml", Some(b"a: yes\n".as_slice())),
        ("b.yml", Some(b"a: 1\n".as_slice())),
        ("c.yml", Some(b"- 1\n".as_slice())),
    ])
    .unwrap_err();
    let files: Vec<_> = faults.iter().map(|fault| fault.file.as_str()).collect();
    assert_eq!(files, ["a.yml", "c.yml"]);
}

/// The value with canonical names: what remains when spelling does not count.
fn unspelled(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (canonical(name).into_owned(), unspelled(value)))
            .collect(),
        // Lists replace, so names in them are never compared.
        other => other.clone(),
    }
}

/// Mappings that agree on which names hold mappings. Where a scalar stands between two mappings
/// the order of merging counts, and layers are always merged from the lowest.
fn shaped() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<u8>().prop_map(Value::from),
        Just(json!([1, {"x": 2}]))
    ];
    let leaves = prop::collection::btree_map("s[a-b]", leaf, 0..3);
    let leaves = leaves.prop_map(|fields| fields.into_iter().collect::<Value>());
    leaves.prop_recursive(3, 16, 3, |inner| {
        (
            prop::collection::btree_map("m-?[a-b]", inner.clone(), 0..3),
            inner,
        )
            .prop_map(|(maps, scalars)| {
                let maps = maps
                    .into_iter()
                    .filter(|(name, _)| !name.contains('-') || name.ends_with('b'));
                let maps: Vec<_> = maps.collect();
                let mut fields = scalars.as_object().cloned().unwrap_or_default();
                for (name, value) in maps {
                    fields.retain(|other, _| canonical(other) != canonical(&name));
                    fields.insert(name, value);
                }
                Value::Object(fields)
            })
    })
}

proptest! {
    #[test]
    fn merging_is_associative(a in shaped(), b in shaped(), c in shaped()) {
        let left = merge(&[&merge(&[&a, &b]), &c]);
        let right = merge(&[&a, &merge(&[&b, &c])]);
        prop_assert_eq!(&left, &merge(&[&a, &b, &c]));
        prop_assert_eq!(unspelled(&left), unspelled(&right));
    }

    #[test]
    fn nothing_changes_nothing(a in mappings()) {
        let nothing = json!({});
        prop_assert_eq!(&merge(&[&a, &nothing]), &a);
        prop_assert_eq!(&merge(&[&nothing, &a]), &a);
    }

    #[test]
    fn merging_twice_changes_nothing(a in mappings(), b in mappings()) {
        let once = merge(&[&a, &b]);
        prop_assert_eq!(&merge(&[&once, &b]), &once);
        prop_assert_eq!(&merge(&[&a, &a]), &a);
    }

    #[test]
    fn the_highest_layer_wins(a in mappings(), b in mappings()) {
        fn holds(merged: &Value, high: &Value) -> bool {
            match (merged, high) {
                (Value::Object(merged), Value::Object(high)) => high
                    .iter()
                    .all(|(name, value)| merged.get(name).is_some_and(|merged| holds(merged, value))),
                _ => merged == high,
            }
        }
        prop_assert!(holds(&merge(&[&a, &b]), &b));
    }

    #[test]
    fn every_merged_value_knows_its_origin(a in mappings(), b in mappings()) {
        let layers = [document("a.yml", &a), document("b.yml", &b)];
        let merged = Merged::of(&layers);
        for name in merged.value().as_object().unwrap().keys() {
            let path = crate::document::Path::root().name(name);
            let (file, position) = merged.origin_of(&path).unwrap();
            let source = layers.iter().find(|layer| layer.file() == file).unwrap();
            prop_assert_eq!(source.position_of(&path), Some(position));
        }
    }
}
