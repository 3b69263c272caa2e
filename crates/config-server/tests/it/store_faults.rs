//! What a server makes of a store that hangs, or turns out to be another one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chameleon_model::{
    AuditQuery, AuditReader, AuditRecord, Commit, Epoch, Revision, Session, SessionId, Snapshot,
    SourceMarker, Stamp, Token, TokenHash, TokenName, Transaction,
};
use chameleon_proto::v1;
use chameleon_store::{
    Board, Changes, Committed, HistoryQuery, NewToken, Notice, Notifications, Store, StoreError,
};
use config_server::{Limits, Settings};
use futures::StreamExt as _;
use reqwest::StatusCode;
use test_kit::eventually;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::support::{Server, Watch, commit, put, subscribe};

/// A store in front of others: commits wait while the gate is shut, and the one behind it can be
/// exchanged, as by restoring a backup, or be away.
pub(crate) struct Gate {
    behind: Mutex<Arc<dyn Store>>,
    open: watch::Sender<bool>,
    entered: watch::Sender<usize>,
    look: Arc<Notify>,
    away: AtomicBool,
    /// How long reading the whole state takes.
    loading: Duration,
    /// Ends the notices.
    deaf: CancellationToken,
}

impl Gate {
    async fn new() -> Arc<Self> {
        Self::before(memory().await, Duration::ZERO)
    }

    pub(crate) fn before(behind: Arc<dyn Store>, loading: Duration) -> Arc<Self> {
        Arc::new(Self {
            behind: Mutex::new(behind),
            open: watch::Sender::new(true),
            entered: watch::Sender::new(0),
            look: Arc::default(),
            away: AtomicBool::new(false),
            loading,
            deaf: CancellationToken::new(),
        })
    }

    pub(crate) fn behind(&self) -> Arc<dyn Store> {
        Arc::clone(&self.behind.lock().unwrap())
    }

    /// The store behind, if it is there.
    fn reached(&self) -> Result<Arc<dyn Store>, StoreError> {
        if self.away.load(Ordering::Acquire) {
            return Err(StoreError::Unavailable("it was taken away".into()));
        }
        Ok(self.behind())
    }

    pub(crate) fn take_away(&self) {
        self.away.store(true, Ordering::Release);
    }

    pub(crate) fn bring_back(&self) {
        self.away.store(false, Ordering::Release);
        self.look.notify_one();
    }

    pub(crate) fn exchange(&self, other: Arc<dyn Store>) {
        *self.behind.lock().unwrap() = other;
        self.look.notify_one();
    }
}

pub(crate) async fn memory() -> Arc<dyn Store> {
    chameleon_store::open("sqlite::memory:").await.unwrap()
}

#[async_trait]
impl Store for Gate {
    async fn load(&self) -> Result<Snapshot, StoreError> {
        tokio::time::sleep(self.loading).await;
        self.reached()?.load().await
    }

