//! TMAP's error envelope: `{"error": {"id", "category", "code", "message"}}`, all text.

use http::StatusCode;
use serde_json::Value;

use crate::vendors::{
    error::{FailureClass, Quota},
    transport::Envelope,
};

/// The address search's way to say that it found nothing, under status 400.
const NO_SUCH_ADDRESS: &str = "1100";

/// Reads what a body says by itself.
pub(crate) fn read(status: StatusCode, body: &Value) -> Envelope {
    let Some(error) = body.get("error").filter(|error| error.is_object()) else {
        return Envelope::None;
    };
    let text = |key: &str| match error.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let (category, code, message) = (text("category"), text("code"), text("message"));
    if category == "tmap" && code == NO_SUCH_ADDRESS {
        return Envelope::NoResult;
    }
    let class = match code.as_str() {
        "INVALID_API_KEY" => Some(FailureClass::Unauthorized),
        "QUOTA_EXCEEDED" => Some(FailureClass::Quota(Quota::Daily)),
        "THROTTLED" => Some(FailureClass::Quota(Quota::Rate)),
        // The gateway has one code for keys; another refusal is about who asks.
        _ if status == StatusCode::FORBIDDEN && category == "gw" => Some(FailureClass::BlockedIp),
        _ => None,
    };
    Envelope::Error {
        class,
        code: (!code.is_empty()).then_some(code),
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(status: u16, category: &str, code: &str) -> Envelope {
        let body = serde_json::json!({"error": {"id": "x", "category": category, "code": code, "message": "m"}});
        read(StatusCode::from_u16(status).expect("a status"), &body)
    }

    #[test]
    fn codes_have_classes() {
        for (status, category, code, expected) in [
            (
                403,
                "gw",
                "INVALID_API_KEY",
                Some(FailureClass::Unauthorized),
            ),
            (403, "gw", "DENIED", Some(FailureClass::BlockedIp)),
            (
                429,
                "gw",
                "QUOTA_EXCEEDED",
                Some(FailureClass::Quota(Quota::Daily)),
            ),
            (
                429,
                "gw",
                "THROTTLED",
                Some(FailureClass::Quota(Quota::Rate)),
            ),
            (400, "tmap", "9401", None),
        ] {
            let expected = Envelope::Error {
                class: expected,
                code: Some(code.to_owned()),
                message: "m".to_owned(),
            };
            assert_eq!(class(status, category, code), expected);
        }
        assert_eq!(class(400, "tmap", "1100"), Envelope::NoResult);
        assert_eq!(
            read(StatusCode::OK, &serde_json::json!({"searchPoiInfo": {}})),
            Envelope::None
        );
    }
}
