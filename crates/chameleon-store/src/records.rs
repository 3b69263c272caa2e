//! What a decided group writes, as the columns of both databases.

use std::collections::BTreeMap;
use std::time::Duration;

use chameleon_model::{
    Change, Commit, Decided, Epoch, HoldChange, Outcome, RequestId, Revision, Session,
    SessionBehavior, SessionChange, SourceUpdate, Stamp,
};
use sqlx::types::Json;
use uuid::Uuid;

use crate::rows::StoredStage;

/// Everything that one transaction of the database writes.
pub(crate) struct Batch<'a> {
    /// The head that it was decided on.
    pub(crate) from: StampRecord,
    /// The head that it leads to; the same one if there is no commit.
    pub(crate) to: StampRecord,
    pub(crate) transactions: Vec<TransactionRecord<'a>>,
    pub(crate) changes: Vec<ChangeRecord<'a>>,
    /// The newest change of each key touched.
    pub(crate) latest: Vec<LatestRecord<'a>>,
    pub(crate) session_changes: Vec<SessionRecord<'a>>,
    /// Sessions that are live after the batch, by the revision that opened them.
    pub(crate) opened: Vec<(Uuid, i64)>,
    pub(crate) ended: Vec<Uuid>,
    /// Keys whose locks cannot be taken, until when.
    pub(crate) delayed: Vec<(&'a str, i64)>,
    pub(crate) hold_changes: Vec<HoldRecord<'a>>,
    /// Keys that are held after the batch, by the revision that put or last changed their holds.
    pub(crate) held: Vec<(&'a str, i64)>,
    pub(crate) released: Vec<&'a str>,
    pub(crate) sources: Vec<SourceRecord<'a>>,
    pub(crate) requests: Vec<RequestRecord>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct StampRecord {
    pub(crate) epoch: i64,
    pub(crate) revision: i64,
    pub(crate) tag: i64,
}

pub(crate) struct TransactionRecord<'a> {
    pub(crate) revision: i64,
    pub(crate) epoch: i64,
    pub(crate) tag: i64,
    pub(crate) request_id: Option<Uuid>,
    pub(crate) author: &'a str,
    pub(crate) message: &'a str,
    pub(crate) via: &'a str,
    pub(crate) repository: Option<&'a str>,
    pub(crate) branch: Option<&'a str>,
    pub(crate) git_commit: Option<&'a str>,
    pub(crate) source_name: Option<&'a str>,
    pub(crate) source_expected: Option<&'a str>,
    pub(crate) source_commit: Option<&'a str>,
    pub(crate) source_profiles: Option<Json<&'a [String]>>,
    pub(crate) stages: Json<Vec<StoredStage>>,
}

#[derive(Clone, Copy)]
pub(crate) struct ChangeRecord<'a> {
    pub(crate) key: &'a str,
    pub(crate) revision: i64,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) flags: i64,
    pub(crate) create_revision: i64,
    pub(crate) lock_index: i64,
    pub(crate) session: Option<Uuid>,
    pub(crate) owner: Option<&'a str>,
}

pub(crate) struct LatestRecord<'a> {
    pub(crate) key: &'a str,
    pub(crate) revision: i64,
    pub(crate) deleted: bool,
}

pub(crate) struct SessionRecord<'a> {
    pub(crate) session: Uuid,
    pub(crate) revision: i64,
    pub(crate) live: bool,
    pub(crate) name: &'a str,
    pub(crate) behavior: &'static str,
    pub(crate) ttl_nanos: Option<i64>,
    pub(crate) lock_delay_nanos: i64,
    pub(crate) create_revision: i64,
    pub(crate) opened_by: &'a str,
}

pub(crate) struct HoldRecord<'a> {
    pub(crate) key: &'a str,
    pub(crate) revision: i64,
    pub(crate) held: bool,
    pub(crate) source: &'a str,
    pub(crate) git_value: Option<&'a [u8]>,
    pub(crate) git_flags: i64,
    pub(crate) against_value: &'a [u8],
    pub(crate) against_flags: i64,
    pub(crate) author: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) since_micros: i64,
    pub(crate) expires_micros: i64,
}

pub(crate) struct SourceRecord<'a> {
    pub(crate) name: &'a str,
    pub(crate) git_commit: &'a str,
    pub(crate) profiles: Json<&'a [String]>,
    pub(crate) epoch: i64,
    pub(crate) revision: i64,
    pub(crate) tag: i64,
}

pub(crate) struct RequestRecord {
    pub(crate) id: Uuid,
    pub(crate) committed: bool,
    pub(crate) epoch: i64,
    pub(crate) revision: i64,
    pub(crate) tag: i64,
}

