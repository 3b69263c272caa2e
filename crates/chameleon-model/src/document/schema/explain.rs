//! Turns the validator's errors into faults with a place, in words that say what to do.

use super::sum::{self, Sum};
use super::{Schema, spelled};
use crate::document::fault::Fault;
use crate::document::marks::Filled;
use crate::document::name::canonical;
use crate::document::path::{Path, Segment};
use crate::document::placeholder::Resolved;
use crate::document::redact::is_secret_name;
use crate::document::yaml::Document;
use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::{Map, Value};

/// Explains why a schema is none.
pub(super) fn meta(error: &ValidationError<'_>, document: &Document) -> Fault {
    let path = spelled(document.value(), error.instance_path().as_str());
    document.fault(
        path,
        format!("is no valid schema: {}; correct it", error.masked()),
    )
}

/// Explains one error; the result is empty if a placeholder without default excuses it.
pub(super) fn explain(
    error: &ValidationError<'_>,
    schema: &Schema,
    document: &Resolved,
) -> Vec<Fault> {
    if is_excused(error, document) {
        return Vec::new();
    }
    let path = spelled(document.value(), error.instance_path().as_str());
    match error.kind() {
        Kind::Custom { keyword, .. } if keyword == sum::KEYWORD => {
            let parsed = schema
                .prepared
                .pointer(error.schema_path().as_str())
                .and_then(|value| Sum::parse(value).ok());
            match parsed {
                None => vec![document.fault(path, error.masked().to_string())],
                // Where all members are missing and required, their own faults say it all.
                Some(sum) if is_missed(&sum, &path, error, schema, document) => Vec::new(),
                Some(sum) => explain_sum(&sum, &path, document),
            }
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let unknown = unexpected.iter().map(|name| {
                let pointer = format!(
                    "{}/{}",
                    error.instance_path().as_str(),
                    name.replace('~', "~0").replace('/', "~1")
                );
                let reason = "is not known to the schema; remove it or correct its name";
                document.fault(spelled(document.value(), &pointer), reason)
            });
            unknown.collect()
        }
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let name = schema.spellings.get(name).map_or(name, String::as_str);
            vec![document.fault(path, format!("`{name}` is required; add it"))]
        }
        kind => {
            let reason = reason(kind, error, &path);
            vec![at_value(document, path, reason)]
        }
    }
}

/// A fault at the value itself rather than at its name.
fn at_value(document: &Resolved, path: Path, reason: String) -> Fault {
    let marks = document.provenance.marks.nearest(&path);
    Fault::at(
        document.provenance.file_of(marks),
        marks.value,
        path,
        reason,
    )
}

/// Tells whether an error may vanish once placeholders without default are filled.
fn is_excused(error: &ValidationError<'_>, document: &Resolved) -> bool {
    let path = spelled(document.value(), error.instance_path().as_str());
    match document
        .provenance
        .marks
        .get(&path)
        .and_then(|marks| marks.filled.as_ref())
    {
        Some(Filled::Open) => return true,
        // Whatever is filled in, this stays a text.
        Some(Filled::OpenText) => return !matches!(error.kind(), Kind::Type { .. }),
        _ => {}
    }
    match error.kind() {
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => context.iter().any(|branch| {
            !branch.is_empty() && branch.iter().all(|error| is_excused(error, document))
        }),
        _ => false,
    }
}

/// Tells whether no member of the sum is there, though the same schema requires each.
fn is_missed(
    sum: &Sum,
    path: &Path,
    error: &ValidationError<'_>,
    schema: &Schema,
    document: &Resolved,
) -> bool {
    let is_required = |name: &String| {
        let beside = error.schema_path().as_str().rsplit_once('/');
        let required = beside
            .and_then(|(parent, _)| schema.prepared.pointer(parent)?.get("required")?.as_array());
        required.is_some_and(|names| names.iter().any(|other| *other == *canonical(name)))
    };
    let fields = fields_at(path, document);
    let is_absent = fields.is_none_or(|fields| sum.members(fields).next().is_none());
    is_absent && sum.of.iter().all(is_required)
}

fn fields_at<'a>(path: &Path, document: &'a Resolved) -> Option<&'a Map<String, Value>> {
    let container =
        path.segments()
            .iter()
            .try_fold(document.value(), |value, segment| match segment {
                Segment::Name(name) => value.get(name),
                Segment::Index(index) => value.get(index),
            });
    container.and_then(Value::as_object)
}

