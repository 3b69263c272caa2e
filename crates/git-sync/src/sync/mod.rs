//! From a source's branch to its keys: fetch, read, check, apply.

mod folder;
mod judge;
mod notice;
mod outcome;
mod publish;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use chameleon_client::{Api, ApiError, CommitEffects, CommitOutcome, SyncReport};
use chameleon_model::check::{Verdict, check_folder};
use chameleon_model::document::Fault;
use chameleon_model::{CommitId, Timestamp};
use tokio::time::Instant;

use crate::git::{CommitObject, Git, GitError, Mirror, Objects, Relation};
use crate::metrics::SourceMetrics;
use crate::settings::Source;
use folder::{Files, read_folder};
use judge::{Doubt, Judgement, judge};
use publish::{StageTimes, transaction};

pub(crate) use notice::{Doorbell, Notice};
pub(crate) use outcome::{Applied, Outcome, Rejected, SyncError, held_line, short};

/// How often a commit is tried when somebody else moves the source at the same time.
const ATTEMPTS: usize = 5;

/// Applies one source. Each [`turn`](Self::turn) rereads both ends and is safe to repeat.
pub(crate) struct Syncer {
    source: Source,
    mirror: Mirror,
    api: Api,
    metrics: SourceMetrics,
    prepared: bool,
    settled: Option<Settled>,
    doubt: Option<Doubt>,
}

/// A commit with which this process is done.
struct Settled {
    commit: CommitId,
    /// Its faults and warnings, if it was rejected.
    rejected: Option<(Vec<String>, Vec<String>)>,
}

/// What the server knows of the source.
struct Marker {
    commit: Option<CommitId>,
    stamp: Option<chameleon_model::Stamp>,
    /// The commit that the newest report is about.
    reported: Option<CommitId>,
    held: usize,
}

/// A commit whose files were found good.
struct Checked {
    commit: CommitObject,
    files: BTreeMap<String, Bytes>,
    warnings: Vec<String>,
    times: StageTimes,
}

impl Syncer {
    pub(crate) fn new(
        source: Source,
        git: Arc<Git>,
        work_dir: &std::path::Path,
        api: Api,
        metrics: SourceMetrics,
    ) -> Self {
        let dir = work_dir.join(format!("{}.git", source.name));
        let mirror = Mirror::new(git, dir, source.address.clone(), &source.branch);
        Self {
            source,
            mirror,
            api,
            metrics,
            prepared: false,
            settled: None,
            doubt: None,
        }
    }

    /// The source that is applied.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Looks at the branch and applies what is new, whole or not at all.
    ///
    /// Cancelling it kills git; a transaction that was under way may or may not have been applied,
    /// which the next turn finds out.
    pub(crate) async fn turn(&mut self, notice: Option<Notice>) -> Result<Outcome, SyncError> {
        match self.attempt(notice).await {
            Err(SyncError::Git(error @ GitError::Damaged { .. })) => {
                let source = &self.source.name;
                tracing::warn!(source = %source, "{error}");
                self.mirror.discard()?;
                self.prepared = false;
                self.attempt(notice).await
            }
            result => result,
        }
    }

    async fn attempt(&mut self, notice: Option<Notice>) -> Result<Outcome, SyncError> {
        let started = Instant::now();
        if !self.prepared {
            self.mirror.prepare().await?;
            self.prepared = true;
        }
        // Its process starts while the network is waited for.
        let mut objects = self.mirror.objects()?;
        let (fetched, marker) = tokio::join!(self.mirror.fetch(), self.marker());
        fetched?;
        let commit = self.mirror.head(&mut objects).await?;
        if let Some(outcome) = self.known(&commit, &marker).await {
            return Ok(outcome);
        }
        let marker = marker?;
        let relation = self.relation(&mut objects, &commit, &marker).await?;
        if let Some(waiting) = self.doubtful(relation, &commit, &marker) {
            return Ok(waiting);
        }
        let files = read_folder(&self.mirror, &mut objects, &self.source, &commit.id).await?;
        let read = Instant::now();
        let (verdict, files) = self.check(files).await;
        let times = StageTimes {
            notified: notice.and_then(|notice| notice.notified),
            fetched: read - notice.map_or(started, |notice| notice.arrived),
            checked: read.elapsed(),
        };
        self.metrics.checked(times.fetched, times.checked);
        let warnings = self.lines(&verdict.warnings);
        if !verdict.is_good() {
            let faults = self.lines(&verdict.faults);
            return Ok(self.reject(commit.id, faults, warnings).await);
        }
        let checked = Checked {
            commit,
            files,
            warnings,
            times,
        };
        self.publish(&mut objects, checked, marker, relation).await
    }

