//! Conversions between the wire and the model.

use std::time::Duration;

use bytes::Bytes;
use chameleon_model::{
    CommitId, Entry, Epoch, GitOrigin, GitValue, Hold, Key, MAX_SOURCE_NAME_BYTES, MAX_VALUE_BYTES,
    Operation, Origin, Outcome, Precondition, Prefix, Refusal, RequestId, Revision, SessionId,
    SourceName, SourceUpdate, Stage, StageTime, Stamp, Tag, Timestamp, Transaction,
};
use uuid::Uuid;

use crate::v1;

/// The size from which on a message is sent as several, in bytes of keys and values.
const CHUNK_BYTES: usize = 1024 * 1024;

/// A field of a message that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Invalid {
    /// The field's name as in the .proto file.
    pub field: &'static str,
    /// What is wrong with it, and what would be right.
    pub reason: String,
}

pub(crate) fn invalid(field: &'static str, reason: impl std::fmt::Display) -> Invalid {
    Invalid {
        field,
        reason: reason.to_string(),
    }
}

impl From<Stamp> for v1::Stamp {
    fn from(stamp: Stamp) -> Self {
        Self {
            epoch: stamp.epoch.0,
            revision: stamp.revision.0,
            tag: stamp.tag.0,
        }
    }
}

impl From<v1::Stamp> for Stamp {
    fn from(stamp: v1::Stamp) -> Self {
        Self {
            epoch: Epoch(stamp.epoch),
            revision: Revision(stamp.revision),
            tag: Tag(stamp.tag),
        }
    }
}

