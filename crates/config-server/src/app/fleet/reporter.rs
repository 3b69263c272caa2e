//! Tells the other servers on the same database of this server's instances.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chameleon_model::{Epoch, Revision, Stamp};
use chameleon_store::{
    Board, Posted, PostedDelivery, PostedInstance, PostedStored, REPORT_ROWS, Report, Store,
    StoreError, Watched,
};
use service_kit::Backoff;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Connected, Delivery, Fleet, REVISIONS, Record, Ways, lock};
use crate::app::selection::Selection;
use crate::app::sync::SyncReports;

/// How long at least between two rounds: what changes meanwhile is told once, as it is then.
const PAUSE: Duration = Duration::from_millis(250);

/// How often a lease is renewed before it would end.
const RENEWALS: u32 = 3;

/// How long the last report may take when the server ends, and to leave the board as long again.
const ENDING: Duration = Duration::from_millis(1_500);

/// About how much one report tells of what instances watch, in bytes.
const REPORT_BYTES: usize = 1024 * 1024;

/// Deliveries to instances that watch more than this, in bytes, stay in memory: it would be written
/// with each.
const WATCHED_BYTES: usize = 4 * 1024;

/// Connections that have ended and were not told of; with more, everything is told again.
const LEFT: usize = 10_000;

/// What the other servers have yet to be told.
pub(super) enum Untold {
    /// All of it: nothing was told yet, or it is not known what has arrived. Nothing is collected
    /// meanwhile, so that it takes no memory where there is nobody to tell.
    Everything,
    Some(News),
}

/// An instance is in `changed` about once, however often it changes.
#[derive(Default)]
pub(super) struct News {
    changed: Vec<Arc<Mutex<Connected>>>,
    left: Vec<u64>,
}

impl Fleet {
    /// `connected` has changed. One that waits to be told of already costs its own lock only.
    pub(super) fn changed(&self, connected: &Arc<Mutex<Connected>>) {
        if std::mem::replace(&mut lock(connected).untold, true) {
            return;
        }
        if let Untold::Some(news) = &mut *lock(&self.untold) {
            news.changed.push(Arc::clone(connected));
        }
        self.news.notify_one();
    }

    /// The connection `id` has ended.
    pub(super) fn left(&self, id: u64) {
        let untold = &mut *lock(&self.untold);
        if let Untold::Some(news) = untold {
            if news.left.len() < LEFT {
                news.left.push(id);
            } else {
                *untold = Untold::Everything;
            }
        }
        self.news.notify_one();
    }

    /// Has everything told again: it is not known what the others know.
    fn start_over(&self) {
        *lock(&self.untold) = Untold::Everything;
        for record in &mut lock(&self.ways).0 {
            record.told = 0;
            record.told_stored = false;
        }
    }
}

/// The task that reports to the board; see [`Reporter::run`].
pub(crate) struct Reporter {
    fleet: Arc<Fleet>,
    syncs: Arc<SyncReports>,
    lease: Duration,
    /// How long the board may take to answer.
    patience: Duration,
    /// The number of the next report.
    number: u64,
    /// The number of the last report that has certainly arrived.
    arrived: Option<u64>,
    /// Where everything is told again: the first report of it that some connections still wait for.
    since: Option<u64>,
    /// Whom to tell of.
    waiting: Vec<Arc<Mutex<Connected>>>,
}

impl Reporter {
    /// A reporter of `fleet` and of what git-sync has said here. `lease` is how long this server's
    /// instances count after it was heard of last.
    pub(crate) fn new(
        fleet: Arc<Fleet>,
        syncs: Arc<SyncReports>,
        lease: Duration,
        patience: Duration,
    ) -> Self {
        Self {
            fleet,
            syncs,
            lease,
            patience,
            number: 1,
            arrived: None,
            since: None,
            waiting: Vec::new(),
        }
    }

    /// Runs until `soft` is cancelled; then takes the server off the board. With a store that has none
    /// it only waits.
    ///
    /// Something is told a few times a second at most, and only if it has changed; else the lease is
    /// renewed. While the database is away nothing is, and everything afterwards.
    pub(crate) async fn run(
        mut self,
        store: Arc<dyn Store>,
        soft: CancellationToken,
    ) -> anyhow::Result<()> {
        let found = soft.run_until_cancelled(find_board(&*store)).await;
        let Some(Some(board)) = found else {
            soft.cancelled().await;
            return Ok(());
        };
        self.fleet.others.found(Arc::clone(&board));
        self.syncs.found(Arc::clone(&board));
        let late = async {
            soft.cancelled().await;
            sleep(ENDING).await;
        };
        tokio::select! {
            () = self.report(&*board, &soft) => {}
            () = late => {}
        }
        let left = timeout(ENDING, board.leave(self.fleet.replica)).await;
        if !matches!(left, Ok(Ok(()))) {
            tracing::warn!("this server's instances stay on the board until its lease ends");
        }
        Ok(())
    }

