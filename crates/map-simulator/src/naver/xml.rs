//! XML, which NAVER answers with unless it is asked for JSON.

use std::fmt::Write as _;

use serde_json::Value;

pub(super) const CONTENT_TYPE: &str = "text/xml;charset=UTF-8";

/// `value` as a document whose root is `root`; the items of a list take the singular of its name.
pub(super) fn document(root: &str, value: &Value) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    element(&mut text, root, value);
    text
}

fn element(text: &mut String, name: &str, value: &Value) {
    let _ = write!(text, "<{name}>");
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                element(text, name, value);
            }
        }
        Value::Array(items) => {
            let singular = name.strip_suffix('s').unwrap_or(name);
            for item in items {
                element(text, singular, item);
            }
        }
        Value::String(content) => text.push_str(&escape(content)),
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) => {
            let _ = write!(text, "{value}");
        }
    }
    let _ = write!(text, "</{name}>");
}

/// `text` with the characters that have a meaning in XML and HTML written as entities.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_elements() {
        let value = serde_json::json!({
            "status": {"code": 0, "name": "a & b"},
            "results": [{"x": 1.5}, {"x": null}],
        });
        assert_eq!(
            document("response", &value).lines().nth(1).unwrap(),
            "<response><status><code>0</code><name>a &amp; b</name></status>\
             <results><result><x>1.5</x></result><result><x></x></result></results></response>"
        );
    }
}
