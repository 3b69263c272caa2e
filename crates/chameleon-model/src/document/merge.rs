//! Layers: one document out of several, later ones win.

use super::fault::{Fault, Position};
use super::marks::{Children, Marks};
use super::name::canonical;
use super::path::Path;
use super::yaml::Document;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

/// Several documents as one, before placeholders are resolved; it knows where every value is from.
///
/// Mappings merge deeply from the lowest layer up; lists and scalars replace, `null` too. Names are compared canonically and
/// the highest layer's spelling is kept.
///
/// ```
/// use chameleon_model::document::{Document, Merged};
///
/// let base = Document::parse("base.yml", b"share: { a-map: 100, b-map: 0 }\n").unwrap();
/// let beta = Document::parse("beta.yml", b"share: { aMap: 90 }\n").unwrap();
/// let merged = Merged::of([&base, &beta]);
/// assert_eq!(merged.value().to_string(), r#"{"share":{"aMap":90,"b-map":0}}"#);
/// assert_eq!(merged.origin_of(&"share.b-map".parse().unwrap()).unwrap().0, "base.yml");
/// ```
#[derive(Clone)]
pub struct Merged {
    pub(super) value: Value,
    pub(super) provenance: Provenance,
}

impl Merged {
    /// Merges documents, lowest layer first.
    pub fn of<'a>(layers: impl IntoIterator<Item = &'a Document>) -> Self {
        let mut files = Vec::new();
        let mut value = Value::Object(Map::new());
        let mut marks = Marks {
            children: Children::Map(BTreeMap::new()),
            ..Marks::scalar(Position::START)
        };
        for document in layers {
            let mut layer = document.marks.clone();
            layer
                .set_layer(u16::try_from(files.len()).expect("documents have a handful of layers"));
            files.push(Arc::clone(&document.file));
            (value, marks) = over((value, marks), (document.value.clone(), layer));
        }
        Self {
            value,
            provenance: Provenance { files, marks },
        }
    }

    /// Returns the merged values; the top is always a mapping.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Returns the file and position that the value at `path` comes from.
    pub fn origin_of(&self, path: &Path) -> Option<(&str, Position)> {
        self.provenance.origin_of(path)
    }

    /// Returns a fault at the value of `path`, or at the nearest value around it.
    pub fn fault(&self, path: Path, reason: impl Into<String>) -> Fault {
        self.provenance.fault(path, reason)
    }
}

impl fmt::Debug for Merged {
    /// Shows the files' names only: values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merged")
            .field("files", &self.provenance.files)
            .finish_non_exhaustive()
    }
}

/// Where the values of a merged document come from.
#[derive(Clone)]
pub(super) struct Provenance {
    files: Vec<Arc<str>>,
    pub(super) marks: Marks,
}

impl Provenance {
    pub(super) fn origin_of(&self, path: &Path) -> Option<(&str, Position)> {
        let marks = self.marks.get(path)?;
        Some((self.file_of(marks), marks.value))
    }

    pub(super) fn file_of(&self, marks: &Marks) -> &str {
        self.files
            .get(usize::from(marks.layer))
            .map_or("(no document)", |file| file)
    }

    /// Returns a fault at `path`, shown where its name or the nearest value around it stands.
    pub(super) fn fault(&self, path: Path, reason: impl Into<String>) -> Fault {
        let marks = self.marks.nearest(&path);
        Fault::at(self.file_of(marks), marks.shown(), path, reason)
    }
}

/// Reads and merges a service's layers, lowest first; each is a name for faults and its bytes.
///
/// # Errors
///
/// Returns the faults of all layers.
pub fn layered<const N: usize>(layers: [(&str, Option<&[u8]>); N]) -> Result<Merged, Vec<Fault>> {
    let mut documents = Vec::with_capacity(N);
    let mut faults = Vec::new();
    for (file, bytes) in layers {
        match bytes.map(|bytes| Document::parse(file, bytes)) {
            Some(Ok(document)) => documents.push(document),
            Some(Err(found)) => faults.extend(found),
            None => {}
        }
    }
    if faults.is_empty() {
        Ok(Merged::of(&documents))
    } else {
        Err(faults)
    }
}

type Tree = (Value, Marks);

/// Merges two trees, `high` over `low`.
fn over(low: Tree, high: Tree) -> Tree {
    match (low, high) {
        (
            (
                Value::Object(low),
                Marks {
                    children: Children::Map(low_marks),
                    ..
                },
            ),
            (
                Value::Object(high),
                Marks {
                    children: Children::Map(high_marks),
                    layer,
                    key,
                    value,
                    filled,
                },
            ),
        ) => {
            let (values, children) = merge_fields((low, low_marks), (high, high_marks));
            (
                Value::Object(values),
                Marks {
                    layer,
                    key,
                    value,
                    filled,
                    children: Children::Map(children),
                },
            )
        }
        (_, high) => high,
    }
}

type Fields = (Map<String, Value>, BTreeMap<String, Marks>);

/// Keeps the lower layer's order; names that only the higher one has follow in its order.
fn merge_fields((low, mut low_marks): Fields, (high, mut high_marks): Fields) -> Fields {
    if low.is_empty() {
        return (high, high_marks);
    }
    let mut order = Vec::with_capacity(high.len());
    let mut waiting = HashMap::with_capacity(high.len());
    for (name, value) in high {
        let canonical_name = canonical(&name).into_owned();
        order.push(canonical_name.clone());
        waiting.insert(canonical_name, (name, value));
    }
    let (mut values, mut marks) = (Map::with_capacity(low.len() + order.len()), BTreeMap::new());
    let mut put = |name: String, (value, mark): Tree| {
        marks.insert(name.clone(), mark);
        values.insert(name, value);
    };
    let has_marks = "every field has its marks";
    for (name, value) in low {
        let below = (value, low_marks.remove(&name).expect(has_marks));
        match waiting.remove(canonical(&name).as_ref()) {
            Some((name, value)) => {
                let above = (value, high_marks.remove(&name).expect(has_marks));
                put(name, over(below, above));
            }
            None => put(name, below),
        }
    }
    for canonical_name in order {
        if let Some((name, value)) = waiting.remove(&canonical_name) {
            let mark = high_marks.remove(&name).expect(has_marks);
            put(name, (value, mark));
        }
    }
    (values, marks)
}

#[cfg(test)]
mod tests {
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
}
