//! `/v1/session/...`: the claims to be alive that locks hang on.
//!
//! Liveness is the time to live alone: there are no health checks, and every session is at the one
//! node there is. A session without a time to live ends when it is destroyed.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use chameleon_model::{
    Operation, Revision, Session, SessionBehavior, SessionId, Snapshot, Transaction,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::answer::{index_of, json, with_read_headers};
use super::blocking::Reading;
use super::duration;
use super::error::Refused;
use super::names;
use super::query::Query;
use super::{Face, NODE, admit};
use crate::app::access::Caller;
use crate::http::body::{announced, received};

/// The largest description of a session.
const MAX_BODY_BYTES: usize = 64 * 1024;
const MIN_TTL: Duration = Duration::from_secs(10);
const MAX_TTL: Duration = Duration::from_hours(24);
const DEFAULT_LOCK_DELAY: Duration = Duration::from_secs(15);
const MAX_LOCK_DELAY: Duration = Duration::from_mins(1);
/// The check that stands for the node itself; sessions have it unless they say otherwise.
const NODE_CHECK: &str = "serfHealth";

/// A session as Consul's clients decode it.
#[derive(Serialize)]
struct SessionAnswer<'a> {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Name")]
    name: &'a str,
    #[serde(rename = "Node")]
    node: &'static str,
    #[serde(rename = "LockDelay")]
    lock_delay_nanos: u64,
    #[serde(rename = "Behavior")]
    behavior: &'static str,
    #[serde(rename = "TTL")]
    ttl: String,
    #[serde(rename = "NodeChecks")]
    node_checks: [&'static str; 1],
    #[serde(rename = "ServiceChecks")]
    service_checks: Option<()>,
    #[serde(rename = "CreateIndex")]
    create_index: u64,
    #[serde(rename = "ModifyIndex")]
    modify_index: u64,
}

impl<'a> From<&'a Arc<Session>> for SessionAnswer<'a> {
    fn from(session: &'a Arc<Session>) -> Self {
        let index = index_of(session.create_revision);
        Self {
            id: session.id.to_string(),
            name: &session.name,
            node: NODE,
            lock_delay_nanos: u64::try_from(session.lock_delay.as_nanos()).unwrap_or(u64::MAX),
            behavior: match session.behavior {
                SessionBehavior::Release => "release",
                SessionBehavior::Delete => "delete",
            },
            ttl: session.ttl.map(duration::print).unwrap_or_default(),
            node_checks: [NODE_CHECK],
            service_checks: None,
            create_index: index,
            modify_index: index,
        }
    }
}

/// `PUT /v1/session/create`
pub(super) async fn create(
    State(face): State<Face>,
    request: Request,
) -> Result<Response, Refused> {
    let (head, body) = request.into_parts();
    let (caller, query) = admitted(&face, &head)?;
    caller.may_write_anywhere()?;
    let mut reservation = face.app.replica.reservation();
    reservation.grow(announced(&head.headers, MAX_BODY_BYTES)?)?;
    let session = asked_for(&received(body, MAX_BODY_BYTES).await?)?;
    let id = session.id.to_string();
    let open = Transaction {
        operations: vec![Operation::OpenSession(session)],
        ..Transaction::default()
    };
    face.app.commit_single(&caller, open, reservation).await?;
    Ok(json(query.layout(), &serde_json::json!({ "ID": id })))
}

