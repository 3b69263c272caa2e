//! The gateway's errors, those of NAVER Developers, and how a fault is worded in both.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::model::{DevelopersBody, GatewayBody, GatewayEnvelope};
use crate::params::Invalid;

/// Status, code and message of everything that the gateway says.
const GATEWAY: [(u16, &str, &str); 11] = [
    (400, "100", "Bad Request Exception"),
    (401, "200", "Authentication Failed"),
    (401, "210", "Permission Denied"),
    (404, "300", "Not Found Exception"),
    (413, "430", "Request Entity Too Large"),
    (429, "400", "Quota Exceeded"),
    (429, "410", "Throttle Limited"),
    (429, "420", "Rate Limited"),
    (500, "900", "Unexpected Error"),
    (503, "500", "Endpoint Error"),
    (504, "510", "Endpoint Timeout"),
];

/// Why the gateway does not answer with data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gateway {
    /// One of the key headers is missing.
    KeysMissing,
    /// The id or the secret is not accepted.
    KeysWrong,
    /// A parameter is missing or has a value that is not understood.
    BadRequest(&'static str),
    /// There is no such operation.
    NotFound,
}

impl IntoResponse for Gateway {
    fn into_response(self) -> Response {
        let missing = "Authentication information are missing.".to_owned();
        let (code, details) = match self {
            Self::KeysMissing => ("200", Some(missing)),
            Self::KeysWrong => ("200", None),
            Self::BadRequest(name) => ("100", Some(format!("invalid parameter: {name}"))),
            Self::NotFound => ("300", None),
        };
        let (status, code, message) = by_code(code).expect("these codes are in the table");
        gateway(status, code, message, details)
    }
}

impl From<Invalid> for Gateway {
    fn from(Invalid(name): Invalid) -> Self {
        Self::BadRequest(name)
    }
}

fn by_code(code: &str) -> Option<(StatusCode, &'static str, &'static str)> {
    let row = GATEWAY.iter().find(|row| row.1 == code)?;
    let status = StatusCode::from_u16(row.0).ok()?;
    Some((status, row.1, row.2))
}

fn gateway(status: StatusCode, code: &str, message: &str, details: Option<String>) -> Response {
    let error = GatewayBody {
        error_code: code.to_owned(),
        message: message.to_owned(),
        details,
    };
    (status, Json(GatewayEnvelope { error })).into_response()
}

/// An error of NAVER Developers: status, code and message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Developers(u16, &'static str, &'static str);

impl Developers {
    pub(super) const QUERY: Self = Self(
        400,
        "SE01",
        "Incorrect query request (잘못된 쿼리요청입니다.)",
    );
    pub(super) const DISPLAY: Self = Self(
        400,
        "SE02",
        "Invalid display value (부적절한 display 값입니다.)",
    );
    pub(super) const START: Self = Self(
        400,
        "SE03",
        "Invalid start value (부적절한 start 값입니다.)",
    );
    pub(super) const SORT: Self = Self(400, "SE04", "Invalid sort value (부적절한 sort 값입니다.)");
    pub(super) const UNAUTHORIZED: Self = Self(
        401,
        "024",
        "Scope Status Invalid : Authentication failed. (인증에 실패했습니다.)",
    );
    const DAILY: Self = Self(
        429,
        "010",
        "Query limit exceeded. (쿼리 한도를 초과했습니다.)",
    );
    const RATE: Self = Self(
        429,
        "012",
        "Rate limit exceeded. (속도 제한을 초과했습니다.)",
    );
    const SYSTEM: Self = Self(500, "SE99", "System Error (시스템 에러)");

    fn respond(self, status: StatusCode, code: Option<&str>) -> Response {
        let body = DevelopersBody {
            error_message: self.2.to_owned(),
            error_code: code.unwrap_or(self.1).to_owned(),
        };
        (status, Json(body)).into_response()
    }
}

impl IntoResponse for Developers {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0).expect("the constants are valid");
        self.respond(status, None)
    }
}

/// The refusal that a fault asks for, in the words of the product that serves `path`.
pub(crate) fn refuse(path: &str, status: StatusCode, code: Option<&str>) -> Response {
    if path.starts_with("/v1/search/") {
        let error = match (status.as_u16(), code) {
            (429, Some("012")) => Developers::RATE,
            (429, _) => Developers::DAILY,
            (401 | 403, _) => Developers::UNAUTHORIZED,
            (400, _) => Developers::QUERY,
            _ => Developers::SYSTEM,
        };
        return error.respond(status, code);
    }
    let unexpected = (900, "900", "Unexpected Error");
    let usual = GATEWAY.iter().find(|row| match code {
        Some(code) => row.1 == code,
        None => row.0 == status.as_u16(),
    });
    let (_, usual, message) = usual.copied().unwrap_or(unexpected);
    let details = (code.unwrap_or(usual) == "210")
        .then(|| "A subscription to the API is required.".to_owned());
    gateway(status, code.unwrap_or(usual), message, details)
}
