//! Writes values as YAML that every reader understands alike.

use super::scalar;
use super::yaml::is_printable;
use serde_json::{Map, Value};

/// Prints a mapping as YAML in block style; reading it again gives the same values.
///
/// Anything but a mapping prints as it would inside one.
///
/// ```
/// use chameleon_model::document::{Document, print};
///
/// let document = Document::parse("x.yml", b"{a: {b: 'yes', c: [1, two]}}").unwrap();
/// assert_eq!(print(document.value()), "a:\n  b: \"yes\"\n  c:\n    - 1\n    - two\n");
/// ```
pub fn print(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => mapping(&mut text, fields, 0, false),
        Value::Array(items) if !items.is_empty() => list(&mut text, items, 0, false),
        scalar => {
            text.push_str(&inline(scalar));
            text.push('\n');
        }
    }
    text
}

/// Writes fields; the first goes on an already indented line if `started`.
fn mapping(text: &mut String, fields: &Map<String, Value>, indent: usize, started: bool) {
    for (at, (name, value)) in fields.iter().enumerate() {
        if at > 0 || !started {
            text.push_str(&" ".repeat(indent));
        }
        text.push_str(&string(name));
        text.push(':');
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                text.push('\n');
                mapping(text, fields, indent + 2, false);
            }
            Value::Array(items) if !items.is_empty() => {
                text.push('\n');
                list(text, items, indent + 2, false);
            }
            scalar => {
                text.push(' ');
                text.push_str(&inline(scalar));
                text.push('\n');
            }
        }
    }
}

fn list(text: &mut String, items: &[Value], indent: usize, started: bool) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 || !started {
            text.push_str(&" ".repeat(indent));
        }
        text.push_str("- ");
        match item {
            Value::Object(fields) if !fields.is_empty() => mapping(text, fields, indent + 2, true),
            Value::Array(items) if !items.is_empty() => list(text, items, indent + 2, true),
            scalar => {
                text.push_str(&inline(scalar));
                text.push('\n');
            }
        }
    }
}

/// Writes a scalar or an empty container.
fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => string(text),
        other => other.to_string(),
    }
}

fn string(text: &str) -> String {
    let simple =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.' | '/');
    let is_plain = text.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '/')
        && text.chars().all(simple)
        && scalar::plain(text).is_ok_and(|value| value.is_string());
    if is_plain {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// Quotes as JSON does, and escapes what YAML does not count as printable.
fn quoted(text: &str) -> String {
    let json = Value::from(text).to_string();
    let mut quoted = String::with_capacity(json.len());
    for letter in json.chars() {
        if !is_printable(letter)
            || matches!(
                letter,
                '\u{85}' | '\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{feff}'
            )
        {
            quoted.extend(format!("\\u{:04x}", u32::from(letter)).chars());
        } else {
            quoted.push(letter);
        }
    }
    quoted
}

#[cfg(test)]
pub(super) mod tests {
    use super::print;
    use crate::document::Document;
    use crate::document::name::canonical;
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    fn scalars() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>()
                .prop_filter("finite", |number| number.is_finite())
                .prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
            "(?s).{0,8}".prop_map(Value::from),
            "[0-9_.:eExXyYnNoOfFtTrRuU~<-]{0,6}".prop_map(Value::from),
        ]
    }

    /// Builds a mapping without canonically equal names.
    fn fields(entries: Vec<(String, Value)>) -> Value {
        let mut fields = Map::new();
        let mut seen = std::collections::HashSet::new();
        for (name, value) in entries {
            if seen.insert(canonical(&name).into_owned()) {
                fields.insert(name, value);
            }
        }
        Value::Object(fields)
    }

    pub(in crate::document) fn mappings() -> impl Strategy<Value = Value> {
        let inner = scalars().prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::vec(("[a-cA-C_-]{1,3}|.{0,3}", inner), 0..5).prop_map(fields),
            ]
        });
        prop::collection::vec(("[a-cA-C_-]{1,3}|.{0,3}", inner), 0..5).prop_map(fields)
    }

    proptest! {
        #[test]
        fn reading_undoes_printing(value in mappings()) {
            let text = print(&value);
            let read = Document::parse("x.yml", text.as_bytes());
            prop_assert!(read.is_ok(), "{:?} in {text:?}", read.err());
            let read = read.unwrap();
            prop_assert_eq!(read.value(), &value);
        }
    }
}
