//! What git-sync last said of each source, for people to read: to this server from memory, to others
//! on the same database from its board.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use chameleon_model::{SourceName, Timestamp};
use chameleon_store::{BOARD_SOURCES, Board, PostedSync, StoreError};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::error::Error;
use super::fleet::Kept;

/// How many sources may report.
const SOURCES: usize = BOARD_SOURCES as usize;

/// How many faults of one commit are kept.
const FAULTS: usize = 100;

/// How much of a fault is kept, in characters.
const FAULT_CHARS: usize = 2_000;

/// The longest name of a commit that is taken, in bytes; an id has 64 at most.
const COMMIT_BYTES: usize = 256;

/// How many reports are told of at once.
const AT_ONCE: usize = 100;

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

/// The newest report of each source; lost with the servers, and sent again with the next commit.
#[derive(Default)]
pub(crate) struct SyncReports {
    own: Mutex<Own>,
    /// There is something to tell the other servers.
    news: Arc<Notify>,
    board: OnceLock<Arc<dyn Board>>,
    elsewhere: Kept<BTreeMap<SourceName, Taken>>,
}

/// What was said to this server.
#[derive(Default)]
struct Own {
    newest: BTreeMap<SourceName, Taken>,
    /// Of which the other servers have yet to be told.
    untold: BTreeSet<SourceName>,
}

#[derive(Clone)]
struct Taken {
    report: SyncReport,
    /// When the server took it that it was sent to; `None` if that is longer ago than this machine runs.
    at: Option<Instant>,
}

impl SyncReports {
    /// Reports of which `news` is woken, to tell the other servers.
    pub(super) fn new(news: Arc<Notify>) -> Self {
        Self {
            news,
            ..Self::default()
        }
    }

    /// Takes a report; of very many or very long faults only the beginning.
    ///
    /// # Errors
    /// The commit's name is no commit's, or too many sources have reported.
    pub(crate) fn report(&self, source: SourceName, mut report: SyncReport) -> Result<(), Error> {
        if report.commit.len() > COMMIT_BYTES {
            return Err(Error::Invalid(format!(
                "report.commit: is longer than {COMMIT_BYTES} bytes"
            )));
        }
        let mut own = self.lock();
        if own.newest.len() >= SOURCES && !own.newest.contains_key(&source) {
            return Err(Error::Invalid(format!(
                "report.source: {SOURCES} sources have reported already, which is the limit"
            )));
        }
        report.faults.truncate(FAULTS);
        for fault in &mut report.faults {
            if let Some((end, _)) = fault.char_indices().nth(FAULT_CHARS) {
                fault.truncate(end);
                fault.shrink_to_fit();
            }
        }
        own.untold.insert(source.clone());
        let at = Some(Instant::now());
        own.newest.insert(source, Taken { report, at });
        drop(own);
        self.news.notify_one();
        Ok(())
    }

    /// The newest of each source, whichever server it was sent to.
    pub(crate) async fn newest(&self) -> BTreeMap<SourceName, SyncReport> {
        let mut newest = match self.board.get() {
            Some(board) => self.elsewhere.get(read(&**board)).await,
            None => Arc::default(),
        };
        let newest = Arc::make_mut(&mut newest);
        for (source, own) in &self.lock().newest {
            let is_newer = |other: &Taken| own.at >= other.at;
            if newest.get(source).is_none_or(is_newer) {
                newest.insert(source.clone(), own.clone());
            }
        }
        let newest = std::mem::take(newest).into_iter();
        newest
            .map(|(source, taken)| (source, taken.report))
            .collect()
    }

    /// From now on there is a board.
    pub(super) fn found(&self, board: Arc<dyn Board>) {
        // A second one would be the same.
        let _ = self.board.set(board);
    }

    /// Some of what the others have yet to be told, which they are from now on.
    pub(super) fn untold(&self) -> Vec<PostedSync> {
        let mut own = self.lock();
        let mut untold = Vec::new();
        while untold.len() < AT_ONCE
            && let Some(source) = own.untold.pop_first()
        {
            let Some(Taken { report, at }) = own.newest.get(&source).cloned() else {
                continue;
            };
            untold.push(PostedSync {
                source,
                commit: report.commit,
                accepted: report.accepted,
                faults: report.faults,
                at: report.at,
                by: report.by,
                age: at.map_or(Duration::MAX, |at| at.elapsed()),
            });
        }
        untold
    }

    /// Says whether the others were told of everything.
    pub(super) fn is_told(&self) -> bool {
        self.lock().untold.is_empty()
    }

    /// Has everything told again.
    pub(super) fn start_over(&self) {
        let mut own = self.lock();
        own.untold = own.newest.keys().cloned().collect();
    }

    fn lock(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(board: &dyn Board) -> Result<BTreeMap<SourceName, Taken>, StoreError> {
    let now = Instant::now();
    let told = board.sync_reports(BOARD_SOURCES).await?;
    let taken = told.into_iter().map(|told| {
        let report = SyncReport {
            commit: told.commit,
            accepted: told.accepted,
            faults: told.faults,
            at: told.at,
            by: told.by,
        };
        let at = now.checked_sub(told.age);
        (told.source, Taken { report, at })
    });
    Ok(taken.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_kept_of_a_report_is_bounded() {
        let reports = SyncReports::new(Arc::default());
        let report = |commit: usize, faults| SyncReport {
            commit: "c".repeat(commit),
            accepted: false,
            faults,
            at: Timestamp(1),
            by: String::new(),
        };
        let long = "ü".repeat(FAULT_CHARS + 1);
        let faults = vec![long, "short".to_owned()];
        let error = reports.report("main".into(), report(COMMIT_BYTES + 1, faults.clone()));
        assert_eq!(
            error.unwrap_err().to_string(),
            "report.commit: is longer than 256 bytes"
        );
        (reports.report("main".into(), report(COMMIT_BYTES, faults))).unwrap();
        let kept = reports.newest().await;
        let kept = &kept[&SourceName::from("main")].faults;
        assert_eq!(kept[0], "ü".repeat(FAULT_CHARS));
        assert_eq!(kept[1], "short");
    }
}
