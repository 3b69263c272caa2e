//! What changed between two documents, told without secrets.

use super::name::field;
use super::path::{Path, Segment};
use super::redact::{is_secret_name, redact, redact_lines};
use serde_json::{Map, Value};
use similar::{ChangeTag, DiffOp, TextDiff};
use std::fmt;

/// How one value changed. Secrets are already replaced.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The value is new.
    Added(Value),
    /// The value is gone.
    Removed(Value),
    /// The value is another one; equal values here are a secret that changed.
    Changed {
        /// The value before.
        old: Value,
        /// The value after.
        new: Value,
    },
}

/// One changed value and its path.
///
/// Prints as `maps.a.timeout: 800ms -> 500ms`, with `+` or `-` in front if it is new or gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where the value stands, in the newer document's spelling.
    pub path: Path,
    /// What happened to it.
    pub change: Change,
}

/// All changed values between two documents, in the documents' order.
///
/// Mappings are compared field by field, lists as a whole; another spelling of a name is no change.
///
/// ```
/// use chameleon_model::document::Differences;
/// use serde_json::json;
///
/// let old = json!({ "aMapPercentage": 100, "maps": { "a": { "appKey": "x" } } });
/// let new = json!({ "a-map-percentage": 0, "bMapPercentage": 100, "maps": { "a": { "appKey": "y" } } });
/// let shown = Differences::between(&old, &new).to_string();
/// assert_eq!(
///     shown,
///     "a-map-percentage: 100 -> 0\n\
///      maps.a.appKey: (redacted) -> (redacted)\n\
///      + bMapPercentage: 100\n",
/// );
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Differences(Vec<Difference>);

impl Differences {
    /// Compares two values.
    pub fn between(old: &Value, new: &Value) -> Self {
        let mut differences = Self::default();
        differences.compare(old, new, &mut Path::root(), false);
        differences
    }

    /// Returns the changes.
    pub fn iter(&self) -> impl Iterator<Item = &Difference> {
        self.0.iter()
    }

    /// Tells whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn compare(&mut self, old: &Value, new: &Value, path: &mut Path, secret: bool) {
        match (old, new) {
            (Value::Object(old), Value::Object(new)) => self.compare_fields(old, new, path, secret),
            (old, new) if old == new => {}
            (old, new) => {
                let change = Change::Changed {
                    old: redact(old, secret),
                    new: redact(new, secret),
                };
                self.0.push(Difference {
                    path: path.clone(),
                    change,
                });
            }
        }
    }

    fn compare_fields(
        &mut self,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
        path: &mut Path,
        secret: bool,
    ) {
        for (old_name, old_value) in old {
            match field(new, old_name) {
                Some((name, new_value)) => {
                    path.push(Segment::Name(name.to_owned()));
                    self.compare(old_value, new_value, path, secret || is_secret_name(name));
                    path.pop();
                }
                None => self.whole(old_name, old_value, path, secret, Change::Removed),
            }
        }
        for (name, value) in new {
            if field(old, name).is_none() {
                self.whole(name, value, path, secret, Change::Added);
            }
        }
    }

    /// Tells a value that only one side has, each of its fields for itself.
    fn whole(
        &mut self,
        name: &str,
        value: &Value,
        path: &mut Path,
        secret: bool,
        change: fn(Value) -> Change,
    ) {
        let secret = secret || is_secret_name(name);
        path.push(Segment::Name(name.to_owned()));
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                for (name, value) in fields {
                    self.whole(name, value, path, secret, change);
                }
            }
            value => self.0.push(Difference {
                path: path.clone(),
                change: change(redact(value, secret)),
            }),
        }
        path.pop();
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match &self.change {
            Change::Added(value) => write!(f, "+ {path}: {}", shown(value)),
            Change::Removed(value) => write!(f, "- {path}: {}", shown(value)),
            Change::Changed { old, new } if path.is_root() => {
                write!(f, "{} -> {}", shown(old), shown(new))
            }
            Change::Changed { old, new } => write!(f, "{path}: {} -> {}", shown(old), shown(new)),
        }
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|difference| writeln!(f, "{difference}"))
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() && !text.contains(['\n', '"']) => text.clone(),
        other => other.to_string(),
    }
}

