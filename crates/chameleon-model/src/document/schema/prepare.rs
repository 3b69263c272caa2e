//! Rewrites a schema so that it applies to documents with canonical names.

use super::Mode;
use super::sum::{self, Sum};
use super::unspelled;
use crate::document::fault::Fault;
use crate::document::name::canonical;
use crate::document::path::{Path, Segment};
use crate::document::yaml::Document;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// How the schema spells the names it mentions, by their canonical form.
pub(super) type Spellings = HashMap<String, String>;

pub(super) fn prepare(document: &Document, mode: Mode) -> Result<(Value, Spellings), Vec<Fault>> {
    let mut preparation = Preparation {
        document,
        mode,
        spellings: Spellings::new(),
        faults: Vec::new(),
        names: false,
    };
    let prepared = preparation.schema(document.value(), &mut Path::root());
    let Preparation {
        spellings, faults, ..
    } = preparation;
    if faults.is_empty() {
        Ok((prepared, spellings))
    } else {
        Err(faults)
    }
}

struct Preparation<'a> {
    document: &'a Document,
    mode: Mode,
    spellings: Spellings,
    faults: Vec<Fault>,
    /// Whether we are inside of `propertyNames`, whose texts are names.
    names: bool,
}

impl Preparation<'_> {
    fn schema(&mut self, schema: &Value, path: &mut Path) -> Value {
        let Value::Object(keywords) = schema else {
            return schema.clone();
        };
        let mut prepared = Map::new();
        for (keyword, value) in keywords {
            if self.mode == Mode::OwnDocument && depends_on_other_layers(keyword) {
                continue;
            }
            path.push(Segment::Name(keyword.clone()));
            let value = self.keyword(keyword, value, path);
            path.pop();
            prepared.insert(keyword.clone(), value);
        }
        if self.mode == Mode::OwnDocument
            && let Some(choices) = prepared.remove("oneOf")
        {
            // One layer may fit several choices as long as the others do not decide.
            let any = Value::from_iter([("anyOf", choices)]);
            match prepared.get_mut("allOf") {
                Some(Value::Array(all)) => all.push(any),
                _ => drop(prepared.insert("allOf".to_owned(), Value::Array(vec![any]))),
            }
        }
        Value::Object(prepared)
    }

    fn keyword(&mut self, keyword: &str, value: &Value, path: &mut Path) -> Value {
        match keyword {
            "properties" | "dependentSchemas" => self.schemas(value, path, Self::name),
            "patternProperties" => self.pattern_properties(value, path),
            "$defs" | "definitions" => self.schemas(value, path, |_, name| name.to_owned()),
            "required" => self.names(value),
            "dependentRequired" => self.dependent_names(value),
            "dependencies" => self.dependencies(value, path),
            "propertyNames" => {
                let before = std::mem::replace(&mut self.names, true);
                let prepared = self.schema(value, path);
                self.names = before;
                prepared
            }
            "pattern" if self.names => self.pattern(value, path),
            "enum" | "const" if self.names => self.names(value),
            "enum" | "const" => unspelled(value),
            "$ref" | "$dynamicRef" | "$recursiveRef" => self.reference(value, path),
            sum::KEYWORD => {
                if let Err(reason) = Sum::parse(value) {
                    self.fault(path, reason);
                }
                value.clone()
            }
            "allOf"
            | "anyOf"
            | "oneOf"
            | "prefixItems"
            | "items"
            | "not"
            | "if"
            | "then"
            | "else"
            | "contains"
            | "additionalProperties"
            | "unevaluatedProperties"
            | "additionalItems"
            | "unevaluatedItems"
            | "contentSchema" => match value {
                Value::Array(schemas) => self.list(schemas, path),
                schema => self.schema(schema, path),
            },
            _ => value.clone(),
        }
    }

    fn list(&mut self, schemas: &[Value], path: &mut Path) -> Value {
        let prepared = schemas.iter().enumerate().map(|(index, schema)| {
            path.push(Segment::Index(index));
            let prepared = self.schema(schema, path);
            path.pop();
            prepared
        });
        Value::Array(prepared.collect())
    }

    fn schemas(
        &mut self,
        value: &Value,
        path: &mut Path,
        rename: fn(&mut Self, &str) -> String,
    ) -> Value {
        let Value::Object(schemas) = value else {
            return value.clone();
        };
        let prepared = schemas.iter().map(|(name, schema)| {
            path.push(Segment::Name(name.clone()));
            let prepared = self.schema(schema, path);
            path.pop();
            (rename(self, name), prepared)
        });
        Value::Object(prepared.collect())
    }

    fn pattern_properties(&mut self, value: &Value, path: &mut Path) -> Value {
        let Value::Object(schemas) = value else {
            return value.clone();
        };
        let mut prepared = Map::new();
        for (pattern, schema) in schemas {
            path.push(Segment::Name(pattern.clone()));
            let text = self.pattern(&Value::from(pattern.as_str()), path);
            let schema = self.schema(schema, path);
            path.pop();
            prepared.insert(text.as_str().unwrap_or(pattern).to_owned(), schema);
        }
        Value::Object(prepared)
    }

    /// Makes a pattern fit canonical names.
    fn pattern(&mut self, value: &Value, path: &Path) -> Value {
        let Some(pattern) = value.as_str() else {
            return value.clone();
        };
        if has_literal_separator(pattern) {
            let reason = "names are compared without `-` and `_`, so this pattern never matches; leave them out of it";
            self.fault(path, reason);
        }
        Value::from(format!("(?i){pattern}"))
    }

    fn name(&mut self, name: &str) -> String {
        let canonical_name = canonical(name).into_owned();
        self.spellings
            .entry(canonical_name.clone())
            .or_insert_with(|| name.to_owned());
        canonical_name
    }

    fn names(&mut self, value: &Value) -> Value {
        match value {
            Value::String(name) => Value::from(self.name(name)),
            Value::Array(names) => {
                let mut prepared: Vec<Value> = Vec::with_capacity(names.len());
                for name in names {
                    let name = self.names(name);
                    if !prepared.contains(&name) {
                        prepared.push(name);
                    }
                }
                Value::Array(prepared)
            }
            other => other.clone(),
        }
    }

    fn dependent_names(&mut self, value: &Value) -> Value {
        let Value::Object(dependents) = value else {
            return value.clone();
        };
        Value::Object(
            dependents
                .iter()
                .map(|(name, names)| (self.name(name), self.names(names)))
                .collect(),
        )
    }

    fn dependencies(&mut self, value: &Value, path: &mut Path) -> Value {
        let Value::Object(dependencies) = value else {
            return value.clone();
        };
        let prepared = dependencies.iter().map(|(name, dependency)| {
            path.push(Segment::Name(name.clone()));
            let prepared = if dependency.is_array() {
                self.names(dependency)
            } else {
                self.schema(dependency, path)
            };
            path.pop();
            (self.name(name), prepared)
        });
        Value::Object(prepared.collect())
    }

    fn reference(&mut self, value: &Value, path: &Path) -> Value {
        let Some(reference) = value.as_str() else {
            return value.clone();
        };
        let Some(pointer) = reference.strip_prefix('#') else {
            let reason = format!(
                "`{reference}` is outside of this schema; copy it into `$defs` and write `#/$defs/...`"
            );
            self.fault(path, reason);
            return value.clone();
        };
        Value::from(format!("#{}", prepared_pointer(pointer)))
    }

    fn fault(&mut self, path: &Path, reason: impl Into<String>) {
        self.faults.push(self.document.fault(path.clone(), reason));
    }
}

