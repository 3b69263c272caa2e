//! A store that is opened while the server starts or even serves, because its database may be away.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use chameleon_model::{
    AuditQuery, AuditReader, AuditRecord, Commit, Epoch, Revision, Session, SessionId, Snapshot,
    SourceMarker, Stamp, Token, TokenHash, TokenName, Transaction,
};
use chameleon_store::{
    Board, Changes, Committed, HistoryQuery, NewToken, Notifications, Store, StoreError,
};
use futures::{FutureExt as _, StreamExt as _};
use service_kit::{Backoff, Lifecycle};
use tokio::sync::watch;

/// A store that is opened in the background. Its verbs wait for the first try, and fail from then
/// on until one has succeeded.
pub(crate) struct LateStore {
    opening: watch::Receiver<Opening>,
}

#[derive(Clone)]
enum Opening {
    First,
    Failed(Arc<StoreError>),
    Done(Arc<dyn Store>),
}

impl LateStore {
    /// Opens the store at `address`, listening at `listen` if given, again and again until it
    /// succeeds, as a task of `lifecycle`. An error that will not pass ends the task, and so the
    /// process.
    pub(crate) fn start(address: &str, listen: Option<&str>, lifecycle: &Lifecycle) -> Self {
        let (told, opening) = watch::channel(Opening::First);
        let (address, listen) = (address.to_owned(), listen.map(str::to_owned));
        let soft = lifecycle.soft();
        lifecycle.own("store", async move {
            let opened =
                soft.run_until_cancelled(open_patiently(&address, listen.as_deref(), &told));
            if let Some(opened) = opened.await {
                opened.context("open the store")?;
                soft.cancelled().await;
            }
            Ok(())
        });
        Self { opening }
    }

    async fn opened(&self) -> Result<Arc<dyn Store>, StoreError> {
        let mut opening = self.opening.clone();
        let tried = opening.wait_for(|opening| !matches!(opening, Opening::First));
        match tried.await.as_deref() {
            Ok(Opening::Done(store)) => Ok(Arc::clone(store)),
            Ok(Opening::Failed(error)) => Err(same(error)),
            Ok(Opening::First) | Err(_) => Err(StoreError::Unavailable(
                "the server ends before it was opened".into(),
            )),
        }
    }
}

async fn open_patiently(
    address: &str,
    listen: Option<&str>,
    told: &watch::Sender<Opening>,
) -> Result<(), StoreError> {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    loop {
        match chameleon_store::open_listening(address, listen).await {
            Ok(store) => {
                told.send_replace(Opening::Done(store));
                return Ok(());
            }
            Err(error) => {
                let error = Arc::new(error);
                told.send_replace(Opening::Failed(Arc::clone(&error)));
                if !matches!(*error, StoreError::Unavailable(_)) {
                    return Err(same(&error));
                }
            }
        }
        backoff.wait().await;
    }
}

/// The error once more, for another caller.
fn same(error: &StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(cause) => StoreError::Unavailable(cause.to_string().into()),
        StoreError::BaseLost { held } => StoreError::BaseLost { held: *held },
        StoreError::NoSuchRevision(revision) => StoreError::NoSuchRevision(*revision),
        StoreError::Address(text) => StoreError::Address(text.clone()),
        StoreError::TooNew { migration } => StoreError::TooNew {
            migration: migration.clone(),
        },
        StoreError::Damaged(text) => StoreError::Damaged(text.clone()),
    }
}

#[async_trait]
impl Store for LateStore {
    async fn load(&self) -> Result<Snapshot, StoreError> {
        self.opened().await?.load().await
    }

    async fn commit(
        &self,
        base: &Snapshot,
        group: Vec<Transaction>,
    ) -> Result<Committed, StoreError> {
        self.opened().await?.commit(base, group).await
    }

    async fn changes_since(&self, stamp: Stamp) -> Result<Changes, StoreError> {
        self.opened().await?.changes_since(stamp).await
    }

    async fn history(&self, query: &HistoryQuery) -> Result<Vec<Arc<Commit>>, StoreError> {
        self.opened().await?.history(query).await
    }

    async fn snapshot_at(&self, revision: Revision) -> Result<Snapshot, StoreError> {
        self.opened().await?.snapshot_at(revision).await
    }

    async fn sources(&self) -> Result<Vec<SourceMarker>, StoreError> {
        self.opened().await?.sources().await
    }

    async fn newest_older_than(&self, age: Duration) -> Result<Revision, StoreError> {
        self.opened().await?.newest_older_than(age).await
    }

    async fn compact(&self, floor: Revision) -> Result<(), StoreError> {
        self.opened().await?.compact(floor).await
    }

    async fn begin_epoch(&self, found: Stamp, above: Epoch) -> Result<Stamp, StoreError> {
        self.opened().await?.begin_epoch(found, above).await
    }

    async fn renew_session(&self, id: SessionId) -> Result<Option<Arc<Session>>, StoreError> {
        self.opened().await?.renew_session(id).await
    }

    async fn end_overdue_sessions(
        &self,
        base: &Snapshot,
        renewable: Duration,
    ) -> Result<Committed, StoreError> {
        let store = self.opened().await?;
        store.end_overdue_sessions(base, renewable).await
    }

    async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        self.opened().await?.tokens().await
    }

    async fn create_token(&self, token: NewToken) -> Result<Option<Token>, StoreError> {
        self.opened().await?.create_token(token).await
    }

    async fn rotate_token(
        &self,
        name: &TokenName,
        hash: TokenHash,
        grace: Duration,
    ) -> Result<Option<Token>, StoreError> {
        self.opened().await?.rotate_token(name, hash, grace).await
    }

    async fn revoke_token(&self, name: &TokenName) -> Result<bool, StoreError> {
        self.opened().await?.revoke_token(name).await
    }

    async fn append_audit(&self, records: &[AuditRecord]) -> Result<(), StoreError> {
        self.opened().await?.append_audit(records).await
    }

    async fn audit(
        &self,
        query: &AuditQuery,
        reader: &AuditReader,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        self.opened().await?.audit(query, reader).await
    }

    async fn prune_audit(&self, age: Duration) -> Result<u64, StoreError> {
        self.opened().await?.prune_audit(age).await
    }

    async fn prune_requests(&self) -> Result<u64, StoreError> {
        self.opened().await?.prune_requests().await
    }

    async fn board(&self) -> Result<Option<Arc<dyn Board>>, StoreError> {
        self.opened().await?.board().await
    }

    fn notifications(&self) -> Notifications {
        let mut opening = self.opening.clone();
        let notifications = async move {
            let done = opening.wait_for(|opening| matches!(opening, Opening::Done(_)));
            match done.await.as_deref() {
                Ok(Opening::Done(store)) => store.notifications(),
                // The server ends.
                _ => futures::stream::pending().boxed(),
            }
        };
        notifications.into_stream().flatten().boxed()
    }
}
