//! Faults as people write them on the control port.

use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{Effect, Fault};

/// Why a fault cannot be switched on.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// It is not JSON, or has a field that faults do not have.
    #[error("not a fault: {0}")]
    Json(#[from] serde_json::Error),
    /// Nothing would go wrong.
    #[error(
        "the fault does nothing: give `delay_ms`, `status`, `silence`, `broken_json` or `cut`; \
         `DELETE` switches a fault off"
    )]
    Nothing,
    /// Two effects exclude each other.
    #[error("`{first}` and `{second}` exclude each other: keep one of them")]
    Several {
        /// One of the fields.
        first: &'static str,
        /// Another one.
        second: &'static str,
    },
    /// The status is not one that clients should see as a fault.
    #[error("`status` is {0}: use one from 300 to 599")]
    Status(u16),
    /// A code without a status.
    #[error("`code` is part of a refusal: give `status` as well")]
    CodeAlone,
    /// The share is not a percentage of requests.
    #[error("`share` is {0}: use a percentage from 1 to 100")]
    Share(u64),
    /// The delay is longer than a simulator should hold a connection.
    #[error("`delay_ms` is {0}: use at most {max}", max = Fault::MAX_DELAY.as_millis())]
    Delay(u64),
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Body {
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    silence: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    broken_json: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<u64>,
}

impl Fault {
    /// Reads a fault as people write it; see [`Fault`] for the fields.
    pub fn from_json(json: &[u8]) -> Result<Self, FaultError> {
        let body: Body = serde_json::from_slice(json)?;
        let delay_ms = body.delay_ms.unwrap_or(0);
        let delay = Duration::from_millis(delay_ms);
        if delay > Self::MAX_DELAY {
            return Err(FaultError::Delay(delay_ms));
        }
        let share = body.share.unwrap_or(100);
        let Ok(share_percent @ 1..=100) = u8::try_from(share) else {
            return Err(FaultError::Share(share));
        };
        let effect = body.effect()?;
        if delay.is_zero() && effect.is_none() {
            return Err(FaultError::Nothing);
        }
        Ok(Self::new(delay, effect).for_share(share_percent))
    }

    /// The fault as people write it.
    pub fn to_json(&self) -> serde_json::Value {
        let mut body = Body {
            delay_ms: u64::try_from(self.delay.as_millis())
                .ok()
                .filter(|ms| *ms > 0),
            share: Some(u64::from(self.share_percent)),
            ..Body::default()
        };
        match &self.effect {
            None => {}
            Some(Effect::Status { status, code }) => {
                body.status = Some(status.as_u16());
                body.code.clone_from(code);
            }
            Some(Effect::Silence) => body.silence = true,
            Some(Effect::BrokenJson) => body.broken_json = true,
            Some(Effect::Cut) => body.cut = true,
        }
        serde_json::to_value(body).expect("plain fields serialize")
    }
}

impl Body {
    fn effect(self) -> Result<Option<Effect>, FaultError> {
        let mut given = Vec::new();
        if let Some(number) = self.status {
            let status = StatusCode::from_u16(number)
                .ok()
                .filter(|_| (300..600).contains(&number))
                .ok_or(FaultError::Status(number))?;
            let code = self.code;
            given.push(("status", Effect::Status { status, code }));
        } else if self.code.is_some() {
            return Err(FaultError::CodeAlone);
        }
        for (name, is_given, effect) in [
            ("silence", self.silence, Effect::Silence),
            ("broken_json", self.broken_json, Effect::BrokenJson),
            ("cut", self.cut, Effect::Cut),
        ] {
            if is_given {
                given.push((name, effect));
            }
        }
        if let [(first, _), (second, _), ..] = given.as_slice() {
            return Err(FaultError::Several { first, second });
        }
        Ok(given.pop().map(|(_, effect)| effect))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_read_and_written() {
        for (json, fault) in [
            (
                r#"{"delay_ms":500,"share":100}"#,
                Fault::delay(Duration::from_millis(500)),
            ),
            (
                r#"{"status":503,"share":100}"#,
                Fault::status(StatusCode::SERVICE_UNAVAILABLE),
            ),
            (
                r#"{"silence":true,"share":30}"#,
                Fault::silence().for_share(30),
            ),
            (
                r#"{"delay_ms":20,"broken_json":true,"share":100}"#,
                Fault::broken_json().after(Duration::from_millis(20)),
            ),
            (r#"{"cut":true,"share":1}"#, Fault::cut().for_share(1)),
        ] {
            assert_eq!(Fault::from_json(json.as_bytes()).unwrap(), fault);
            assert_eq!(fault.to_json().to_string(), json);
        }
        let throttled = Fault::from_json(br#"{"status": 429, "code": "THROTTLED"}"#).unwrap();
        assert_eq!(throttled.to_json()["code"], "THROTTLED");
    }

    #[test]
    fn bad_faults_are_told_in_one_line() {
        for (json, told) in [
            ("{}", "the fault does nothing: give `delay_ms`"),
            (r#"{"silence": false}"#, "the fault does nothing"),
            (
                r#"{"sience": true}"#,
                "not a fault: unknown field `sience`, expected one of",
            ),
            ("silence", "not a fault: expected value at line 1 column 1"),
            (
                r#"{"status": 503, "cut": true}"#,
                "`status` and `cut` exclude each other: keep one of them",
            ),
            (
                r#"{"status": 200}"#,
                "`status` is 200: use one from 300 to 599",
            ),
            (
                r#"{"code": "410"}"#,
                "`code` is part of a refusal: give `status` as well",
            ),
            (
                r#"{"cut": true, "share": 0}"#,
                "`share` is 0: use a percentage from 1 to 100",
            ),
            (
                r#"{"delay_ms": 600001}"#,
                "`delay_ms` is 600001: use at most 600000",
            ),
            (
                r#"{"delay_ms": -1}"#,
                "not a fault: invalid value: integer `-1`",
            ),
        ] {
            let error = Fault::from_json(json.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(told), "{json}: {error}");
            assert_eq!(error.lines().count(), 1);
        }
    }
}
