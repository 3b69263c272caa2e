//! What a service's own types promise.

use chameleon_model::document::{Path, Segment};
use serde::de::DeserializeOwned;

/// A service's own configuration type.
///
/// serde says how it is read, and its defaults stand for what no document sets. Field names match
/// the documents' canonically: `a_map_percentage` takes `aMapPercentage` and `a-map-percentage`.
///
/// ```
/// use chameleon_client::{Configuration, Violation};
///
/// #[derive(serde::Deserialize)]
/// struct Shares {
///     a_map_percentage: u32,
///     #[serde(default)]
///     b_map_percentage: u32,
/// }
///
/// impl Configuration for Shares {
///     fn validate(&self) -> Result<(), Vec<Violation>> {
///         let sum = self.a_map_percentage.saturating_add(self.b_map_percentage);
///         if sum == 100 {
///             return Ok(());
///         }
///         let reason = format!("shares add up to {sum}, must be 100");
///         Err(vec![Violation::at("aMapPercentage", reason)])
///     }
/// }
/// ```
pub trait Configuration: DeserializeOwned + Send + Sync + 'static {
    /// Checks what the type itself can't say; accepts everything unless it is written.
    ///
    /// It may take its time, but must not bind: one state is judged at a time. A panic counts as a
    /// violation.
    ///
    /// # Errors
    /// Everything that is wrong: a single violation rejects the whole state.
    fn validate(&self) -> Result<(), Vec<Violation>> {
        Ok(())
    }
}

/// Something that a [`Configuration`] does not accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    path: Path,
    reason: String,
}

impl Violation {
    /// A violation at a path like `maps.a.timeout` below the bound value; empty for all of it.
    ///
    /// The reason says what is wrong and what would be right; it travels to the server and into
    /// logs, so it should not hold a secret.
    pub fn at(path: &str, reason: impl Into<String>) -> Self {
        let path = path.parse().unwrap_or_else(|_| Path::root().name(path));
        Self {
            path,
            reason: reason.into(),
        }
    }

    /// The path below `base`, and the reason.
    pub(crate) fn below(self, base: &Path) -> (Path, String) {
        let path =
            (self.path.segments().iter()).fold(base.clone(), |path, segment| match segment {
                Segment::Name(name) => path.name(name),
                Segment::Index(index) => path.index(*index),
            });
        (path, self.reason)
    }
}
