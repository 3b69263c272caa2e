//! Answers in Consul's form.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chameleon_model::{Entry, Key, Revision};
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::PrettyFormatter;

use super::Face;

/// An entry as Consul's clients decode it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EntryAnswer<'a> {
    lock_index: u64,
    key: &'a str,
    flags: u64,
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    create_index: u64,
    modify_index: u64,
}

impl<'a> EntryAnswer<'a> {
    /// A key that does not exist, where that is an answer.
    pub(super) fn nothing(key: &'a Key) -> Self {
        Self {
            lock_index: 0,
            key: key.as_str(),
            flags: 0,
            value: None,
            session: None,
            create_index: 0,
            modify_index: 0,
        }
    }

    /// The same without its value, as a transaction tells of what it has written.
    pub(super) fn without_value(self) -> Self {
        Self {
            value: None,
            ..self
        }
    }
}

impl<'a> From<&'a Arc<Entry>> for EntryAnswer<'a> {
    fn from(entry: &'a Arc<Entry>) -> Self {
        Self {
            lock_index: entry.lock_index,
            key: entry.key.as_str(),
            flags: entry.flags,
            value: (!entry.value.is_empty()).then(|| STANDARD.encode(&entry.value)),
            session: entry.session.map(|session| session.to_string()),
            create_index: index_of(entry.create_revision),
            modify_index: index_of(entry.modify_revision),
        }
    }
}

/// How JSON is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Compact,
    Pretty,
}

/// An answer with `value` as JSON.
pub(super) fn json(layout: Layout, value: &impl Serialize) -> Response {
    encoded(to_json(layout, value))
}

/// An answer with what is JSON already.
pub(super) fn encoded(text: impl Into<Body>) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, text.into()).into_response()
}

/// `value` as JSON.
pub(super) fn to_json(layout: Layout, value: &impl Serialize) -> Vec<u8> {
    let mut text = Vec::new();
    let written = match layout {
        Layout::Compact => value.serialize(&mut Serializer::new(&mut text)),
        Layout::Pretty => {
            let format = PrettyFormatter::with_indent(b"    ");
            value.serialize(&mut Serializer::with_formatter(&mut text, format))
        }
    };
    written.expect("numbers, texts and lists of them are always JSON");
    text
}

/// A value as it is, in a form that no browser takes for a page.
pub(super) fn raw(entry: &Entry) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "sandbox"),
    ];
    (headers, Body::from(entry.value.clone())).into_response()
}

/// A key or prefix that has nothing.
pub(super) fn not_found() -> Response {
    StatusCode::NOT_FOUND.into_response()
}

/// Adds what every read answers, found or not.
pub(super) fn with_read_headers(response: Response, face: &Face, index: Revision) -> Response {
    let mut response = with_contact(response, face);
    let index = HeaderValue::from(index_of(index));
    (response.headers_mut()).insert(HeaderName::from_static("x-consul-index"), index);
    response
}

/// Adds how old the state may be that an answer was read from.
pub(super) fn with_contact(mut response: Response, face: &Face) -> Response {
    let link = face.app.replica.link();
    let (known, contact) = if link.is_available() {
        ("true", 0)
    } else {
        ("false", link.age().as_millis())
    };
    let headers = response.headers_mut();
    let mut add = |name: &'static str, value: HeaderValue| {
        headers.insert(HeaderName::from_static(name), value);
    };
    add("x-consul-knownleader", HeaderValue::from_static(known));
    let contact = u64::try_from(contact).unwrap_or(u64::MAX);
    add("x-consul-lastcontact", HeaderValue::from(contact));
    response
}

/// The number that stands for a revision in this dialect: one more.
///
/// What nobody has touched needs an index too, and 0 counts as a server's fault with clients. Were
/// it 1 and the first revision's as well, clients would take the first change for none.
pub(super) fn index_of(revision: Revision) -> u64 {
    revision.0.saturating_add(1)
}

/// The revision that an index stands for; 0, which is none's, for 0.
pub(super) fn revision_of(index: u64) -> Revision {
    Revision(index.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_never_zero_and_names_one_revision() {
        for number in [0, 1, 2, 1_000_000] {
            let revision = Revision(number);
            assert!(index_of(revision) > number);
            assert_eq!(revision_of(index_of(revision)), revision);
        }
        // No entry was ever changed at revision 0, so that a write on it is refused.
        assert_eq!(revision_of(0), Revision::ZERO);
    }
}