    /// The outcome of a commit that this process is done with, unless the server says otherwise.
    async fn known(
        &self,
        head: &CommitObject,
        marker: &Result<Marker, ApiError>,
    ) -> Option<Outcome> {
        let settled = self.settled.as_ref()?;
        if settled.commit != head.id {
            return None;
        }
        let reported = match marker {
            Ok(marker) => marker.reported.as_ref() == Some(&head.id),
            Err(_) => true,
        };
        if let Some((faults, warnings)) = settled.rejected.clone() {
            if !reported {
                self.report(&head.id, &faults).await;
            }
            return Some(Outcome::Rejected(Rejected {
                commit: head.id.clone(),
                faults,
                warnings,
                again: true,
            }));
        }
        let marker = marker.as_ref().ok()?;
        if marker.commit.as_ref() != Some(&head.id) {
            return None;
        }
        if !reported {
            self.report(&head.id, &[]).await;
        }
        Some(Outcome::Unchanged {
            commit: head.id.clone(),
            stamp: marker.stamp,
            held: Vec::new(),
        })
    }

    /// Says to wait if the head may be a stale mirror's.
    fn doubtful(
        &mut self,
        relation: Relation,
        head: &CommitObject,
        marker: &Marker,
    ) -> Option<Outcome> {
        match (
            judge(&head.id, relation, &mut self.doubt, Instant::now()),
            &marker.commit,
        ) {
            (Judgement::Wait { until }, Some(applied)) => Some(Outcome::Waiting {
                commit: head.id.clone(),
                applied: applied.clone(),
                until,
            }),
            _ => None,
        }
    }

    /// How the head stands to the applied commit.
    async fn relation(
        &self,
        objects: &mut Objects,
        head: &CommitObject,
        marker: &Marker,
    ) -> Result<Relation, SyncError> {
        Ok(match &marker.commit {
            Some(applied) => self.mirror.relation(objects, head, applied).await?,
            None => Relation::Ahead,
        })
    }

    async fn check(&self, files: Files) -> (Verdict, BTreeMap<String, Bytes>) {
        let (profiles, only) = (self.source.profiles.clone(), self.source.only.clone());
        let Files { good, mut faults } = files;
        // A large folder must not hold up the webhooks of others.
        let checking = tokio::task::spawn_blocking(move || {
            let verdict = check_folder(&good, &profiles, only.as_deref());
            (verdict, good)
        });
        let (mut verdict, files) = checking.await.expect("checking a folder does not panic");
        verdict.faults.append(&mut faults);
        verdict.faults.sort();
        (verdict, files)
    }

