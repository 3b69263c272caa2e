//! The board of Postgres: what servers tell each other, however late, lost or emptied.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chameleon_model::{Epoch, Key, Prefix, Revision, Stamp, Tag, Timestamp};
use chameleon_store::{
    Board, BoardInstance, Posted, PostedDelivery, PostedIdentity, PostedInstance, PostedStored,
    PostedSync, ReplicaId, Report, Watched,
};

use crate::place::Place;
use crate::postgres::PostgresPlace;
use crate::sqlite::SqlitePlace;

const HOUR: Duration = Duration::from_hours(1);

/// Every way is wanted.
const OLDEST: (Epoch, Revision) = (Epoch(0), Revision(0));

/// A server with the number of its next report.
struct Server {
    board: Arc<dyn Board>,
    id: ReplicaId,
    number: u64,
}

impl Server {
    async fn at(place: &PostgresPlace) -> Self {
        let board = place.open().await.board().await.unwrap();
        Self {
            board: board.expect("Postgres has a board"),
            id: ReplicaId::random(),
            number: 1,
        }
    }

    fn report(&mut self) -> Report {
        self.number += 1;
        Report {
            replica: self.id,
            name: "one".to_owned(),
            number: self.number - 1,
            lease: HOUR,
            instances: Vec::new(),
            left: Vec::new(),
            complete_since: None,
            deliveries: Vec::new(),
            stored: Vec::new(),
            oldest: OLDEST,
            syncs: Vec::new(),
        }
    }

    async fn tell(&mut self, instances: Vec<PostedInstance>) -> Posted {
        let report = Report {
            instances,
            ..self.report()
        };
        self.board.post(&report).await.unwrap()
    }

    /// What a server that is not on the board reads.
    async fn read(&self) -> Vec<BoardInstance> {
        let mut read = self.board.instances(ReplicaId::random()).await.unwrap();
        read.sort_by_key(|one| one.instance.connection);
        read
    }

    async fn connections(&self) -> Vec<u64> {
        (self.read().await.iter())
            .map(|one| one.instance.connection)
            .collect()
    }
}

fn watched() -> Watched {
    let (keys, prefixes) = ([Key::new("a").unwrap()], [Prefix::new("b/")]);
    Watched::new(keys.iter(), prefixes.iter())
}

fn instance(connection: u64) -> PostedInstance {
    PostedInstance {
        connection,
        identity: PostedIdentity {
            service: "location".to_owned(),
            profile: "beta".to_owned(),
            instance: "same".to_owned(),
            version: "1".to_owned(),
            host: "h".to_owned(),
            prefix: "team/".to_owned(),
        },
        watched: watched(),
        connected: Duration::from_secs(5),
        sent: None,
        applied: None,
        rejected: None,
    }
}

fn stamp(revision: u64) -> Stamp {
    Stamp {
        epoch: Epoch(1),
        revision: Revision(revision),
        tag: Tag(u64::MAX),
    }
}

fn delivery(revision: u64, connection: u64) -> PostedDelivery {
    PostedDelivery {
        epoch: Epoch(1),
        revision: Revision(revision),
        connection,
        service: "location".to_owned(),
        profile: "beta".to_owned(),
        instance: "one".to_owned(),
        watched: watched(),
        delivered: Duration::from_millis(7),
        applied: Duration::from_nanos(9),
        rejected: Some("no".into()),
    }
}

#[tokio::test]
async fn sqlite_has_no_board() {
    let store = SqlitePlace::new().await.open().await;
    assert!(store.board().await.unwrap().is_none());
}

