//! Several servers on one Postgres show one fleet.

use std::sync::Arc;
use std::time::Duration;

use chameleon_proto::v1;
use chameleon_proto::v1::outcome::Verdict;
use chameleon_store::{PostgresSettings, PostgresStore};
use config_server::{Limits, Replica, Settings};
use test_kit::postgres::TestDatabase;
use test_kit::{FaultProxy, eventually, postgres};

use crate::support::{BOOTSTRAP, Server, Watch, subscribe};

/// A server by the name `name` on the database at `url`, whose instances count for `lease`.
async fn named(name: &str, url: &str, lease: Duration) -> Server {
    let settings = Settings {
        store_kind: "postgres",
        limits: Limits {
            store_timeout: Duration::from_secs(2),
            ..Limits::default()
        },
        replica: Replica {
            name: name.to_owned(),
            lease,
        },
        ..Settings::default()
    };
    start(settings, url).await
}

async fn start(settings: Settings, url: &str) -> Server {
    let few = PostgresSettings {
        max_connections: 3,
        ..PostgresSettings::new(url)
    };
    let store = PostgresStore::connect(&few).await.unwrap();
    Server::of(settings, Arc::new(store)).await
}

async fn pair(database: &TestDatabase) -> (Server, Server) {
    let lease = Replica::default().lease;
    let one = named("one", database.url(), lease).await;
    (one, named("two", database.url(), lease).await)
}

fn identified(instance: &str) -> v1::Subscribe {
    v1::Subscribe {
        identity: Some(v1::Identity {
            service: "location".to_owned(),
            profile: "beta".to_owned(),
            instance: instance.to_owned(),
            version: "1.0.0".to_owned(),
            host: "here".to_owned(),
            prefix: String::new(),
        }),
        ..subscribe(&["a"], &[])
    }
}

async fn fleet(server: &Server) -> Vec<v1::Instance> {
    let request = v1::FleetRequest::default();
    let mut client = server.client().await;
    client.fleet(request).await.unwrap().into_inner().instances
}

/// Who is seen at which server.
async fn places(server: &Server) -> Vec<(String, String)> {
    let fleet = fleet(server).await.into_iter();
    fleet
        .map(|one| (one.identity.unwrap().instance, one.replica))
        .collect()
}

/// Returns when every server sees exactly these instances at these servers.
async fn all_see(servers: &[&Server], expected: &[(&str, &str)]) {
    let expected: Vec<_> = (expected.iter())
        .map(|&(instance, at)| (instance.to_owned(), at.to_owned()))
        .collect();
    for server in servers {
        eventually(&format!("{expected:?} are seen"), async || {
            (places(server).await == expected).then_some(())
        })
        .await;
    }
}

async fn commit(server: &Server, revision: u64) -> v1::Commit {
    let request = v1::HistoryRequest {
        before: revision + 1,
        limit: 1,
        ..v1::HistoryRequest::default()
    };
    let mut client = server.client().await;
    let commits = client.history(request).await.unwrap().into_inner().commits;
    commits.into_iter().next().unwrap()
}

async fn deliveries(server: &Server, revision: u64) -> Vec<v1::Delivery> {
    commit(server, revision).await.deliveries
}

/// The stages that a revision went through, the last by the server that it was committed at.
async fn stages(server: &Server, revision: u64) -> Vec<v1::StageTime> {
    let origin = commit(server, revision).await.origin;
    origin.map(|origin| origin.stages).unwrap_or_default()
}