/// Compares two texts line by line, in the unified format with `context` unchanged lines around
/// each change; the values of secret names are replaced, even where only they changed.
///
/// ```
/// use chameleon_model::document::line_diff;
///
/// let shown = line_diff("a: 1\nkey: x\n", "a: 1\nkey: y\n", 0);
/// assert_eq!(shown, "@@ -2 +2 @@\n-key: (redacted)\n+key: (redacted)\n");
/// ```
pub fn line_diff(old: &str, new: &str, context: usize) -> String {
    let (old_lines, new_lines): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let (old_shown, new_shown) = (redact_lines(old), redact_lines(new));
    let diff = TextDiff::from_slices(&old_lines, &new_lines);
    let mut text = String::new();
    for group in diff.grouped_ops(context) {
        text.push_str(&hunk_header(&group));
        for change in group
            .iter()
            .flat_map(|operation| diff.iter_changes(operation))
        {
            let (sign, lines, at) = match change.tag() {
                ChangeTag::Delete => ('-', &old_shown, change.old_index()),
                ChangeTag::Insert => ('+', &new_shown, change.new_index()),
                ChangeTag::Equal => (' ', &new_shown, change.new_index()),
            };
            let line = at.and_then(|at| lines.get(at)).map_or("", String::as_str);
            text.push(sign);
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

fn hunk_header(group: &[DiffOp]) -> String {
    let range = |start: usize, end: usize| match end - start {
        1 => format!("{}", start + 1),
        // Of an empty range the line before it is told.
        0 => format!("{start},0"),
        length => format!("{},{length}", start + 1),
    };
    let (Some(first), Some(last)) = (group.first(), group.last()) else {
        return String::new();
    };
    let old = range(first.old_range().start, last.old_range().end);
    let new = range(first.new_range().start, last.new_range().end);
    format!("@@ -{old} +{new} @@\n")
}

#[cfg(test)]
mod tests {
    use super::{Differences, line_diff};
    use crate::document::print::tests::mappings;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn check(old: &Value, new: &Value, expected: &str) {
        assert_eq!(Differences::between(old, new).to_string(), expected);
    }

    #[test]
    fn changes_are_told_by_path() {
        check(&json!({"a": 1}), &json!({"A": 1}), "");
        check(
            &json!({"a": {"b": "x"}}),
            &json!({"a": {"b": "y z"}}),
            "a.b: x -> y z\n",
        );
        check(
            &json!({"a": [1, 2]}),
            &json!({"a": [1, 3]}),
            "a: [1,2] -> [1,3]\n",
        );
        check(
            &json!({"a": {"b": {"c": 1, "d": {}}}}),
            &json!({}),
            "- a.b.c: 1\n- a.b.d: {}\n",
        );
        check(
            &json!({"a": 1}),
            &json!({"a": {"b": ""}}),
            "a: 1 -> {\"b\":\"\"}\n",
        );
        check(
            &json!({"secrets": [{"x": 1}]}),
            &json!({"secrets": [{"x": 2}]}),
            "secrets: [{\"x\":\"(redacted)\"}] -> [{\"x\":\"(redacted)\"}]\n",
        );
        check(
            &json!({}),
            &json!({"auth": {"token": "t"}}),
            "+ auth.token: (redacted)\n",
        );
    }

    #[test]
    fn lines_are_compared_in_context() {
        let old = "a: 1\nb: 2\nc: 3\nd: 4\ne: 5\n";
        let new = "a: 1\nb: 2\nc: 30\nd: 4\ne: 5\nf: 6\n";
        assert_eq!(
            line_diff(old, new, 1),
            "@@ -2,4 +2,5 @@\n b: 2\n-c: 3\n+c: 30\n d: 4\n e: 5\n+f: 6\n"
        );
        assert_eq!(line_diff("", "a: 1\n", 3), "@@ -0,0 +1 @@\n+a: 1\n");
        assert_eq!(line_diff(old, old, 3), "");
    }

    proptest! {
        #[test]
        fn only_equal_documents_have_no_difference(a in mappings(), b in mappings()) {
            prop_assert!(Differences::between(&a, &a).is_empty());
            let renamed: Value = a.as_object().unwrap().iter().map(|(name, value)| (name.to_ascii_uppercase(), value.clone())).collect();
            if renamed.as_object().unwrap().len() == a.as_object().unwrap().len() {
                prop_assert!(Differences::between(&a, &renamed).is_empty());
            }
            if a.as_object().unwrap().len() != b.as_object().unwrap().len() {
                prop_assert!(!Differences::between(&a, &b).is_empty());
            }
        }
    }
}
