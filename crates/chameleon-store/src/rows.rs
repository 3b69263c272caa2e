//! Rows as both databases yield them, and what they mean.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chameleon_model::{
    Change, Commit, CommitId, Entry, Epoch, GitOrigin, GitValue, Grant, Hold, HoldChange, Key,
    Origin, Outcome, RequestId, Revision, Right, Rule, Scope, Session, SessionBehavior,
    SessionChange, SessionId, SourceMarker, SourceName, SourceUpdate, Stage, StageTime, Stamp, Tag,
    Timestamp, Token, TokenHash, TokenName,
};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::types::Json;
use uuid::Uuid;

use crate::StoreError;

/// Declares a row and reads its columns by name from either database.
macro_rules! row {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        pub(crate) struct $name {
            $(pub(crate) $field: $type,)*
        }
        row!(@from sqlx::postgres::PgRow, $name { $($field)* });
        row!(@from sqlx::sqlite::SqliteRow, $name { $($field)* });
    };
    (@from $row:ty, $name:ident { $($field:ident)* }) => {
        impl<'r> sqlx::FromRow<'r, $row> for $name {
            fn from_row(row: &'r $row) -> Result<Self, sqlx::Error> {
                Ok(Self { $($field: row.try_get(stringify!($field))?,)* })
            }
        }
    };
}

row! {
    /// The newest state's name and the database's time.
    HeadRow {
        epoch: i64,
        revision: i64,
        tag: i64,
        floor: i64,
        now_micros: i64,
    }
}

row! {
    /// When something was written.
    TimeRow {
        at_micros: i64,
    }
}

row! {
    /// What names a state.
    StampRow {
        epoch: i64,
        revision: i64,
        tag: i64,
    }
}

row! {
    /// A commit without its changes.
    TransactionRow {
        revision: i64,
        epoch: i64,
        tag: i64,
        at_micros: i64,
        request_id: Option<Uuid>,
        author: String,
        message: String,
        via: String,
        repository: Option<String>,
        branch: Option<String>,
        git_commit: Option<String>,
        source_name: Option<String>,
        source_expected: Option<String>,
        source_commit: Option<String>,
        source_profiles: Option<Json<Vec<String>>>,
        stages: Json<Vec<StoredStage>>,
    }
}

row! {
    /// What a commit left at a key.
    ChangeRow {
        key: String,
        revision: i64,
        value: Option<Vec<u8>>,
        flags: i64,
        create_revision: i64,
        lock_index: i64,
        session: Option<Uuid>,
        owner: Option<String>,
    }
}

row! {
    /// A deleted key.
    TombstoneRow {
        key: String,
        revision: i64,
    }
}

row! {
    /// What a commit did to a session.
    SessionRow {
        session: Uuid,
        revision: i64,
        live: bool,
        name: String,
        behavior: String,
        ttl_nanos: Option<i64>,
        lock_delay_nanos: i64,
        create_revision: i64,
        opened_by: String,
    }
}

row! {
    /// What a commit did to a hold.
    HoldRow {
        key: String,
        revision: i64,
        held: bool,
        source: String,
        git_value: Option<Vec<u8>>,
        git_flags: i64,
        against_value: Vec<u8>,
        against_flags: i64,
        author: String,
        reason: String,
        since_micros: i64,
        expires_micros: i64,
    }
}

row! {
    /// The applied commit of a source.
    SourceRow {
        name: String,
        git_commit: String,
        profiles: Json<Vec<String>>,
        epoch: i64,
        revision: i64,
        tag: i64,
        at_micros: i64,
    }
}

row! {
    /// The first outcome of a request.
    RequestRow {
        id: Uuid,
        committed: bool,
        epoch: i64,
        revision: i64,
        tag: i64,
    }
}

row! {
    /// A key whose lock cannot be taken until then.
    LockDelayRow {
        key: String,
        until_micros: i64,
    }
}

row! {
    /// A live session with its last renewal.
    RenewalRow {
        session: Uuid,
        renewed_micros: i64,
    }
}

row! {
    /// One revision of a list.
    RevisionRow {
        revision: i64,
    }
}

row! {
    /// A token.
    TokenRow {
        name: String,
        hash: Vec<u8>,
        rules: Json<Vec<StoredRule>>,
        created_micros: i64,
        created_by: String,
        expires_micros: Option<i64>,
        replaced_hash: Option<Vec<u8>>,
        replaced_until_micros: Option<i64>,
    }
}

row! {
    /// A record of the audit.
    AuditRow {
        id: Uuid,
        at_micros: i64,
        who: String,
        dialect: String,
        peer: String,
        action: String,
        target_kind: String,
        target: String,
        outcome: String,
        revision: Option<i64>,
        times: i64,
        detail: String,
    }
}

/// A rule as it stands in a token's `rules`, with either a prefix or a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredRule {
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    rights: String,
}

/// A stage's time as it stands in a transaction's `stages`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredStage {
    pub(crate) stage: String,
    pub(crate) nanos: u64,
}

/// The head as the verbs know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) stamp: Stamp,
    pub(crate) floor: Revision,
    pub(crate) now: Timestamp,
}

