//! `PUT /v1/txn`: several operations as one, with what they read.
//!
//! The operations are played in order on the newest state. What they wrote is then committed under
//! the condition that nothing they looked at has changed meanwhile; if it has, all is played again.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chameleon_model::{
    Entry, Key, Known, Operation, Outcome, Precondition, Prefix, Refusal, Revision, Right,
    SessionId, Snapshot, Tag, Transaction, decide,
};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::answer::{EntryAnswer, Layout, json, revision_of, with_contact};
use super::error::Refused;
use super::names;
use super::query::Query;
use super::{Face, admit};
use crate::app::access::{Caller, Forbidden};
use crate::http::body::{announced, received};

/// The most operations of one transaction.
const MAX_OPERATIONS: usize = 128;

/// The largest body.
const MAX_BODY_BYTES: usize = 512 * 1024;

/// How often a transaction is played whose keys others change all the while.
const TRIES: usize = 16;

/// An element of the request. One kind of four is served.
#[derive(Debug, Deserialize)]
struct Element {
    kv: Option<Step>,
}

/// One operation as it was asked for.
#[derive(Debug, Deserialize)]
struct Step {
    verb: String,
    #[serde(default)]
    key: String,
    #[serde(default, deserialize_with = "decoded")]
    value: Bytes,
    #[serde(default)]
    flags: u64,
    #[serde(default)]
    index: u64,
    #[serde(default)]
    session: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    results: Option<Vec<ResultElement<'a>>>,
    errors: Option<&'a [Fault]>,
}

#[derive(Serialize)]
struct ResultElement<'a> {
    #[serde(rename = "KV")]
    kv: EntryAnswer<'a>,
}

/// What an operation tells of a key.
enum Told {
    /// All of it, by an operation that reads.
    Whole(Arc<Entry>),
    /// All but its value, by one that writes or checks.
    Bare(Arc<Entry>),
    /// That there is none.
    Nothing(Key),
}

/// Why an operation fails.
#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
struct Fault {
    op_index: usize,
    what: String,
}

pub(super) async fn txn(State(face): State<Face>, request: Request) -> Result<Response, Refused> {
    let (head, body) = request.into_parts();
    let query = Query::of(&head.uri);
    let caller = admit(&face, &query, &head)?;
    query.check_consistency()?;
    let mut reservation = face.app.replica.reservation();
    reservation.grow(announced(&head.headers, MAX_BODY_BYTES)?)?;
    let steps = parsed(&received(body, MAX_BODY_BYTES).await?)?;
    drop(reservation);
    if query.is_consistent() && steps.iter().all(Step::only_reads) {
        face.app.replica.confirmed().await?;
    }
    for _ in 0..TRIES {
        let snapshot = face.app.replica.snapshot();
        // All of it before any of it is played: a fault would tell of a key that is out of reach.
        (steps.iter()).try_for_each(|step| step.is_allowed(&caller, &snapshot))?;
        let mut play = Play::new(&snapshot);
        for (index, step) in steps.iter().enumerate() {
            play.step(index, step);
        }
        if steps.iter().all(Step::only_reads) {
            return Ok(with_contact(play.answer(query.layout(), None), &face));
        }
        // A fault is as true as the state that it was found in, so that this is proven too.
        let operations = if play.faults.is_empty() {
            std::mem::take(&mut play.operations)
        } else {
            Vec::new()
        };
        let transaction = Transaction {
            preconditions: play.pins(),
            operations,
            ..Transaction::default()
        };
        let reservation = {
            let mut reservation = face.app.replica.reservation();
            reservation.grow(transaction.operations.iter().map(size).sum())?;
            reservation
        };
        let outcome = (face.app)
            .commit_single(&caller, transaction, reservation)
            .await?;
        match outcome {
            Outcome::Committed(stamp) => {
                return Ok(play.answer(query.layout(), Some(stamp.revision)));
            }
            Outcome::Unchanged(_) => return Ok(play.answer(query.layout(), None)),
            Outcome::Refused(refusals) => {
                play.delayed(&steps, &refusals);
                if !play.faults.is_empty() {
                    return Ok(play.answer(query.layout(), None));
                }
            }
        }
    }
    Err(Refused::internal(
        "the transaction's keys were changed by others at every try; nothing was applied, try again",
    ))
}

fn parsed(body: &[u8]) -> Result<Vec<Step>, Refused> {
    let elements: Vec<Element> = names::from_json(body)
        .map_err(|error| Refused::bad(format!("Failed to parse body: {error}")))?;
    if elements.len() > MAX_OPERATIONS {
        return Err(Refused::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "Transaction contains too many operations ({} > {MAX_OPERATIONS})",
                elements.len()
            ),
        ));
    }
    let mut steps = Vec::with_capacity(elements.len());
    for (index, element) in elements.into_iter().enumerate() {
        let Some(step) = element.kv else {
            return Err(Refused::bad(format!(
                "Failed to parse body: operation {index} is no `KV`, and only those are served"
            )));
        };
        steps.push(step);
    }
    Ok(steps)
}

