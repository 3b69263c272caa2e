//! One upstream call: within its deadline, bounded in size, without redirects, classified on failure.
//!
//! Every vendor's adapter goes through here, so that the order in which a failure is recognised is the
//! same for all: transport, no content, HTML, the vendor's envelope, status, body.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::{
    Operation, Vendor,
    error::{BadRequest, FailureClass, MAX_MESSAGE_CHARS, Quota, VendorError},
};
use crate::{config::ProviderName, metrics::Metrics};

/// The largest body that is read; answers are some tens of kilobytes.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// How much of a vendor's code is kept.
const MAX_CODE_CHARS: usize = 40;

/// What stands between an adapter and the network.
#[derive(Clone)]
pub(crate) struct Transport {
    pub(crate) client: reqwest::Client,
    pub(crate) metrics: Metrics,
    pub(crate) provider: ProviderName,
    pub(crate) vendor: Vendor,
    /// Taken out of every message.
    pub(crate) secrets: Vec<SecretString>,
}

/// One GET at a vendor.
pub(crate) struct Call<'a> {
    pub(crate) operation: Operation,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) deadline: Instant,
    /// What the person typed; taken out of messages, because searched addresses stay out of logs.
    pub(crate) searched: &'a str,
    /// Reads the vendor's own error envelope.
    pub(crate) envelope: fn(StatusCode, &Value) -> Envelope,
}

/// What a body says by itself, before its status is looked at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Envelope {
    /// No error envelope.
    None,
    /// The vendor found nothing.
    NoResult,
    /// An error; without a class the status decides.
    Error {
        class: Option<FailureClass>,
        code: Option<String>,
        message: String,
    },
}

struct Reply {
    status: StatusCode,
    body: Bytes,
}

impl Transport {
    /// Calls the vendor and gives its JSON, or nothing if it says that it found nothing.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Option<Value>, VendorError> {
        let started = Instant::now();
        let failure = Failure {
            transport: self,
            operation: call.operation,
            searched: call.searched,
            started,
        };
        let result = match tokio::time::timeout_at(call.deadline, self.exchange(&call)).await {
            Err(_) => Err(failure.error(
                FailureClass::Timeout,
                None,
                None,
                "no complete answer in time",
            )),
            Ok(Err(TransportError::TooLarge(status))) => Err(failure.error(
                FailureClass::Malformed,
                Some(status),
                None,
                "the body is larger than 1 MiB",
            )),
            Ok(Err(TransportError::Network(error))) => Err(failure.network(&error)),
            Ok(Ok(reply)) => failure.read(&reply, call.envelope),
        };
        self.metrics.vendor_call(
            &self.provider,
            self.vendor,
            call.operation,
            result
                .as_ref()
                .map(Option::is_some)
                .map_err(|error| error.class),
            started.elapsed(),
        );
        result
    }

    /// Makes a failure outside of a call's exchange: an answer that parses, but not as it must.
    pub(crate) fn malformed(&self, operation: Operation, message: &str) -> VendorError {
        VendorError {
            class: FailureClass::Malformed,
            vendor: self.vendor,
            operation,
            http_status: None,
            vendor_code: None,
            message: message.to_owned(),
            elapsed: Duration::ZERO,
        }
    }

    async fn exchange(&self, call: &Call<'_>) -> Result<Reply, TransportError> {
        let mut request = self.client.get(call.url.clone());
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        let mut response = request
            .header(http::header::ACCEPT, "application/json")
            .send()
            .await
            .map_err(TransportError::Network)?;
        let status = response.status();
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(TransportError::Network)? {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(TransportError::TooLarge(status));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply {
            status,
            body: body.freeze(),
        })
    }
}

enum TransportError {
    Network(reqwest::Error),
    TooLarge(StatusCode),
}

/// Builds the errors of one call.
struct Failure<'a> {
    transport: &'a Transport,
    operation: Operation,
    searched: &'a str,
    started: Instant,
}