/// A keyword about which a single layer says nothing certain.
fn depends_on_other_layers(keyword: &str) -> bool {
    matches!(
        keyword,
        "required"
            | sum::KEYWORD
            | "not"
            | "if"
            | "then"
            | "else"
            | "minProperties"
            | "dependentRequired"
            | "dependentSchemas"
            | "dependencies"
            | "unevaluatedProperties"
    )
}

/// Follows the renaming of properties in a JSON pointer.
fn prepared_pointer(pointer: &str) -> String {
    let mut in_names_of: Option<&str> = None;
    let segments = pointer.split('/').map(|segment| match in_names_of.take() {
        Some("properties" | "dependentSchemas" | "dependencies") => canonical(segment).into_owned(),
        Some("patternProperties") => format!("(?i){segment}"),
        Some(_) => segment.to_owned(),
        None => {
            let holds_names = matches!(
                segment,
                "properties"
                    | "dependentSchemas"
                    | "dependencies"
                    | "patternProperties"
                    | "$defs"
                    | "definitions"
            );
            in_names_of = holds_names.then_some(segment);
            segment.to_owned()
        }
    });
    segments.collect::<Vec<_>>().join("/")
}

/// Tells whether a pattern wants a `-` or `_` outside of a class of characters.
fn has_literal_separator(pattern: &str) -> bool {
    let (mut in_class, mut escaped) = (false, false);
    for letter in pattern.chars() {
        match letter {
            '-' | '_' if !in_class => return true,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => in_class = true,
            ']' => in_class = false,
            _ => {}
        }
    }
    false
}