/// The bytes that stand for a value in JSON; none for `null`.
fn decoded<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
    let text: Option<Cow<'de, str>> = Option::deserialize(from)?;
    let bytes = STANDARD.decode(text.as_deref().unwrap_or_default().as_bytes());
    bytes
        .map(Bytes::from)
        .map_err(|error| D::Error::custom(format!("illegal base64 data: {error}")))
}

fn size(operation: &Operation) -> usize {
    match operation {
        Operation::Put { key, value, .. }
        | Operation::Lock { key, value, .. }
        | Operation::Unlock { key, value, .. } => key.as_str().len() + value.len(),
        _ => 0,
    }
}

impl Step {
    fn only_reads(&self) -> bool {
        matches!(
            self.verb.as_str(),
            "get"
                | "get-or-empty"
                | "get-tree"
                | "check-index"
                | "check-session"
                | "check-not-exists"
        )
    }

    /// Fails unless the caller may do it. What is no key is nobody's, and a fault later.
    fn is_allowed(&self, caller: &Caller, state: &Snapshot) -> Result<(), Forbidden> {
        let tree = Prefix::new(&self.key);
        match self.verb.as_str() {
            "get-tree" => return caller.may_under(Right::Read, &tree),
            "delete-tree" => return caller.may_under(Right::Write, &tree),
            _ => {}
        }
        let Ok(key) = Key::new(&self.key) else {
            return Ok(());
        };
        if self.only_reads() {
            caller.may(Right::Read, &key)
        } else {
            caller.may_change(&key, state)
        }
    }

    fn session(&self) -> Result<SessionId, String> {
        if self.session.is_empty() {
            return Err("missing session".to_owned());
        }
        let id = Uuid::parse_str(&self.session);
        (id.map(SessionId)).map_err(|_| format!("invalid session {:?}", self.session))
    }
}

/// The operations at work on one state.
struct Play<'a> {
    base: &'a Snapshot,
    state: Snapshot,
    operations: Vec<Operation>,
    results: Vec<Told>,
    faults: Vec<Fault>,
    keys: BTreeSet<Key>,
    prefixes: BTreeSet<Prefix>,
}

impl<'a> Play<'a> {
    fn new(base: &'a Snapshot) -> Self {
        Self {
            base,
            state: base.clone(),
            operations: Vec::new(),
            results: Vec::new(),
            faults: Vec::new(),
            keys: BTreeSet::new(),
            prefixes: BTreeSet::new(),
        }
    }

    fn step(&mut self, op_index: usize, step: &Step) {
        if let Err(what) = self.try_step(step) {
            self.faults.push(Fault { op_index, what });
        }
    }

    fn try_step(&mut self, step: &Step) -> Result<(), String> {
        let verb = step.verb.as_str();
        if matches!(verb, "get-tree" | "delete-tree") {
            let prefix = Prefix::new(&step.key);
            self.prefixes.insert(prefix.clone());
            if verb == "get-tree" {
                let entries = self.state.under(&prefix).cloned();
                self.results.extend(entries.map(Told::Whole));
                return Ok(());
            }
            return self.apply(Operation::DeletePrefix { prefix });
        }
        if step.key.is_empty() {
            return Err("Must provide key".to_owned());
        }
        let key = Key::new(&step.key).map_err(|error| error.to_string())?;
        self.keys.insert(key.clone());
        let name = &step.key;
        let held = self.state.get(name).cloned();
        let missing = || format!("key {name:?} doesn't exist");
        let at_index = |held: &Entry| held.modify_revision == revision_of(step.index);
        match verb {
            "get" => {
                self.results.push(Told::Whole(held.ok_or_else(missing)?));
                return Ok(());
            }
            "get-or-empty" => {
                let told = held.map_or_else(|| Told::Nothing(key), Told::Whole);
                self.results.push(told);
                return Ok(());
            }
            "check-index" => {
                let held = held.ok_or_else(|| format!("failed to check index, {}", missing()))?;
                if !at_index(&held) {
                    let index = super::answer::index_of(held.modify_revision);
                    return Err(format!(
                        "current modify index of key {name:?} is {index}, not {}",
                        step.index
                    ));
                }
                self.results.push(Told::Bare(held));
                return Ok(());
            }
            "check-session" => {
                let held = held.ok_or_else(|| format!("failed to check session, {}", missing()))?;
                if Some(step.session()?) != held.session {
                    let holder = held.session.map(|id| id.to_string()).unwrap_or_default();
                    return Err(format!(
                        "failed session check for key {name:?}, current session {holder:?} is not \
                         {:?}",
                        step.session
                    ));
                }
                self.results.push(Told::Bare(held));
                return Ok(());
            }
            "check-not-exists" => {
                return held.map_or(Ok(()), |_| Err(format!("key {name:?} exists")));
            }
            "delete" => return self.apply(Operation::Delete { key }),
            "delete-cas" => {
                let is_current = held.as_deref().is_none_or(at_index);
                if !is_current {
                    return Err(format!("failed to delete key {name:?}, index is stale"));
                }
                return self.apply(Operation::Delete { key });
            }
            _ => {}
        }
        self.write(step, key, held.as_deref())?;
        let written = self.state.get(name).cloned();
        self.results.push(Told::Bare(written.ok_or_else(missing)?));
        Ok(())
    }

