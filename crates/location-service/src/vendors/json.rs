//! Tolerant readings of what vendors send: text or number, one or many, null or missing.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

/// Text that may arrive as a number, a boolean, null or not at all; blanks around it are dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Text(String);

impl Text {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text, or nothing if it is empty.
    pub(crate) fn present(&self) -> Option<String> {
        crate::address::non_empty(&self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Null => Ok(Self::default()),
            Value::String(text) => Ok(Self(text.trim().to_owned())),
            Value::Number(number) => Ok(Self(number.to_string())),
            Value::Bool(flag) => Ok(Self(flag.to_string())),
            Value::Array(_) | Value::Object(_) => {
                Err(serde::de::Error::custom("expected text or a number"))
            }
        }
    }
}

/// A list that may arrive as one object, null or not at all; unreadable rows are counted, not fatal.
#[derive(Debug)]
pub(crate) struct Rows<T> {
    pub(crate) read: Vec<T>,
    pub(crate) unreadable: usize,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self {
            read: Vec::new(),
            unreadable: 0,
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Rows<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = match Value::deserialize(deserializer)? {
            Value::Null => Vec::new(),
            Value::Array(values) => values,
            one @ Value::Object(_) => vec![one],
            // Some serialisers write an empty list as empty text.
            Value::String(text) if text.trim().is_empty() => Vec::new(),
            _ => return Err(serde::de::Error::custom("expected a list or an object")),
        };
        let mut rows = Self::default();
        for value in values {
            match serde_json::from_value(value) {
                Ok(row) => rows.read.push(row),
                Err(_) => rows.unreadable += 1,
            }
        }
        Ok(rows)
    }
}

/// Reads null like a missing field.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_takes_numbers_null_and_blanks() {
        for (json, expected) in [
            (r#"" 2 ""#, "2"),
            ("2", "2"),
            ("37.5", "37.5"),
            ("null", ""),
            ("true", "true"),
        ] {
            assert_eq!(
                serde_json::from_str::<Text>(json).expect(json).as_str(),
                expected
            );
        }
        assert!(serde_json::from_str::<Text>("[]").is_err());
    }

    #[test]
    fn rows_take_one_many_and_none() {
        for (json, read, unreadable) in [
            ("[1, 2]", 2, 0),
            ("null", 0, 0),
            (r#""""#, 0, 0),
            (r#"[1, "x"]"#, 1, 1),
        ] {
            let rows: Rows<u8> = serde_json::from_str(json).expect(json);
            assert_eq!(
                (rows.read.len(), rows.unreadable),
                (read, unreadable),
                "{json}"
            );
        }
        let one: Rows<std::collections::BTreeMap<String, u8>> =
            serde_json::from_str(r#"{"a": 1}"#).expect("one");
        assert_eq!(one.read.len(), 1);
        assert!(serde_json::from_str::<Rows<u8>>("7").is_err());
    }
}
