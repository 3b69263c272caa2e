//! Schemas: what a service's merged documents have to look like.

mod explain;
mod prepare;
mod sum;

use super::fault::Fault;
use super::name::canonical;
use super::path::Path;
use super::placeholder::Defaulted;
use super::yaml::Document;
use jsonschema::{Keyword, ValidationError, Validator};
use serde_json::Value;
use std::fmt;
use sum::Sum;

/// How much of a schema applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All of it: for merged documents.
    Whole,
    /// What one layer alone can be held to: nothing that depends on what other layers hold
    /// (`required`, `x-sum`, `not`, `if`, `minProperties`, `dependentRequired` and the like), and
    /// `oneOf` counts as `anyOf`.
    OwnDocument,
}

/// A compiled schema: JSON Schema in YAML, with one keyword of our own, `x-sum`.
///
/// Names of properties are compared canonically with those of documents. Patterns are applied to
/// canonical names, without regard to case. References may only point into the schema itself.
///
/// ```
/// use chameleon_model::document::{Document, Merged, Mode, Schema};
///
/// let schema = b"
/// properties: { aMapPercentage: { type: integer }, bMapPercentage: { type: integer } }
/// x-sum: { of: [aMapPercentage, bMapPercentage], equals: 100 }
/// ";
/// let schema = Schema::compile("schemas/location.schema.yml", schema, Mode::Whole).unwrap();
/// let beta = Document::parse("location-beta.yml", b"a-map-percentage: 90\n").unwrap();
/// let faults = schema.check(&Merged::of([&beta]).with_defaults());
/// assert_eq!(
///     faults[0].to_string(),
///     "location-beta.yml:1:1: `aMapPercentage` 90 + `bMapPercentage` absent is 90, must be 100; change them together",
/// );
/// ```
pub struct Schema {
    validator: Validator,
    /// The schema as it is applied, with canonical names.
    prepared: Value,
    spellings: prepare::Spellings,
}

impl Schema {
    /// Reads and compiles a schema; `file` is used in faults only.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the schema itself.
    pub fn compile(file: &str, bytes: &[u8], mode: Mode) -> Result<Self, Vec<Fault>> {
        let document = Document::parse(file, bytes)?;
        if let Ok(validator) = jsonschema::meta::validator_for(document.value()) {
            let invalid: Vec<_> = validator
                .iter_errors(document.value())
                .map(|error| explain::meta(&error, &document))
                .collect();
            if !invalid.is_empty() {
                return Err(invalid);
            }
        }
        let (prepared, spellings) = prepare::prepare(&document, mode)?;
        let validator = jsonschema::options()
            .offline()
            .with_keyword(sum::KEYWORD, |_, value, _| match Sum::parse(value) {
                Ok(sum) => Ok(Box::new(sum) as Box<dyn for<'i> Keyword<'i>>),
                Err(reason) => Err(ValidationError::custom(reason)),
            })
            .build(&prepared)
            .map_err(|error| vec![explain::meta(&error, &document)])?;
        Ok(Self {
            validator,
            prepared,
            spellings,
        })
    }

    /// Returns everything in which the document differs from the schema.
    ///
    /// What is wrong exactly at a placeholder without default passes: nobody knows its value yet.
    /// No fault shows a value whose name says that it is secret.
    pub fn check(&self, defaulted: &Defaulted) -> Vec<Fault> {
        let document = &defaulted.document;
        let instance = unspelled(document.value());
        if self.validator.is_valid(&instance) {
            return Vec::new();
        }
        let mut faults: Vec<_> = self
            .validator
            .iter_errors(&instance)
            .flat_map(|error| explain::explain(&error, self, document))
            .collect();
        faults.sort();
        faults.dedup();
        faults
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema")
            .field("prepared", &self.prepared)
            .finish_non_exhaustive()
    }
}

/// The value with canonical names throughout.
fn unspelled(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (canonical(name).into_owned(), unspelled(value)))
            .collect(),
        Value::Array(items) => items.iter().map(unspelled).collect(),
        scalar => scalar.clone(),
    }
}

/// The path that a JSON pointer names in `value`, with the spelling of `value`.
fn spelled(value: &Value, pointer: &str) -> Path {
    let mut path = Path::root();
    let mut at = Some(value);
    for segment in pointer.split('/').skip(1) {
        let segment = segment.replace("~1", "/").replace("~0", "~");
        match at {
            Some(Value::Array(items)) if segment.parse::<usize>().is_ok() => {
                let index = segment.parse().unwrap_or_default();
                path = path.index(index);
                at = items.get(index);
            }
            Some(Value::Object(fields)) => {
                let found = super::name::field(fields, &segment);
                path = path.name(found.map_or(segment.as_str(), |(name, _)| name));
                at = found.map(|(_, value)| value);
            }
            _ => path = path.name(segment),
        }
    }
    path
}

#[cfg(test)]
mod tests;