    /// Reports until `soft` is cancelled, and then what is left to tell.
    async fn report(&mut self, board: &dyn Board, soft: &CancellationToken) {
        let mut backoff = Backoff::new(PAUSE, Duration::from_secs(5));
        let mut away = false;
        let mut looked = Instant::now();
        while !soft.is_cancelled() {
            let wait = match self.round(board).await {
                Ok(()) => {
                    if std::mem::take(&mut away) {
                        tracing::info!("the other servers are told of this one's instances again");
                    }
                    if looked.elapsed() >= self.lease {
                        self.forget_lost(board).await;
                        looked = Instant::now();
                    }
                    backoff.reset();
                    PAUSE
                }
                Err(error) => {
                    self.fleet.metrics.reported(false);
                    self.start_over();
                    if !std::mem::replace(&mut away, true) {
                        tracing::warn!(
                            "failed to tell the other servers of this one's instances: {error}; until \
                             the database is back, each server knows its own only"
                        );
                    }
                    backoff.next_delay()
                }
            };
            let next = async {
                sleep(wait).await;
                // The lease is renewed also without news.
                let _ = timeout(self.lease / RENEWALS, self.news()).await;
            };
            soft.run_until_cancelled(next).await;
        }
        if !away && self.has_news() {
            // Who comes too late for it loses what the last moment brought, and no more.
            let _ = self.round(board).await;
        }
    }

    /// Returns when there is something to tell.
    async fn news(&self) {
        // What was told already may have left a notice behind.
        while !self.has_news() {
            self.fleet.news.notified().await;
        }
    }

    /// Tells all that there is to tell now, in as many reports as it takes.
    async fn round(&mut self, board: &dyn Board) -> Result<(), StoreError> {
        loop {
            let (report, is_full) = self.draft();
            let is_first = self.since == Some(report.number);
            let posted = self.within(board.post(&report)).await?;
            self.fleet.metrics.reported(true);
            // Whoever tells everything does not mind what was there.
            let fits = is_first
                || self
                    .arrived
                    .is_some_and(|last| posted == Posted::After(last));
            self.arrived = Some(report.number);
            if !fits {
                tracing::debug!(?posted, "the board was emptied; everything is told again");
                self.start_over();
                continue;
            }
            if report.complete_since.is_some() {
                self.since = None;
            }
            if !is_full {
                return Ok(());
            }
        }
    }

    fn start_over(&mut self) {
        self.since = None;
        self.waiting.clear();
        self.fleet.start_over();
        self.syncs.start_over();
    }

    /// Says whether there is anything to tell.
    fn has_news(&self) -> bool {
        let waits = match &*lock(&self.fleet.untold) {
            Untold::Everything => true,
            Untold::Some(news) => !(news.changed.is_empty() && news.left.is_empty()),
        };
        waits || !lock(&self.fleet.ways).is_told() || !self.syncs.is_told()
    }

    /// The next report, and whether it is full, so that more waits for the one after it.
    fn draft(&mut self) -> (Report, bool) {
        let number = self.number;
        self.number += 1;
        let left = self.collect(number);
        let mut instances = Vec::new();
        let mut bytes = 0;
        while instances.len() < REPORT_ROWS && bytes < REPORT_BYTES {
            let Some(next) = self.waiting.pop() else {
                break;
            };
            // One that waits twice was told of the first time.
            if let Some(instance) = lock(&next).told() {
                bytes += instance.watched.size_bytes();
                instances.push(instance);
            }
        }
        let complete_since = self.since.filter(|_| self.waiting.is_empty());
        let stored;
        let (deliveries, oldest) = {
            let mut ways = lock(&self.fleet.ways);
            stored = ways.untold_stored();
            (ways.untold(REPORT_ROWS), ways.oldest())
        };
        let syncs = self.syncs.untold();
        let is_full =
            !self.waiting.is_empty() || deliveries.len() == REPORT_ROWS || !self.syncs.is_told();
        let report = Report {
            replica: self.fleet.replica,
            name: self.fleet.name.to_string(),
            number,
            lease: self.lease,
            instances,
            left,
            complete_since,
            deliveries: deliveries.into_iter().filter_map(posted).collect(),
            stored,
            oldest,
            syncs,
        };
        (report, is_full)
    }