impl<'a> Batch<'a> {
    /// What `decided` adds to the state at `from`.
    pub(crate) fn of(from: Stamp, decided: &'a Decided) -> Self {
        let changes: Vec<_> = (decided.commits.iter())
            .flat_map(|commit| {
                commit
                    .changes
                    .iter()
                    .map(|change| change_of(commit, change))
            })
            .collect();
        let session_changes: Vec<_> = (decided.commits.iter())
            .flat_map(|commit| {
                commit
                    .sessions
                    .iter()
                    .map(|change| session_of(commit, change))
            })
            .collect();
        let (opened, ended) = newest_sessions(&session_changes);
        let hold_changes: Vec<_> = (decided.commits.iter())
            .flat_map(|commit| commit.holds.iter().map(|change| hold_of(commit, change)))
            .collect();
        let (held, released) = newest_holds(&hold_changes);
        Self {
            from: stamp_of(from),
            to: stamp_of(decided.snapshot.stamp()),
            transactions: decided.commits.iter().map(|c| transaction_of(c)).collect(),
            latest: newest_changes(&changes),
            changes,
            session_changes,
            opened,
            ended,
            delayed: (decided.delayed.iter())
                .map(|(key, until)| (key.as_str(), until.0))
                .collect(),
            hold_changes,
            held,
            released,
            sources: newest_sources(&decided.moved),
            requests: decided.answered.iter().filter_map(request_of).collect(),
        }
    }

    /// Says whether there is a commit.
    pub(crate) fn moves_head(&self) -> bool {
        self.from != self.to
    }

    /// Says whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.transactions.is_empty() && self.sources.is_empty() && self.requests.is_empty()
    }
}

/// The signed number that stands for a revision in the database.
pub(crate) fn number(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

/// The signed number that stands for an epoch in the database.
pub(crate) fn epoch_number(epoch: Epoch) -> i64 {
    i64::try_from(epoch.0).unwrap_or(i64::MAX)
}

fn stamp_of(stamp: Stamp) -> StampRecord {
    StampRecord {
        epoch: epoch_number(stamp.epoch),
        revision: number(stamp.revision),
        tag: stamp.tag.0.cast_signed(),
    }
}

fn transaction_of(commit: &Commit) -> TransactionRecord<'_> {
    let (origin, source) = (&commit.origin, commit.source.as_ref());
    let git = origin.git.as_ref();
    let stages = (origin.stages.iter())
        .map(|time| StoredStage {
            stage: time.stage.name().to_owned(),
            nanos: u64::try_from(time.took.as_nanos()).unwrap_or(u64::MAX),
        })
        .collect();
    TransactionRecord {
        revision: number(commit.stamp.revision),
        epoch: epoch_number(commit.stamp.epoch),
        tag: commit.stamp.tag.0.cast_signed(),
        request_id: commit.request_id.map(|id| id.0),
        author: &origin.author,
        message: &origin.message,
        via: &origin.via,
        repository: git.map(|git| git.repository.as_str()),
        branch: git.map(|git| git.branch.as_str()),
        git_commit: git.map(|git| &*git.commit.0),
        source_name: source.map(|source| &*source.name.0),
        source_expected: source.and_then(|source| source.expected.as_ref().map(|id| &*id.0)),
        source_commit: source.map(|source| &*source.commit.0),
        source_profiles: source.map(|source| Json(source.profiles.as_slice())),
        stages: Json(stages),
    }
}

fn change_of<'a>(commit: &Commit, change: &'a Change) -> ChangeRecord<'a> {
    let revision = number(commit.stamp.revision);
    match change {
        Change::Put(entry) => ChangeRecord {
            key: entry.key.as_str(),
            revision,
            value: Some(&entry.value),
            flags: entry.flags.cast_signed(),
            create_revision: number(entry.create_revision),
            lock_index: entry.lock_index.cast_signed(),
            session: entry.session.map(|id| id.0),
            owner: entry.owner.as_ref().map(|owner| &*owner.0),
        },
        Change::Delete(key) => ChangeRecord {
            key: key.as_str(),
            revision,
            value: None,
            flags: 0,
            create_revision: 0,
            lock_index: 0,
            session: None,
            owner: None,
        },
    }
}

