//! `PUT /v1/kv/{key}`: the body is the value, whatever its content type says.

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::response::Response;
use chameleon_model::{
    Key, MAX_VALUE_BYTES, Operation, Outcome, Precondition, Refusal, Right, SessionId, Transaction,
};
use uuid::Uuid;

use super::answer::{json, revision_of};
use super::error::Refused;
use super::query::Query;
use super::{Face, admit, key_of};
use crate::http::body::{announced, received};

/// Under which condition the value is written.
#[derive(Clone, Copy)]
enum Mode {
    Always,
    CompareAndSet(u64),
    Acquire(SessionId),
    Release(SessionId),
}

pub(super) async fn put(face: &Face, request: &Parts, body: Body) -> Result<Response, Refused> {
    let query = Query::of(&request.uri);
    let caller = admit(face, &query, request)?;
    query.check_datacenter()?;
    let key = key_of(&request.uri)?;
    if key.is_empty() {
        return Err(Refused::bad("Missing key name"));
    }
    let key = Key::new(&key).map_err(|error| Refused::bad(error.to_string()))?;
    // Before the body takes room from others.
    caller.may(Right::Write, &key)?;
    query.exclude(&["cas", "acquire", "release"])?;
    let flags = query.number("flags")?.unwrap_or(0);
    let Some(mode) = Mode::of(&query)? else {
        // Nobody can hold a lock under what is no session's id.
        return Ok(json(query.layout(), &false));
    };
    let mut reservation = face.app.replica.reservation();
    reservation.grow(announced(&request.headers, MAX_VALUE_BYTES)?)?;
    let value = received(body, MAX_VALUE_BYTES).await?;
    let transaction = transaction(key, value, flags, mode);
    let outcome = (face.app)
        .commit_single(&caller, transaction, reservation)
        .await?;
    written(&outcome).map(|written| json(query.layout(), &written))
}

impl Mode {
    /// `None` for a release that can't succeed.
    fn of(query: &Query<'_>) -> Result<Option<Self>, Refused> {
        if let Some(index) = query.number("cas")? {
            return Ok(Some(Self::CompareAndSet(index)));
        }
        let session = |name| {
            let given: Option<&str> = query.value(name);
            given.map(|text| (text, Uuid::parse_str(text).map(SessionId)))
        };
        if let Some((text, id)) = session("acquire") {
            return match id {
                Ok(id) => Ok(Some(Self::Acquire(id))),
                Err(_) if text.is_empty() => Err(Refused::internal("missing session")),
                Err(_) => Err(Refused::internal(format!("invalid session \"{text}\""))),
            };
        }
        Ok(match session("release") {
            Some((_, id)) => id.ok().map(Self::Release),
            None => Some(Self::Always),
        })
    }
}

fn transaction(key: Key, value: Bytes, flags: u64, mode: Mode) -> Transaction {
    let mut preconditions = Vec::new();
    match mode {
        Mode::CompareAndSet(0) => preconditions.push(Precondition::Absent { key: key.clone() }),
        Mode::CompareAndSet(index) => preconditions.push(Precondition::AtRevision {
            key: key.clone(),
            revision: revision_of(index),
        }),
        Mode::Always | Mode::Acquire(_) | Mode::Release(_) => {}
    }
    let operation = match mode {
        Mode::Always | Mode::CompareAndSet(_) => Operation::Put { key, value, flags },
        Mode::Acquire(session) => Operation::Lock {
            key,
            value,
            flags,
            session,
        },
        Mode::Release(session) => Operation::Unlock {
            key,
            value,
            flags,
            session,
        },
    };
    Transaction {
        preconditions,
        operations: vec![operation],
        ..Transaction::default()
    }
}

/// `true` or `false` as Consul answers it; an unknown session is an error there.
fn written(outcome: &Outcome) -> Result<bool, Refused> {
    let Outcome::Refused(refusals) = outcome else {
        return Ok(true);
    };
    // A lock-delay is no error: the lock is just not to be had yet.
    let unknown = refusals
        .iter()
        .find(|refusal| matches!(refusal, Refusal::NoSession { .. }));
    unknown.map_or(Ok(false), |refusal| {
        Err(Refused::internal(refusal.to_string()))
    })
}
