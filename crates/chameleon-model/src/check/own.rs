//! Checks one document alone.

use super::verdict::{Findings, Verdict, Weight};
use crate::document::{Document, FileName, Merged, Mode, Profiles, Schema, split_key};

/// Returns the key of the schema that describes the document under `key`, if `key` is a document's.
///
/// ```
/// use chameleon_model::check::schema_key;
/// use chameleon_model::document::Profiles;
///
/// let profiles = Profiles::new(["beta"]).unwrap();
/// let key = schema_key("teams/a/config/location-beta.yml", &profiles);
/// assert_eq!(key.as_deref(), Some("teams/a/config/schemas/location.schema.yml"));
/// assert_eq!(schema_key("state/x", &profiles), None);
/// ```
pub fn schema_key(key: &str, profiles: &Profiles) -> Option<String> {
    let (folder, name) = split_key(key)?;
    match FileName::parse(name, profiles).ok()?? {
        FileName::Document { service, .. } => {
            Some(format!("{folder}{}", FileName::Schema { service }))
        }
        FileName::Schema { .. } => None,
    }
}

/// Judges one value by itself: YAML, placeholders, and of its schema what one layer can be held to.
///
/// `schema` is the key and the bytes of the schema, see [`schema_key`]; one that does not compile
/// warns, for it is not this writer's fault. The value of a schema's key is checked as a schema. A
/// key that is neither a document's nor a schema's may hold anything.
///
/// ```
/// use chameleon_model::check::check_own_document;
///
/// let schema = ("config/schemas/location.schema.yml", b"required: [host]\nproperties: { port: { type: integer } }\n".as_slice());
/// let verdict = check_own_document("config/location.yml", b"port: x\n", Some(schema));
/// assert_eq!(verdict.to_string(), "config/location.yml:1:7: port: must be an integer, is a text\n");
/// assert!(check_own_document("config/location.yml", b"port: 80\n", Some(schema)).is_good());
/// assert!(check_own_document("state/anything", b"\xff", None).is_good());
/// ```
pub fn check_own_document(key: &str, bytes: &[u8], schema: Option<(&str, &[u8])>) -> Verdict {
    let mut findings = Findings::default();
    let name = split_key(key)
        .and_then(|(_, name)| FileName::parse(name, &Profiles::default()).ok().flatten());
    match name {
        None => {}
        Some(FileName::Schema { .. }) => {
            let faults = Schema::compile(key, bytes, Mode::Whole)
                .err()
                .unwrap_or_default();
            findings.add(Weight::Forbids, faults);
        }
        Some(FileName::Document { .. }) => match Document::parse(key, bytes) {
            Ok(document) => check_parsed(&document, schema, &mut findings),
            Err(faults) => findings.add(Weight::Forbids, faults),
        },
    }
    findings.into_verdict()
}

fn check_parsed(document: &Document, schema: Option<(&str, &[u8])>, findings: &mut Findings) {
    let defaulted = Merged::of([document]).with_defaults();
    if let Some((file, bytes)) = schema {
        match Schema::compile(file, bytes, Mode::OwnDocument) {
            Ok(schema) => findings.add(Weight::Forbids, schema.check(&defaulted)),
            Err(faults) => findings.add(Weight::Warns, faults),
        }
    }
    findings.add(Weight::Forbids, defaulted.faults);
}