    async fn commit(
        &self,
        base: &Snapshot,
        group: Vec<Transaction>,
    ) -> Result<Committed, StoreError> {
        self.entered.send_modify(|entered| *entered += group.len());
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open)
            .await
            .expect("the gate lives on");
        self.reached()?.commit(base, group).await
    }

    async fn changes_since(&self, stamp: Stamp) -> Result<Changes, StoreError> {
        self.reached()?.changes_since(stamp).await
    }

    async fn history(&self, query: &HistoryQuery) -> Result<Vec<Arc<Commit>>, StoreError> {
        self.reached()?.history(query).await
    }

    async fn snapshot_at(&self, revision: Revision) -> Result<Snapshot, StoreError> {
        self.reached()?.snapshot_at(revision).await
    }

    async fn sources(&self) -> Result<Vec<SourceMarker>, StoreError> {
        self.reached()?.sources().await
    }

    async fn newest_older_than(&self, age: Duration) -> Result<Revision, StoreError> {
        self.reached()?.newest_older_than(age).await
    }

    async fn compact(&self, floor: Revision) -> Result<(), StoreError> {
        self.reached()?.compact(floor).await
    }

    async fn begin_epoch(&self, found: Stamp, above: Epoch) -> Result<Stamp, StoreError> {
        self.reached()?.begin_epoch(found, above).await
    }

    async fn renew_session(&self, id: SessionId) -> Result<Option<Arc<Session>>, StoreError> {
        self.reached()?.renew_session(id).await
    }

    async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        self.reached()?.tokens().await
    }

    async fn create_token(&self, token: NewToken) -> Result<Option<Token>, StoreError> {
        self.behind().create_token(token).await
    }

    async fn rotate_token(
        &self,
        name: &TokenName,
        hash: TokenHash,
        grace: Duration,
    ) -> Result<Option<Token>, StoreError> {
        self.behind().rotate_token(name, hash, grace).await
    }

    async fn revoke_token(&self, name: &TokenName) -> Result<bool, StoreError> {
        self.behind().revoke_token(name).await
    }

    async fn end_overdue_sessions(
        &self,
        base: &Snapshot,
        renewable: Duration,
    ) -> Result<Committed, StoreError> {
        self.reached()?.end_overdue_sessions(base, renewable).await
    }

    async fn append_audit(&self, records: &[AuditRecord]) -> Result<(), StoreError> {
        self.reached()?.append_audit(records).await
    }

    async fn audit(
        &self,
        query: &AuditQuery,
        reader: &AuditReader,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        self.reached()?.audit(query, reader).await
    }

    async fn prune_audit(&self, age: Duration) -> Result<u64, StoreError> {
        self.reached()?.prune_audit(age).await
    }

    async fn prune_requests(&self) -> Result<u64, StoreError> {
        self.reached()?.prune_requests().await
    }

    async fn board(&self) -> Result<Option<Arc<dyn Board>>, StoreError> {
        self.reached()?.board().await
    }

    fn notifications(&self) -> Notifications {
        let look = Arc::clone(&self.look);
        futures::stream::unfold(look, |look| async {
            look.notified().await;
            Some((Notice::Look, look))
        })
        .take_until(self.deaf.clone().cancelled_owned())
        .boxed()
    }
}

