//! What the server can do, whatever face it is asked through. Knows no face.

pub(crate) mod access;
pub(crate) mod audit;
pub(crate) mod check;
mod compactor;
pub(crate) mod diff;
pub(crate) mod error;
pub(crate) mod fleet;
pub(crate) mod holds;
pub(crate) mod replica;
pub(crate) mod rollback;
pub(crate) mod selection;
mod sync;
mod tokens;
pub(crate) mod watch;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chameleon_model::{
    Change, Commit, HoldChange, Key, Operation, Outcome, Precondition, Prefix, Revision, Right,
    Scope, Session, SessionId, Snapshot, SourceMarker, SourceName, Stamp, Transaction,
};
use chameleon_store::{HistoryQuery, Store, StoreError};
use service_kit::Lifecycle;
use service_kit::health::Check;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::metrics::{CommitResult, Face, Metrics};
use crate::settings::{Limits, Settings};
use access::audit::Attempt;
use access::{Access, Caller};
use check::Checker;
use compactor::Compactor;
use error::Error;
use fleet::{Fleet, Instance, Journey, Reporter};
use holds::{Effects, Watchman};
use replica::{Answered, Follower, Keeper, Replica, ReplicaLimits, Reservation};
use selection::Selection;
pub(crate) use sync::SyncReport;
use sync::SyncReports;

/// The most commits that one history request answers.
const HISTORY_LIMIT: u32 = 1_000;

/// The number of commits that a history request without a limit answers.
const HISTORY_DEFAULT: u32 = 50;

/// How many questions may read much from the database at a time.
const BULK_TURNS: usize = 2;

/// How many preconditions may be about whole prefixes: each is looked for in all that is there.
const MAX_UNCHANGED: usize = 16;

/// The longest time until a hold expires.
const MAX_HOLD: Duration = Duration::from_hours(366 * 24);

/// The use cases with what they stand on.
pub(crate) struct App {
    pub(crate) access: Arc<Access>,
    pub(crate) replica: Arc<Replica>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) metrics: Metrics,
    checker: Arc<Checker>,
    reports: Arc<SyncReports>,
    store: Arc<dyn Store>,
    pub(crate) limits: Limits,
    store_kind: &'static str,
    /// How long holds last of which nobody says it.
    hold_for: Duration,
    /// Turns for questions that read much from the database.
    bulk: Semaphore,
}

/// How the server is.
pub(crate) struct Status {
    pub(crate) head: Stamp,
    pub(crate) entries: usize,
    pub(crate) watches: usize,
    pub(crate) store_available: bool,
    pub(crate) store_age: Duration,
    pub(crate) store: &'static str,
}

