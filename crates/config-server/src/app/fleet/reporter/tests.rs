use std::collections::BTreeSet;

use async_trait::async_trait;
use chameleon_model::{Key, Revision, Snapshot};
use chameleon_store::{BoardInstance, BoardWays, PostedSync, ReplicaId};
use service_kit::metrics::Registry;

use super::*;
use crate::app::fleet::{Connection, Identity, Verdict, VerdictResult};
use crate::metrics::Metrics;

/// A board in memory that remembers what was posted.
#[derive(Default)]
struct Paper {
    reports: Mutex<Vec<Report>>,
    on_it: Mutex<BTreeSet<u64>>,
    newest: Mutex<Option<u64>>,
    away: Mutex<bool>,
}

impl Paper {
    /// The reports since the last call.
    fn posted(&self) -> Vec<Report> {
        std::mem::take(&mut lock(&self.reports))
    }

    fn shown(&self) -> usize {
        lock(&self.on_it).len()
    }
}

#[async_trait]
impl Board for Paper {
    async fn post(&self, report: &Report) -> Result<Posted, StoreError> {
        if *lock(&self.away) {
            return Err(StoreError::Unavailable("it was taken away".into()));
        }
        assert!(report.instances.len() <= REPORT_ROWS && report.deliveries.len() <= REPORT_ROWS);
        let mut on_it = lock(&self.on_it);
        if report.complete_since.is_some() {
            // All that is told again fits into one report here.
            on_it.clear();
        }
        on_it.extend(report.instances.iter().map(|one| one.connection));
        for left in &report.left {
            on_it.remove(left);
        }
        lock(&self.reports).push(report.clone());
        let before = lock(&self.newest).replace(report.number);
        Ok(before.map_or(Posted::Anew, Posted::After))
    }

    async fn leave(&self, _replica: ReplicaId) -> Result<(), StoreError> {
        Ok(())
    }

    async fn forget_lost(&self, _oldest: (Epoch, Revision)) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn instances(&self, _own: ReplicaId) -> Result<Vec<BoardInstance>, StoreError> {
        Ok(Vec::new())
    }

    async fn ways(
        &self,
        _own: ReplicaId,
        _epoch: Epoch,
        _revisions: &[Revision],
        _limit: u32,
    ) -> Result<BoardWays, StoreError> {
        Ok(BoardWays::default())
    }

    async fn sync_reports(&self, _limit: u32) -> Result<Vec<PostedSync>, StoreError> {
        Ok(Vec::new())
    }
}

const LEASE: Duration = Duration::from_secs(30);

struct Rig {
    fleet: Arc<Fleet>,
    paper: Arc<Paper>,
    _task: tokio::task::JoinSet<()>,
}

impl Rig {
    fn of(fleet: Arc<Fleet>) -> Self {
        let paper = Arc::new(Paper::default());
        let syncs = Arc::new(SyncReports::new(fleet.news()));
        let mut reporter = Reporter::new(Arc::clone(&fleet), syncs, LEASE, Duration::from_secs(1));
        let board = Arc::clone(&paper);
        let mut task = tokio::task::JoinSet::new();
        task.spawn(async move { reporter.report(&*board, &CancellationToken::new()).await });
        Self {
            fleet,
            paper,
            _task: task,
        }
    }

    fn connect(&self, instance: &str) -> Connection {
        connect(&self.fleet, instance)
    }

    /// Lets a round pass.
    async fn round(&self) -> Vec<Report> {
        sleep(2 * PAUSE).await;
        self.paper.posted()
    }
}

fn fleet() -> Arc<Fleet> {
    Arc::new(Fleet::new(
        "here",
        Metrics::new(&Registry::new("test", "0")),
    ))
}

fn connect(fleet: &Arc<Fleet>, instance: &str) -> Connection {
    let identity = Identity {
        instance: instance.to_owned(),
        ..Identity::default()
    };
    let selection = Arc::new(Selection::key(Key::new("a").unwrap()));
    fleet.connect(identity, selection, None)
}

fn told(reports: &[Report]) -> usize {
    reports.iter().map(|report| report.instances.len()).sum()
}

#[tokio::test(start_paused = true)]
async fn a_large_fleet_is_told_in_parts_and_each_change_once() {
    let fleet = fleet();
    let connections: Vec<_> = (0..2_500)
        .map(|n| connect(&fleet, &n.to_string()))
        .collect();
    let rig = Rig::of(fleet);
    let first = rig.round().await;
    assert_eq!((first.len(), told(&first)), (3, 2_500));
    let complete: Vec<_> = first.iter().map(|report| report.complete_since).collect();
    assert_eq!(complete, [None, None, Some(1)]);

    // However often they change.
    let stamp = Snapshot::default().stamp();
    for connection in connections.iter().take(7) {
        for _ in 0..100 {
            connection.sent(stamp, [Revision(1)].into());
            connection.judged(Verdict {
                stamp,
                result: VerdictResult::Applied,
                apply: Duration::ZERO,
                jitter: Duration::ZERO,
            });
        }
    }
    let second = rig.round().await;
    assert_eq!((second.len(), told(&second)), (1, 7));
    assert!(
        second[0]
            .instances
            .iter()
            .all(|one| one.applied == Some(stamp))
    );

    // Without news only the lease is renewed.
    sleep(LEASE).await;
    let renewals = rig.paper.posted();
    assert!((2..=3).contains(&renewals.len()), "{renewals:?}");
    assert_eq!(told(&renewals), 0);
}

#[tokio::test(start_paused = true)]
async fn who_has_left_is_told_of_once_and_who_left_before_is_not() {
    let rig = Rig::of(fleet());
    rig.round().await;
    let (one, two) = (rig.connect("one"), rig.connect("two"));
    drop(two);
    let reports = rig.round().await;
    assert_eq!(told(&reports), 1);
    assert_eq!(rig.paper.shown(), 1);
    drop(one);
    let reports = rig.round().await;
    assert_eq!(reports.len(), 1);
    assert_eq!((reports[0].left.len(), rig.paper.shown()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_or_a_loss_everything_is_told() {
    let rig = Rig::of(fleet());
    let _one = rig.connect("one");
    let gone = rig.connect("gone");
    assert_eq!(told(&rig.round().await), 2);

    *lock(&rig.paper.away) = true;
    let _two = rig.connect("two");
    drop(gone);
    assert!(rig.round().await.is_empty());
    // What changes meanwhile takes no place.
    for _ in 0..10 {
        rig.connect("short");
    }
    assert!(matches!(*lock(&rig.fleet.untold), Untold::Everything));
    *lock(&rig.paper.away) = false;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(told(&rig.paper.posted()), 2);
    assert_eq!(rig.paper.shown(), 2);

    // A database that crashed knows nothing any more; the next news shows it.
    *lock(&rig.paper.newest) = None;
    lock(&rig.paper.on_it).clear();
    let _three = rig.connect("three");
    rig.round().await;
    assert_eq!(rig.paper.shown(), 3);
}