#[tokio::test]
async fn an_instance_is_read_as_it_was_told() {
    let place = PostgresPlace::new().await;
    let mut one = Server::at(&place).await;
    let mut told = instance(7);
    told.sent = Some(stamp(3));
    told.applied = Some(stamp(2));
    told.rejected = Some("b\u{0}: no".into());
    assert_eq!(one.tell(vec![told.clone()]).await, Posted::Anew);
    let read = one.read().await;
    let [found] = &read[..] else {
        panic!("{read:?}")
    };
    assert_eq!((&*found.replica, found.instance.connection), ("one", 7));
    let found = &found.instance;
    assert_eq!(found.identity, told.identity);
    assert_eq!(found.watched, told.watched);
    assert_eq!((found.sent, found.applied), (told.sent, told.applied));
    assert_eq!(found.rejected.as_deref(), Some("b\u{fffd}: no"));
    assert!((told.connected..told.connected + HOUR).contains(&found.connected));
    assert!(one.board.instances(one.id).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_newest_outcome_counts_and_the_connection_is_as_old_as_before() {
    let place = PostgresPlace::new().await;
    let mut one = Server::at(&place).await;
    one.tell(vec![instance(7), instance(8)]).await;
    let mut changed = instance(7);
    changed.connected = Duration::ZERO;
    changed.applied = Some(stamp(4));
    assert_eq!(one.tell(vec![changed]).await, Posted::After(1));
    let read = one.read().await;
    assert_eq!(read[0].instance.applied, Some(stamp(4)));
    assert!(read[0].instance.connected >= Duration::from_secs(5));
    assert_eq!(read[1].instance.applied, None);
}

#[tokio::test]
async fn a_late_report_changes_nothing() {
    let place = PostgresPlace::new().await;
    let mut one = Server::at(&place).await;
    let late = Report {
        instances: vec![instance(7)],
        left: vec![8],
        complete_since: Some(100),
        deliveries: vec![delivery(1, 7)],
        ..one.report()
    };
    one.tell(vec![instance(8)]).await;
    assert_eq!(one.board.post(&late).await.unwrap(), Posted::Late);
    assert_eq!(one.connections().await, [8]);
    let nobody = ReplicaId::random();
    let found = one.board.ways(nobody, Epoch(1), &[Revision(1)], 10);
    assert!(found.await.unwrap().deliveries.is_empty());
}

#[tokio::test]
async fn who_leaves_one_server_stays_at_the_other() {
    let place = PostgresPlace::new().await;
    let (mut one, mut two) = (Server::at(&place).await, Server::at(&place).await);
    one.tell(vec![instance(7)]).await;
    // Of the same number at another server, and the same name.
    two.tell(vec![instance(7)]).await;
    let gone = Report {
        left: vec![7],
        ..one.report()
    };
    one.board.post(&gone).await.unwrap();
    assert_eq!(one.connections().await, [7]);
    assert_eq!(one.board.instances(one.id).await.unwrap().len(), 1);
    assert!(one.board.instances(two.id).await.unwrap().is_empty());
    two.board.leave(two.id).await.unwrap();
    assert!(one.connections().await.is_empty());
}

#[tokio::test]
async fn what_is_told_again_replaces_what_was_there() {
    let place = PostgresPlace::new().await;
    let mut one = Server::at(&place).await;
    one.tell((1..=4).map(instance).collect()).await;
    let since = one.number;
    one.tell(vec![instance(2)]).await;
    assert_eq!(one.connections().await, [1, 2, 3, 4]);
    let last = Report {
        instances: vec![instance(4), instance(5)],
        complete_since: Some(since),
        ..one.report()
    };
    one.board.post(&last).await.unwrap();
    assert_eq!(one.connections().await, [2, 4, 5]);
}

#[tokio::test]
async fn a_server_counts_until_its_lease_ends() {
    let place = PostgresPlace::new().await;
    let (mut one, mut two) = (Server::at(&place).await, Server::at(&place).await);
    one.tell(vec![instance(1)]).await;
    two.tell(vec![instance(2)]).await;
    assert_eq!(one.board.forget_lost(OLDEST).await.unwrap(), 0);
    let over = format!(
        "UPDATE replicas SET until_micros = 1 WHERE replica = '{}'",
        one.id.0
    );
    place.execute(&[over]).await;
    assert_eq!(two.connections().await, [2]);
    assert_eq!(two.board.forget_lost(OLDEST).await.unwrap(), 1);
    // It lives after all, and learns that it was forgotten.
    assert_eq!(one.tell(Vec::new()).await, Posted::Anew);
    assert_eq!(two.connections().await, [2]);
    assert_eq!(one.tell(vec![instance(1)]).await, Posted::After(2));
    assert_eq!(two.connections().await, [1, 2]);
}

#[tokio::test]
async fn a_renewal_is_by_the_databases_clock() {
    let place = PostgresPlace::new().await;
    let mut one = Server::at(&place).await;
    let short = Report {
        lease: Duration::ZERO,
        instances: vec![instance(1)],
        ..one.report()
    };
    one.board.post(&short).await.unwrap();
    assert!(one.connections().await.is_empty());
    one.tell(Vec::new()).await;
    assert_eq!(one.connections().await, [1]);
}

#[tokio::test]
async fn an_emptied_board_is_noticed() {
    let place = PostgresPlace::new().await;
    let mut one = Server::at(&place).await;
    one.tell(vec![instance(1)]).await;
    // As a crash of the database does.
    let empty = "TRUNCATE replicas, instances, deliveries, stored_times, sync_reports".to_owned();
    place.execute(&[empty]).await;
    assert_eq!(one.tell(Vec::new()).await, Posted::Anew);
    let unlogged = "DO $$ BEGIN ASSERT (SELECT count(*) = 5 FROM pg_class WHERE relpersistence = 'u' \
                    AND relkind = 'r'); END $$";
    place.execute(&[unlogged.to_owned()]).await;
}

#[tokio::test]
async fn deliveries_are_kept_for_the_newest_revisions() {
    let place = PostgresPlace::new().await;
    let mut one = Server::at(&place).await;
    let stored = PostedStored {
        epoch: Epoch(1),
        revision: Revision(1),
        took: Duration::from_micros(5),
    };
    let report = Report {
        deliveries: vec![
            delivery(1, 7),
            delivery(2, 7),
            delivery(2, 8),
            delivery(2, 9),
        ],
        stored: vec![stored],
        ..one.report()
    };
    one.board.post(&report).await.unwrap();
    let read = async |own, limit| {
        let revisions = [Revision(1), Revision(2), Revision(3)];
        let found = one.board.ways(own, Epoch(1), &revisions, limit);
        found.await.unwrap()
    };
    let nobody = ReplicaId::random();
    let all = read(nobody, 2).await;
    assert_eq!(all.stored, [stored]);
    let all = all.deliveries;
    let found: Vec<_> = all.iter().map(|one| one.revision.0).collect();
    assert_eq!(found, [2, 2, 1]);
    let told = &all[2];
    assert_eq!(told.connection, 7);
    assert_eq!(told.watched, watched());
    assert_eq!(
        (told.delivered, told.applied),
        (Duration::from_millis(7), Duration::from_nanos(9))
    );
    assert_eq!(told.rejected.as_deref(), Some("no"));
    let own = read(one.id, 10).await;
    assert!(own.deliveries.is_empty() && own.stored.is_empty());
    // Told again, as after a lost answer.
    let again = Report {
        deliveries: vec![delivery(2, 7)],
        ..one.report()
    };
    one.board.post(&again).await.unwrap();
    let read = async || {
        let revisions = [Revision(1), Revision(2)];
        let ways = place.open().await.board().await.unwrap().unwrap();
        let found = ways.ways(nobody, Epoch(1), &revisions, 10).await.unwrap();
        (found.deliveries.len(), found.stored.len())
    };
    assert_eq!(read().await, (4, 1));
    // Each server forgets its own, so that none waits for another.
    let newest = (Epoch(1), Revision(2));
    let mut two = Server::at(&place).await;
    for (server, left) in [(&mut two, (4, 1)), (&mut one, (3, 0))] {
        let report = Report {
            oldest: newest,
            ..server.report()
        };
        server.board.post(&report).await.unwrap();
        assert_eq!(read().await, left);
    }
}

#[tokio::test]
async fn one_question_reads_a_bounded_number_of_deliveries() {
    let place = PostgresPlace::new().await;
    let one = Server::at(&place).await;
    let many = "INSERT INTO deliveries SELECT 1, r, gen_random_uuid(), n, '', '', '', '', 0, 0 \
                FROM generate_series(1, 12) r, generate_series(1, 2001) n";
    place.execute(&[many.to_owned()]).await;
    let revisions: Vec<_> = (1..=12).map(Revision).collect();
    let ways = one.board.ways(one.id, Epoch(1), &revisions, 2_000);
    let mut found = BTreeMap::new();
    for delivery in ways.await.unwrap().deliveries {
        *found.entry(delivery.revision.0).or_insert(0) += 1;
    }
    let newest: BTreeMap<_, _> = (3..=12).map(|revision| (revision, 2_000)).collect();
    assert_eq!(found, newest);
}

#[tokio::test]
async fn the_ways_of_servers_that_are_gone_are_forgotten_in_time() {
    let place = PostgresPlace::new().await;
    let (mut one, mut two) = (Server::at(&place).await, Server::at(&place).await);
    for server in [&mut one, &mut two] {
        let report = Report {
            deliveries: vec![delivery(1, 7), delivery(2, 7)],
            stored: vec![PostedStored {
                epoch: Epoch(1),
                revision: Revision(1),
                took: Duration::from_micros(5),
            }],
            ..server.report()
        };
        server.board.post(&report).await.unwrap();
    }
    one.board.leave(one.id).await.unwrap();
    let read = async || {
        let revisions = [Revision(1), Revision(2)];
        let ways = (two.board).ways(ReplicaId::random(), Epoch(1), &revisions, 10);
        let found = ways.await.unwrap();
        (found.deliveries.len(), found.stored.len())
    };
    two.board.forget_lost(OLDEST).await.unwrap();
    assert_eq!(read().await, (4, 2), "the way is still wanted");
    let newest = (Epoch(1), Revision(2));
    two.board.forget_lost(newest).await.unwrap();
    assert_eq!(read().await, (3, 1), "the other server lives");
}

#[tokio::test]
async fn the_newest_word_on_a_source_counts() {
    let place = PostgresPlace::new().await;
    let (mut one, mut two) = (Server::at(&place).await, Server::at(&place).await);
    let sync = |commit: &str, age| PostedSync {
        source: "main".into(),
        commit: commit.to_owned(),
        accepted: false,
        faults: vec!["a\u{0}b".to_owned()],
        at: Timestamp(5),
        by: "ci".to_owned(),
        age,
    };
    let told = |commit, age, report| Report {
        syncs: vec![sync(commit, age)],
        ..report
    };
    let newer = told("newer", Duration::ZERO, two.report());
    two.board.post(&newer).await.unwrap();
    let older = told("older", HOUR, one.report());
    one.board.post(&older).await.unwrap();
    let found = one.board.sync_reports(10).await.unwrap();
    let [found] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!((&*found.commit, &*found.by), ("newer", "ci"));
    assert_eq!(
        (&found.faults[..], found.at),
        (&["a\u{fffd}b".to_owned()][..], Timestamp(5))
    );
    assert!(found.age < HOUR);
    let for_ever = told("ancient", Duration::MAX, one.report());
    one.board.post(&for_ever).await.unwrap();
    assert_eq!(one.board.sync_reports(10).await.unwrap()[0].commit, "newer");
}

#[tokio::test]
async fn words_on_very_many_sources_are_not_kept() {
    let place = PostgresPlace::new().await;
    let one = Server::at(&place).await;
    let many = "INSERT INTO sync_reports SELECT n::text, '', true, '[]', 0, '', n \
                FROM generate_series(1, 1001) n";
    place.execute(&[many.to_owned()]).await;
    one.board.forget_lost(OLDEST).await.unwrap();
    let kept = one.board.sync_reports(2_000).await.unwrap();
    assert_eq!((kept.len(), &*kept[999].source.0), (1_000, "2"));
}

#[tokio::test]
async fn a_full_report_is_one_statement() {
    let place = PostgresPlace::new().await;
    let mut one = Server::at(&place).await;
    let rows = chameleon_store::REPORT_ROWS as u64;
    let report = Report {
        instances: (0..rows).map(instance).collect(),
        left: (rows..2 * rows).collect(),
        deliveries: (0..rows)
            .map(|connection| delivery(1, connection))
            .collect(),
        ..one.report()
    };
    one.board.post(&report).await.unwrap();
    assert_eq!(one.connections().await.len(), 1_000);
}