impl TryFrom<HeadRow> for Head {
    type Error = StoreError;

    fn try_from(row: HeadRow) -> Result<Self, StoreError> {
        Ok(Self {
            stamp: stamp(row.epoch, row.revision, row.tag)?,
            floor: revision(row.floor)?,
            now: Timestamp(row.now_micros),
        })
    }
}

impl TryFrom<StampRow> for Stamp {
    type Error = StoreError;

    fn try_from(row: StampRow) -> Result<Self, StoreError> {
        stamp(row.epoch, row.revision, row.tag)
    }
}

impl TryFrom<ChangeRow> for Change {
    type Error = StoreError;

    fn try_from(row: ChangeRow) -> Result<Self, StoreError> {
        let key = key(&row.key)?;
        let Some(value) = row.value else {
            return Ok(Self::Delete(key));
        };
        Ok(Self::Put(Arc::new(Entry {
            key,
            value: Bytes::from(value),
            flags: row.flags.cast_unsigned(),
            create_revision: revision(row.create_revision)?,
            modify_revision: revision(row.revision)?,
            lock_index: row.lock_index.cast_unsigned(),
            session: row.session.map(SessionId),
            owner: row.owner.map(|owner| SourceName(owner.into())),
        })))
    }
}

impl TryFrom<TombstoneRow> for (Key, Revision) {
    type Error = StoreError;

    fn try_from(row: TombstoneRow) -> Result<Self, StoreError> {
        Ok((key(&row.key)?, revision(row.revision)?))
    }
}

impl TryFrom<SessionRow> for SessionChange {
    type Error = StoreError;

    fn try_from(row: SessionRow) -> Result<Self, StoreError> {
        let id = SessionId(row.session);
        if !row.live {
            return Ok(Self::Ended(id));
        }
        let behavior = match row.behavior.as_str() {
            "release" => SessionBehavior::Release,
            "delete" => SessionBehavior::Delete,
            other => return Err(damaged(format!("session `{id}` has behavior `{other}`"))),
        };
        Ok(Self::Opened(Arc::new(Session {
            id,
            name: row.name,
            behavior,
            ttl: row.ttl_nanos.map(duration).transpose()?,
            lock_delay: duration(row.lock_delay_nanos)?,
            opened_by: row.opened_by,
            create_revision: revision(row.create_revision)?,
        })))
    }
}

impl TryFrom<HoldRow> for HoldChange {
    type Error = StoreError;

    fn try_from(row: HoldRow) -> Result<Self, StoreError> {
        let key = key(&row.key)?;
        if !row.held {
            return Ok(Self::Ended(key));
        }
        let value = |value: Vec<u8>, flags: i64| GitValue {
            value: Bytes::from(value),
            flags: flags.cast_unsigned(),
        };
        Ok(Self::Put(Arc::new(Hold {
            key,
            source: SourceName(row.source.into()),
            git: row.git_value.map(|git| value(git, row.git_flags)),
            against: value(row.against_value, row.against_flags),
            author: row.author,
            reason: row.reason,
            since: Timestamp(row.since_micros),
            expires: Timestamp(row.expires_micros),
            revision: revision(row.revision)?,
        })))
    }
}

/// The rules of `grant` as they are stored.
pub(crate) fn stored_rules(grant: &Grant) -> Json<Vec<StoredRule>> {
    let stored = |rule: &Rule| StoredRule {
        prefix: rule.scope.prefix().map(ToString::to_string),
        key: rule.scope.key().map(ToString::to_string),
        rights: rule.right.name().to_owned(),
    };
    Json(grant.rules().iter().map(stored).collect())
}

impl TryFrom<StoredRule> for Rule {
    type Error = StoreError;

    fn try_from(stored: StoredRule) -> Result<Self, StoreError> {
        let right = Right::ALL
            .into_iter()
            .find(|right| right.name() == stored.rights)
            .ok_or_else(|| damaged(format!("a token has the right `{}`", stored.rights)))?;
        let text = stored.prefix.or(stored.key).unwrap_or_default();
        let scope = Scope::new(&text).map_err(|error| damaged(error.to_string()))?;
        Ok(Self { right, scope })
    }
}

impl TryFrom<TokenRow> for Token {
    type Error = StoreError;

    fn try_from(row: TokenRow) -> Result<Self, StoreError> {
        let rules: Vec<Rule> = (row.rules.0.into_iter())
            .map(TryInto::try_into)
            .collect::<Result<_, _>>()?;
        let replaced = match (row.replaced_hash, row.replaced_until_micros) {
            (Some(hash), Some(until)) => Some((token_hash(&hash)?, Timestamp(until))),
            _ => None,
        };
        Ok(Self {
            name: TokenName::new(&row.name).map_err(|error| damaged(error.to_string()))?,
            grant: Grant::new(rules),
            hash: token_hash(&row.hash)?,
            replaced,
            created: Timestamp(row.created_micros),
            created_by: row.created_by,
            expires: row.expires_micros.map(Timestamp),
        })
    }
}

