//! Reads one section of the document by canonical names and collects what is wrong with it.

use std::{collections::BTreeMap, time::Duration};

use secrecy::SecretString;
use serde_json::{Map, Value};
use url::Url;

use super::{canonical, fault::Fault};

/// The longest time that a setting may ask for; more is a slip of the pen.
const MAX_DURATION: Duration = Duration::from_mins(1);

/// A map of the document while it is read; every key has to be asked for in the end.
pub(crate) struct Section<'a> {
    path: String,
    unread: BTreeMap<String, (&'a str, &'a Value)>,
    known: Vec<&'static str>,
    faults: Vec<Fault>,
}

impl<'a> Section<'a> {
    /// Opens the map at `path`; two spellings of one name are a fault.
    pub(crate) fn new(path: String, map: &'a Map<String, Value>) -> Self {
        let mut section = Self {
            path,
            unread: BTreeMap::new(),
            known: Vec::new(),
            faults: Vec::new(),
        };
        for (key, value) in map {
            if let Some((first, _)) = section.unread.insert(canonical(key), (key, value)) {
                section.fault(
                    key,
                    format!("is the same name as `{first}`: keep one of them"),
                );
            }
        }
        section
    }

    /// Tells whether the section sets a key.
    pub(crate) fn has(&mut self, key: &'static str) -> bool {
        self.know(key);
        self.unread.contains_key(&canonical(key))
    }

    /// Takes text that must be there; it is never repeated in a fault.
    pub(crate) fn secret(&mut self, key: &'static str) -> Option<SecretString> {
        let Some((spelling, value)) = self.take(key) else {
            self.fault(key, "is missing".to_owned());
            return None;
        };
        let text = match value {
            Value::String(text) => text.trim().to_owned(),
            // A placeholder's value is typed again, so that a key of digits arrives as a number.
            Value::Number(number) if number.is_u64() => number.to_string(),
            _ => {
                self.fault(spelling, "has to be text: put it in quotes".to_owned());
                return None;
            }
        };
        if text.is_empty() || text.chars().any(|letter| !letter.is_ascii_graphic()) {
            self.fault(
                spelling,
                "has to be printable ASCII without blanks, and not empty".to_owned(),
            );
            return None;
        }
        Some(text.into())
    }

    /// Takes one of several words; without a default it must be there.
    pub(crate) fn one_of<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&str, T)],
        default: Option<T>,
    ) -> Option<T> {
        let names: Vec<String> = choices
            .iter()
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        let names = names.join(", ");
        let Some((spelling, value)) = self.take(key) else {
            if default.is_none() {
                self.fault(key, format!("is missing: give one of {names}"));
            }
            return default;
        };
        let word = value.as_str().unwrap_or_default();
        let choice = choices
            .iter()
            .find(|(name, _)| *name == word.trim().to_lowercase());
        if choice.is_none() {
            let found = match value {
                Value::String(word) => format!("`{word}`"),
                _ => "not text".to_owned(),
            };
            self.fault(spelling, format!("is {found}: give one of {names}"));
        }
        choice.map(|(_, choice)| *choice)
    }

    /// Takes a time such as `800ms`, above zero and at most a minute.
    pub(crate) fn duration(&mut self, key: &'static str, default: Duration) -> Option<Duration> {
        let Some((spelling, value)) = self.take(key) else {
            return Some(default);
        };
        let duration = value
            .as_str()
            .and_then(|text| humantime::parse_duration(text.trim()).ok());
        match duration {
            Some(duration) if duration.is_zero() => {
                self.fault(spelling, "has to be more than zero".to_owned());
                None
            }
            Some(duration) if duration > MAX_DURATION => {
                self.fault(
                    spelling,
                    "is longer than `60s`, the most that makes sense".to_owned(),
                );
                None
            }
            Some(duration) => Some(duration),
            None => {
                self.fault(
                    spelling,
                    "has to be a time with its unit, such as `800ms` or `1s`".to_owned(),
                );
                None
            }
        }
    }

    /// Takes the address of a host, with an optional path in front of the vendor's own.
    pub(crate) fn url(&mut self, key: &'static str, default: &str) -> Option<Url> {
        let Some((spelling, value)) = self.take(key) else {
            return Some(default.parse().expect("the default is a URL"));
        };
        let url = value
            .as_str()
            .and_then(|text| text.trim().parse::<Url>().ok())
            .filter(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.has_host()
                    && url.username().is_empty()
                    && url.password().is_none()
                    && url.query().is_none()
                    && url.fragment().is_none()
            });
        if url.is_none() {
            self.fault(
                spelling,
                "has to be `https://host[:port][/path]` without credentials and query".to_owned(),
            );
        }
        url
    }

    /// Accepts whatever else is in the section.
    pub(crate) fn ignore_rest(&mut self) {
        self.unread.clear();
    }

    /// Ends the reading: keys that nobody asked for are faults.
    pub(crate) fn finish(mut self) -> Vec<Fault> {
        let known: Vec<String> = self.known.iter().map(|key| format!("`{key}`")).collect();
        for (spelling, _) in std::mem::take(&mut self.unread).into_values() {
            self.fault(
                spelling,
                format!("is not known here: known are {}", known.join(", ")),
            );
        }
        self.faults
    }

    fn take(&mut self, key: &'static str) -> Option<(&'a str, &'a Value)> {
        self.know(key);
        self.unread.remove(&canonical(key))
    }

    fn know(&mut self, key: &'static str) {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
    }

    fn fault(&mut self, key: &str, message: String) {
        self.faults.push(Fault {
            path: format!("{}.{key}", self.path),
            message,
        });
    }
}
