//! GitHub's push webhook: reading it, and sending the same from a hook of one's own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use bytes::Bytes;
use secrecy::SecretString;
use serde::Deserialize;
use uuid::Uuid;

use super::Event;
use super::signature::{Signature, Verified};

const EVENT: HeaderName = HeaderName::from_static("x-github-event");
const DELIVERY: HeaderName = HeaderName::from_static("x-github-delivery");
const SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature-256");
/// Our own: when the remote's ref was updated, in microseconds since 1970.
const PUSHED_AT: HeaderName = HeaderName::from_static("x-chameleon-pushed-at");

/// A push that was longer ago was held back somewhere, or the clocks differ.
const OLDEST_PUSH: Duration = Duration::from_mins(5);

/// A branch that was pushed to, as a remote's post-receive hook is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// The full ref, such as `refs/heads/main`.
    pub reference: String,
    /// The commit before; zeros if the branch is new.
    pub before: String,
    /// The commit now; zeros if the branch is gone.
    pub after: String,
    /// The repository's name, for people.
    pub repository: String,
}

/// A request to send: POST it to the [`path`] of the source.
#[derive(Clone, Debug)]
pub struct SignedPush {
    /// All headers that it needs.
    pub headers: HeaderMap,
    /// JSON; the signature covers its very bytes.
    pub body: Bytes,
}

/// Where a git-sync takes GitHub's webhooks for a source, to be put behind its address.
pub fn path(source: &str) -> String {
    format!("/webhook/github/{source}")
}

/// Makes the webhook that GitHub would send for `push`, signed with `secret`.
///
/// `pushed_at` is when the remote's ref was updated: the time from which the push's stages are
/// counted, if the receiver's clock agrees.
pub fn signed_push(push: &Push, secret: &SecretString, pushed_at: SystemTime) -> SignedPush {
    let body = serde_json::json!({
        "ref": push.reference,
        "before": push.before,
        "after": push.after,
        "created": is_zero(&push.before),
        "deleted": is_zero(&push.after),
        "forced": false,
        "repository": { "name": push.repository, "full_name": push.repository },
    });
    let body = Bytes::from(body.to_string());
    let signature = Signature::of(secret, &body).to_hex();
    let since = pushed_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (EVENT, "push".to_owned()),
        (DELIVERY, Uuid::new_v4().to_string()),
        (SIGNATURE, format!("sha256={signature}")),
        (PUSHED_AT, since.as_micros().to_string()),
    ];
    let value = |text: String| HeaderValue::try_from(text).expect("the values are plain ASCII");
    SignedPush {
        headers: headers
            .into_iter()
            .map(|(name, text)| (name, value(text)))
            .collect(),
        body,
    }
}

/// The signature that a request claims.
pub(super) fn signature(headers: &HeaderMap) -> Option<Signature> {
    Signature::from_hex(text(headers, &SIGNATURE)?.strip_prefix("sha256=")?)
}

/// The id of the delivery, which a redelivery keeps.
pub(super) fn delivery(headers: &HeaderMap) -> Option<&str> {
    text(headers, &DELIVERY)
}

/// How long ago the remote's ref was updated, if the remote tells and it can be true.
///
/// Only to be asked of requests that were verified.
pub(super) fn notified(headers: &HeaderMap) -> Option<Duration> {
    let pushed_at = text(headers, &PUSHED_AT)?.parse().ok()?;
    let pushed_at = UNIX_EPOCH.checked_add(Duration::from_micros(pushed_at))?;
    let age = SystemTime::now().duration_since(pushed_at).ok()?;
    (age <= OLDEST_PUSH).then_some(age)
}

/// What a verified request says.
///
/// # Errors
/// In words for the sender, if it can't be read.
pub(super) fn event(headers: &HeaderMap, body: Verified<'_>) -> Result<Event, String> {
    match text(headers, &EVENT) {
        Some("push") => {}
        Some("ping") => return Ok(Event::Ping),
        Some(other) => return Ok(Event::Other(other.chars().take(64).collect())),
        None => return Err("the header `X-GitHub-Event` is missing".to_owned()),
    }
    let form = text(headers, &header::CONTENT_TYPE)
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    let payload = if form {
        let json = form_payload(body.bytes()).ok_or("the form has no field `payload`")?;
        serde_json::from_slice(&json)
    } else {
        serde_json::from_slice(body.bytes())
    };
    let payload: Payload =
        payload.map_err(|error| format!("the body is no push of GitHub's: {error}"))?;
    Ok(Event::Push {
        deleted: payload.deleted || is_zero(&payload.after),
        reference: payload.reference,
    })
}

/// The little that a hint needs; the branch itself tells the rest.
#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "ref")]
    reference: String,
    after: String,
    #[serde(default)]
    deleted: bool,
}

fn form_payload(body: &[u8]) -> Option<Vec<u8>> {
    let mut fields = body.split(|&byte| byte == b'&');
    let field = fields.find_map(|field| field.strip_prefix(b"payload="))?;
    let blanks: Vec<u8> = field
        .iter()
        .map(|&byte| if byte == b'+' { b' ' } else { byte })
        .collect();
    Some(percent_encoding::percent_decode(&blanks).collect())
}

fn is_zero(commit: &str) -> bool {
    !commit.is_empty() && commit.bytes().all(|byte| byte == b'0')
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
