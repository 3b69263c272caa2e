//! What can go wrong at a vendor, in classes that say what to do about it.

use std::{fmt, time::Duration};

use super::{Operation, Vendor};

/// How a call at a vendor failed; "no result" is an answer and not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum FailureClass {
    BadRequest(BadRequest),
    /// Key missing, wrong or expired, product not subscribed, or the wrong host for the key.
    Unauthorized,
    Quota(Quota),
    /// The vendor refuses our address, whatever the key.
    BlockedIp,
    /// The vendor or its gateway failed.
    Upstream,
    /// No connection: refused, reset, DNS or TLS.
    Connect,
    /// No complete answer within the deadline.
    Timeout,
    /// A success that can not be read.
    Malformed,
}

/// Who has to change something after a refused request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum BadRequest {
    /// The vendor does not take this text; another one would be asked the same.
    Text,
    /// Path, method or size: a wrong `baseUrl`, which says nothing about the text.
    Call,
}

/// Which allowance is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Quota {
    /// Until the vendor's day or month ends.
    Daily,
    /// For moments.
    Rate,
}

impl FailureClass {
    /// The stable name in logs and metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::Quota(Quota::Daily) => "quota_daily",
            Self::Quota(Quota::Rate) => "quota_rate",
            Self::BlockedIp => "blocked_ip",
            Self::Upstream => "upstream_5xx",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Malformed => "malformed",
        }
    }

    /// Tells whether another provider may well answer what this one did not.
    pub(crate) fn fails_over(self) -> bool {
        !matches!(self, Self::BadRequest(BadRequest::Text))
    }

    /// Orders the failures of one composed call by how much a person has to do; the worst is told.
    fn severity(self) -> u8 {
        match self {
            Self::Unauthorized => 7,
            Self::BlockedIp => 6,
            Self::Quota(_) => 5,
            Self::Malformed => 4,
            Self::Upstream | Self::Connect => 3,
            Self::Timeout => 2,
            Self::BadRequest(BadRequest::Call) => 1,
            Self::BadRequest(BadRequest::Text) => 0,
        }
    }
}

/// A failed call: no secret, no URL and no searched text is in it.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) struct VendorError {
    pub(crate) class: FailureClass,
    pub(crate) vendor: Vendor,
    pub(crate) operation: Operation,
    pub(crate) http_status: Option<u16>,
    /// The vendor's own code, from its error envelope.
    pub(crate) vendor_code: Option<String>,
    /// Redacted and at most [`MAX_MESSAGE_CHARS`] long.
    pub(crate) message: String,
    pub(crate) elapsed: Duration,
}

/// How much of a vendor's message is kept.
pub(crate) const MAX_MESSAGE_CHARS: usize = 200;

impl VendorError {
    /// The failure that decides when all parts of a composed call failed.
    pub(crate) fn worse(self, other: Self) -> Self {
        if other.class.severity() > self.class.severity() {
            other
        } else {
            self
        }
    }
}

impl fmt::Display for VendorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} `{}`: {}",
            self.vendor,
            self.operation,
            self.class.name()
        )?;
        match (self.http_status, &self.vendor_code) {
            (Some(status), Some(code)) => write!(f, " (status {status}, code `{code}`)")?,
            (Some(status), None) => write!(f, " (status {status})")?,
            (None, _) => {}
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        write!(f, ", after {} ms", self.elapsed.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(class: FailureClass) -> VendorError {
        VendorError {
            class,
            vendor: Vendor::Naver,
            operation: Operation::Geocode,
            http_status: Some(429),
            vendor_code: Some("400".to_owned()),
            message: "Quota Exceeded".to_owned(),
            elapsed: Duration::from_millis(12),
        }
    }

    #[test]
    fn the_worst_failure_is_told() {
        let timeout = error(FailureClass::Timeout);
        let unauthorized = error(FailureClass::Unauthorized);
        assert_eq!(
            timeout.clone().worse(unauthorized.clone()).class,
            FailureClass::Unauthorized
        );
        assert_eq!(
            unauthorized.worse(timeout).class,
            FailureClass::Unauthorized
        );
    }

    #[test]
    fn errors_read_as_one_line() {
        assert_eq!(
            error(FailureClass::Quota(Quota::Daily)).to_string(),
            "naver `geocode`: quota_daily (status 429, code `400`): Quota Exceeded, after 12 ms"
        );
    }

    #[test]
    fn only_refused_text_stays_with_one_vendor() {
        assert!(!FailureClass::BadRequest(BadRequest::Text).fails_over());
        for class in [
            FailureClass::BadRequest(BadRequest::Call),
            FailureClass::Unauthorized,
            FailureClass::Quota(Quota::Rate),
            FailureClass::BlockedIp,
            FailureClass::Upstream,
            FailureClass::Connect,
            FailureClass::Timeout,
            FailureClass::Malformed,
        ] {
            assert!(class.fails_over(), "{class:?}");
        }
    }
}
