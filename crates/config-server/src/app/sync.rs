//! What git-sync last said of each source, for people to read.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chameleon_model::{SourceName, Timestamp};

use super::error::Error;

/// How many sources may report.
const SOURCES: usize = 1_000;

/// How many faults of one commit are kept.
const FAULTS: usize = 100;

/// What became of a source's newest commit.
#[derive(Clone, Debug)]
pub(crate) struct SyncReport {
    pub(crate) commit: String,
    pub(crate) accepted: bool,
    pub(crate) faults: Vec<String>,
    pub(crate) at: Timestamp,
    /// The token that it was reported with.
    pub(crate) by: String,
}

/// The newest report of each source; lost with the process, and sent again with the next commit.
#[derive(Default)]
pub(crate) struct SyncReports {
    newest: Mutex<BTreeMap<SourceName, SyncReport>>,
}

impl SyncReports {
    pub(crate) fn report(&self, source: SourceName, mut report: SyncReport) -> Result<(), Error> {
        let mut newest = self.lock();
        if newest.len() >= SOURCES && !newest.contains_key(&source) {
            return Err(Error::Invalid(format!(
                "report.source: {SOURCES} sources have reported already, which is the limit"
            )));
        }
        report.faults.truncate(FAULTS);
        newest.insert(source, report);
        Ok(())
    }

    pub(crate) fn newest(&self) -> BTreeMap<SourceName, SyncReport> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SourceName, SyncReport>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