fn explain_sum(sum: &Sum, path: &Path, document: &Resolved) -> Vec<Fault> {
    let nothing = Map::new();
    let fields = fields_at(path, document).unwrap_or(&nothing);
    let marks = |name: &str| document.provenance.marks.get(&path.clone().name(name));
    let is_open =
        |name: &str| marks(name).is_some_and(|marks| matches!(marks.filled, Some(Filled::Open)));
    let mut faults = Vec::new();
    for (name, value) in sum.members(fields).filter(|(_, value)| !value.is_number()) {
        if !is_open(name) {
            let reason = format!("must be a number, is {}", kind_of(value));
            faults.push(at_value(document, path.clone().name(name), reason));
        }
    }
    let Some(total) = sum.total(fields).filter(|_| faults.is_empty()) else {
        return faults;
    };
    let members: Vec<_> = sum.of.iter().map(|name| member(name, fields)).collect();
    let equals = sum.equals;
    let reason = format!(
        "{} is {total}, must be {equals}; change them together",
        members.join(" + ")
    );
    // The place to look at is where the highest layer sets a member.
    let place = sum
        .members(fields)
        .filter_map(|(name, _)| marks(name))
        .max_by_key(|marks| (marks.layer, std::cmp::Reverse(marks.shown())));
    vec![match place {
        Some(marks) => Fault::at(
            document.provenance.file_of(marks),
            marks.shown(),
            path.clone(),
            reason,
        ),
        None => document.fault(path.clone(), reason),
    }]
}

fn member(name: &str, fields: &Map<String, Value>) -> String {
    match crate::document::name::field(fields, name) {
        Some((_, value)) => format!("`{name}` {value}"),
        None => format!("`{name}` absent"),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// Shows a scalar, unless its name says that it is secret.
fn shown(value: &Value, path: &Path) -> String {
    let secret = path
        .segments()
        .iter()
        .any(|segment| matches!(segment, Segment::Name(name) if is_secret_name(name)));
    match value {
        Value::Array(_) | Value::Object(_) => kind_of(value).to_owned(),
        _ if secret => "(redacted)".to_owned(),
        Value::String(text) if text.chars().count() > 60 => "a longer text".to_owned(),
        Value::String(text) => format!("`{text}`"),
        scalar => scalar.to_string(),
    }
}

fn type_names(kind: &TypeKind) -> String {
    let name = |of: jsonschema::types::JsonType| match of.as_str() {
        "string" => "a text",
        "integer" => "an integer",
        "number" => "a number",
        "boolean" => "a boolean",
        "array" => "a list",
        "object" => "a mapping",
        _ => "empty",
    };
    match kind {
        TypeKind::Single(of) => name(*of).to_owned(),
        TypeKind::Multiple(of) => of.iter().map(name).collect::<Vec<_>>().join(" or "),
    }
}

fn reason(kind: &Kind, error: &ValidationError<'_>, path: &Path) -> String {
    let value = error.instance();
    let is = || shown(value, path);
    match kind {
        Kind::Type { kind } => format!("must be {}, is {}", type_names(kind), kind_of(value)),
        Kind::Enum { options } => {
            let options = options.as_array().map_or(&[] as &[_], Vec::as_slice);
            let options: Vec<_> = options
                .iter()
                .map(|option| shown(option, &Path::root()))
                .collect();
            format!("must be one of {}, is {}", options.join(", "), is())
        }
        Kind::Constant { expected_value } => format!(
            "must be {}, is {}",
            shown(expected_value, &Path::root()),
            is()
        ),
        Kind::Minimum { limit } => format!("must be at least {limit}, is {}", is()),
        Kind::Maximum { limit } => format!("must be at most {limit}, is {}", is()),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}, is {}", is()),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}, is {}", is()),
        Kind::MultipleOf { multiple_of } => {
            format!("must be a multiple of {multiple_of}, is {}", is())
        }
        Kind::MinLength { limit } => format!("must have at least {limit} characters, is {}", is()),
        Kind::MaxLength { limit } => format!("must have at most {limit} characters, is {}", is()),
        Kind::MinItems { limit } => format!("must have at least {limit} items"),
        Kind::MaxItems { limit } => format!("must have at most {limit} items"),
        Kind::MinProperties { limit } => format!("must have at least {limit} fields"),
        Kind::MaxProperties { limit } => format!("must have at most {limit} fields"),
        Kind::Pattern { pattern } => format!("must match `{pattern}`, is {}", is()),
        Kind::Format { format } => format!("must have the format `{format}`, is {}", is()),
        Kind::UniqueItems => "must not hold the same item twice".to_owned(),
        Kind::FalseSchema => "must not be here; remove it".to_owned(),
        Kind::Not { .. } => "is what the schema excludes with `not`".to_owned(),
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            let closest = context
                .iter()
                .filter(|branch| !branch.is_empty())
                .min_by_key(|branch| branch.len());
            let why = closest
                .and_then(|branch| branch.first())
                .map(|error| inner_reason(error, path));
            let why = why.map_or_else(String::new, |why| format!(": {why}"));
            format!("fits none of the schema's choices{why}")
        }
        Kind::OneOfMultipleValid { .. } => {
            "fits several of the schema's choices, must fit one".to_owned()
        }
        Kind::PropertyNames { error } => {
            let name = error
                .instance()
                .as_str()
                .map(canonical)
                .unwrap_or_default()
                .into_owned();
            format!("has the name `{name}`, which the schema does not allow")
        }
        _ => error.masked().to_string(),
    }
}

/// The reason of an error inside a choice, with its place if it is deeper.
fn inner_reason(error: &ValidationError<'_>, outer: &Path) -> String {
    match error.kind() {
        Kind::Required { property } => format!("{property} is required"),
        kind => reason(kind, error, outer),
    }
}