    /// Has everybody wait who is to be told of, and returns who has left.
    fn collect(&mut self, number: u64) -> Vec<u64> {
        let news = match &mut *lock(&self.fleet.untold) {
            Untold::Some(news) => Some(std::mem::take(news)),
            everything @ Untold::Everything => {
                *everything = Untold::Some(News::default());
                None
            }
        };
        if let Some(news) = news {
            self.waiting.extend(news.changed);
            return news.left;
        }
        self.since = Some(number);
        self.waiting = (lock(&self.fleet.connections).by_id.values())
            .cloned()
            .collect();
        for connected in &self.waiting {
            lock(connected).untold = true;
        }
        Vec::new()
    }

    async fn forget_lost(&self, board: &dyn Board) {
        let oldest = lock(&self.fleet.ways).oldest();
        match self.within(board.forget_lost(oldest)).await {
            Ok(0) => {}
            Ok(lost) => {
                tracing::info!(lost, "forgot the instances of {lost} servers that are gone");
            }
            // The next report finds out, and tells.
            Err(error) => tracing::debug!("failed to forget servers that are gone: {error}"),
        }
    }

    async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        timeout(self.patience, call).await.unwrap_or_else(|_| {
            let late = format!("no answer within {:?}", self.patience);
            Err(StoreError::Unavailable(late.into()))
        })
    }
}

/// The store's board, if it has one.
async fn find_board(store: &dyn Store) -> Option<Arc<dyn Board>> {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    loop {
        match store.board().await {
            Ok(board) => return board,
            Err(error) => tracing::debug!("failed to ask the store for its board: {error}"),
        }
        backoff.wait().await;
    }
}

impl Connected {
    /// What the others are told of it now; `None` if they know, or it has ended.
    fn told(&mut self) -> Option<PostedInstance> {
        if self.gone || !std::mem::take(&mut self.untold) {
            return None;
        }
        Some(PostedInstance {
            connection: self.id,
            identity: (*self.identity).clone(),
            watched: watched(&self.selection),
            connected: self.since.elapsed(),
            sent: self.sent,
            applied: self.applied,
            rejected: self.rejected.clone(),
        })
    }
}

impl Ways {
    /// Up to `limit` deliveries that the others were not told of, which they are from now on.
    fn untold(&mut self, limit: usize) -> Vec<(Stamp, Delivery)> {
        let mut untold = Vec::new();
        for record in &mut self.0 {
            let room = limit - untold.len();
            let deliveries = record.journey.deliveries.iter().skip(record.told);
            let before = untold.len();
            untold.extend(deliveries.take(room).map(|one| (record.stamp, one.clone())));
            record.told += untold.len() - before;
        }
        untold
    }

    /// How long it took to store what was committed here, of which the others were not told.
    fn untold_stored(&mut self) -> Vec<PostedStored> {
        let untold = |record: &mut Record| {
            let stored = record.journey.stored.filter(|_| !record.told_stored)?;
            record.told_stored = true;
            Some(PostedStored {
                epoch: record.stamp.epoch,
                revision: record.stamp.revision,
                took: stored.took,
            })
        };
        self.0.iter_mut().filter_map(untold).collect()
    }

    fn is_told(&self) -> bool {
        (self.0.iter()).all(|record| {
            record.told == record.journey.deliveries.len()
                && (record.told_stored || record.journey.stored.is_none())
        })
    }

    /// The oldest revision whose way is kept, here and by whoever has seen as many.
    fn oldest(&self) -> (Epoch, Revision) {
        self.0.back().map_or((Epoch(0), Revision(0)), |newest| {
            let revision = newest.stamp.revision.0.saturating_sub(REVISIONS as u64 - 1);
            (newest.stamp.epoch, Revision(revision))
        })
    }
}

fn posted((stamp, one): (Stamp, Delivery)) -> Option<PostedDelivery> {
    let watched = watched(&one.selection);
    (watched.size_bytes() <= WATCHED_BYTES).then(|| PostedDelivery {
        epoch: stamp.epoch,
        revision: stamp.revision,
        connection: one.connection,
        service: one.identity.service.clone(),
        profile: one.identity.profile.clone(),
        instance: one.identity.instance.clone(),
        watched,
        delivered: one.delivered,
        applied: one.applied,
        rejected: one.rejected,
    })
}

fn watched(selection: &Selection) -> Watched {
    Watched::new(selection.keys(), selection.prefixes())
}

#[cfg(test)]
mod tests;
