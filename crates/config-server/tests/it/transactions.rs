//! Native commits, and what the history says of them.

use chameleon_proto::v1;
use v1::commit_response::Outcome;

use crate::support::{Server, commit, put, stamp_of};

const FIRST: &str = "0123456789abcdef0123456789abcdef01234567";
const SECOND: &str = "1123456789abcdef0123456789abcdef01234567";

fn header() -> v1::CommitHeader {
    v1::CommitHeader::default()
}

fn source(expected: &str, commit: &str) -> v1::CommitHeader {
    v1::CommitHeader {
        source: Some(v1::SourceUpdate {
            name: "main".to_owned(),
            expected_commit: expected.to_owned(),
            commit: commit.to_owned(),
            profiles: vec!["beta".to_owned()],
        }),
        origin: Some(v1::Origin {
            author: "Ada".to_owned(),
            message: "Shift all traffic to B".to_owned(),
            stages: vec![v1::StageTime {
                stage: "fetched".to_owned(),
                took_us: 7_000,
            }],
            ..v1::Origin::default()
        }),
        ..header()
    }
}

#[tokio::test]
async fn a_retry_gets_the_first_outcome() {
    let server = Server::start().await;
    let named = v1::CommitHeader {
        request_id: "7c0e6a63-9a8c-4a39-a1f5-0b0a6f4f2b11".to_owned(),
        ..header()
    };
    let first = commit(&server, named.clone(), vec![put("a", "x")])
        .await
        .unwrap();
    server.write("a", "y").await;
    let again = commit(&server, named, vec![put("a", "x")]).await.unwrap();
    assert_eq!(first, again);
    let value = server.get("/v1/kv/a?raw").await.text().await.unwrap();
    assert_eq!(value, "y");
    let same = commit(&server, header(), vec![put("a", "y")])
        .await
        .unwrap();
    assert!(matches!(same, Outcome::Unchanged(_)), "{same:?}");
}

#[tokio::test]
async fn a_conflict_is_told_from_a_refusal() {
    let server = Server::start().await;
    server.write("a", "x").await;
    let on = |precondition| v1::CommitHeader {
        preconditions: vec![v1::Precondition {
            precondition: Some(precondition),
        }],
        ..header()
    };
    let absent = on(v1::precondition::Precondition::Absent("a".to_owned()));
    let outcome = commit(&server, absent, vec![put("b", "x")]).await.unwrap();
    let Outcome::Refused(refused) = outcome else {
        panic!("not refused: {outcome:?}");
    };
    assert!(refused.conflict);
    assert_eq!(
        refused.reasons,
        ["key `a` exists, last changed at revision 1"]
    );
    let at = on(v1::precondition::Precondition::AtRevision(v1::AtRevision {
        key: "a".to_owned(),
        revision: 1,
    }));
    stamp_of(&commit(&server, at, vec![put("b", "x")]).await.unwrap());
}

#[tokio::test]
async fn a_source_owns_exactly_its_newest_keys() {
    let server = Server::start().await;
    let both = vec![put("config/a.yml", "x: 1\n"), put("config/b.yml", "x: 1\n")];
    stamp_of(&commit(&server, source("", FIRST), both).await.unwrap());
    let one = vec![put("config/a.yml", "x: 2\n")];
    stamp_of(
        &commit(&server, source(FIRST, SECOND), one.clone())
            .await
            .unwrap(),
    );
    assert_eq!(server.get("/v1/kv/config/b.yml").await.status(), 404);
    let late = commit(&server, source(FIRST, FIRST), one).await.unwrap();
    assert!(
        matches!(&late, Outcome::Refused(refused) if refused.conflict),
        "{late:?}"
    );

    let mut client = server.client().await;
    let report = |accepted| v1::ReportSyncRequest {
        report: Some(v1::SyncReport {
            source: "main".to_owned(),
            commit: SECOND.to_owned(),
            accepted,
            faults: vec!["location-beta.yml:3:1: bad".to_owned()],
            at_us: 5,
        }),
    };
    client.report_sync(report(true)).await.unwrap();
    client.report_sync(report(false)).await.unwrap();
    let other = v1::ReportSyncRequest {
        report: Some(v1::SyncReport {
            source: "other".to_owned(),
            ..v1::SyncReport::default()
        }),
    };
    client.report_sync(other).await.unwrap();
    let sources = client
        .sources(v1::SourcesRequest {})
        .await
        .unwrap()
        .into_inner()
        .sources;
    assert_eq!(sources.len(), 2);
    assert_eq!(
        (sources[0].name.as_str(), sources[0].commit.as_str()),
        ("main", SECOND)
    );
    assert_eq!(sources[0].stamp.unwrap().revision, 2);
    assert_eq!(sources[0].profiles, ["beta"]);
    assert!(!sources[0].report.as_ref().unwrap().accepted);
    assert_eq!(
        (sources[1].name.as_str(), sources[1].commit.as_str()),
        ("other", "")
    );
    assert!(sources[1].report.as_ref().unwrap().at_us > 0);
}