#[tokio::test]
async fn more_than_may_wait_is_refused_at_once() {
    let gate = Gate::new().await;
    let limits = Limits {
        queued_bytes: 8 * 1024,
        store_timeout: Duration::from_mins(10),
        ..Limits::default()
    };
    let settings = Settings {
        limits,
        ..Settings::default()
    };
    let server = Server::of(settings, gate.clone()).await;
    gate.open.send_replace(false);
    let value = || "x".repeat(6 * 1024);
    let waiting = server.put("/v1/kv/a", value());
    let overloaded = async {
        gate.entered
            .subscribe()
            .wait_for(|entered| *entered == 1)
            .await
            .unwrap();
        let refused = server.put("/v1/kv/b", value()).await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        // Nothing is wrong with the transaction: git-sync must not take this for a verdict on it.
        let refused = commit(
            &server,
            v1::CommitHeader::default(),
            vec![put("b", value())],
        )
        .await;
        assert_eq!(refused.unwrap_err().code(), Code::Unavailable);
        gate.open.send_replace(true);
    };
    let (first, ()) = tokio::join!(waiting, overloaded);
    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!(
        server.put("/v1/kv/b", value()).await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn who_waits_meanwhile_is_stored_together() {
    let gate = Gate::new().await;
    let server = &Server::of(Settings::default(), gate.clone()).await;
    gate.open.send_replace(false);
    let first = server.put("/v1/kv/k/0", "x");
    let others = async {
        gate.entered
            .subscribe()
            .wait_for(|entered| *entered == 1)
            .await
            .unwrap();
        let writes = (1..10).map(async |number| {
            server
                .put(&format!("/v1/kv/k/{number}"), "x")
                .await
                .status()
        });
        let opening = async {
            // The group in the store ends only now; what has queued up behind it goes as the next.
            tokio::task::yield_now().await;
            gate.open.send_replace(true);
        };
        tokio::join!(futures::future::join_all(writes), opening).0
    };
    let (first, others) = tokio::join!(first, others);
    assert!(first.status().is_success() && others.iter().all(StatusCode::is_success));
    assert_eq!(server.status().await.head.unwrap().revision, 10);
}

#[tokio::test]
async fn another_history_is_served_under_a_later_epoch() {
    let gate = Gate::new().await;
    let server = Server::of(Settings::default(), gate.clone()).await;
    for value in ["1", "2", "3"] {
        server.write("a", value).await;
    }
    server.write("lost", "x").await;
    let before = server.status().await.head.unwrap();
    let mut watch = Watch::open(&server, subscribe(&[], &[""])).await;

    // A copy that knows less, and at the same revision something else.
    let restored = memory().await;
    let other = Server::of(Settings::default(), Arc::clone(&restored)).await;
    other.write("a", "restored").await;
    other.stop().await;
    gate.exchange(restored);

    let state = watch.next().await;
    assert_eq!(state.base, None, "another lineage is no base");
    assert_eq!(
        (watch.value("a"), watch.value("lost")),
        (Some("restored"), None)
    );
    let after = watch.stamp.unwrap();
    assert!(after.epoch > before.epoch && after.revision < before.revision);

    server.write("a", "on").await;
    assert_eq!(watch.next().await.base, Some(after));
    let outdated = v1::Subscribe {
        last: Some(before),
        ..subscribe(&[], &[""])
    };
    let mut back = Watch::opened(&server, outdated).await.unwrap();
    assert_eq!(back.next().await.base, None);
}

#[tokio::test]
async fn a_long_poll_notices_another_history() {
    let gate = Gate::new().await;
    let server = Server::of(Settings::default(), gate.clone()).await;
    for value in ["1", "2"] {
        server.write("a", value).await;
    }
    let waiting = server.get("/v1/kv/a?index=3&wait=60s");
    let exchange = async {
        eventually("the poll waits", async || {
            (server.status().await.watches == 1).then_some(())
        })
        .await;
        gate.exchange(memory().await);
    };
    let (response, ()) = tokio::join!(waiting, exchange);
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(response.headers()["x-consul-index"], "1");
}

#[tokio::test]
async fn a_compacted_past_is_no_base() {
    let gate = Gate::new().await;
    let server = Server::of(Settings::default(), gate.clone()).await;
    server.write("a", "1").await;
    let watch = Watch::open(&server, subscribe(&["a"], &[])).await;
    let held = watch.stamp;
    drop(watch);
    // Somebody else writes and compacts while this server does not look.
    let other = Server::of(Settings::default(), gate.behind()).await;
    other.write("b", "1").await;
    other.delete("/v1/kv/a").await;
    other.write("b", "2").await;
    gate.behind().compact(Revision(4)).await.unwrap();
    gate.look.notify_one();
    eventually("the server has loaded again", async || {
        (server.status().await.head.unwrap().revision == 4).then_some(())
    })
    .await;
    let again = v1::Subscribe {
        last: held,
        ..subscribe(&["a"], &[])
    };
    let mut back = Watch::opened(&server, again).await.unwrap();
    let state = back.next().await;
    assert_eq!((state.base, back.entries.len()), (None, 0));
}

#[tokio::test]
async fn reading_a_large_state_may_take_longer_than_other_calls() {
    let gate = Gate::before(memory().await, Duration::from_millis(200));
    let limits = Limits {
        store_timeout: Duration::from_millis(20),
        ..Limits::default()
    };
    let settings = Settings {
        limits,
        ..Settings::default()
    };
    let server = Server::of(settings, gate).await;
    assert_eq!(server.get("/health/ready").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_server_that_hears_of_no_commits_any_more_ends() {
    let gate = Gate::new().await;
    let server = Server::of(Settings::default(), gate.clone()).await;
    gate.deaf.cancel();
    let soft = server.lifecycle.soft();
    let ended = tokio::time::timeout(Duration::from_secs(30), soft.cancelled()).await;
    assert!(ended.is_ok(), "the server serves on, ever older");
}