/// `PUT /v1/session/destroy/{id}`
pub(super) async fn destroy(
    State(face): State<Face>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refused> {
    let (head, _) = request.into_parts();
    let (caller, query) = admitted(&face, &head)?;
    // What is no session's id is not live, like any other that there is not.
    if let Some(id) = session_id(&id) {
        face.app.end_session(&caller, id).await?;
    }
    Ok(json(query.layout(), &true))
}

/// `PUT /v1/session/renew/{id}`
pub(super) async fn renew(
    State(face): State<Face>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refused> {
    let (head, _) = request.into_parts();
    let (caller, query) = admitted(&face, &head)?;
    let session = match session_id(&id) {
        Some(id) => face.app.renew_session(&caller, id).await?,
        None => None,
    };
    match session {
        Some(session) => Ok(json(query.layout(), &[SessionAnswer::from(&session)])),
        None => Err(Refused::new(
            StatusCode::NOT_FOUND,
            format!("Session id '{id}' not found"),
        )),
    }
}

/// A path that names no session.
pub(super) async fn missing(
    State(face): State<Face>,
    request: Request,
) -> Result<Response, Refused> {
    let (head, _) = request.into_parts();
    admitted(&face, &head)?;
    Err(Refused::bad("Missing session"))
}

/// `GET /v1/session/info/{id}`
pub(super) async fn info(
    State(face): State<Face>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refused> {
    let id = session_id(&id);
    read(&face, request, |session| Some(session.id) == id).await
}

/// `GET /v1/session/list`
pub(super) async fn list(State(face): State<Face>, request: Request) -> Result<Response, Refused> {
    read(&face, request, |_| true).await
}

/// `GET /v1/session/node/{node}`
pub(super) async fn node(
    State(face): State<Face>,
    Path(node): Path<String>,
    request: Request,
) -> Result<Response, Refused> {
    read(&face, request, |_| node == NODE).await
}

async fn read(
    face: &Face,
    request: Request,
    wanted: impl Fn(&Session) -> bool,
) -> Result<Response, Refused> {
    let (head, _) = request.into_parts();
    let (caller, query) = admitted(face, &head)?;
    query.check_consistency()?;
    let reading = Reading {
        face,
        caller: &caller,
        wait: query.wait()?,
        consistent: query.is_consistent(),
    };
    let watch = |place| face.app.replica.hub().watch_sessions(place);
    let snapshot = reading.state(watch, Snapshot::sessions_index).await?;
    let sessions: Vec<_> = (snapshot.sessions())
        .filter(|session| caller.owns(session) && wanted(session))
        .map(SessionAnswer::from)
        .collect();
    let index = snapshot.sessions_index();
    Ok(with_read_headers(
        json(query.layout(), &sessions),
        face,
        index,
    ))
}

fn admitted<'a>(face: &Face, request: &'a Parts) -> Result<(Caller, Query<'a>), Refused> {
    let query = Query::of(&request.uri);
    let caller = admit(face, &query, request)?;
    query.check_datacenter()?;
    Ok((caller, query))
}

fn session_id(text: &str) -> Option<SessionId> {
    Uuid::parse_str(text).map(SessionId).ok()
}

/// What a client says of its session; what else it says does not matter.
#[derive(Debug, Default, Deserialize)]
struct Description {
    name: Option<String>,
    node: Option<String>,
    lockdelay: Option<Value>,
    behavior: Option<String>,
    ttl: Option<String>,
    checks: Option<Vec<String>>,
    nodechecks: Option<Vec<String>>,
    servicechecks: Option<Vec<ServiceCheck>>,
}

#[derive(Debug, Deserialize)]
struct ServiceCheck {
    id: String,
}

impl Description {
    /// A check that there is not: none but the node's own is known here.
    fn unknown_check(&self) -> Option<&str> {
        let of_node = [&self.checks, &self.nodechecks].into_iter().flatten();
        let of_node = of_node.flatten().map(String::as_str);
        let of_services = self.servicechecks.iter().flatten();
        of_node
            .filter(|check| !check.is_empty() && *check != NODE_CHECK)
            .chain(of_services.map(|check| check.id.as_str()))
            .next()
    }
}

/// The session that `body` describes, under a new id.
fn asked_for(body: &[u8]) -> Result<Session, Refused> {
    let asked = described(body)?;
    if (asked.node.as_deref()).is_some_and(|node| !node.is_empty() && node != NODE) {
        return Err(Refused::internal("Missing node registration"));
    }
    if let Some(check) = asked.unknown_check() {
        let text = format!("Missing check '{check}' registration");
        return Err(Refused::internal(text));
    }
    let behavior = match asked.behavior.as_deref() {
        None | Some("" | "release") => SessionBehavior::Release,
        Some("delete") => SessionBehavior::Delete,
        Some(other) => {
            let text = format!("Invalid Behavior setting '{other}'");
            return Err(Refused::internal(text));
        }
    };
    Ok(Session {
        id: SessionId(Uuid::new_v4()),
        name: asked.name.unwrap_or_default(),
        behavior,
        ttl: ttl(&asked.ttl.unwrap_or_default())?,
        lock_delay: asked
            .lockdelay
            .map_or(Ok(DEFAULT_LOCK_DELAY), |it| lock_delay(&it))?,
        // Of this and of the revision the use case knows.
        opened_by: String::new(),
        create_revision: Revision::ZERO,
    })
}

fn described(body: &[u8]) -> Result<Description, Refused> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Description::default());
    }
    let bad = |error| Refused::bad(format!("Request decode failed: {error}"));
    names::from_json(body).map_err(bad)
}

