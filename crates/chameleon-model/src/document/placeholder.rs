//! Placeholders: `${NAME}` and `${NAME:default}`, filled from an environment.

use super::fault::Fault;
use super::marks::{Children, Filled, Marks};
use super::merge::{Merged, Provenance};
use super::path::{Path, Segment};
use super::redact::REDACTED;
use super::scalar::{self, Refusal};
use super::yaml;
use serde_json::Value;
use std::fmt;

/// The names that placeholders may read, so that a push cannot read a whole environment.
///
/// A pattern is a name or, ending in `*`, the start of names. The default is `APP_*`.
///
/// ```
/// use chameleon_model::document::Allowed;
///
/// let allowed = Allowed::new(["APP_*", "REGION"]);
/// assert!(allowed.allows("APP_TMAP_KEY") && allowed.allows("REGION"));
/// assert!(!allowed.allows("REGION_2") && !allowed.allows("AWS_SECRET_ACCESS_KEY"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed(Vec<String>);

impl Allowed {
    /// Allows the names that match any of the patterns.
    pub fn new<P: Into<String>>(patterns: impl IntoIterator<Item = P>) -> Self {
        Self(patterns.into_iter().map(Into::into).collect())
    }

    /// Tells whether placeholders may read `name`.
    pub fn allows(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => name == pattern,
            })
    }
}

impl Default for Allowed {
    fn default() -> Self {
        Self::new(["APP_*"])
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let quoted: Vec<_> = self
            .0
            .iter()
            .map(|pattern| format!("`{pattern}`"))
            .collect();
        f.write_str(&quoted.join(", "))
    }
}

/// A merged document whose placeholders are filled; it may hold secrets and is never shown whole.
#[derive(Clone)]
pub struct Resolved {
    pub(super) value: Value,
    pub(super) provenance: Provenance,
}

impl Resolved {
    /// Returns the values; the top is always a mapping.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Returns a fault at the value of `path`, or at the nearest value around it.
    ///
    /// What placeholders were filled with is taken out of the reason.
    pub fn fault(&self, path: Path, reason: impl Into<String>) -> Fault {
        self.provenance.fault(path, self.hidden(reason.into()))
    }

    /// The reason without what came from an environment: a service's own types word their reasons
    /// themselves, and these travel to logs and to the server.
    pub(super) fn hidden(&self, mut reason: String) -> String {
        let mut filled = Vec::new();
        collect_filled(&self.value, &self.provenance.marks, &mut filled);
        // The longest first: one may be a part of another.
        filled.sort_by_key(|text| std::cmp::Reverse(text.len()));
        for text in filled {
            if reason.contains(text) {
                reason = reason.replace(text, REDACTED);
            }
        }
        reason
    }
}

/// Shorter texts are no secrets, but parts of words and numbers.
const MIN_SECRET_BYTES: usize = 6;

fn collect_filled<'a>(value: &'a Value, marks: &'a Marks, found: &mut Vec<&'a str>) {
    let text = match (&marks.filled, value) {
        (Some(Filled::Typed(text)), _) => Some(&**text),
        (Some(Filled::Text), Value::String(text)) => Some(text.as_str()),
        _ => None,
    };
    // Quotes around it are for typing only.
    let text = text.map(|text| text.trim().trim_matches(['"', '\'']));
    found.extend(text.filter(|text| text.len() >= MIN_SECRET_BYTES));
    match (value, &marks.children) {
        (Value::Object(values), Children::Map(children)) => {
            for (name, value) in values {
                if let Some(marks) = children.get(name) {
                    collect_filled(value, marks, found);
                }
            }
        }
        (Value::Array(values), Children::List(children)) => {
            for (value, marks) in values.iter().zip(children) {
                collect_filled(value, marks, found);
            }
        }
        _ => {}
    }
}

impl fmt::Debug for Resolved {
    /// Shows no values: they may come from an environment.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolved").finish_non_exhaustive()
    }
}

/// What a checker sees, which has no environment: defaults in place of placeholders.
#[derive(Debug)]
pub struct Defaulted {
    /// The document. A scalar that is one placeholder without default stays as it is written, and
    /// is known as open: a schema lets pass what it finds exactly there.
    pub document: Resolved,
    /// Placeholders that are malformed, or whose default YAML readers differ about.
    pub faults: Vec<Fault>,
}

