//! Paths into a document.

use std::fmt;
use std::str::FromStr;

/// One step of a [`Path`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// Into a mapping, by name.
    Name(String),
    /// Into a list, by position from zero.
    Index(usize),
}

/// Where a value stands inside its document, printed like `maps.a.timeout` or `list[2].x`.
///
/// A name that holds dots, brackets, quotes or blanks prints as `maps["a.b"]`; the path of the
/// whole document prints as nothing. Printing and parsing are inverse.
///
/// ```
/// use chameleon_model::document::Path;
///
/// let path: Path = "providers[2].base-url".parse().unwrap();
/// assert_eq!(path, Path::root().name("providers").index(2).name("base-url"));
/// assert_eq!(path.to_string(), "providers[2].base-url");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Vec<Segment>);

impl Path {
    /// Returns the path of the whole document.
    pub fn root() -> Self {
        Self::default()
    }

    /// Returns this path extended into a mapping.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.0.push(Segment::Name(name.into()));
        self
    }

    /// Returns this path extended into a list.
    #[must_use]
    pub fn index(mut self, index: usize) -> Self {
        self.0.push(Segment::Index(index));
        self
    }

    /// Returns the steps from the document's top.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Tells whether this is the path of the whole document.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn push(&mut self, segment: Segment) {
        self.0.push(segment);
    }

    pub(crate) fn pop(&mut self) {
        self.0.pop();
    }

    /// Puts `segment` in front: errors learn their path while they travel outwards.
    pub(crate) fn prepend(&mut self, segment: Segment) {
        self.0.insert(0, segment);
    }

    /// Returns this path below `base`.
    pub(crate) fn below(self, base: &Path) -> Path {
        let mut segments = base.0.clone();
        segments.extend(self.0);
        Path(segments)
    }
}

fn is_bare(name: &str) -> bool {
    let special = |letter: char| {
        matches!(letter, '.' | '[' | ']' | '"' | ':')
            || letter.is_whitespace()
            || letter.is_control()
    };
    !name.is_empty() && !name.contains(special)
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Name(name) if is_bare(name) && at == 0 => f.write_str(name)?,
                Segment::Name(name) if is_bare(name) => write!(f, ".{name}")?,
                Segment::Name(name) => write!(f, "[{}]", serde_json::Value::from(name.as_str()))?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// The text is no [`Path`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no path; write it like `maps.a.timeout`, `list[2].x` or `maps[\"a.b\"]`")]
pub struct PathError {
    text: String,
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        parse(text).ok_or_else(|| PathError {
            text: text.to_owned(),
        })
    }
}

fn parse(text: &str) -> Option<Path> {
    let mut path = Path::root();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let mut stream =
                serde_json::Deserializer::from_str(inside).into_iter::<serde_json::Value>();
            path.push(match stream.next()?.ok()? {
                serde_json::Value::String(name) => Segment::Name(name),
                serde_json::Value::Number(index) => {
                    Segment::Index(usize::try_from(index.as_u64()?).ok()?)
                }
                _ => return None,
            });
            rest = inside[stream.byte_offset()..].strip_prefix(']')?;
            continue;
        }
        if !path.is_root() {
            rest = rest.strip_prefix('.')?;
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, remainder) = rest.split_at(end);
        if !is_bare(name) {
            return None;
        }
        path.push(Segment::Name(name.to_owned()));
        rest = remainder;
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::{Path, Segment};
    use proptest::prelude::*;

    #[test]
    fn paths_print_like_configuration_is_spoken_of() {
        let path = Path::root().name("maps").name("a").name("timeout");
        assert_eq!(path.to_string(), "maps.a.timeout");
        assert_eq!(
            Path::root().name("list").index(2).name("x").to_string(),
            "list[2].x"
        );
        assert_eq!(
            Path::root().name("a.b").name("").to_string(),
            r#"["a.b"][""]"#
        );
        assert_eq!(Path::root().to_string(), "");
    }

    #[test]
    fn malformed_paths_are_refused() {
        for text in [
            ".a", "a..b", "a.", "a[", "a[x]", "a[-1]", "a[1", "a b", "a[1]b", "a[1.5]",
        ] {
            let error = text.parse::<Path>().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("`{text}` is no path; write it like")),
                "{error}"
            );
        }
    }

    fn segments() -> impl Strategy<Value = Vec<Segment>> {
        let segment = prop_oneof![
            "[a-zA-Z0-9_-]{1,6}".prop_map(Segment::Name),
            ".{0,4}".prop_map(Segment::Name),
            (0_usize..1000).prop_map(Segment::Index),
        ];
        prop::collection::vec(segment, 0..6)
    }

    proptest! {
        #[test]
        fn parsing_undoes_printing(segments in segments()) {
            let path = Path(segments);
            prop_assert_eq!(path.to_string().parse::<Path>().unwrap(), path);
        }
    }
}