impl App {
    /// Loads the state, and starts the tasks that keep it up to date, in memory and on disk.
    pub(crate) async fn start(
        settings: &Settings,
        access: Access,
        store: Arc<dyn Store>,
        health: Check,
        metrics: Metrics,
        lifecycle: &Lifecycle,
    ) -> anyhow::Result<Arc<Self>> {
        let checker = Arc::new(Checker::new(settings.profiles.clone()));
        let fleet = Arc::new(Fleet::new(&settings.replica.name, metrics.clone()));
        let reports = Arc::new(SyncReports::new(fleet.news()));
        let limits = ReplicaLimits {
            store_timeout: settings.limits.store_timeout,
            queued_bytes: settings.limits.queued_bytes,
            watches: settings.limits.watches,
        };
        let observers: [Arc<dyn replica::Observer>; 2] = [fleet.clone(), checker.clone()];
        let mut kept = match &settings.snapshot {
            Some(path) => replica::kept(path).await,
            None => None,
        };
        let saved = kept.as_ref().map(|kept| kept.contents.snapshot.stamp());
        let access = Arc::new(access);
        if let Some(kept) = &mut kept {
            access.restore(std::mem::take(&mut kept.tokens));
        }
        let observers = observers.to_vec();
        let (replica, follower) =
            Follower::start(Arc::clone(&store), kept, limits, observers, health).await?;
        let (soft, settled) = (lifecycle.soft(), CancellationToken::new());
        let guard = settled.clone().drop_guard();
        lifecycle.own("follower", async move {
            let _ended = guard;
            follower.run(soft).await
        });
        let audit = audit::Keeper {
            trail: Arc::clone(access.trail()),
            store: Arc::clone(&store),
            store_timeout: settings.limits.store_timeout,
        };
        lifecycle.own("audit", audit.run(settled.clone()));
        if let Some(path) = &settings.snapshot {
            let keeper = Keeper::new(Arc::clone(&replica), Arc::clone(&access), path, saved);
            lifecycle.own("snapshot", keeper.run(settled));
        }
        let compactor = Compactor {
            replica: Arc::clone(&replica),
            store: Arc::clone(&store),
            keep: settings.keep,
        };
        lifecycle.own("compactor", compactor.run(lifecycle.soft()));
        let reporter = Reporter::new(
            Arc::clone(&fleet),
            Arc::clone(&reports),
            settings.replica.lease,
            settings.limits.store_timeout,
        );
        lifecycle.own("fleet", reporter.run(Arc::clone(&store), lifecycle.soft()));
        let watchman = Watchman::new(Arc::clone(&replica));
        lifecycle.own(
            "holds",
            watchman.run(|| SystemTime::now().into(), lifecycle.soft()),
        );
        let (soft, hub) = (lifecycle.soft(), Arc::clone(replica.hub()));
        lifecycle.own("watches", async move {
            soft.cancelled().await;
            hub.stop();
            Ok(())
        });
        if access.is_guarded() {
            let hub = Arc::clone(replica.hub());
            // With tokens from the disk nobody has to wait for a database that hangs.
            let patience = saved.map_or(Duration::MAX, |_| replica::FIRST_LOOK);
            let read = tokio::time::timeout(patience, access.read(&*store, &hub)).await;
            match read.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer yet".into()))) {
                // It serves what is on disk, and lets in whom it knows.
                Err(StoreError::Unavailable(_)) if saved.is_some() => tracing::warn!(
                    tokens = access.tokens().len(),
                    "the database is away: until it is back, the tokens from the snapshot are known"
                ),
                read => read?,
            }
            let following = Arc::clone(&access).follow(Arc::clone(&store), hub, lifecycle.soft());
            lifecycle.own("tokens", following);
        }
        Ok(Arc::new(Self {
            access,
            replica,
            fleet,
            metrics,
            checker,
            reports,
            store,
            limits: settings.limits,
            store_kind: settings.store_kind,
            hold_for: settings.hold_for,
            bulk: Semaphore::new(BULK_TURNS),
        }))
    }

    /// The state at `revision` for whoever may read `selection` of it; the newest for none.
    pub(crate) async fn read(
        &self,
        caller: &Caller,
        selection: &Selection,
        revision: Option<Revision>,
    ) -> Result<Arc<Snapshot>, Error> {
        caller.may_read(selection)?;
        self.snapshot_at(revision).await
    }

    /// As [`read`](Self::read) the newest, sure to have all that any server acknowledged before.
    pub(crate) async fn read_confirmed(
        &self,
        caller: &Caller,
        selection: &Selection,
    ) -> Result<Arc<Snapshot>, Error> {
        caller.may_read(selection)?;
        self.replica.confirmed().await
    }

    /// The state at `revision`; the newest for none.
    async fn snapshot_at(&self, revision: Option<Revision>) -> Result<Arc<Snapshot>, Error> {
        let newest = self.replica.snapshot();
        match revision {
            None => Ok(newest),
            Some(revision) if revision == newest.stamp().revision => Ok(newest),
            Some(revision) => {
                let _turn = self.bulk_turn().await;
                Ok(Arc::new(self.store.snapshot_at(revision).await?))
            }
        }
    }

    /// Waits for its turn to read much from the database: each takes one of its connections and much
    /// memory for a while, which commits need as well.
    async fn bulk_turn(&self) -> SemaphorePermit<'_> {
        let turn = self.bulk.acquire().await;
        turn.expect("nobody closes it")
    }

    /// Fails for a transaction that would take too long to decide, whatever face it came through.
    fn bound(&self, transaction: &Transaction) -> Result<(), Error> {
        let most = self.limits.transaction_operations;
        let conditions = &transaction.preconditions;
        let under = |one: &&Precondition| matches!(one, Precondition::Unchanged { .. });
        let unders = conditions.iter().filter(under).count();
        if unders > MAX_UNCHANGED {
            return Err(Error::TooLarge(format!(
                "the transaction has {unders} preconditions on whole prefixes, {MAX_UNCHANGED} are \
                 allowed; name a shorter prefix once"
            )));
        }
        if conditions.len() > most {
            return Err(Error::TooLarge(format!(
                "the transaction has {} preconditions, {most} are allowed \
                 (`--max-transaction-operations`)",
                conditions.len()
            )));
        }
        if transaction.hold_for.is_some_and(|lasts| lasts > MAX_HOLD) {
            let reason = "a hold may last 366 days; renew it where it has to last longer";
            return Err(Error::Invalid(reason.to_owned()));
        }
        Ok(())
    }

    /// Stores a transaction of documents that are good together.
    pub(crate) async fn commit_checked(
        self: &Arc<Self>,
        face: Face,
        caller: &Caller,
        transaction: Transaction,
        reservation: Reservation,
    ) -> Result<Effects, Error> {
        let judge = Checker::merged;
        self.commit(face, caller, transaction, reservation, judge)
            .await
    }

    /// Renews a session of the caller's, and returns it; `None` if it is not live.
    pub(crate) async fn renew_session(
        &self,
        caller: &Caller,
        id: SessionId,
    ) -> Result<Option<Arc<Session>>, Error> {
        if let Some(session) = self.replica.snapshot().session(id) {
            caller.may_use(session)?;
        }
        if !self.replica.link().is_available() {
            let reason = "the database is unavailable; no session ends meanwhile, try again later";
            return Err(Error::Unavailable(reason.to_owned()));
        }
        let renewed = self.store.renew_session(id).await?;
        // One that another server has just opened is known from the store only.
        (renewed.as_deref()).map_or(Ok(()), |session| caller.may_use(session))?;
        Ok(renewed)
    }

    /// Ends a session of the caller's; nothing happens if it is not live.
    pub(crate) async fn end_session(
        self: &Arc<Self>,
        caller: &Caller,
        id: SessionId,
    ) -> Result<(), Error> {
        if self.replica.snapshot().session(id).is_none()
            && self.renew_session(caller, id).await?.is_none()
        {
            return Ok(());
        }
        let end = Transaction {
            operations: vec![Operation::EndSession(id)],
            ..Transaction::default()
        };
        let reservation = self.replica.reservation();
        self.commit_single(caller, end, reservation).await?;
        Ok(())
    }

    /// Stores a transaction of single writes, each value checked for itself only.
    pub(crate) async fn commit_single(
        self: &Arc<Self>,
        caller: &Caller,
        transaction: Transaction,
        reservation: Reservation,
    ) -> Result<Outcome, Error> {
        let judge = Checker::each;
        let effects = self.commit(Face::Consul, caller, transaction, reservation, judge);
        Ok(effects.await?.outcome)
    }

    async fn commit(
        self: &Arc<Self>,
        face: Face,
        caller: &Caller,
        mut transaction: Transaction,
        reservation: Reservation,
        judge: fn(&Checker, &Snapshot, &Transaction) -> Result<(), Error>,
    ) -> Result<Effects, Error> {
        self.bound(&transaction)?;
        caller.sign(&mut transaction);
        transaction.hold_for.get_or_insert(self.hold_for);
        let source = (transaction.source.as_ref()).map(|update| update.name.clone());
        let attempt = Attempt::new(caller, &transaction);
        let answered = match caller.may_commit(&transaction, &self.replica.snapshot()) {
            Ok(()) => self.judge_and_commit(transaction, reservation, judge).await,
            Err(forbidden) => Err(forbidden.into()),
        };
        let (outcome, holds) = match answered {
            Ok(Answered { outcome, holds }) => (Ok(outcome), holds),
            Err(error) => (Err(error), Vec::new()),
        };
        attempt.ended(&outcome);
        let outcome = self.counted(face, outcome)?;
        let answered = Answered { outcome, holds };
        let state = self.replica.snapshot();
        Ok(Effects::new(answered, source.as_ref(), &state))
    }

    async fn judge_and_commit(
        self: &Arc<Self>,
        transaction: Transaction,
        reservation: Reservation,
        judge: fn(&Checker, &Snapshot, &Transaction) -> Result<(), Error>,
    ) -> Result<Answered, Error> {
        let app = Arc::clone(self);
        let is_quick = Checker::is_quick(&transaction);
        let judged = move || {
            judge(&app.checker, &app.replica.snapshot(), &transaction)
                .map(|()| (transaction, reservation))
        };
        let (transaction, reservation) = if is_quick {
            judged()
        } else {
            // Large documents take their time, which other requests of this thread should not wait
            // for. The room that is reserved goes along: a caller who leaves does not end the check.
            (tokio::task::spawn_blocking(judged).await).unwrap_or_else(|_| {
                let reason = "the check of the documents failed";
                Err(Error::Internal(reason.to_owned()))
            })
        }?;
        self.replica.commit(transaction, reservation).await
    }

    /// Past commits, newest first, with what the servers have seen of their way.
    ///
    /// Of each commit only the keys that the caller may read are told, and of the instances those
    /// that watch nothing else.
    pub(crate) async fn history(
        &self,
        caller: &Caller,
        mut query: HistoryQuery,
    ) -> Result<Vec<(Arc<Commit>, Journey)>, Error> {
        if let Some(key) = &query.key {
            caller.may(Right::Read, key)?;
        }
        let asked = query.prefix.clone().unwrap_or(Prefix::all());
        let readable = caller.readable(asked.clone())?;
        if readable != Selection::prefix(asked) {
            query.within = Some(scopes(&readable));
        }
        query.limit = match query.limit {
            0 => HISTORY_DEFAULT,
            limit => limit.min(HISTORY_LIMIT),
        };
        let commits = self.store.history(&query).await?;
        let head = self.replica.snapshot().stamp();
        let revisions = commits.iter().map(|commit| commit.stamp.revision);
        let mut journeys = self.fleet.journeys(head, revisions).await;
        let seen = |mut commit: Arc<Commit>| {
            let hidden = |key: &Key| !caller.sees(Right::Read, key);
            let mut keys = (commit.changes.iter().map(Change::key))
                .chain(commit.holds.iter().map(HoldChange::key));
            if keys.any(hidden) {
                let commit = Arc::make_mut(&mut commit);
                commit.changes.retain(|change| !hidden(change.key()));
                commit.holds.retain(|change| !hidden(change.key()));
            }
            let journey = journeys.remove(&commit.stamp.revision);
            let mut journey = journey.unwrap_or_default();
            (journey.deliveries).retain(|delivery| caller.sees_all(&delivery.selection));
            (commit, journey)
        };
        Ok(commits.into_iter().map(seen).collect())
    }

    /// The instances of a service and profile (all where empty) at any server that watch only what the
    /// caller may read, and the state that they are seen at.
    pub(crate) async fn instances(
        &self,
        caller: &Caller,
        service: &str,
        profile: &str,
    ) -> (Stamp, Vec<Instance>) {
        let head = self.replica.snapshot();
        let is_visible = |selection: &Selection| caller.sees_all(selection);
        let instances = (self.fleet.instances(service, profile, &head, is_visible)).await;
        (head.stamp(), instances)
    }

    /// The sources with their applied commits, and those that have only reported; of those that own
    /// keys which the caller may not read, nothing.
    pub(crate) async fn sources(
        &self,
        caller: &Caller,
    ) -> Vec<(SourceName, Option<SourceMarker>, Option<SyncReport>)> {
        let state = self.replica.snapshot();
        let mut reports = self.reports.newest().await;
        // A source without keys is whose it says to be: only who has reported may know of what.
        reports.retain(|name, report| {
            caller.reaches(Right::Read, name, &state)
                && (report.by == caller.name() || caller.is_unlimited() || owns_some(&state, name))
        });
        let mut sources: Vec<_> = (self.replica.sources().values())
            .filter(|marker| caller.reaches(Right::Read, &marker.name, &state))
            .map(|marker| {
                let report = reports.remove(&marker.name);
                (marker.name.clone(), Some(marker.clone()), report)
            })
            .collect();
        sources.extend((reports.into_iter()).map(|(name, report)| (name, None, Some(report))));
        sources
    }

    /// Takes git-sync's word on a source's newest commit.
    pub(crate) fn report_sync(
        &self,
        caller: &Caller,
        source: SourceName,
        mut report: SyncReport,
    ) -> Result<(), Error> {
        caller.may_act_for(&source, &self.replica.snapshot())?;
        caller.name().clone_into(&mut report.by);
        self.reports.report(source, report)
    }

    /// How the server is.
    pub(crate) fn status(&self) -> Status {
        let snapshot = self.replica.snapshot();
        let link = self.replica.link();
        Status {
            head: snapshot.stamp(),
            entries: snapshot.len(),
            watches: self.replica.hub().count(),
            store_available: link.is_available(),
            store_age: link.age(),
            store: self.store_kind,
        }
    }

    fn counted(&self, face: Face, outcome: Result<Outcome, Error>) -> Result<Outcome, Error> {
        let result = match &outcome {
            Ok(Outcome::Committed(stamp)) => {
                tracing::debug!(%stamp, "committed revision {}", stamp.revision);
                CommitResult::Committed
            }
            Ok(Outcome::Unchanged(_)) => CommitResult::Unchanged,
            Ok(Outcome::Refused(_)) | Err(Error::Forbidden(_)) => CommitResult::Refused,
            Err(Error::Faulty(_)) => CommitResult::Faulty,
            Err(_) => CommitResult::Failed,
        };
        self.metrics.committed(face, result);
        outcome
    }
}

/// The same as scopes. It was narrowed to some of a grant's, so that each is one.
fn scopes(selection: &Selection) -> Vec<Scope> {
    let keys = selection.keys().map(Key::as_str);
    let prefixes = selection.prefixes().map(Prefix::as_str);
    keys.chain(prefixes)
        .filter_map(|text| Scope::new(text).ok())
        .collect()
}

fn owns_some(state: &Snapshot, source: &SourceName) -> bool {
    state.keys_of(source).next().is_some()
}
