//! Keys and prefixes of the hierarchical keyspace.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest key that is accepted, in bytes.
pub const MAX_KEY_BYTES: usize = 512;

/// The name of one entry, for example `config/location-beta.yml`.
///
/// A key is not empty, at most [`MAX_KEY_BYTES`] long, and has neither control characters nor a
/// `..` segment (current Consul releases refuse the latter too). Keys order
/// bytewise. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// Checks `text` and makes it a key.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        if text.len() > MAX_KEY_BYTES {
            return Err(KeyError::TooLong { bytes: text.len() });
        }
        if text.chars().any(char::is_control) {
            return Err(KeyError::Control {
                key: text.escape_debug().to_string(),
            });
        }
        if text.split('/').any(|segment| segment == "..") {
            return Err(KeyError::Traversal {
                key: text.to_owned(),
            });
        }
        Ok(Self(text.into()))
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Keys have at least one character.
    #[error("missing key name")]
    Empty,
    /// The key exceeds [`MAX_KEY_BYTES`].
    #[error("the key has {bytes} bytes, {MAX_KEY_BYTES} are allowed; shorten it")]
    TooLong {
        /// The length found.
        bytes: usize,
    },
    /// The key has a control character.
    #[error("key `{key}` has a control character; remove it")]
    Control {
        /// The key, escaped.
        key: String,
    },
    /// The key has a `..` segment.
    #[error("key `{key}` has a `..` segment; write the path without it")]
    Traversal {
        /// The key.
        key: String,
    },
}

/// The beginning of keys, compared byte by byte without regard to `/`; empty means all keys.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(Arc<str>);

impl Prefix {
    /// Makes a prefix of any text.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The prefix of every key.
    pub fn all() -> Self {
        Self::new("")
    }

    /// The prefix's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Says whether `key` begins with this prefix.
    pub fn covers(&self, key: &Key) -> bool {
        key.as_str().starts_with(&*self.0)
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Prefix {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}*`", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_keys_are_accepted() {
        for text in [
            "config/location-beta.yml",
            "a b,ç/ü",
            "/x",
            "a//b",
            "dots..inside",
            "trailing/",
        ] {
            assert_eq!(Key::new(text).expect(text).as_str(), text);
        }
    }

    #[test]
    fn broken_keys_say_what_to_do() {
        let long = "k".repeat(MAX_KEY_BYTES + 1);
        for (text, message) in [
            ("", "missing key name"),
            (
                long.as_str(),
                "the key has 513 bytes, 512 are allowed; shorten it",
            ),
            ("a\nb", "key `a\\nb` has a control character; remove it"),
            (
                "a/../b",
                "key `a/../b` has a `..` segment; write the path without it",
            ),
        ] {
            assert_eq!(Key::new(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn prefixes_know_no_slashes() {
        assert!(Prefix::new("foo").covers(&Key::new("foobar").unwrap()));
        assert!(Prefix::all().covers(&Key::new("x").unwrap()));
        assert!(!Prefix::new("foo/").covers(&Key::new("foobar").unwrap()));
    }
}
