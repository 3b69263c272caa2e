//! Decodes a resolved document into a service's own types.
//!
//! The fields of structs match the document's names canonically: `a_map_percentage` of a Rust type
//! takes `aMapPercentage`. Names of maps keep their spelling, and so do the fields of a struct with
//! `#[serde(flatten)]`, of an untagged or of an internally tagged enum, for serde does not tell the
//! fields of those.

mod de;
mod error;

use super::fault::Fault;
use super::marks::{Children, Marks};
use super::name::field;
use super::path::{Path, PathError, Segment};
use super::placeholder::Resolved;
use de::Decoder;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

impl Resolved {
    /// Decodes the value at `path` into `T`; the empty path is the whole document.
    ///
    /// Where nothing stands at `path`, `T` is decoded from an empty mapping, so that its defaults
    /// apply. A scalar that was one placeholder also decodes as the text that it was filled with,
    /// so that a secret made of digits still is a secret.
    ///
    /// ```
    /// use chameleon_model::document::{Allowed, layered};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Maps { a_map_percentage: u8, #[serde(default)] b_map_percentage: u8 }
    ///
    /// let bytes = b"aMapPercentage: 300\n".as_slice();
    /// let resolved = layered([("location.yml", Some(bytes))]).unwrap().resolve(&Allowed::default(), |_| None).unwrap();
    /// let fault = resolved.bind::<Maps>("").err().unwrap();
    /// assert_eq!(
    ///     fault.to_string(),
    ///     "location.yml:1:17: aMapPercentage: must be u8, is an integer out of its range",
    /// );
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the first value that does not decode, with file, line and path but without the value.
    pub fn bind<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        let path: Path = path
            .parse()
            .map_err(|error: PathError| self.fault(Path::root(), error.to_string()))?;
        if let Some((value, marks, spelled)) = self.descend(&path) {
            return self.decode(value, marks, &spelled);
        }
        let around = self.provenance.marks.nearest(&path).value;
        let marks = Marks {
            children: Children::Map(BTreeMap::new()),
            ..Marks::scalar(around)
        };
        self.decode(&Value::Object(Map::new()), &marks, &path)
    }

    fn decode<T: DeserializeOwned>(
        &self,
        value: &Value,
        marks: &Marks,
        base: &Path,
    ) -> Result<T, Fault> {
        T::deserialize(Decoder::new(value, marks)).map_err(|error| {
            let path = error.path.below(base);
            let marks = self.provenance.marks.nearest(&path);
            let reason = if error.shows_value {
                self.hidden(error.reason)
            } else {
                error.reason
            };
            Fault::at(self.provenance.file_of(marks), marks.value, path, reason)
        })
    }

    /// Finds a value by canonical names; also returns its path as it is spelled.
    fn descend(&self, path: &Path) -> Option<(&Value, &Marks, Path)> {
        let mut spelled = Path::root();
        let mut value = &self.value;
        for segment in path.segments() {
            value = match (value, segment) {
                (Value::Object(fields), Segment::Name(name)) => {
                    let (name, value) = field(fields, name)?;
                    spelled.push(Segment::Name(name.to_owned()));
                    value
                }
                (Value::Array(items), Segment::Index(index)) => {
                    spelled.push(segment.clone());
                    items.get(*index)?
                }
                _ => return None,
            };
        }
        Some((value, self.provenance.marks.get(&spelled)?, spelled))
    }
}

#[cfg(test)]
mod tests;
