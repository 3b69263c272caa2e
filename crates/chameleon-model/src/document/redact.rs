//! Keeps secrets out of what people are shown.

use super::name::canonical;
use serde_json::Value;

/// What stands for a secret.
pub(super) const REDACTED: &str = "(redacted)";

/// Tells whether values under this name are secrets, such as `appKey`, `client-secret` or `token`.
///
/// ```
/// use chameleon_model::document::is_secret_name;
///
/// assert!(is_secret_name("appKey") && is_secret_name("CLIENT_SECRET") && is_secret_name("db-password"));
/// assert!(!is_secret_name("keyboard") && !is_secret_name("timeout"));
/// ```
pub fn is_secret_name(name: &str) -> bool {
    let name = canonical(name);
    let inside = [
        "secret",
        "password",
        "passwd",
        "passphrase",
        "token",
        "credential",
    ];
    let at_end = ["key", "keys", "pwd"];
    inside.iter().any(|part| name.contains(part)) || at_end.iter().any(|end| name.ends_with(end))
}

/// Tells whether a value is what git may hold: nothing, or a placeholder without default.
fn is_harmless(value: &str) -> bool {
    let inside = value
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'));
    value.is_empty() || inside.is_some_and(|name| !name.contains([':', '}']))
}

/// Returns the value with every secret in it replaced, `secret` telling about the value itself.
///
/// ```
/// use chameleon_model::document::redact;
/// use serde_json::json;
///
/// let value = json!({ "vendor": "tmap", "appKey": "l7xx", "clientId": "${APP_ID}" });
/// assert_eq!(redact(&value, false), json!({ "vendor": "tmap", "appKey": "(redacted)", "clientId": "${APP_ID}" }));
/// ```
pub fn redact(value: &Value, secret: bool) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), redact(value, secret || is_secret_name(name))))
            .collect(),
        Value::Array(items) => items.iter().map(|item| redact(item, secret)).collect(),
        Value::Null => Value::Null,
        Value::String(text) if is_harmless(text) => value.clone(),
        scalar if !secret => scalar.clone(),
        _ => Value::from(REDACTED),
    }
}

/// Returns the text's lines with the values of secret names replaced.
///
/// It looks at lines rather than at YAML, so that it also serves for text that does not parse; when
/// in doubt it hides too much.
///
/// ```
/// use chameleon_model::document::redact_lines;
///
/// let lines = redact_lines("a: { vendor: tmap, appKey: l7xx }\ntimeout: 1s\n");
/// assert_eq!(lines, ["a: { vendor: tmap, appKey: (redacted) }", "timeout: 1s"]);
/// ```
pub fn redact_lines(text: &str) -> Vec<String> {
    let mut secret_above: Option<usize> = None;
    text.lines()
        .map(|line| redact_line(line, &mut secret_above))
        .collect()
}

/// `secret_above` is the indentation of the secret name whose value goes on below it.
fn redact_line(line: &str, secret_above: &mut Option<usize>) -> String {
    let indent = line.len() - line.trim_start().len();
    if let Some(above) = *secret_above {
        let goes_on = indent > above || (indent == above && line.trim_start().starts_with("- "));
        if goes_on || line.trim().is_empty() {
            return if line.trim().is_empty() {
                line.to_owned()
            } else {
                format!("{}{REDACTED}", &line[..indent])
            };
        }
        *secret_above = None;
    }
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(colon) = rest.find(':') {
        let (before, after) = (&rest[..colon], &rest[colon + 1..]);
        let name = before
            .rsplit([' ', '{', ',', '[', '\t'])
            .next()
            .unwrap_or_default();
        let is_name =
            after.is_empty() || after.starts_with([' ', '\t']) || name.ends_with(['"', '\'']);
        shown.push_str(&rest[..=colon]);
        rest = after;
        if !is_name || !is_secret_name(name.trim_matches(['"', '\''])) {
            continue;
        }
        let start = rest.len() - rest.trim_start().len();
        let end = start + value_end(&rest[start..]);
        let value = rest[start..end].trim_end();
        let opens =
            value.is_empty() || value.starts_with(['|', '>', '{', '[', '&', '!', '"', '\'']);
        if opens {
            // The value may go on in the lines below: hide what is deeper.
            let name_indent = line.len() - line.trim_start_matches([' ', '-']).len();
            *secret_above = Some(if line.trim_start().starts_with("- ") {
                name_indent
            } else {
                indent
            });
        }
        shown.push_str(&rest[..start]);
        if is_harmless(value.trim_matches(['"', '\''])) {
            shown.push_str(value);
            rest = &rest[start + value.len()..];
        } else if value.starts_with(['{', '[']) {
            shown.push_str(REDACTED);
            rest = "";
        } else {
            shown.push_str(REDACTED);
            rest = &rest[start + value.len()..];
        }
    }
    shown.push_str(rest);
    shown
}

