//! What is wrong with a document, and where.

use super::path::Path;
use std::fmt;

/// A place in a text: line and column, both from one, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
}

impl Position {
    /// The first character of a file.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One thing that is wrong: where, what, and what to do about it.
///
/// Prints as `location-beta.yml:3:17: maps.a.timeout: reason; what to do`. The reason never holds
/// a value that came from an environment.
///
/// ```
/// use chameleon_model::document::Document;
///
/// let faults = Document::parse("location.yml", b"maps:\n  a: { on: 1 }\n").unwrap_err();
/// assert_eq!(
///     faults[0].to_string(),
///     "location.yml:2:8: maps.a: plain `on` is a boolean to some readers and text to others; quote it",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub struct Fault {
    /// The file's name or the key, as the caller named it.
    pub file: String,
    /// Where in the file, if the fault has one place.
    pub position: Option<Position>,
    /// Where in the document, if the fault is about a value.
    pub path: Option<Path>,
    /// What is wrong and what to do.
    pub reason: String,
}

impl Fault {
    /// Returns a fault of the whole file.
    pub fn of_file(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            position: None,
            path: None,
            reason: reason.into(),
        }
    }

    /// Returns a fault at a position; the root path is left out.
    pub(crate) fn at(
        file: &str,
        position: Position,
        path: Path,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            file: file.to_owned(),
            position: Some(position),
            path: (!path.is_root()).then_some(path),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(position) = self.position {
            write!(f, ":{position}")?;
        }
        f.write_str(": ")?;
        if let Some(path) = self.path.as_ref().filter(|path| !path.is_root()) {
            write!(f, "{path}: ")?;
        }
        f.write_str(&self.reason)
    }
}
