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
mod tests;
