//! What does not decode, told without the value: it may come from an environment.

use crate::document::path::{Path, Segment};
use serde::de::{Error, Expected, Unexpected};
use std::fmt;

/// Learns its path on the way out.
#[derive(Debug)]
pub(super) struct DecodeError {
    pub(super) path: Path,
    pub(super) reason: String,
    /// Whether the reason may hold the value itself.
    pub(super) shows_value: bool,
}

impl DecodeError {
    fn new(reason: String) -> Self {
        Self {
            path: Path::root(),
            reason,
            shows_value: false,
        }
    }

    pub(super) fn inside(mut self, segment: Segment) -> Self {
        self.path.prepend(segment);
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for DecodeError {}

fn kind(unexpected: &Unexpected<'_>) -> &'static str {
    match unexpected {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
        Unexpected::Float(_) => "a decimal number",
        Unexpected::Char(_) | Unexpected::Str(_) | Unexpected::Bytes(_) => "a text",
        Unexpected::Unit | Unexpected::Option => "empty",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a mapping",
        _ => "something else",
    }
}

fn listed(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

impl Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            shows_value: true,
            ..Self::new(message.to_string())
        }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("must be {expected}, is {}", kind(&unexpected)))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let trouble = match unexpected {
            Unexpected::Unsigned(_) | Unexpected::Signed(_) => "out of its range",
            _ => "that does not fit",
        };
        Self::new(format!(
            "must be {expected}, is {} {trouble}",
            kind(&unexpected)
        ))
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::new(format!("must be {expected}, has {length} items"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self {
            shows_value: true,
            ..Self::new(format!("`{variant}` is not one of {}", listed(expected)))
        }
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(match expected {
            [] => "is not a known name; remove it".to_owned(),
            names => format!(
                "is not a known name; remove it or use one of {}",
                listed(names)
            ),
        })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("`{field}` is missing; add it"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format!("`{field}` is given twice; keep one"))
    }
}