fn ttl(text: &str) -> Result<Option<Duration>, Refused> {
    if text.is_empty() {
        return Ok(None);
    }
    let invalid =
        |reason: &str| Refused::internal(format!("Invalid Session TTL '{text}', {reason}"));
    match duration::parse(text) {
        None => Err(invalid("write 15s or 1m")),
        // As in Consul, where it means that there is none.
        Some(Duration::ZERO) => Ok(None),
        Some(ttl) if (MIN_TTL..=MAX_TTL).contains(&ttl) => Ok(Some(ttl)),
        Some(_) => Err(invalid("must be between [10s=24h0m0s]")),
    }
}

/// A text with a unit, or a number: of seconds below 1000, else of nanoseconds. More than the most
/// counts as the most.
fn lock_delay(value: &Value) -> Result<Duration, Refused> {
    let delay = match value {
        Value::Null => return Ok(DEFAULT_LOCK_DELAY),
        Value::String(text) => duration::parse(text),
        Value::Number(number) => number.as_u64().map(|number| match number {
            0..1000 => Duration::from_secs(number),
            nanos => Duration::from_nanos(nanos),
        }),
        _ => None,
    };
    match delay {
        Some(delay) => Ok(delay.min(MAX_LOCK_DELAY)),
        None => Err(Refused::bad(format!(
            "Request decode failed: time: invalid duration {value}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_may_be_empty_or_in_any_case() {
        for body in [
            "",
            " ",
            "{}",
            r#"{"Unknown": 1}"#,
            r#"{"TTL": "", "LockDelay": null}"#,
        ] {
            let session = asked_for(body.as_bytes()).unwrap();
            assert_eq!(
                (session.ttl, session.lock_delay),
                (None, DEFAULT_LOCK_DELAY),
                "{body}"
            );
            assert_eq!(session.behavior, SessionBehavior::Release);
        }
        for body in [
            r#"{"Name": "n", "TTL": "15s", "Behavior": "delete", "LockDelay": "5s"}"#,
            r#"{"name": "n", "ttl": "15s", "behavior": "delete", "lockdelay": 5}"#,
            r#"{"name": "n", "Ttl": "0.25m", "BEHAVIOR": "delete", "lockDelay": 5000000000}"#,
        ] {
            let session = asked_for(body.as_bytes()).unwrap();
            assert_eq!(session.name, "n");
            assert_eq!(session.ttl, Some(Duration::from_secs(15)), "{body}");
            assert_eq!(session.lock_delay, Duration::from_secs(5), "{body}");
            assert_eq!(session.behavior, SessionBehavior::Delete);
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_name() {
        for (body, text) in [
            ("{", "Request decode failed"),
            ("[]", "Request decode failed"),
            (r#"{"TTL": 5}"#, "Request decode failed"),
            (r#"{"LockDelay": true}"#, "invalid duration true"),
            (r#"{"LockDelay": "soon"}"#, "invalid duration \"soon\""),
            (
                r#"{"TTL": "9s"}"#,
                "Invalid Session TTL '9s', must be between [10s=24h0m0s]",
            ),
            (r#"{"TTL": "25h"}"#, "Invalid Session TTL"),
            (r#"{"TTL": "x"}"#, "Invalid Session TTL"),
            (r#"{"Behavior": "keep"}"#, "Invalid Behavior"),
            (r#"{"Node": "mars"}"#, "Missing node registration"),
            (
                r#"{"NodeChecks": ["serfHealth", "disk"]}"#,
                "Missing check 'disk'",
            ),
            (
                r#"{"ServiceChecks": [{"ID": "web"}]}"#,
                "Missing check 'web'",
            ),
        ] {
            let error = asked_for(body.as_bytes()).unwrap_err();
            assert!(error.text().contains(text), "{body}: {}", error.text());
        }
    }
}