#[tokio::test]
async fn any_server_shows_the_instances_of_all_and_their_outcomes() {
    let database = postgres::database().await;
    let (one, two) = pair(&database).await;
    let mut here = Watch::open(&one, identified("here")).await;
    let mut there = Watch::open(&two, identified("there")).await;
    all_see(&[&one, &two], &[("here", "one"), ("there", "two")]).await;

    one.write("a", "x").await;
    here.until("a", Some("x")).await;
    there.until("a", Some("x")).await;
    here.judge(Verdict::Applied(v1::Applied {})).await;
    let reason = "b: no provider".to_owned();
    there
        .judge(Verdict::Rejected(v1::Rejected { reason }))
        .await;
    for server in [&one, &two] {
        eventually("the outcomes are seen", async || {
            let seen = fleet(server).await;
            let of = |one: &v1::Instance| {
                let applied = one.applied.map(|applied| applied.revision);
                (
                    applied,
                    one.sent.map(|sent| sent.revision),
                    one.rejected.clone(),
                    one.current,
                )
            };
            let expected = [
                (Some(1), Some(1), String::new(), true),
                (None, Some(1), "b: no provider".to_owned(), false),
            ];
            (seen.iter().map(of).eq(expected)).then_some(())
        })
        .await;
        let seen = eventually("the way to both is seen", async || {
            let mut seen = deliveries(server, 1).await;
            seen.sort_by(|one, other| one.instance.cmp(&other.instance));
            (seen.len() == 2).then_some(seen)
        })
        .await;
        let told =
            |one: &v1::Delivery| (one.instance.clone(), one.applied_us, one.rejected.clone());
        assert_eq!(told(&seen[0]), ("here".to_owned(), 1_500, String::new()));
        assert_eq!(
            told(&seen[1]),
            ("there".to_owned(), 1_500, "b: no provider".to_owned())
        );
    }
    let stored = stages(&one, 1).await;
    assert_eq!(stored.len(), 1);
    assert_eq!(stages(&two, 1).await, stored);
    // Another change makes both old, also seen from where they are not.
    two.write("a", "y").await;
    eventually("nobody is current", async || {
        (fleet(&one).await.iter().all(|one| !one.current)).then_some(())
    })
    .await;
    // A server that is stopped takes its instances along at once.
    two.stop().await;
    all_see(&[&one], &[("here", "one")]).await;
    assert_eq!(deliveries(&one, 1).await.len(), 2);
}

#[tokio::test]
async fn who_moves_is_seen_once_where_it_is() {
    let database = postgres::database().await;
    let (one, two) = pair(&database).await;
    let third = named("three", database.url(), Replica::default().lease).await;
    let before = Watch::open(&one, identified("a")).await;
    all_see(&[&one, &two, &third], &[("a", "one")]).await;
    // The first server has not noticed that it has left.
    let after = Watch::open(&two, identified("a")).await;
    all_see(&[&one, &two, &third], &[("a", "two")]).await;
    // Its word comes late, and changes nothing.
    drop(before);
    eventually("the first server has noticed", async || {
        let metrics = one.get("/metrics").await.text().await.unwrap();
        metrics.contains("chameleon_instances 0.0").then_some(())
    })
    .await;
    let _back = Watch::open(&one, identified("b")).await;
    all_see(&[&one, &two, &third], &[("a", "two"), ("b", "one")]).await;
    // And back, while the other still holds it.
    let _again = Watch::open(&one, identified("a")).await;
    all_see(&[&one, &two, &third], &[("a", "one"), ("b", "one")]).await;
    drop(after);
    all_see(&[&one, &two, &third], &[("a", "one"), ("b", "one")]).await;
}

#[tokio::test]
async fn a_killed_servers_instances_are_gone_after_its_lease() {
    let database = postgres::database().await;
    let one = named("one", database.url(), Replica::default().lease).await;
    let two = named("two", database.url(), Duration::from_secs(1)).await;
    let _lost = Watch::open(&two, identified("lost")).await;
    let moved = Watch::open(&two, identified("moved")).await;
    all_see(&[&one], &[("lost", "two"), ("moved", "two")]).await;
    // Its tasks are dropped where they are, and take nothing back.
    two.lifecycle.hard().cancel();
    drop(moved);
    let _moved = Watch::open(&one, identified("moved")).await;
    all_see(&[&one], &[("moved", "one")]).await;
}

#[tokio::test]
async fn without_its_database_a_server_knows_its_own_and_catches_up() {
    let database = postgres::database().await;
    let proxy = FaultProxy::start(database.server_address()).await;
    let lease = Duration::from_secs(1);
    let one = named("one", &database.url_through(&proxy), lease).await;
    let two = named("two", database.url(), lease).await;
    let stays = Watch::open(&one, identified("a")).await;
    let leaves = Watch::open(&one, identified("b")).await;
    all_see(&[&one, &two], &[("a", "one"), ("b", "one")]).await;

    proxy.cut().await;
    all_see(&[&two], &[]).await;
    let _comes = Watch::open(&one, identified("c")).await;
    stays.judge(Verdict::Applied(v1::Applied {})).await;
    drop(leaves);
    let _there = Watch::open(&two, identified("d")).await;
    let own = [("a", "one"), ("c", "one")];
    all_see(&[&one], &own).await;
    all_see(&[&two], &[("d", "two")]).await;

    proxy.heal();
    all_see(&[&one, &two], &[own[0], own[1], ("d", "two")]).await;
    let fleet = fleet(&two).await;
    assert!(fleet[0].applied.is_some() && fleet[0].current, "{fleet:?}");
}

