//! NAVER's error envelopes: the gateway's, the address search's, the reverse lookup's, the shop search's.
//!
//! The gateway's codes look like statuses and are not: `400` is a spent quota, `500` comes with 503.

use http::StatusCode;
use serde_json::Value;

use crate::vendors::{
    error::{BadRequest, FailureClass, Quota},
    transport::Envelope,
};

/// Reads what a body of the Maps product says by itself.
pub(crate) fn maps(_status: StatusCode, body: &Value) -> Envelope {
    if let Some(envelope) = gateway(body) {
        return envelope;
    }
    match body.get("status") {
        Some(Value::Object(status)) => match status.get("code").and_then(Value::as_i64) {
            None | Some(0) => Envelope::None,
            Some(3) => Envelope::NoResult,
            Some(code) => Envelope::Error {
                class: match code {
                    100 => Some(FailureClass::BadRequest(BadRequest::Text)),
                    900 => Some(FailureClass::Upstream),
                    _ => None,
                },
                code: Some(code.to_string()),
                message: text(status.get("message")),
            },
        },
        Some(Value::String(status)) if status == "OK" => Envelope::None,
        status => {
            let message = text(body.get("errorMessage"));
            if message.is_empty() {
                return Envelope::None;
            }
            let code = status.and_then(Value::as_str).map(str::to_owned);
            let class = match code.as_deref() {
                Some("INVALID_REQUEST") => Some(FailureClass::BadRequest(BadRequest::Text)),
                Some("SYSTEM_ERROR") => Some(FailureClass::Upstream),
                _ => None,
            };
            Envelope::Error {
                class,
                code,
                message,
            }
        }
    }
}

/// Reads what a body of the search product says by itself, in either generation.
pub(crate) fn local(_status: StatusCode, body: &Value) -> Envelope {
    if let Some(envelope) = gateway(body) {
        return envelope;
    }
    let code = text(body.get("errorCode"));
    if code.is_empty() {
        return Envelope::None;
    }
    let class = match code.as_str() {
        "SE01" | "SE06" => Some(FailureClass::BadRequest(BadRequest::Text)),
        "SE02" | "SE03" | "SE04" | "SE05" => Some(FailureClass::BadRequest(BadRequest::Call)),
        "SE99" => Some(FailureClass::Upstream),
        "024" => Some(FailureClass::Unauthorized),
        "010" => Some(FailureClass::Quota(Quota::Daily)),
        "012" => Some(FailureClass::Quota(Quota::Rate)),
        _ => None,
    };
    Envelope::Error {
        class,
        code: Some(code),
        message: text(body.get("errorMessage")),
    }
}

fn gateway(body: &Value) -> Option<Envelope> {
    let error = body.get("error").filter(|error| error.is_object())?;
    let code = text(error.get("errorCode"));
    let class = match code.as_str() {
        "100" | "300" | "430" => Some(FailureClass::BadRequest(BadRequest::Call)),
        "200" | "210" => Some(FailureClass::Unauthorized),
        "400" => Some(FailureClass::Quota(Quota::Daily)),
        "410" | "420" => Some(FailureClass::Quota(Quota::Rate)),
        "500" | "900" => Some(FailureClass::Upstream),
        "510" => Some(FailureClass::Timeout),
        _ => None,
    };
    let details = text(error.get("details"));
    let message = text(error.get("message"));
    Some(Envelope::Error {
        class,
        code: (!code.is_empty()).then_some(code),
        message: if details.is_empty() {
            message
        } else {
            format!("{message}: {details}")
        },
    })
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(
        read: fn(StatusCode, &Value) -> Envelope,
        body: &str,
    ) -> Option<(&'static str, String)> {
        let body = serde_json::from_str(body).expect("JSON");
        match read(StatusCode::BAD_REQUEST, &body) {
            Envelope::Error { class, code, .. } => Some((
                class.map_or("by status", FailureClass::name),
                code.unwrap_or_default(),
            )),
            Envelope::NoResult => Some(("no_result", String::new())),
            Envelope::None => None,
        }
    }

    #[test]
    fn gateway_codes_are_no_statuses() {
        for (code, expected) in [
            ("100", "bad_request"),
            ("200", "unauthorized"),
            ("210", "unauthorized"),
            ("300", "bad_request"),
            ("400", "quota_daily"),
            ("410", "quota_rate"),
            ("420", "quota_rate"),
            ("430", "bad_request"),
            ("500", "upstream_5xx"),
            ("510", "timeout"),
            ("900", "upstream_5xx"),
            ("777", "by status"),
        ] {
            let body = format!(r#"{{"error": {{"errorCode": "{code}", "message": "m"}}}}"#);
            for read in [maps, local] {
                assert_eq!(class(read, &body), Some((expected, code.to_owned())));
            }
        }
    }

    #[test]
    fn the_products_have_envelopes_of_their_own() {
        let fixture = |read: fn(StatusCode, &Value) -> Envelope, body, expected: &str| {
            assert_eq!(class(read, body).expect(body).0, expected);
        };
        fixture(
            maps,
            include_str!("../../../tests/fixtures/naver/error_gateway.json"),
            "unauthorized",
        );
        fixture(
            maps,
            include_str!("../../../tests/fixtures/naver/geocode_invalid.json"),
            "bad_request",
        );
        fixture(
            maps,
            include_str!("../../../tests/fixtures/naver/gc_nothing.json"),
            "no_result",
        );
        fixture(maps, r#"{"errorMessage": "query is invalid"}"#, "by status");
        fixture(
            maps,
            r#"{"status": {"code": 900, "name": "unknown error"}}"#,
            "upstream_5xx",
        );
        fixture(
            local,
            include_str!("../../../tests/fixtures/naver/local_error_scope.json"),
            "unauthorized",
        );
        fixture(
            local,
            include_str!("../../../tests/fixtures/naver/local_error_daily.json"),
            "quota_daily",
        );
        fixture(
            local,
            include_str!("../../../tests/fixtures/naver/local_error_rate.json"),
            "quota_rate",
        );
        fixture(
            local,
            r#"{"errorCode": "SE99", "errorMessage": "m"}"#,
            "upstream_5xx",
        );
    }

    #[test]
    fn answers_are_no_errors() {
        assert_eq!(
            class(
                maps,
                include_str!("../../../tests/fixtures/naver/geocode_urban.json")
            ),
            None
        );
        assert_eq!(
            class(
                maps,
                include_str!("../../../tests/fixtures/naver/gc_urban.json")
            ),
            None
        );
        assert_eq!(
            class(
                local,
                include_str!("../../../tests/fixtures/naver/local.json")
            ),
            None
        );
    }
}