/// Returns where a value ends that starts with the text, in bytes.
fn value_end(text: &str) -> usize {
    if text.starts_with("${") {
        return text.find('}').map_or(text.len(), |end| end + 1);
    }
    match text.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let mut escaped = false;
            for (at, letter) in text.char_indices().skip(1) {
                match letter {
                    _ if escaped => escaped = false,
                    '\\' if quote == '"' => escaped = true,
                    _ if letter == quote => return at + 1,
                    _ => {}
                }
            }
            text.len()
        }
        Some('{' | '[') | None => text.len(),
        // A plain value ends at the next field of a flow mapping, or not in this line.
        Some(_) => [", ", " }", "}"]
            .iter()
            .filter_map(|end| text.find(end))
            .min()
            .unwrap_or(text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::{redact, redact_lines};
    use serde_json::json;

    #[test]
    fn secrets_are_hidden_at_every_depth() {
        let value = json!({
            "secrets": { "a": "x", "b": [1, { "c": true }] },
            "list": [{ "password": "p", "user": "u" }],
            "api_key": "${APP_KEY:default}",
            "app-token": "${APP_TOKEN}",
        });
        let expected = json!({
            "secrets": { "a": "(redacted)", "b": ["(redacted)", { "c": "(redacted)" }] },
            "list": [{ "password": "(redacted)", "user": "u" }],
            "api_key": "(redacted)",
            "app-token": "${APP_TOKEN}",
        });
        assert_eq!(redact(&value, false), expected);
    }

    #[test]
    fn secrets_in_lines_are_hidden() {
        let cases = [
            ("appKey: abc", vec!["appKey: (redacted)"]),
            (
                "  - token: \"a, b\" # note",
                vec!["  - token: (redacted) # note"],
            ),
            (
                "{ \"appKey\":\"abc\", x: 1 }",
                vec!["{ \"appKey\":(redacted), x: 1 }"],
            ),
            (
                "a: { key: k, user: u, secret: s }",
                vec!["a: { key: (redacted), user: u, secret: (redacted) }"],
            ),
            ("key: ${APP_KEY}", vec!["key: ${APP_KEY}"]),
            (
                "a: { key: \"${APP_KEY}\", timeout: 800ms }",
                vec!["a: { key: \"${APP_KEY}\", timeout: 800ms }"],
            ),
            ("url: http://key:1", vec!["url: http://key:1"]),
            (
                "private_key: |\n  -----BEGIN\n\n  abc\nnext: 1",
                vec![
                    "private_key: (redacted)",
                    "  (redacted)",
                    "",
                    "  (redacted)",
                    "next: 1",
                ],
            ),
            (
                "tokens:\n- abc\n- def\nnext: 1",
                vec!["tokens:", "(redacted)", "(redacted)", "next: 1"],
            ),
            (
                "secrets:\n  a: b\nnext: 1",
                vec!["secrets:", "  (redacted)", "next: 1"],
            ),
            (
                "key: { a: b,\n  c: d }\nnext: 1",
                vec!["key: (redacted)", "  (redacted)", "next: 1"],
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(redact_lines(text), expected, "{text}");
        }
    }
}