fn token_hash(stored: &[u8]) -> Result<TokenHash, StoreError> {
    let hash = stored.try_into();
    hash.map(TokenHash)
        .map_err(|_| damaged(format!("a token's hash has {} bytes", stored.len())))
}

impl TryFrom<LockDelayRow> for (Key, Timestamp) {
    type Error = StoreError;

    fn try_from(row: LockDelayRow) -> Result<Self, StoreError> {
        Ok((key(&row.key)?, Timestamp(row.until_micros)))
    }
}

impl TryFrom<SourceRow> for SourceMarker {
    type Error = StoreError;

    fn try_from(row: SourceRow) -> Result<Self, StoreError> {
        Ok(Self {
            name: SourceName(row.name.into()),
            commit: CommitId(row.git_commit.into()),
            profiles: row.profiles.0,
            stamp: stamp(row.epoch, row.revision, row.tag)?,
            at: Timestamp(row.at_micros),
        })
    }
}

impl TryFrom<RequestRow> for (RequestId, Outcome) {
    type Error = StoreError;

    fn try_from(row: RequestRow) -> Result<Self, StoreError> {
        let stamp = stamp(row.epoch, row.revision, row.tag)?;
        let outcome = if row.committed {
            Outcome::Committed(stamp)
        } else {
            Outcome::Unchanged(stamp)
        };
        Ok((RequestId(row.id), outcome))
    }
}

impl TryFrom<TransactionRow> for Commit {
    type Error = StoreError;

    fn try_from(row: TransactionRow) -> Result<Self, StoreError> {
        let git = match (row.repository, row.branch, row.git_commit) {
            (Some(repository), Some(branch), Some(commit)) => Some(GitOrigin {
                repository,
                branch,
                commit: CommitId(commit.into()),
            }),
            _ => None,
        };
        let source = match (row.source_name, row.source_commit) {
            (Some(name), Some(commit)) => Some(SourceUpdate {
                name: SourceName(name.into()),
                expected: row.source_expected.map(|id| CommitId(id.into())),
                commit: CommitId(commit.into()),
                profiles: row.source_profiles.unwrap_or_default().0,
            }),
            _ => None,
        };
        let stages = (row.stages.0.into_iter())
            .map(|stored| {
                let stage = Stage::from_name(&stored.stage).ok_or_else(|| {
                    damaged(format!(
                        "revision {} has a stage `{}`",
                        row.revision, stored.stage
                    ))
                })?;
                let took = Duration::from_nanos(stored.nanos);
                Ok(StageTime { stage, took })
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(Self {
            stamp: stamp(row.epoch, row.revision, row.tag)?,
            at: Timestamp(row.at_micros),
            request_id: row.request_id.map(RequestId),
            source,
            origin: Origin {
                author: row.author,
                message: row.message,
                via: row.via,
                git,
                stages,
            },
            changes: Vec::new(),
            sessions: Vec::new(),
            holds: Vec::new(),
        })
    }
}

/// Puts the commits of these rows together, oldest first.
pub(crate) fn commits(
    transactions: Vec<TransactionRow>,
    changes: Vec<ChangeRow>,
    sessions: Vec<SessionRow>,
    holds: Vec<HoldRow>,
) -> Result<Vec<Arc<Commit>>, StoreError> {
    let mut commits = BTreeMap::new();
    for row in transactions {
        commits.insert(row.revision, Commit::try_from(row)?);
    }
    for row in changes {
        let commit = (commits.get_mut(&row.revision)).ok_or_else(|| orphan(row.revision))?;
        commit.changes.push(row.try_into()?);
    }
    for row in sessions {
        let commit = (commits.get_mut(&row.revision)).ok_or_else(|| orphan(row.revision))?;
        commit.sessions.push(row.try_into()?);
    }
    for row in holds {
        let commit = (commits.get_mut(&row.revision)).ok_or_else(|| orphan(row.revision))?;
        commit.holds.push(row.try_into()?);
    }
    Ok(commits.into_values().map(Arc::new).collect())
}

pub(crate) fn revision(stored: i64) -> Result<Revision, StoreError> {
    u64::try_from(stored)
        .map(Revision)
        .map_err(|_| damaged(format!("{stored} is no revision")))
}

pub(crate) fn stamp(epoch: i64, at: i64, tag: i64) -> Result<Stamp, StoreError> {
    Ok(Stamp {
        epoch: u64::try_from(epoch)
            .map(Epoch)
            .map_err(|_| damaged(format!("{epoch} is no epoch")))?,
        revision: revision(at)?,
        tag: Tag(tag.cast_unsigned()),
    })
}

fn key(stored: &str) -> Result<Key, StoreError> {
    Key::new(stored).map_err(|error| damaged(error.to_string()))
}

fn duration(nanos: i64) -> Result<Duration, StoreError> {
    u64::try_from(nanos)
        .map(Duration::from_nanos)
        .map_err(|_| damaged(format!("{nanos} ns is no duration")))
}

fn orphan(revision: i64) -> StoreError {
    damaged(format!(
        "revision {revision} has changes without a transaction"
    ))
}

fn damaged(what: String) -> StoreError {
    StoreError::Damaged(what)
}