#[tokio::test]
async fn history_tells_who_why_and_how_long() {
    let server = Server::start().await;
    server.write("elsewhere", "x").await;
    let change = vec![put("config/a.yml", "x: 1\n")];
    stamp_of(&commit(&server, source("", FIRST), change).await.unwrap());
    server.delete("/v1/kv/config/?recurse").await;

    let mut client = server.client().await;
    let history = v1::HistoryRequest {
        prefix: "config/".to_owned(),
        ..v1::HistoryRequest::default()
    };
    let commits = client.history(history).await.unwrap().into_inner().commits;
    let revisions: Vec<_> = commits
        .iter()
        .map(|commit| commit.stamp.unwrap().revision)
        .collect();
    assert_eq!(revisions, [3, 2]);
    assert!(commits[0].changes[0].deleted);
    assert_eq!(commits[0].origin.as_ref().unwrap().via, "consul 127.0.0.1");
    let origin = commits[1].origin.as_ref().unwrap();
    assert_eq!(
        (
            origin.author.as_str(),
            origin.via.as_str(),
            commits[1].source.as_str()
        ),
        ("Ada", "grpc 127.0.0.1", "main")
    );
    let stages: Vec<_> = origin
        .stages
        .iter()
        .map(|time| time.stage.as_str())
        .collect();
    assert_eq!(stages, ["fetched", "stored"]);
    assert!(origin.stages[1].took_us > 0);

    let older = v1::HistoryRequest {
        before: 3,
        limit: 1,
        ..v1::HistoryRequest::default()
    };
    let commits = client.history(older).await.unwrap().into_inner().commits;
    assert_eq!(commits.len(), 1);
    assert_eq!(commits[0].stamp.unwrap().revision, 2);
}

#[tokio::test]
async fn two_revisions_are_compared_and_an_old_one_is_read() {
    let server = Server::start().await;
    server.write("a", "1").await;
    server.write("b", "1").await;
    server.write("a", "2").await;
    server.delete("/v1/kv/b").await;
    server.write("c", "1").await;
    let mut client = server.client().await;
    let diff = v1::DiffRequest {
        from: 2,
        ..v1::DiffRequest::default()
    };
    let diff = client.diff(diff).await.unwrap().into_inner();
    assert_eq!(
        (diff.from.unwrap().revision, diff.to.unwrap().revision),
        (2, 5)
    );
    let entries: Vec<_> = (diff.entries.iter())
        .map(|entry| {
            (
                entry.key.as_str(),
                entry.before.as_deref(),
                entry.after.as_deref(),
            )
        })
        .collect();
    let (one, two) = (Some(b"1".as_slice()), Some(b"2".as_slice()));
    assert_eq!(
        entries,
        [("a", one, two), ("b", one, None), ("c", None, one)]
    );

    let read = v1::ReadRequest {
        keys: vec!["a".to_owned()],
        revision: 1,
        ..v1::ReadRequest::default()
    };
    let state = client
        .read(read)
        .await
        .unwrap()
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap();
    assert_eq!(state.stamp.unwrap().revision, 1);
    assert_eq!(&*state.puts[0].value, b"1");
}

#[tokio::test]
async fn many_writers_at_once_all_get_their_own_revision() {
    let server = Server::start().await;
    let server = &server;
    let writes = (0..64).map(async |number| {
        let key = format!("k/{number}");
        stamp_of(
            &commit(server, header(), vec![put(&key, "x")])
                .await
                .unwrap(),
        )
        .revision
    });
    let mut revisions = futures::future::join_all(writes).await;
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=64).collect::<Vec<_>>());
    assert_eq!(server.status().await.entries, 64);
}
