//! The live configuration: which vendors there are and how the traffic is spread over them.
//!
//! ```yaml
//! aMapPercentage: 90
//! bMapPercentage: 10
//! maps:
//!   a: { vendor: tmap, appKey: "…", timeout: 800ms }
//!   b: { vendor: naver, clientId: "…", clientSecret: "…", timeout: 800ms }
//! search: { deadline: 1500ms }
//! ```
//!
//! A [`MapConfig`] that exists is valid: reading one checks everything and tells all faults at once.

mod fault;
mod provider;
mod read;
mod section;
mod share;

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Deserializer, de};

pub use fault::{Fault, Faults};
pub(crate) use provider::{Dialect, KeyIn, NaverSettings, TmapSettings, VendorSettings};
pub(crate) use share::{Share, Shares};

/// The time for one search when the document does not say.
const DEFAULT_DEADLINE: Duration = Duration::from_millis(1500);
/// The time for one provider when the document does not say: two fit into the default deadline.
const DEFAULT_TIMEOUT: Duration = Duration::from_millis(800);

/// A valid configuration of providers and their shares.
///
/// Deserialises from the service's merged document. Names count in any spelling (`aMapPercentage`,
/// `a-map-percentage`); other keys of the document are left to whoever reads them.
#[derive(Debug, Clone)]
pub struct MapConfig {
    pub(crate) providers: Vec<ProviderConfig>,
    pub(crate) shares: Shares,
    pub(crate) deadline: Duration,
}

/// The document's part that this service reads, before it is judged.
///
/// Deserialises from any document, so that a reader can place each fault in its file by
/// [`Self::check`]; a [`MapConfig`] tells them in one line instead.
pub struct MapDocument(Result<Arc<MapConfig>, Faults>);

impl MapDocument {
    /// The configuration, or everything that is wrong with it.
    ///
    /// # Errors
    /// All faults at once, each with its path.
    pub fn check(&self) -> Result<&Arc<MapConfig>, &Faults> {
        self.0.as_ref()
    }
}

/// One declared use of a vendor.
#[derive(Debug, Clone)]
pub(crate) struct ProviderConfig {
    pub(crate) name: ProviderName,
    /// The longest that one attempt may take.
    pub(crate) timeout: Duration,
    pub(crate) vendor: VendorSettings,
}

/// The name of a provider in canonical form: lower-case letters and digits, `a`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ProviderName(Arc<str>);

impl ProviderName {
    const MAX_CHARS: usize = 32;

    /// Reads a name in any spelling; none if nothing or something else than letters and digits is left.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let name = canonical(text);
        let valid = !name.is_empty()
            && name.len() <= Self::MAX_CHARS
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        valid.then(|| Self(name.into()))
    }

    /// The name as it is shown and counted.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// The form in which names are compared: lower case, without `-` and `_`.
fn canonical(name: &str) -> String {
    name.chars()
        .filter(|letter| !matches!(letter, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}

impl<'de> Deserialize<'de> for MapConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let document = deserializer.deserialize_map(DocumentVisitor)?;
        read::map_config(&document).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for MapDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let document = deserializer.deserialize_map(DocumentVisitor)?;
        Ok(Self(read::map_config(&document).map(Arc::new)))
    }
}

struct DocumentVisitor;

impl<'de> de::Visitor<'de> for DocumentVisitor {
    type Value = serde_json::Map<String, serde_json::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document with `maps` and their percentages")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut document = serde_json::Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if read::is_ours(&key) {
                document.insert(key, entries.next_value()?);
            } else {
                entries.next_value::<de::IgnoredAny>()?;
            }
        }
        Ok(document)
    }
}

#[cfg(test)]
mod tests;
