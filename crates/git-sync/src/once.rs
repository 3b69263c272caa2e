//! One sync of every source, for a cron job or a CI system.

use chameleon_model::CommitId;
use serde::Serialize;
use service_kit::metrics::Registry;

use crate::metrics::Metrics;
use crate::service::syncers;
use crate::settings::Settings;
use crate::sync::{Outcome, Syncer, held_line, short};
use crate::worker::one_line;

/// What became of all sources; prints as lines for people and serializes for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Report(Vec<SourceReport>);

/// What became of one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceReport {
    /// The source's name.
    pub source: String,
    /// What became of it.
    #[serde(flatten)]
    pub result: SourceResult,
    /// What is wrong in profiles that are not applied.
    pub warnings: Vec<String>,
    /// Keys that are held, which the commit does not reach, with who holds them and why.
    pub held: Vec<String>,
}

/// How the sync of one source ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
pub enum SourceResult {
    /// The newest commit is live now.
    Applied {
        /// Its full id.
        commit: String,
        /// The revision that it led to.
        revision: u64,
        /// How many files are applied.
        files: usize,
        /// The first line of its message.
        subject: String,
    },
    /// The newest commit was live before.
    Unchanged {
        /// Its full id.
        commit: String,
        /// The revision that it led to, or that was found.
        revision: Option<u64>,
    },
    /// The newest commit is not good; what was live stays.
    Rejected {
        /// Its full id.
        commit: String,
        /// File, line and reason of every fault.
        faults: Vec<String>,
    },
    /// The source could not be synced.
    Failed {
        /// What, where, and what to do.
        error: String,
    },
}

/// Syncs every source once.
///
/// A head that looks older than the applied commit is looked at a second time, 30 s later.
///
/// # Errors
/// One line that says what can't be used: git, the work folder, the servers' addresses. What goes
/// wrong with a source is in the report.
pub async fn sync_once(settings: &Settings) -> anyhow::Result<Report> {
    let metrics = Metrics::new(&Registry::new("git-sync", env!("CARGO_PKG_VERSION")));
    let syncers = syncers(settings, &metrics).await?;
    let reports = syncers.into_iter().map(sync_source);
    Ok(Report(futures::future::join_all(reports).await))
}

impl Report {
    /// 0 if every source is applied, 1 if a commit was rejected, 2 if a source could not be synced.
    pub fn exit_code(&self) -> u8 {
        let code = |report: &SourceReport| match report.result {
            SourceResult::Applied { .. } | SourceResult::Unchanged { .. } => 0,
            SourceResult::Rejected { .. } => 1,
            SourceResult::Failed { .. } => 2,
        };
        self.0.iter().map(code).max().unwrap_or(0)
    }

    /// The sources in the order of the settings.
    pub fn sources(&self) -> &[SourceReport] {
        &self.0
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|report| report.fmt(f))
    }
}

impl std::fmt::Display for SourceReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let source = &self.source;
        let short = |commit: &str| short(&CommitId::from(commit)).to_owned();
        match &self.result {
            SourceResult::Applied {
                commit,
                revision,
                files,
                subject,
            } => writeln!(
                f,
                "{source}: applied {} at revision {revision}, {files} files: {subject}",
                short(commit)
            )?,
            SourceResult::Unchanged { commit, revision } => {
                write!(f, "{source}: unchanged at {}", short(commit))?;
                match revision {
                    Some(revision) => writeln!(f, ", revision {revision}")?,
                    None => writeln!(f)?,
                }
            }
            SourceResult::Rejected { commit, faults } => {
                let commit = short(commit);
                writeln!(f, "{source}: rejected {commit}, what was live stays:")?;
                faults.iter().try_for_each(|fault| writeln!(f, "{fault}"))?;
            }
            SourceResult::Failed { error } => writeln!(f, "{source}: failed: {error}")?,
        }
        (self.held.iter()).try_for_each(|held| writeln!(f, "held: {held}"))?;
        let mut warnings = self.warnings.iter();
        warnings.try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}

async fn sync_source(mut syncer: Syncer) -> SourceReport {
    let source = syncer.source().name.to_string();
    let (result, warnings, held) = loop {
        match syncer.turn(None).await {
            Ok(Outcome::Waiting { commit, until, .. }) => {
                let commit = short(&commit);
                tracing::warn!(
                    source,
                    commit,
                    "commit {commit} looks older than the applied one; looking again in 30 s"
                );
                tokio::time::sleep_until(until).await;
            }
            Ok(Outcome::Applied(applied)) => {
                let result = SourceResult::Applied {
                    commit: applied.commit.id.to_string(),
                    revision: applied.stamp.revision.0,
                    files: applied.files,
                    subject: applied.commit.subject().to_owned(),
                };
                break (result, applied.warnings, applied.held);
            }
            Ok(Outcome::Unchanged {
                commit,
                stamp,
                held,
            }) => {
                let result = SourceResult::Unchanged {
                    commit: commit.to_string(),
                    revision: stamp.map(|stamp| stamp.revision.0),
                };
                break (result, Vec::new(), held);
            }
            Ok(Outcome::Rejected(rejected)) => {
                let result = SourceResult::Rejected {
                    commit: rejected.commit.to_string(),
                    faults: rejected.faults,
                };
                break (result, rejected.warnings, Vec::new());
            }
            Err(error) => {
                let error = one_line(&error);
                break (SourceResult::Failed { error }, Vec::new(), Vec::new());
            }
        }
    };
    SourceReport {
        source,
        result,
        warnings,
        held: held.iter().map(held_line).collect(),
    }
}