impl From<&Entry> for v1::Entry {
    fn from(entry: &Entry) -> Self {
        Self {
            key: entry.key.to_string(),
            value: entry.value.clone(),
            flags: entry.flags,
            create_revision: entry.create_revision.0,
            modify_revision: entry.modify_revision.0,
            lock_index: entry.lock_index,
            session: entry.session.map(|id| id.to_string()).unwrap_or_default(),
            owner: (entry.owner.as_ref())
                .map(ToString::to_string)
                .unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::Entry> for Entry {
    type Error = Invalid;

    fn try_from(entry: v1::Entry) -> Result<Self, Invalid> {
        Ok(Self {
            key: key("entry.key", &entry.key)?,
            value: entry.value,
            flags: entry.flags,
            create_revision: Revision(entry.create_revision),
            modify_revision: Revision(entry.modify_revision),
            lock_index: entry.lock_index,
            session: match entry.session.as_str() {
                "" => None,
                id => Some(session("entry.session", id)?),
            },
            owner: (!entry.owner.is_empty()).then(|| SourceName::from(entry.owner.as_str())),
        })
    }
}

impl From<&Hold> for v1::Hold {
    fn from(hold: &Hold) -> Self {
        Self {
            git: hold.git.as_ref().map(Into::into),
            against: Some((&hold.against).into()),
            ..without_values(hold)
        }
    }
}

/// The message for `hold` without what git has and had there.
pub fn without_values(hold: &Hold) -> v1::Hold {
    v1::Hold {
        key: hold.key.to_string(),
        source: hold.source.to_string(),
        author: hold.author.clone(),
        reason: hold.reason.clone(),
        since_us: hold.since.0,
        expires_us: hold.expires.0,
        revision: hold.revision.0,
        git: None,
        against: None,
    }
}

impl From<&GitValue> for v1::GitValue {
    fn from(git: &GitValue) -> Self {
        Self {
            value: git.value.clone(),
            flags: git.flags,
        }
    }
}

impl From<v1::GitValue> for GitValue {
    fn from(git: v1::GitValue) -> Self {
        Self {
            value: git.value,
            flags: git.flags,
        }
    }
}

impl TryFrom<v1::Hold> for Hold {
    type Error = Invalid;

    fn try_from(hold: v1::Hold) -> Result<Self, Invalid> {
        Ok(Self {
            key: key("hold.key", &hold.key)?,
            source: SourceName::from(hold.source.as_str()),
            git: hold.git.map(Into::into),
            against: (hold.against)
                .ok_or_else(|| invalid("hold.against", "is missing"))?
                .into(),
            author: hold.author,
            reason: hold.reason,
            since: Timestamp(hold.since_us),
            expires: Timestamp(hold.expires_us),
            revision: Revision(hold.revision),
        })
    }
}

impl From<Operation> for v1::Operation {
    /// # Panics
    /// On operations about sessions and on restored files: those have no place in this contract.
    fn from(operation: Operation) -> Self {
        use v1::operation::Operation as Wire;
        let put = |key: Key, value: Bytes, flags: u64| v1::Put {
            key: key.to_string(),
            value,
            flags,
        };
        let locking = |key, value, flags, session: SessionId| v1::Locking {
            put: Some(put(key, value, flags)),
            session: session.to_string(),
        };
        let wire = match operation {
            Operation::Put { key, value, flags } => Wire::Put(put(key, value, flags)),
            Operation::Delete { key } => Wire::Delete(key.to_string()),
            Operation::DeletePrefix { prefix } => Wire::DeletePrefix(prefix.to_string()),
            Operation::Lock {
                key,
                value,
                flags,
                session,
            } => Wire::Lock(locking(key, value, flags, session)),
            Operation::Unlock {
                key,
                value,
                flags,
                session,
            } => Wire::Unlock(locking(key, value, flags, session)),
            Operation::Hold { key } => Wire::Hold(key.to_string()),
            Operation::Release { key } => Wire::Release(key.to_string()),
            Operation::OpenSession(_) | Operation::EndSession(_) | Operation::Restore { .. } => {
                unreachable!("only a server asks for these, of itself")
            }
        };
        Self {
            operation: Some(wire),
        }
    }
}

impl TryFrom<v1::Operation> for Operation {
    type Error = Invalid;

    fn try_from(operation: v1::Operation) -> Result<Self, Invalid> {
        use v1::operation::Operation as Wire;
        const MISSING: &str = "is missing";
        Ok(match operation.operation {
            None => return Err(invalid("operation", MISSING)),
            Some(Wire::Put(put)) => Self::Put {
                key: key("put.key", &put.key)?,
                value: value(&put)?,
                flags: put.flags,
            },
            Some(Wire::Delete(name)) => Self::Delete {
                key: key("delete", &name)?,
            },
            Some(Wire::DeletePrefix(prefix)) => Self::DeletePrefix {
                prefix: Prefix::new(&prefix),
            },
            Some(Wire::Hold(name)) => Self::Hold {
                key: key("hold", &name)?,
            },
            Some(Wire::Release(name)) => Self::Release {
                key: key("release", &name)?,
            },
            Some(Wire::Lock(lock)) => {
                let put = lock.put.ok_or_else(|| invalid("lock.put", MISSING))?;
                Self::Lock {
                    key: key("lock.put.key", &put.key)?,
                    value: value(&put)?,
                    flags: put.flags,
                    session: session("lock.session", &lock.session)?,
                }
            }
            Some(Wire::Unlock(unlock)) => {
                let put = unlock.put.ok_or_else(|| invalid("unlock.put", MISSING))?;
                Self::Unlock {
                    key: key("unlock.put.key", &put.key)?,
                    value: value(&put)?,
                    flags: put.flags,
                    session: session("unlock.session", &unlock.session)?,
                }
            }
        })
    }
}

impl From<Precondition> for v1::Precondition {
    fn from(precondition: Precondition) -> Self {
        use v1::precondition::Precondition as Wire;
        let wire = match precondition {
            Precondition::AtRevision { key, revision } => Wire::AtRevision(v1::AtRevision {
                key: key.to_string(),
                revision: revision.0,
            }),
            Precondition::Absent { key } => Wire::Absent(key.to_string()),
            Precondition::HeldBy { key, session } => Wire::HeldBy(v1::HeldBy {
                key: key.to_string(),
                session: session.to_string(),
            }),
            Precondition::SessionLive { session } => Wire::SessionLive(session.to_string()),
            Precondition::Unchanged { prefix, since } => Wire::Unchanged(v1::Unchanged {
                prefix: prefix.to_string(),
                since: since.0,
            }),
        };
        Self {
            precondition: Some(wire),
        }
    }
}

impl TryFrom<v1::Precondition> for Precondition {
    type Error = Invalid;

    fn try_from(precondition: v1::Precondition) -> Result<Self, Invalid> {
        use v1::precondition::Precondition as Wire;
        Ok(match precondition.precondition {
            None => return Err(invalid("precondition", "is missing")),
            Some(Wire::AtRevision(at)) => Self::AtRevision {
                key: key("at_revision.key", &at.key)?,
                revision: Revision(at.revision),
            },
            Some(Wire::Absent(name)) => Self::Absent {
                key: key("absent", &name)?,
            },
            Some(Wire::HeldBy(held)) => Self::HeldBy {
                key: key("held_by.key", &held.key)?,
                session: session("held_by.session", &held.session)?,
            },
            Some(Wire::SessionLive(id)) => Self::SessionLive {
                session: session("session_live", &id)?,
            },
            Some(Wire::Unchanged(unchanged)) => Self::Unchanged {
                prefix: Prefix::new(&unchanged.prefix),
                since: Revision(unchanged.since),
            },
        })
    }
}

impl From<SourceUpdate> for v1::SourceUpdate {
    fn from(update: SourceUpdate) -> Self {
        Self {
            name: update.name.to_string(),
            expected_commit: (update.expected)
                .map(|commit| commit.to_string())
                .unwrap_or_default(),
            commit: update.commit.to_string(),
            profiles: update.profiles,
        }
    }
}

impl TryFrom<v1::SourceUpdate> for SourceUpdate {
    type Error = Invalid;

    fn try_from(update: v1::SourceUpdate) -> Result<Self, Invalid> {
        let expected = update.expected_commit.as_str();
        Ok(Self {
            name: source_name("source.name", &update.name)?,
            expected: match expected {
                "" => None,
                id => Some(commit_id("source.expected_commit", id)?),
            },
            commit: commit_id("source.commit", &update.commit)?,
            profiles: update.profiles,
        })
    }
}

impl From<Origin> for v1::Origin {
    fn from(origin: Origin) -> Self {
        Self {
            author: origin.author,
            message: origin.message,
            via: origin.via,
            git: origin.git.map(|git| v1::Git {
                repository: git.repository,
                branch: git.branch,
                commit: git.commit.to_string(),
            }),
            stages: origin.stages.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::Origin> for Origin {
    type Error = Invalid;

    fn try_from(origin: v1::Origin) -> Result<Self, Invalid> {
        let git = match origin.git {
            None => None,
            Some(git) => Some(GitOrigin {
                commit: commit_id("origin.git.commit", &git.commit)?,
                repository: git.repository,
                branch: git.branch,
            }),
        };
        Ok(Self {
            author: origin.author,
            message: origin.message,
            via: origin.via,
            git,
            stages: (origin.stages.into_iter())
                .map(StageTime::try_from)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl From<StageTime> for v1::StageTime {
    fn from(time: StageTime) -> Self {
        Self {
            stage: time.stage.name().to_owned(),
            took_us: micros(time.took),
        }
    }
}

impl TryFrom<v1::StageTime> for StageTime {
    type Error = Invalid;

    fn try_from(time: v1::StageTime) -> Result<Self, Invalid> {
        let stage = Stage::from_name(&time.stage)
            .ok_or_else(|| invalid("stage", format!("`{}` is no stage", time.stage)))?;
        Ok(Self {
            stage,
            took: Duration::from_micros(time.took_us),
        })
    }
}

/// The transaction that a header and its operations ask for.
///
/// # Errors
/// Names the first field that breaks a rule.
pub fn transaction(
    header: v1::CommitHeader,
    operations: Vec<v1::Operation>,
) -> Result<Transaction, Invalid> {
    let request_id = match header.request_id.as_str() {
        "" => None,
        id => Some(RequestId(uuid("header.request_id", id)?)),
    };
    Ok(Transaction {
        request_id,
        preconditions: (header.preconditions.into_iter())
            .map(Precondition::try_from)
            .collect::<Result<_, _>>()?,
        operations: (operations.into_iter())
            .map(Operation::try_from)
            .collect::<Result<_, _>>()?,
        source: header.source.map(SourceUpdate::try_from).transpose()?,
        hold_for: (header.hold_for_ms != 0).then(|| Duration::from_millis(header.hold_for_ms)),
        keeps_holds: header.keeps_holds,
        origin: Origin::try_from(header.origin.unwrap_or_default())?,
    })
}

/// The messages that carry `transaction`: its header, then operations in chunks of about 1 MiB.
///
/// # Panics
/// On operations about sessions and on restored files: those have no place in this contract.
pub fn commit_requests(transaction: Transaction) -> Vec<v1::CommitRequest> {
    use v1::commit_request::Message;
    let header = v1::CommitHeader {
        request_id: (transaction.request_id)
            .map(|id| id.0.to_string())
            .unwrap_or_default(),
        preconditions: (transaction.preconditions.into_iter())
            .map(Into::into)
            .collect(),
        origin: Some(transaction.origin.into()),
        source: transaction.source.map(Into::into),
        // Rounded up: 0 would be the server's setting.
        hold_for_ms: transaction.hold_for.map_or(0, |lasts| {
            u64::try_from(lasts.as_nanos().div_ceil(1_000_000)).map_or(u64::MAX, |ms| ms.max(1))
        }),
        keeps_holds: transaction.keeps_holds,
    };
    let operations = transaction.operations.into_iter().map(v1::Operation::from);
    let chunks = chunks(operations, prost::Message::encoded_len);
    std::iter::once(Message::Header(header))
        .chain(
            chunks
                .into_iter()
                .map(|operations| Message::Operations(v1::Operations { operations })),
        )
        .map(|message| v1::CommitRequest {
            message: Some(message),
        })
        .collect()
}

/// The messages that carry a state: chunks of about 1 MiB, at least one, `more` set on all but the
/// last. `base` is absent for a complete state.
pub fn state_chunks(
    stamp: Stamp,
    base: Option<Stamp>,
    puts: impl IntoIterator<Item = v1::Entry>,
    deletes: Vec<String>,
) -> Vec<v1::State> {
    let puts = puts.into_iter().map(Piece::Put);
    let pieces = puts.chain(deletes.into_iter().map(Piece::Delete));
    let mut chunks = chunks(pieces, Piece::size);
    if chunks.is_empty() {
        chunks.push(Vec::new());
    }
    let last = chunks.len() - 1;
    (chunks.into_iter().enumerate())
        .map(|(place, pieces)| {
            let mut state = v1::State {
                stamp: Some(stamp.into()),
                base: base.map(Into::into),
                more: place < last,
                ..v1::State::default()
            };
            for piece in pieces {
                match piece {
                    Piece::Put(entry) => state.puts.push(entry),
                    Piece::Delete(key) => state.deletes.push(key),
                }
            }
            state
        })
        .collect()
}

/// What a state's chunks are cut into.
enum Piece {
    Put(v1::Entry),
    Delete(String),
}

impl Piece {
    fn size(&self) -> usize {
        match self {
            Self::Put(entry) => prost::Message::encoded_len(entry),
            Self::Delete(key) => key.len(),
        }
    }
}

/// The answer to a commit.
pub fn commit_response(outcome: &Outcome) -> v1::CommitResponse {
    use v1::commit_response::Outcome as Wire;
    let wire = match outcome {
        Outcome::Committed(stamp) => Wire::Committed((*stamp).into()),
        Outcome::Unchanged(stamp) => Wire::Unchanged((*stamp).into()),
        Outcome::Refused(refusals) => Wire::Refused(v1::Refused {
            reasons: refusals.iter().map(ToString::to_string).collect(),
            conflict: refusals.iter().all(is_conflict),
        }),
    };
    v1::CommitResponse {
        outcome: Some(wire),
        ..v1::CommitResponse::default()
    }
}

fn is_conflict(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::WrongRevision { .. }
            | Refusal::Exists { .. }
            | Refusal::ChangedUnder { .. }
            | Refusal::MarkerMoved { .. }
    )
}

fn chunks<T>(items: impl Iterator<Item = T>, size: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut chunks: Vec<Vec<T>> = Vec::new();
    let mut filled = CHUNK_BYTES;
    for item in items {
        let bytes = size(&item);
        if filled + bytes > CHUNK_BYTES {
            chunks.push(Vec::new());
            filled = 0;
        }
        filled += bytes;
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(item);
        }
    }
    chunks
}

fn key(field: &'static str, text: &str) -> Result<Key, Invalid> {
    Key::new(text).map_err(|error| invalid(field, error))
}

/// The name of a source as a request gives it.
///
/// # Errors
/// It is missing, or longer than the model allows; the error names `field`.
pub fn source_name(field: &'static str, text: &str) -> Result<SourceName, Invalid> {
    if text.is_empty() {
        return Err(invalid(field, "is missing"));
    }
    if text.len() > MAX_SOURCE_NAME_BYTES {
        let reason = format!("is longer than {MAX_SOURCE_NAME_BYTES} bytes");
        return Err(invalid(field, reason));
    }
    Ok(SourceName::from(text))
}

fn value(put: &v1::Put) -> Result<Bytes, Invalid> {
    if put.value.len() > MAX_VALUE_BYTES {
        return Err(invalid(
            "put.value",
            format!(
                "key `{}` has a value of {} bytes, {MAX_VALUE_BYTES} are allowed",
                put.key,
                put.value.len()
            ),
        ));
    }
    Ok(put.value.clone())
}

fn session(field: &'static str, text: &str) -> Result<SessionId, Invalid> {
    uuid(field, text).map(SessionId)
}

fn uuid(field: &'static str, text: &str) -> Result<Uuid, Invalid> {
    Uuid::parse_str(text).map_err(|_| invalid(field, format!("`{text}` is no UUID")))
}

fn commit_id(field: &'static str, text: &str) -> Result<CommitId, Invalid> {
    let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if matches!(text.len(), 40 | 64) && text.bytes().all(hexadecimal) {
        Ok(CommitId::from(text))
    } else {
        Err(invalid(
            field,
            format!("`{text}` is no full git commit id in lower-case hexadecimal"),
        ))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys() -> impl Strategy<Value = Key> {
        "[a-z/.]{1,20}".prop_filter_map("a key", |text| Key::new(&text).ok())
    }

    fn operations() -> impl Strategy<Value = Operation> {
        let value = prop::collection::vec(any::<u8>(), 0..200_000).prop_map(Bytes::from);
        let session = any::<u128>().prop_map(|id| SessionId(Uuid::from_u128(id)));
        prop_oneof![
            (keys(), value, any::<u64>()).prop_map(|(key, value, flags)| Operation::Put {
                key,
                value,
                flags
            }),
            keys().prop_map(|key| Operation::Delete { key }),
            keys().prop_map(|key| Operation::Hold { key }),
            keys().prop_map(|key| Operation::Release { key }),
            "[a-z/]{0,9}".prop_map(|text| Operation::DeletePrefix {
                prefix: Prefix::new(&text)
            }),
            (keys(), session).prop_map(|(key, session)| Operation::Lock {
                key,
                value: Bytes::new(),
                flags: 1,
                session
            }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn transactions_survive_the_wire(
            operations in prop::collection::vec(operations(), 0..20),
            id in any::<u128>(),
            hold_ms in 0_u64..9,
        ) {
            let sent = Transaction {
                request_id: Some(RequestId(Uuid::from_u128(id))),
                hold_for: (hold_ms > 0).then(|| Duration::from_millis(hold_ms)),
                keeps_holds: hold_ms % 2 == 0,
                operations,
                source: Some(SourceUpdate {
                    name: "main".into(),
                    expected: None,
                    commit: "0123456789abcdef0123456789abcdef01234567".into(),
                    profiles: vec!["beta".into()],
                }),
                ..Transaction::default()
            };
            let mut header = None;
            let mut received = Vec::new();
            for request in commit_requests(sent.clone()) {
                prop_assert!(prost::Message::encoded_len(&request) < 2 * CHUNK_BYTES);
                match request.message.unwrap() {
                    v1::commit_request::Message::Header(head) => header = Some(head),
                    v1::commit_request::Message::Operations(more) => received.extend(more.operations),
                }
            }
            let got = transaction(header.unwrap(), received).unwrap();
            prop_assert_eq!(got.operations, sent.operations);
            prop_assert_eq!(got.source, sent.source);
            prop_assert_eq!(got.request_id, sent.request_id);
            prop_assert_eq!((got.hold_for, got.keeps_holds), (sent.hold_for, sent.keeps_holds));
        }

        #[test]
        fn chunked_states_are_whole(sizes in prop::collection::vec(0_usize..500_000, 0..20)) {
            let entries = sizes.iter().map(|size| v1::Entry {
                key: "k".into(),
                value: vec![0; *size].into(),
                ..v1::Entry::default()
            });
            let states = state_chunks(Stamp::default(), None, entries, vec!["gone".into()]);
            let (last, before) = states.split_last().unwrap();
            prop_assert!(!last.more && before.iter().all(|state| state.more));
            prop_assert_eq!(states.iter().map(|state| state.puts.len()).sum::<usize>(), sizes.len());
            prop_assert_eq!(states.iter().map(|state| state.deletes.len()).sum::<usize>(), 1);
        }
    }

    #[test]
    fn many_deletes_are_cut_too() {
        let deletes: Vec<_> = (0..5_000).map(|_| "k".repeat(500)).collect();
        let states = state_chunks(Stamp::default(), Some(Stamp::default()), [], deletes);
        assert_eq!(states.len(), 3);
        for state in &states {
            assert!(prost::Message::encoded_len(state) < CHUNK_BYTES + CHUNK_BYTES / 10);
        }
        assert_eq!(
            states
                .iter()
                .map(|state| state.deletes.len())
                .sum::<usize>(),
            5_000
        );
    }

    #[test]
    fn holds_survive_the_wire() {
        let git = |value: &'static str| GitValue {
            value: value.into(),
            flags: 7,
        };
        let hold = Hold {
            key: Key::new("config/a.yml").unwrap(),
            source: "main".into(),
            git: None,
            against: git("a: 1\n"),
            author: "ada".to_owned(),
            reason: "why".to_owned(),
            since: Timestamp(5),
            expires: Timestamp(9),
            revision: Revision(3),
        };
        let of_git = Hold {
            git: Some(git("")),
            ..hold.clone()
        };
        for hold in [hold, of_git] {
            assert_eq!(Hold::try_from(v1::Hold::from(&hold)), Ok(hold));
        }
        assert!(Hold::try_from(v1::Hold::default()).is_err());
    }

    #[test]
    fn what_the_wire_cannot_check_is_named() {
        let put = |key: &str| v1::Operation {
            operation: Some(v1::operation::Operation::Put(v1::Put {
                key: key.into(),
                ..v1::Put::default()
            })),
        };
        let error = Operation::try_from(put("a/../b")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "put.key: key `a/../b` has a `..` segment; write the path without it"
        );
        let header = v1::CommitHeader {
            request_id: "seven".into(),
            ..v1::CommitHeader::default()
        };
        let error = transaction(header, vec![]).unwrap_err();
        assert_eq!(error.to_string(), "header.request_id: `seven` is no UUID");
        let source = |length| {
            SourceUpdate::try_from(v1::SourceUpdate {
                name: "n".repeat(length),
                commit: "0123456789abcdef0123456789abcdef01234567".into(),
                ..v1::SourceUpdate::default()
            })
        };
        assert!(source(256).is_ok());
        assert_eq!(
            source(257).unwrap_err().to_string(),
            "source.name: is longer than 256 bytes"
        );
        assert_eq!(
            source(0).unwrap_err().to_string(),
            "source.name: is missing"
        );
    }
}