impl Merged {
    /// Fills the placeholders from `lookup`.
    ///
    /// A scalar that is one placeholder is typed as YAML after it is filled: `8080` becomes a
    /// number, quotes keep it a text. `$${` stands for a plain `${`.
    ///
    /// # Errors
    ///
    /// Returns a fault for each name that is missing, not allowed or malformed, with its path; no
    /// fault holds a value of the environment.
    pub fn resolve(
        &self,
        allowed: &Allowed,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Resolved, Vec<Fault>> {
        let (resolved, faults) = self.fill(&|name, default| {
            if !allowed.allows(name) {
                return Err(format!(
                    "`{name}` is not a name that placeholders may read; allowed: {allowed}"
                ));
            }
            let found = lookup(name).or_else(|| default.map(str::to_owned));
            found.map(Some).ok_or_else(|| {
                format!(
                    "`{name}` is not set and has no default; set it, or write `${{{name}:default}}`"
                )
            })
        });
        if faults.is_empty() {
            Ok(resolved)
        } else {
            Err(faults)
        }
    }

    /// Fills the placeholders with their defaults, as a checker does that has no environment.
    pub fn with_defaults(&self) -> Defaulted {
        let (document, faults) = self.fill(&|_, default| Ok(default.map(str::to_owned)));
        Defaulted { document, faults }
    }

    fn fill(&self, source: &Source<'_>) -> (Resolved, Vec<Fault>) {
        let mut value = self.value.clone();
        let mut provenance = self.provenance.clone();
        let mut reasons = Vec::new();
        walk(
            &mut value,
            &mut provenance.marks,
            &mut Path::root(),
            source,
            &mut reasons,
        );
        let faults = reasons
            .into_iter()
            .map(|(path, reason)| self.value_fault(path, reason))
            .collect();
        (Resolved { value, provenance }, faults)
    }

    /// A fault at the value itself, where the placeholder is written, rather than at its name.
    fn value_fault(&self, path: Path, reason: String) -> Fault {
        let marks = self.provenance.marks.nearest(&path);
        Fault::at(self.provenance.file_of(marks), marks.value, path, reason)
    }
}

/// Answers a name and its default: a text, `None` for "nothing known", or why it may not be read.
type Source<'a> = dyn Fn(&str, Option<&str>) -> Result<Option<String>, String> + 'a;

fn walk(
    value: &mut Value,
    marks: &mut Marks,
    path: &mut Path,
    source: &Source<'_>,
    reasons: &mut Vec<(Path, String)>,
) {
    match (value, &mut marks.children) {
        (Value::Object(values), Children::Map(children)) => {
            for (name, value) in values {
                let Some(marks) = children.get_mut(name) else {
                    continue;
                };
                path.push(Segment::Name(name.clone()));
                walk(value, marks, path, source, reasons);
                path.pop();
            }
        }
        (Value::Array(values), Children::List(children)) => {
            for (index, (value, marks)) in values.iter_mut().zip(children).enumerate() {
                path.push(Segment::Index(index));
                walk(value, marks, path, source, reasons);
                path.pop();
            }
        }
        (scalar @ Value::String(_), _) => {
            let text = scalar.as_str().unwrap_or_default();
            match filled(text, source) {
                Ok(None) => {}
                Ok(Some((value, filled))) => {
                    marks.filled = filled;
                    *scalar = value;
                }
                Err(found) => {
                    reasons.extend(found.into_iter().map(|reason| (path.clone(), reason)));
                }
            }
        }
        _ => {}
    }
}

/// Returns the scalar with its placeholders filled, or `None` if there is nothing to do.
fn filled(text: &str, source: &Source<'_>) -> Result<Option<(Value, Option<Filled>)>, Vec<String>> {
    if !text.contains("${") {
        return Ok(None);
    }
    let parts = parts(text).map_err(|reason| vec![reason])?;
    if let [Part::Placeholder { name, default }] = parts.as_slice() {
        return match source(name, *default).map_err(|reason| vec![reason])? {
            None => Ok(Some((Value::from(text), Some(Filled::Open)))),
            Some(found) => match typed(&found) {
                Ok(value) => Ok(Some((value, Some(Filled::Typed(found.into()))))),
                Err(refusal) => {
                    let (what, _) = refusal.parts();
                    Err(vec![format!(
                        "what stands for `{name}` {what}; put it in quotes there"
                    )])
                }
            },
        };
    }
    let (mut whole, mut kind, mut faults) = (String::new(), None, Vec::new());
    for part in parts {
        match part {
            Part::Text(text) => whole.push_str(text),
            Part::Placeholder { name, default } => match source(name, default) {
                Ok(Some(found)) => {
                    whole.push_str(&found);
                    kind.get_or_insert(Filled::Text);
                }
                Ok(None) => kind = Some(Filled::OpenText),
                Err(reason) => faults.push(reason),
            },
        }
    }
    if faults.is_empty() {
        Ok(Some((Value::from(whole), kind)))
    } else {
        Err(faults)
    }
}

/// Types what was filled in as YAML would: quotes make it a text.
fn typed(text: &str) -> Result<Value, Refusal> {
    let trimmed = text.trim();
    if trimmed.starts_with(['"', '\'']) {
        let inside = yaml::unquoted(trimmed);
        return Ok(Value::from(inside.as_deref().unwrap_or(text)));
    }
    let value = scalar::plain(trimmed)?;
    // What stays a text stays exactly as it is: blanks around a secret may belong to it.
    Ok(if value.is_string() {
        Value::from(text)
    } else {
        value
    })
}

#[derive(Debug, PartialEq)]
enum Part<'a> {
    Text(&'a str),
    Placeholder {
        name: &'a str,
        default: Option<&'a str>,
    },
}

fn parts(text: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            // `$${` is a plain `${`.
            parts.push(Part::Text(&rest[..at - 1]));
            parts.push(Part::Text("${"));
            rest = &rest[at + 2..];
            continue;
        }
        if at > 0 {
            parts.push(Part::Text(&rest[..at]));
        }
        let inside = &rest[at + 2..];
        let end = inside
            .find('}')
            .ok_or("a placeholder has no `}`; close it, or write `$${` for a plain `${`")?;
        let (name, default) = match inside[..end].split_once(':') {
            Some((name, default)) => (name, Some(default)),
            None => (&inside[..end], None),
        };
        if default.is_some_and(|default| default.contains("${")) {
            return Err(format!(
                "the default of `{name}` holds a placeholder itself; write a plain value"
            ));
        }
        if !is_name(name) {
            return Err(format!(
                "`{name}` is no name of a variable; use letters, digits and `_`, or write `$${{` for a plain `${{`"
            ));
        }
        parts.push(Part::Placeholder { name, default });
        rest = &inside[end + 1..];
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    Ok(parts)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

#[cfg(test)]
mod tests;