    fn write(&mut self, step: &Step, key: Key, held: Option<&Entry>) -> Result<(), String> {
        let (name, flags) = (&step.key, step.flags);
        let value = step.value.clone();
        match step.verb.as_str() {
            "set" => self.apply(Operation::Put { key, value, flags }),
            "cas" => {
                let expected = (step.index > 0).then(|| revision_of(step.index));
                if held.map(|held| held.modify_revision) != expected {
                    return Err(format!("failed to set key {name:?}, index is stale"));
                }
                self.apply(Operation::Put { key, value, flags })
            }
            "lock" => {
                let session = step.session()?;
                self.apply(Operation::Lock {
                    key,
                    value,
                    flags,
                    session,
                })
            }
            "unlock" => {
                let session = step.session()?;
                self.apply(Operation::Unlock {
                    key,
                    value,
                    flags,
                    session,
                })
            }
            other => Err(format!("unknown KV verb {other:?}")),
        }
    }

    /// Plays a write on the state, and keeps it to be committed.
    fn apply(&mut self, operation: Operation) -> Result<(), String> {
        let transaction = Transaction {
            operations: vec![operation.clone()],
            ..Transaction::default()
        };
        let decided = decide(
            &self.state,
            vec![transaction],
            Known::default(),
            Tag::default,
        );
        if let Some(Outcome::Refused(refusals)) = decided.outcomes.first() {
            let texts: Vec<_> = refusals.iter().map(said).collect();
            return Err(texts.join("; "));
        }
        self.state = decided.snapshot;
        self.operations.push(operation);
        Ok(())
    }

    /// What must not have changed for all this to be true.
    fn pins(&self) -> Vec<Precondition> {
        let keys = self.keys.iter().map(|key| {
            let key = key.clone();
            match self.base.get(key.as_str()) {
                Some(held) => Precondition::AtRevision {
                    revision: held.modify_revision,
                    key,
                },
                None => Precondition::Absent { key },
            }
        });
        let prefixes = self.prefixes.iter().map(|prefix| Precondition::Unchanged {
            since: self.base.index_under(prefix),
            prefix: prefix.clone(),
        });
        keys.chain(prefixes).collect()
    }

    /// Makes faults of the locks that only the database knows to be delayed.
    fn delayed(&mut self, steps: &[Step], refusals: &[Refusal]) {
        let keys: BTreeSet<&str> = (refusals.iter())
            .filter_map(|refusal| match refusal {
                Refusal::LockDelayed { key } => Some(key.as_str()),
                _ => None,
            })
            .collect();
        let locks = (steps.iter().enumerate())
            .filter(|(_, step)| step.verb == "lock" && keys.contains(step.key.as_str()));
        self.faults.extend(locks.map(|(op_index, step)| Fault {
            op_index,
            what: format!("failed to lock key {:?} due to lock delay", step.key),
        }));
    }

    /// The answer, where what was written has become part of `revision`.
    fn answer(&self, layout: Layout, revision: Option<Revision>) -> Response {
        if !self.faults.is_empty() {
            let answer = Answer {
                results: None,
                errors: Some(&self.faults),
            };
            return (StatusCode::CONFLICT, json(layout, &answer)).into_response();
        }
        let before = self.base.stamp().revision;
        let placed = |played: Revision| revision.filter(|_| played > before).unwrap_or(played);
        let committed: Vec<Told> = self
            .results
            .iter()
            .map(|told| told.placed(placed))
            .collect();
        let results = (committed.iter())
            .map(|told| ResultElement {
                kv: match told {
                    Told::Whole(entry) => EntryAnswer::from(entry),
                    Told::Bare(entry) => EntryAnswer::from(entry).without_value(),
                    Told::Nothing(key) => EntryAnswer::nothing(key),
                },
            })
            .collect();
        let answer = Answer {
            results: Some(results),
            errors: None,
        };
        json(layout, &answer)
    }
}

impl Told {
    /// The same with each revision as `placed` gives it.
    fn placed(&self, placed: impl Fn(Revision) -> Revision) -> Self {
        let entry = |entry: &Entry| {
            Arc::new(Entry {
                create_revision: placed(entry.create_revision),
                modify_revision: placed(entry.modify_revision),
                ..entry.clone()
            })
        };
        match self {
            Self::Whole(whole) => Self::Whole(entry(whole)),
            Self::Bare(bare) => Self::Bare(entry(bare)),
            Self::Nothing(key) => Self::Nothing(key.clone()),
        }
    }
}

/// A refusal in the words that Consul's clients look for.
fn said(refusal: &Refusal) -> String {
    match refusal {
        Refusal::AlreadyHeld { key } => {
            format!(
                "failed to lock key {:?}, lock is already held",
                key.as_str()
            )
        }
        Refusal::NotHeld { key, .. } => format!(
            "failed to unlock key {:?}, lock isn't held, or is held by another session",
            key.as_str()
        ),
        other => other.to_string(),
    }
}