#[tokio::test]
async fn a_crash_of_the_database_empties_the_board_and_it_fills_again() {
    let database = postgres::database().await;
    let (one, two) = pair(&database).await;
    let mut here = Watch::open(&one, identified("here")).await;
    one.write("a", "x").await;
    here.until("a", Some("x")).await;
    here.judge(Verdict::Applied(v1::Applied {})).await;
    eventually("the delivery is seen", async || {
        (deliveries(&two, 1).await.len() == 1).then_some(())
    })
    .await;
    database
        .execute("TRUNCATE replicas, instances, deliveries, stored_times, sync_reports")
        .await;
    // Any news shows it; without, the next renewal does.
    let _more = Watch::open(&one, identified("more")).await;
    all_see(&[&two], &[("here", "one"), ("more", "one")]).await;
    eventually("the delivery is seen again", async || {
        (deliveries(&two, 1).await.len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_callers_rights_hold_for_instances_at_other_servers() {
    let database = postgres::database().await;
    let settings = |name: &str| Settings {
        token: Some(BOOTSTRAP.to_owned().into()),
        store_kind: "postgres",
        replica: Replica {
            name: name.to_owned(),
            ..Replica::default()
        },
        ..Settings::default()
    };
    let one = start(settings("one"), database.url()).await;
    let two = start(settings("two"), database.url()).await;
    let token = one.token("team-a", &["read:team-a/"]).await;
    let of = |name: &str, prefixes: &[&str]| v1::Subscribe {
        keys: Vec::new(),
        prefixes: prefixes.iter().map(|&prefix| prefix.to_owned()).collect(),
        ..identified(name)
    };
    let mine = of("mine", &["team-a/"]);
    let _mine = Watch::guarded(&one, BOOTSTRAP, mine).await.unwrap();
    let more = of("more", &["team-a/", "team-b/"]);
    let _more = Watch::guarded(&one, BOOTSTRAP, more).await.unwrap();
    let seen = async |token: &str| {
        let mut client = two.client_with(token).await;
        let fleet = client.fleet(v1::FleetRequest::default()).await.unwrap();
        let instances = fleet.into_inner().instances.into_iter();
        let names = instances.map(|one| one.identity.unwrap().instance);
        names.collect::<Vec<_>>()
    };
    eventually("the bootstrap token sees both", async || {
        (seen(BOOTSTRAP).await == ["mine", "more"]).then_some(())
    })
    .await;
    eventually("the token is known there", async || {
        two.client_with(&token)
            .await
            .fleet(v1::FleetRequest::default())
            .await
            .ok()
    })
    .await;
    assert_eq!(seen(&token).await, ["mine"]);
}

#[tokio::test]
async fn what_git_sync_said_to_one_server_is_known_to_all() {
    let database = postgres::database().await;
    let (one, two) = pair(&database).await;
    let report = async |server: &Server, commit: &str| {
        let report = v1::SyncReport {
            source: "main".to_owned(),
            commit: commit.to_owned(),
            accepted: false,
            faults: vec!["a.yml:1: no".to_owned()],
            at_us: 7,
        };
        let request = v1::ReportSyncRequest {
            report: Some(report),
        };
        server.client().await.report_sync(request).await.unwrap();
    };
    let known = async |server: &Server, commit: &str| {
        eventually(&format!("{commit} is known"), async || {
            let sources = server.client().await.sources(v1::SourcesRequest {}).await;
            let sources = sources.unwrap().into_inner().sources;
            let report = sources.into_iter().next()?.report?;
            (report.commit == commit && report.faults == ["a.yml:1: no"]).then_some(())
        })
        .await;
    };
    report(&one, "first").await;
    known(&one, "first").await;
    known(&two, "first").await;
    report(&two, "second").await;
    known(&two, "second").await;
    known(&one, "second").await;
    // It outlives the server that it was said to.
    two.stop().await;
    known(&one, "second").await;
}