fn session_of<'a>(commit: &Commit, change: &'a SessionChange) -> SessionRecord<'a> {
    let revision = number(commit.stamp.revision);
    match change {
        SessionChange::Opened(session) => SessionRecord {
            session: session.id.0,
            revision,
            live: true,
            name: &session.name,
            behavior: behavior(session),
            ttl_nanos: session.ttl.map(nanos),
            lock_delay_nanos: nanos(session.lock_delay),
            create_revision: number(session.create_revision),
            opened_by: &session.opened_by,
        },
        SessionChange::Ended(id) => SessionRecord {
            session: id.0,
            revision,
            live: false,
            name: "",
            behavior: "release",
            ttl_nanos: None,
            lock_delay_nanos: 0,
            create_revision: 0,
            opened_by: "",
        },
    }
}

fn hold_of<'a>(commit: &Commit, change: &'a HoldChange) -> HoldRecord<'a> {
    let revision = number(commit.stamp.revision);
    match change {
        HoldChange::Put(hold) => HoldRecord {
            key: hold.key.as_str(),
            revision,
            held: true,
            source: &hold.source.0,
            git_value: hold.git.as_ref().map(|git| &*git.value),
            git_flags: hold.git.as_ref().map_or(0, |git| git.flags.cast_signed()),
            against_value: &hold.against.value,
            against_flags: hold.against.flags.cast_signed(),
            author: &hold.author,
            reason: &hold.reason,
            since_micros: hold.since.0,
            expires_micros: hold.expires.0,
        },
        HoldChange::Ended(key) => HoldRecord {
            key: key.as_str(),
            revision,
            held: false,
            source: "",
            git_value: None,
            git_flags: 0,
            against_value: &[],
            against_flags: 0,
            author: "",
            reason: "",
            since_micros: 0,
            expires_micros: 0,
        },
    }
}

/// A group may touch a key several times; the changes come in revision order, the last one counts.
fn newest_changes<'a>(changes: &[ChangeRecord<'a>]) -> Vec<LatestRecord<'a>> {
    let newest: BTreeMap<_, _> = (changes.iter())
        .map(|change| (change.key, change))
        .collect();
    (newest.into_values())
        .map(|change| LatestRecord {
            key: change.key,
            revision: change.revision,
            deleted: change.value.is_none(),
        })
        .collect()
}

fn newest_sessions(changes: &[SessionRecord<'_>]) -> (Vec<(Uuid, i64)>, Vec<Uuid>) {
    let newest: BTreeMap<_, _> = (changes.iter())
        .map(|change| (change.session, change))
        .collect();
    let opened = (newest.values())
        .filter(|change| change.live)
        .map(|change| (change.session, change.revision))
        .collect();
    let ended = (newest.values())
        .filter(|change| !change.live)
        .map(|change| change.session)
        .collect();
    (opened, ended)
}

fn newest_holds<'a>(changes: &[HoldRecord<'a>]) -> (Vec<(&'a str, i64)>, Vec<&'a str>) {
    let newest: BTreeMap<_, _> = (changes.iter())
        .map(|change| (change.key, change))
        .collect();
    let held = (newest.values())
        .filter(|change| change.held)
        .map(|change| (change.key, change.revision))
        .collect();
    let released = (newest.values())
        .filter(|change| !change.held)
        .map(|change| change.key)
        .collect();
    (held, released)
}

fn newest_sources(moved: &[(SourceUpdate, Stamp)]) -> Vec<SourceRecord<'_>> {
    let newest: BTreeMap<_, _> = (moved.iter())
        .map(|(update, stamp)| (&update.name, (update, stamp)))
        .collect();
    (newest.into_values())
        .map(|(update, stamp)| SourceRecord {
            name: &update.name.0,
            git_commit: &update.commit.0,
            profiles: Json(&update.profiles),
            epoch: epoch_number(stamp.epoch),
            revision: number(stamp.revision),
            tag: stamp.tag.0.cast_signed(),
        })
        .collect()
}

fn request_of((id, outcome): &(RequestId, Outcome)) -> Option<RequestRecord> {
    let (committed, stamp) = match outcome {
        Outcome::Committed(stamp) => (true, stamp),
        Outcome::Unchanged(stamp) => (false, stamp),
        // A refused request left no trace: its retry is judged anew.
        Outcome::Refused(_) => return None,
    };
    Some(RequestRecord {
        id: id.0,
        committed,
        epoch: epoch_number(stamp.epoch),
        revision: number(stamp.revision),
        tag: stamp.tag.0.cast_signed(),
    })
}

fn behavior(session: &Session) -> &'static str {
    match session.behavior {
        SessionBehavior::Release => "release",
        SessionBehavior::Delete => "delete",
    }
}

/// Two hundred and ninety years stand for anything longer.
fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
