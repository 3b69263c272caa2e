//! The one place that reads YAML.
//!
//! The tree and its positions are built from `saphyr-parser`'s events, so that every refusal knows
//! its line; `serde_yaml` then reads the same text, and a document on which the two differ is
//! refused. No reader of a file that passed here sees anything else in it.

mod builder;
mod parts;

use super::fault::{Fault, Position};
use super::marks::Marks;
use super::path::{Path, Segment};
use builder::Builder;
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;

/// The size up to which a document is read, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 512 * 1024;
/// How deep mappings and lists may stand inside each other, aliases followed.
pub const MAX_DEPTH: usize = 64;
/// How many values all aliases of a document may add together; a long text counts as one more for
/// each 64 bytes.
pub const MAX_ALIASED_NODES: usize = 10_000;

/// One YAML file, read strictly: a tree of values whose top is a mapping, and where they stand.
///
/// ```
/// use chameleon_model::document::{Document, Path, Position};
///
/// let document = Document::parse("location.yml", b"maps:\n  a: { timeout: 800ms }\n").unwrap();
/// let path: Path = "maps.a.timeout".parse().unwrap();
/// assert_eq!(document.value()["maps"]["a"]["timeout"], "800ms");
/// assert_eq!(document.position_of(&path), Some(Position { line: 2, column: 17 }));
/// assert_eq!(document.key_position_of(&path), Some(Position { line: 2, column: 8 }));
/// ```
#[derive(Clone)]
pub struct Document {
    pub(super) file: Arc<str>,
    pub(super) value: Value,
    pub(super) marks: Marks,
}

impl Document {
    /// Reads a file of the name `file`, which is used in faults only.
    ///
    /// An empty file is an empty mapping.
    ///
    /// # Errors
    ///
    /// Returns everything that is wrong; reading ends at the first error of syntax.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, Vec<Fault>> {
        let text = text_of(file, bytes).map_err(|fault| vec![fault])?;
        let (value, marks) = read(file, text)?;
        let document = Self {
            file: file.into(),
            value,
            marks,
        };
        document
            .check_second_reader(text)
            .map_err(|fault| vec![fault])?;
        Ok(document)
    }

    /// Returns the file's name, as given to [`Self::parse`].
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Returns the values; the top is always a mapping.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Returns where the value at `path` starts; names are compared canonically.
    pub fn position_of(&self, path: &Path) -> Option<Position> {
        self.marks.get(path).map(|marks| marks.value)
    }

    /// Returns where the name of the value at `path` stands: items of a list have none.
    pub fn key_position_of(&self, path: &Path) -> Option<Position> {
        self.marks.get(path).and_then(|marks| marks.key)
    }

    /// Returns a fault at the value of `path`, or at the nearest value around it.
    pub fn fault(&self, path: Path, reason: impl Into<String>) -> Fault {
        Fault::at(&self.file, self.marks.nearest(&path).shown(), path, reason)
    }

    /// Compares with what `serde_yaml` reads, so that nobody else can read the file differently.
    fn check_second_reader(&self, text: &str) -> Result<(), Fault> {
        if is_blank(text) {
            return Ok(());
        }
        match serde_yaml::from_str::<Value>(text) {
            // A document of nothing but `---` or `~` is an empty mapping here.
            Ok(Value::Null) if self.value.as_object().is_some_and(Map::is_empty) => Ok(()),
            Ok(second) => match first_difference(&self.value, &second) {
                None => Ok(()),
                Some(path) => {
                    Err(self.fault(path, "YAML readers differ about this value; quote it"))
                }
            },
            Err(error) => {
                let position = error
                    .location()
                    .map_or(Position::START, |location| Position {
                        line: count(location.line()),
                        column: count(location.column()),
                    });
                let reason = "some YAML readers do not accept this; write it more plainly";
                Err(Fault::at(&self.file, position, Path::root(), reason))
            }
        }
    }
}

impl fmt::Debug for Document {
    /// Shows the file's name only: values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// Tells whether a file holds no value at all.
fn is_blank(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim_start);
    lines.all(|line| line.is_empty() || line.starts_with('#') || line == "---" || line == "...")
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn text_of<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, Fault> {
    if bytes.len() > MAX_DOCUMENT_BYTES {
        let size = bytes.len();
        let reason = format!(
            "has {size} bytes, {MAX_DOCUMENT_BYTES} are allowed; split it or leave something out"
        );
        return Err(Fault::of_file(file, reason));
    }
    let after = |before: &str| {
        let line = before.rsplit('\n').next().unwrap_or_default();
        Position {
            line: count(before.matches('\n').count() + 1),
            column: count(line.chars().count() + 1),
        }
    };
    let refuse = |position, reason: &str| Err(Fault::at(file, position, Path::root(), reason));
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            return refuse(after(&before), "is not UTF-8; save the file as UTF-8");
        }
    };
    if text.starts_with('\u{feff}') {
        let reason = "starts with a byte order mark; save the file as UTF-8 without one";
        return refuse(Position::START, reason);
    }
    if let Some((at, letter)) = text
        .char_indices()
        .find(|(_, letter)| !is_printable(*letter))
    {
        let code = u32::from(letter);
        let reason = format!(
            "the character U+{code:04X} is not allowed in YAML; write it as `\\u{code:04x}` in double quotes"
        );
        return refuse(after(&text[..at]), &reason);
    }
    Ok(text)
}

/// Tells whether YAML lets a character stand as it is.
pub(super) fn is_printable(letter: char) -> bool {
    matches!(letter, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..)
}

fn read(file: &str, text: &str) -> Result<(Value, Marks), Vec<Fault>> {
    let mut builder = Builder::new(file);
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => {
                if builder.accept(event, span.start).is_break() {
                    break;
                }
            }
            Err(error) => {
                builder.syntax_error(*error.marker(), error.info());
                break;
            }
        }
    }
    builder.finish()
}

fn first_difference(one: &Value, other: &Value) -> Option<Path> {
    fn walk(one: &Value, other: &Value, path: &mut Path) -> bool {
        match (one, other) {
            (Value::Object(one), Value::Object(other)) if one.len() == other.len() => {
                one.iter().any(|(name, value)| {
                    path.push(Segment::Name(name.clone()));
                    let differs = other.get(name).is_none_or(|other| walk(value, other, path));
                    if !differs {
                        path.pop();
                    }
                    differs
                })
            }
            (Value::Array(one), Value::Array(other)) if one.len() == other.len() => one
                .iter()
                .zip(other)
                .enumerate()
                .any(|(index, (value, other))| {
                    path.push(Segment::Index(index));
                    let differs = walk(value, other, path);
                    if !differs {
                        path.pop();
                    }
                    differs
                }),
            _ => one != other,
        }
    }
    let mut path = Path::root();
    (one != other && walk(one, other, &mut path)).then_some(path)
}

/// Returns the text inside quotes if `text` is one quoted YAML scalar and nothing else.
pub(super) fn unquoted(text: &str) -> Option<String> {
    let mut scalar = None;
    for event in Parser::new_from_str(text) {
        match event.ok()?.0 {
            Event::Scalar(
                value,
                ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted,
                0,
                None,
            ) if scalar.is_none() => {
                scalar = Some(value.into_owned());
            }
            Event::StreamStart
            | Event::DocumentStart(false)
            | Event::DocumentEnd
            | Event::StreamEnd => {}
            _ => return None,
        }
    }
    scalar
}

#[cfg(test)]
mod tests;
