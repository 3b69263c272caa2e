//! A checked commit as the one transaction that makes it live.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use chameleon_model::document::Profile;
use chameleon_model::{
    CommitId, GitOrigin, KeyError, Operation, Origin, SourceUpdate, Stage, StageTime, Transaction,
};

use crate::git::{CommitObject, Relation};
use crate::settings::Source;

/// How long the stages before storing took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StageTimes {
    /// From the ref update to the webhook; `None` where it is not known.
    pub(crate) notified: Option<Duration>,
    /// From the webhook, or else the poll's start, until the files were read.
    pub(crate) fetched: Duration,
    /// Until they were found good.
    pub(crate) checked: Duration,
}

impl StageTimes {
    fn list(self) -> Vec<StageTime> {
        let times = [
            (Stage::Notified, self.notified),
            (Stage::Fetched, Some(self.fetched)),
            (Stage::Checked, Some(self.checked)),
        ];
        times
            .into_iter()
            .filter_map(|(stage, took)| took.map(|took| StageTime { stage, took }))
            .collect()
    }
}

/// The transaction that replaces the source's keys by the kept `files` of `commit`.
///
/// # Errors
/// With a file whose name makes no key.
pub(crate) fn transaction(
    source: &Source,
    commit: &CommitObject,
    files: &BTreeMap<String, Bytes>,
    times: StageTimes,
    expected: Option<CommitId>,
    relation: Relation,
) -> Result<Transaction, (String, KeyError)> {
    let operations = files
        .iter()
        .filter(|(name, _)| source.keeps(name))
        .map(|(name, value)| match source.key(name) {
            Ok(key) => Ok(Operation::Put {
                key,
                value: value.clone(),
                flags: 0,
            }),
            Err(error) => Err((name.clone(), error)),
        })
        .collect::<Result<_, _>>()?;
    // The server judges what it is sent: it has nothing of the profiles that the filter leaves out.
    let kept = |profile: &&Profile| {
        source
            .only
            .as_ref()
            .is_none_or(|only| only.contains(*profile))
    };
    let profiles = (source.profiles.iter().filter(kept))
        .map(ToString::to_string)
        .collect();
    Ok(Transaction {
        // A stale mirror, or somebody who rewinds the branch, must not undo the cure of an incident.
        keeps_holds: relation != Relation::Ahead,
        operations,
        source: Some(SourceUpdate {
            name: source.name.clone(),
            expected,
            commit: commit.id.clone(),
            profiles,
        }),
        origin: Origin {
            author: commit.author.clone(),
            message: commit.message.clone(),
            via: String::new(),
            git: Some(GitOrigin {
                repository: source.address.shown().to_owned(),
                branch: source.branch.clone(),
                commit: commit.id.clone(),
            }),
            stages: times.list(),
        },
        ..Transaction::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{SourceSettings, Sources};

    #[test]
    fn only_a_commit_that_follows_ends_holds() {
        let sources = Sources::new([SourceSettings {
            name: "shop".to_owned(),
            repository: "/srv/git/shop.git".to_owned(),
            ..SourceSettings::default()
        }]);
        let source = sources.unwrap().iter().next().unwrap().clone();
        let commit = CommitObject {
            id: "c1".into(),
            parents: Vec::new(),
            author: "Ada".to_owned(),
            message: "Change".to_owned(),
            committed_at: 0,
        };
        for (relation, keeps) in [
            (Relation::Ahead, false),
            (Relation::Behind, true),
            (Relation::Unknown, true),
        ] {
            let files = BTreeMap::new();
            let times = StageTimes::default();
            let made = transaction(&source, &commit, &files, times, None, relation).unwrap();
            assert_eq!(made.keeps_holds, keeps, "{relation:?}");
        }
    }
}