    async fn publish(
        &mut self,
        objects: &mut Objects,
        checked: Checked,
        mut marker: Marker,
        mut relation: Relation,
    ) -> Result<Outcome, SyncError> {
        let Checked {
            commit,
            files,
            warnings,
            times,
        } = checked;
        for _ in 0..ATTEMPTS {
            let expected = marker.commit.clone();
            let transaction = transaction(&self.source, &commit, &files, times, expected, relation);
            let transaction = match transaction {
                Ok(transaction) => transaction,
                Err((file, error)) => {
                    let fault = Fault::of_file(file, error.to_string());
                    let faults = self.lines(&[fault]);
                    return Ok(self.reject(commit.id, faults, warnings).await);
                }
            };
            let count = transaction.operations.len();
            let asked = Instant::now();
            let answer = self.api.commit_with_effects(transaction).await;
            self.metrics.stored(asked.elapsed());
            let (answer, held, released) = match answer {
                Ok(CommitEffects {
                    outcome,
                    skipped,
                    released,
                    ..
                }) => (Ok(outcome), skipped, released),
                Err(error) => (Err(error), Vec::new(), Vec::new()),
            };
            match answer {
                Ok(CommitOutcome::Committed(stamp)) => {
                    self.metrics.held(held.len());
                    self.settle(&commit);
                    self.report(&commit.id, &[]).await;
                    return Ok(Outcome::Applied(Applied {
                        commit,
                        stamp,
                        files: count,
                        warnings,
                        held,
                        released,
                    }));
                }
                Ok(CommitOutcome::Unchanged(stamp)) => {
                    self.metrics.held(held.len());
                    self.settle(&commit);
                    self.report(&commit.id, &[]).await;
                    return Ok(Outcome::Unchanged {
                        commit: commit.id,
                        stamp: Some(stamp),
                        held,
                    });
                }
                Ok(CommitOutcome::Refused { conflict: true, .. }) => {
                    marker = self.marker().await?;
                    relation = self.relation(objects, &commit, &marker).await?;
                    if let Some(waiting) = self.doubtful(relation, &commit, &marker) {
                        return Ok(waiting);
                    }
                }
                Ok(CommitOutcome::Refused { reasons, .. }) => {
                    return Ok(self.reject(commit.id, reasons, warnings).await);
                }
                Err(ApiError::Invalid(reason)) => {
                    return Ok(self.reject(commit.id, vec![reason], warnings).await);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(SyncError::Contended {
            name: self.source.name.to_string(),
        })
    }

    async fn reject(
        &mut self,
        commit: CommitId,
        faults: Vec<String>,
        warnings: Vec<String>,
    ) -> Outcome {
        self.settled = Some(Settled {
            commit: commit.clone(),
            rejected: Some((faults.clone(), warnings.clone())),
        });
        self.report(&commit, &faults).await;
        Outcome::Rejected(Rejected {
            commit,
            faults,
            warnings,
            again: false,
        })
    }

    fn settle(&mut self, commit: &CommitObject) {
        self.doubt = None;
        self.metrics.applied(commit.committed_at);
        self.settled = Some(Settled {
            commit: commit.id.clone(),
            rejected: None,
        });
    }

    async fn marker(&self) -> Result<Marker, ApiError> {
        let sources = self.api.sources().await?;
        let source = sources
            .into_iter()
            .find(|source| source.name == self.source.name);
        let marker = match source {
            Some(source) => Marker {
                commit: source.commit,
                stamp: source.stamp,
                reported: source.report.map(|report| report.commit),
                held: source.held.len(),
            },
            None => Marker {
                commit: None,
                stamp: None,
                reported: None,
                held: 0,
            },
        };
        // Also where there is nothing to apply: people hold and release at any time.
        self.metrics.held(marker.held);
        Ok(marker)
    }

    /// Tells the server, for people to read; it hears it again at the next turn if this fails.
    async fn report(&self, commit: &CommitId, faults: &[String]) {
        let report = SyncReport {
            source: self.source.name.clone(),
            commit: commit.clone(),
            accepted: faults.is_empty(),
            faults: faults.to_vec(),
            at: Timestamp::from(SystemTime::now()),
        };
        if let Err(error) = self.api.report_sync(report).await {
            let source = &self.source.name;
            tracing::debug!(source = %source, "failed to report source `{source}`: {error}");
        }
    }

    /// Faults as lines, with the files' paths in the repository.
    fn lines(&self, faults: &[Fault]) -> Vec<String> {
        faults
            .iter()
            .map(|fault| {
                let mut fault = fault.clone();
                fault.file = match fault.file.as_str() {
                    "." if self.source.folder.is_empty() => ".".to_owned(),
                    "." => self.source.folder.clone(),
                    file => self.source.path(file),
                };
                fault.to_string()
            })
            .collect()
    }
}
