//! The words that several resources share.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chameleon_model::{Entry, Key, MAX_VALUE_BYTES, Outcome, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;
use crate::app::holds::Effects;

/// The end of the year 9999, in seconds since 1970.
const LAST_SECOND: u64 = 253_402_300_799;

/// Names one state of the store for certain.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Stamp {
    /// The lineage; it rises when the database was restored or replaced.
    epoch: u64,
    /// The number of the last transaction.
    revision: u64,
    /// That transaction's random mark, in hexadecimal.
    #[schema(example = "9c41f0d2a7735be8")]
    tag: String,
}

impl From<chameleon_model::Stamp> for Stamp {
    fn from(stamp: chameleon_model::Stamp) -> Self {
        Self {
            epoch: stamp.epoch.0,
            revision: stamp.revision.0,
            tag: format!("{:016x}", stamp.tag.0),
        }
    }
}

/// A value: as text, or in base64 where it is no UTF-8.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(super) struct Content {
    /// The value as text; absent if it is no UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// The value in base64; absent if it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

impl From<&Bytes> for Content {
    fn from(bytes: &Bytes) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self {
                value: Some(text.to_owned()),
                value_base64: None,
            },
            Err(_) => Self {
                value: None,
                value_base64: Some(STANDARD.encode(bytes)),
            },
        }
    }
}

impl Content {
    /// The value's bytes; `field` and the key are told in errors.
    pub(super) fn bytes(self, field: &str, key: &Key) -> Result<Bytes, Problem> {
        let invalid = |reason: String| Problem::invalid(field, format!("key `{key}` {reason}"));
        let bytes: Bytes = match (self.value, self.value_base64) {
            (Some(text), None) => text.into(),
            (None, Some(text)) => (STANDARD.decode(text))
                .map_err(|error| invalid(format!("has no base64 in `value_base64`: {error}")))?
                .into(),
            _ => {
                let reason = "needs either `value` or `value_base64`";
                return Err(invalid(reason.to_owned()));
            }
        };
        if bytes.len() > MAX_VALUE_BYTES {
            let reason = format!(
                "has a value of {} bytes, {MAX_VALUE_BYTES} are allowed",
                bytes.len()
            );
            return Err(invalid(reason));
        }
        Ok(bytes)
    }
}

/// A key with its value.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EntryAnswer {
    #[schema(example = "config/location-prod.yml")]
    key: String,
    #[serde(flatten)]
    value: Content,
    /// The writer's number.
    flags: u64,
    /// The revision that created the key.
    create_revision: u64,
    /// The revision that last changed it.
    modify_revision: u64,
    /// How often its lock was taken.
    lock_index: u64,
    /// The session that holds its lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    /// The git source that owns it.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
}

impl From<&Entry> for EntryAnswer {
    fn from(entry: &Entry) -> Self {
        Self {
            key: entry.key.to_string(),
            value: Content::from(&entry.value),
            flags: entry.flags,
            create_revision: entry.create_revision.0,
            modify_revision: entry.modify_revision.0,
            lock_index: entry.lock_index,
            session: entry.session.map(|session| session.to_string()),
            owner: entry.owner.as_ref().map(ToString::to_string),
        }
    }
}

/// What became of a transaction.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OutcomeAnswer {
    outcome: OutcomeKind,
    /// The state that it led to, or that was so already.
    stamp: Stamp,
    /// Keys of git sources that it changed, which are held against their source now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    held: Vec<String>,
    /// Keys whose holds it ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    released: Vec<String>,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum OutcomeKind {
    /// It was applied.
    Committed,
    /// Everything was so already; no revision was spent.
    Unchanged,
}

impl OutcomeAnswer {
    /// # Errors
    /// The transaction was refused.
    pub(super) fn of(effects: Effects) -> Result<Self, Problem> {
        let (outcome, stamp) = match effects.outcome {
            Outcome::Committed(stamp) => (OutcomeKind::Committed, stamp),
            Outcome::Unchanged(stamp) => (OutcomeKind::Unchanged, stamp),
            Outcome::Refused(refusals) => return Err(Problem::refused(&refusals)),
        };
        Ok(Self {
            outcome,
            stamp: stamp.into(),
            held: (effects.held.iter())
                .map(|hold| hold.key.to_string())
                .collect(),
            released: effects.released.iter().map(ToString::to_string).collect(),
        })
    }
}

/// A key that was changed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyChange {
    pub(super) key: String,
    /// True if the key is gone.
    pub(super) deleted: bool,
}

/// A time as RFC 3339 in UTC.
pub(super) fn moment(at: Timestamp) -> String {
    // What lies beyond the last year that can be written is told as its end.
    let at = SystemTime::from(at).min(UNIX_EPOCH + Duration::from_secs(LAST_SECOND));
    humantime::format_rfc3339_millis(at).to_string()
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_text_where_it_can_be() {
        let text = Content::from(&Bytes::from("a: 1\n"));
        assert_eq!(text.value.as_deref(), Some("a: 1\n"));
        let binary = Content::from(&Bytes::from_static(b"\xff\x00"));
        assert_eq!(binary.value_base64.as_deref(), Some("/wA="));
        let key = Key::new("k").unwrap();
        assert_eq!(&binary.bytes("put", &key).unwrap()[..], b"\xff\x00");
    }

    #[test]
    fn every_time_can_be_told() {
        for (at, told) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-5, "1970-01-01T00:00:00.000Z"),
            (i64::MAX, "9999-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(moment(Timestamp(at)), told);
        }
    }

    #[test]
    fn a_value_is_given_once_and_whole() {
        let key = Key::new("k").unwrap();
        let refused = |value: &str| {
            let value: Content = serde_json::from_str(value).unwrap();
            format!("{:?}", value.bytes("operations[0]", &key).unwrap_err())
        };
        for none in ["{}", r#"{"value": "x", "value_base64": "eA=="}"#] {
            let text = refused(none);
            assert!(
                text.contains("operations[0]: key `k` needs either"),
                "{text}"
            );
        }
        assert!(refused(r#"{"value_base64": "?"}"#).contains("no base64"));
        let long = format!(r#"{{"value": "{}"}}"#, "x".repeat(MAX_VALUE_BYTES + 1));
        assert!(refused(&long).contains("524289 bytes, 524288 are allowed"));
    }
}