impl Failure<'_> {
    fn read(
        &self,
        reply: &Reply,
        envelope: fn(StatusCode, &Value) -> Envelope,
    ) -> Result<Option<Value>, VendorError> {
        let status = reply.status;
        if status == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        // The content type is not trustworthy, the first character is.
        let first = reply.body.iter().find(|byte| !byte.is_ascii_whitespace());
        let body = match first {
            Some(b'<') | None => None,
            Some(_) => serde_json::from_slice::<Value>(&reply.body).ok(),
        };
        let Some(body) = body else {
            let message = if first == Some(&b'<') {
                "the body is HTML or XML"
            } else {
                "the body is not JSON"
            };
            return Err(self.error(class_of(status, ""), Some(status), None, message));
        };
        match envelope(status, &body) {
            Envelope::NoResult => Ok(None),
            Envelope::Error {
                class,
                code,
                message,
            } => {
                let class = class.unwrap_or_else(|| class_of(status, &message));
                Err(self.error(class, Some(status), code, &message))
            }
            Envelope::None if status.is_success() => Ok(Some(body)),
            Envelope::None => Err(self.error(class_of(status, ""), Some(status), None, "")),
        }
    }

    fn network(&self, error: &reqwest::Error) -> VendorError {
        let (class, message) = if error.is_timeout() && !error.is_connect() {
            (FailureClass::Timeout, "no complete answer in time")
        } else if error.is_connect() {
            (FailureClass::Connect, "can not connect")
        } else {
            (FailureClass::Connect, "the connection broke")
        };
        // Only the innermost cause: the outer ones repeat the URL, which can carry a key.
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let message = if cause.is::<reqwest::Error>() {
            message.to_owned()
        } else {
            format!("{message}: {cause}")
        };
        self.error(class, None, None, &message)
    }

    fn error(
        &self,
        class: FailureClass,
        status: Option<StatusCode>,
        code: Option<String>,
        message: &str,
    ) -> VendorError {
        VendorError {
            class,
            vendor: self.transport.vendor,
            operation: self.operation,
            http_status: status.map(|status| status.as_u16()),
            vendor_code: code.map(|code| code.chars().take(MAX_CODE_CHARS).collect()),
            message: self.redact(message),
            elapsed: self.started.elapsed(),
        }
    }

    fn redact(&self, text: &str) -> String {
        let secrets = self
            .transport
            .secrets
            .iter()
            .map(ExposeSecret::expose_secret);
        let mut redacted = text.to_owned();
        for hidden in secrets.chain([self.searched]) {
            if !hidden.is_empty() {
                redacted = redacted.replace(hidden, "***");
            }
        }
        let words: Vec<&str> = redacted.split_whitespace().collect();
        words.join(" ").chars().take(MAX_MESSAGE_CHARS).collect()
    }
}

/// What a status means when the body does not say more.
fn class_of(status: StatusCode, message: &str) -> FailureClass {
    match status.as_u16() {
        200..400 => FailureClass::Malformed,
        404 | 405 | 413 | 414 => FailureClass::BadRequest(BadRequest::Call),
        401 | 403 if names_our_address(message) => FailureClass::BlockedIp,
        401 | 403 => FailureClass::Unauthorized,
        408 | 504 => FailureClass::Timeout,
        429 => FailureClass::Quota(Quota::Rate),
        400..500 => FailureClass::BadRequest(BadRequest::Text),
        _ => FailureClass::Upstream,
    }
}

fn names_our_address(message: &str) -> bool {
    let message = message.to_lowercase();
    [
        "ip mismatch",
        "ip address",
        "ip is",
        "client ip",
        "blocked",
        "banned",
    ]
    .iter()
    .any(|sign| message.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_classes() {
        for (status, expected) in [
            (200, "malformed"),
            (302, "malformed"),
            (400, "bad_request"),
            (401, "unauthorized"),
            (403, "unauthorized"),
            (404, "bad_request"),
            (408, "timeout"),
            (413, "bad_request"),
            (422, "bad_request"),
            (429, "quota_rate"),
            (500, "upstream_5xx"),
            (503, "upstream_5xx"),
            (504, "timeout"),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(class_of(status, "").name(), expected, "{status}");
        }
        assert_eq!(
            class_of(StatusCode::UNAUTHORIZED, "IP mismatched!"),
            FailureClass::BlockedIp
        );
    }
}
