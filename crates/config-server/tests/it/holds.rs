//! Keys that are held against their git source, through both dialects.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chameleon_proto::v1;
use chameleon_proto::v1::commit_response::Outcome;
use chameleon_store::Store;
use config_server::Settings;
use futures::TryStreamExt as _;
use reqwest::Method;
use test_kit::eventually;
use tonic::Code;

use crate::store_faults::{Gate, memory};
use crate::support::{BETA, BOOTSTRAP, Server, Watch, put, requests, subscribe};

both_stores! {
    a_put_by_consul_is_held_until_its_file_changes_in_git,
    a_release_puts_back_what_git_has,
}

const HOUR_US: i64 = 3_600_000_000;
const PROD: &str = "config/location-prod.yml";

/// The whole state of the source `main`, at a commit that is named by one digit.
fn push(expected: &str, commit: &str) -> v1::CommitHeader {
    let id = |digit: &str| digit.repeat(40);
    v1::CommitHeader {
        source: Some(v1::SourceUpdate {
            name: "main".to_owned(),
            expected_commit: id(expected),
            commit: id(commit),
            profiles: vec!["beta".to_owned(), "prod".to_owned()],
        }),
        ..v1::CommitHeader::default()
    }
}

fn by_ada() -> v1::CommitHeader {
    v1::CommitHeader {
        origin: Some(v1::Origin {
            author: "ada".to_owned(),
            message: "vendor A is down".to_owned(),
            ..v1::Origin::default()
        }),
        ..v1::CommitHeader::default()
    }
}

fn hold(key: &str) -> v1::Operation {
    v1::Operation {
        operation: Some(v1::operation::Operation::Hold(key.to_owned())),
    }
}

fn release(key: &str) -> v1::Operation {
    v1::Operation {
        operation: Some(v1::operation::Operation::Release(key.to_owned())),
    }
}

async fn answer(
    server: &Server,
    header: v1::CommitHeader,
    operations: Vec<v1::Operation>,
) -> v1::CommitResponse {
    let mut client = server.client().await;
    let response = client.commit(requests(header, vec![operations])).await;
    response.unwrap().into_inner()
}

async fn holds(server: &Server) -> Vec<v1::Hold> {
    let mut client = server.client().await;
    let stream = client.holds(v1::HoldsRequest {}).await.unwrap();
    stream.into_inner().try_collect().await.unwrap()
}

async fn sources(server: &Server) -> Vec<v1::Source> {
    let mut client = server.client().await;
    let response = client.sources(v1::SourcesRequest {}).await.unwrap();
    response.into_inner().sources
}

fn keys(holds: &[v1::Hold]) -> Vec<&str> {
    holds.iter().map(|hold| hold.key.as_str()).collect()
}

async fn raw(server: &Server, key: &str) -> String {
    let response = server.get(&format!("/v1/kv/{key}?raw")).await;
    response.text().await.unwrap()
}

/// The value of a metric without labels.
async fn metric(server: &Server, name: &str) -> String {
    let text = server.get("/metrics").await.text().await.unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no `{name}` in:\n{text}"))
        .to_owned()
}

async fn a_put_by_consul_is_held_until_its_file_changes_in_git(store: Arc<dyn Store>) {
    let server = Server::of(Settings::default(), store).await;
    let first = vec![put(BETA, "a: 1\n"), put(PROD, "a: 1\n")];
    answer(&server, push("", "1"), first).await;
    let mut watch = Watch::open(&server, subscribe(&[BETA], &[])).await;
    server.write(BETA, "a: 9\n").await;
    watch.until(BETA, Some("a: 9\n")).await;

    let [held] = <[_; 1]>::try_from(holds(&server).await).unwrap();
    assert_eq!((held.key.as_str(), held.source.as_str()), (BETA, "main"));
    assert_eq!(held.git.as_ref().unwrap().value, "a: 1\n");
    assert_eq!(held.expires_us - held.since_us, 4 * HOUR_US);
    // Without a name, where it came from says most.
    assert_eq!(held.author, "consul 127.0.0.1");
    assert_eq!(metric(&server, "chameleon_holds").await, "1.0");
    assert_eq!(metric(&server, "chameleon_holds_expired").await, "0.0");
    assert_eq!(sources(&server).await[0].held, [BETA]);

    // A push of something else, and a git-sync that starts anew, do not reach it, and are told so.
    let other = vec![put(BETA, "a: 1\n"), put(PROD, "a: 2\n")];
    for (expected, commit) in [("1", "2"), ("2", "2")] {
        let pushed = answer(&server, push(expected, commit), other.clone()).await;
        assert_eq!(keys(&pushed.skipped), [BETA]);
        assert_eq!(pushed.skipped[0].git, None, "values are not told");
        assert_eq!(pushed.released, [""; 0]);
        assert_eq!(raw(&server, BETA).await, "a: 9\n");
        assert_eq!(raw(&server, PROD).await, "a: 2\n");
    }
    // A branch that was rewound does not either.
    let rewound = v1::CommitHeader {
        keeps_holds: true,
        ..push("2", "0")
    };
    let pushed = answer(
        &server,
        rewound,
        vec![put(BETA, "a: 0\n"), put(PROD, "a: 2\n")],
    )
    .await;
    assert_eq!(keys(&pushed.skipped), [BETA]);
    assert_eq!(raw(&server, BETA).await, "a: 9\n");

    // A commit that changes its file ends the hold.
    let changed = vec![put(BETA, "a: 3\n"), put(PROD, "a: 2\n")];
    let pushed = answer(&server, push("0", "3"), changed).await;
    assert_eq!(
        (pushed.released.as_slice(), pushed.skipped.len()),
        (&[BETA.to_owned()][..], 0)
    );
    watch.until(BETA, Some("a: 3\n")).await;
    assert_eq!(holds(&server).await, []);
    let mut client = server.client().await;
    let request = v1::HistoryRequest {
        key: BETA.to_owned(),
        ..v1::HistoryRequest::default()
    };
    let history = client.history(request).await.unwrap().into_inner().commits;
    let of_holds: Vec<_> = (history.iter().flat_map(|commit| &commit.holds))
        .map(|change| (change.key.as_str(), change.ended))
        .collect();
    assert_eq!(of_holds, [(BETA, true), (BETA, false), (BETA, false)]);
    server.stop().await;
}

async fn a_release_puts_back_what_git_has(store: Arc<dyn Store>) {
    let schema = "properties: { a: { type: integer } }\n";
    let schema_key = "config/schemas/location.schema.yml";
    let server = Server::of(Settings::default(), store).await;
    let first = vec![
        put(BETA, "a: 1\n"),
        put(PROD, "a: 1\n"),
        put(schema_key, schema),
    ];
    answer(&server, push("", "1"), first).await;
    server.delete(&format!("/v1/kv/{PROD}")).await;
    let frozen = v1::CommitHeader {
        hold_for_ms: 60_000,
        ..by_ada()
    };
    let held = answer(&server, frozen, vec![hold(BETA)]).await.held;
    assert_eq!(
        (held[0].author.as_str(), held[0].reason.as_str()),
        ("ada", "vendor A is down")
    );
    assert_eq!(held[0].expires_us - held[0].since_us, HOUR_US / 60);
    assert_eq!(keys(&holds(&server).await), [BETA, PROD]);

    // An override is judged as any other write is, and changes nothing if it is broken.
    let broken = answer(&server, by_ada(), vec![put(BETA, "a: x\n")]).await;
    assert!(
        matches!(broken.outcome, Some(Outcome::Refused(_))),
        "{broken:?}"
    );
    let cured = answer(&server, by_ada(), vec![put(BETA, "a: 2\n")]).await;
    assert_eq!(keys(&cured.held), [BETA]);

    let back = answer(&server, by_ada(), vec![release(BETA), release(PROD)]).await;
    assert!(
        matches!(back.outcome, Some(Outcome::Committed(_))),
        "{back:?}"
    );
    assert_eq!(back.released, [BETA, PROD]);
    for key in [BETA, PROD] {
        assert_eq!(raw(&server, key).await, "a: 1\n");
    }
    assert_eq!(holds(&server).await, []);
    let again = answer(&server, by_ada(), vec![release(BETA)]).await;
    let Some(Outcome::Refused(refused)) = again.outcome else {
        panic!("not refused: {again:?}");
    };
    let told = format!("key `{BETA}` is not held; `chameleon hold` lists the keys that are");
    assert_eq!((refused.reasons, refused.conflict), (vec![told], false));
    server.stop().await;
}

#[tokio::test]
async fn a_push_that_breaks_on_a_held_document_says_that_it_is_held() {
    let server = Server::start().await;
    let schema_key = "config/schemas/location.schema.yml";
    let schema = |kind: &str| {
        put(
            schema_key,
            format!("properties: {{ a: {{ type: {kind} }} }}\n"),
        )
    };
    let first = vec![put(BETA, "a: 1\n"), schema("integer")];
    answer(&server, push("", "1"), first).await;
    answer(&server, by_ada(), vec![put(BETA, "a: 2\n")]).await;
    let tighter = vec![put(BETA, "a: 1\n"), schema("string")];
    let refused = answer(&server, push("1", "2"), tighter).await;
    let text = format!("{refused:?}");
    let told = format!(
        "the key is held by `ada` and is not what the commit has: `chameleon release {BETA}`"
    );
    assert!(text.contains(&told), "{text}");
    server.stop().await;
}

#[tokio::test]
async fn holds_are_for_who_may_override_and_told_to_who_may_read() {
    let settings = Settings {
        token: Some(BOOTSTRAP.into()),
        ..Settings::default()
    };
    let server = Server::with(settings).await;
    let on_call = server.token("on-call", &["override:config/"]).await;
    let writer = server.token("writer", &["write:config/"]).await;
    let other = server.token("other", &["override:teams/"]).await;
    let commit = async |token: &str, header: v1::CommitHeader, operations| {
        let mut client = server.client_with(token).await;
        let response = client.commit(requests(header, vec![operations])).await;
        response.map(tonic::Response::into_inner)
    };
    let told = async |token: &str| {
        let mut client = server.client_with(token).await;
        let stream = client.holds(v1::HoldsRequest {}).await.unwrap();
        let holds: Vec<v1::Hold> = stream.into_inner().try_collect().await.unwrap();
        holds.len()
    };
    commit(&writer, push("", "1"), vec![put(BETA, "a: 1\n")])
        .await
        .unwrap();
    for token in [&writer, &other] {
        for operation in [hold(BETA), release(BETA), put(BETA, "a: 2\n")] {
            let error = commit(token, by_ada(), vec![operation]).await.unwrap_err();
            assert_eq!(error.code(), Code::PermissionDenied, "{error}");
        }
    }
    let path = format!("/v1/kv/{BETA}");
    let (status, _) = server.consul(&writer, Method::PUT, &path, "a: 2\n").await;
    assert_eq!(status, 403);
    let (status, _) = server.consul(&on_call, Method::DELETE, &path, "").await;
    assert_eq!(status, 200);
    assert_eq!(
        (
            told(&on_call).await,
            told(&writer).await,
            told(&other).await
        ),
        (1, 1, 0)
    );
    // What is held as deleted is still the source's.
    let error = commit(&writer, by_ada(), vec![put(BETA, "a: 3\n")])
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied, "{error}");
    let skipped = commit(&writer, push("1", "2"), vec![put(BETA, "a: 1\n")])
        .await
        .unwrap();
    assert_eq!(keys(&skipped.skipped), [BETA]);
    let back = commit(&on_call, by_ada(), vec![release(BETA)])
        .await
        .unwrap();
    assert_eq!(back.released, [BETA]);
    server.stop().await;
}

#[tokio::test]
async fn holds_outlive_a_restart_without_the_database_and_count_when_expired() {
    let folder = tempfile::tempdir().unwrap();
    let settings = || Settings {
        snapshot: Some(folder.path().join("state.snapshot")),
        hold_for: Duration::from_millis(1),
        ..Settings::default()
    };
    let gate = Gate::before(memory().await, Duration::ZERO);
    let server = Server::of(settings(), gate.clone()).await;
    answer(&server, push("", "1"), vec![put(BETA, "a: 1\n")]).await;
    answer(&server, by_ada(), vec![put(BETA, "a: 2\n")]).await;
    let before = holds(&server).await;
    assert_eq!(before[0].expires_us - before[0].since_us, 1_000);
    server.stop().await;

    gate.take_away();
    let server = Server::of(settings(), gate.clone()).await;
    assert_eq!(holds(&server).await, before);
    let now = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_micros()
    };
    eventually("the hold is over", async || {
        (now() > u128::try_from(before[0].expires_us).unwrap()).then_some(())
    })
    .await;
    assert_eq!(metric(&server, "chameleon_holds").await, "1.0");
    assert_eq!(metric(&server, "chameleon_holds_expired").await, "1.0");
    assert_eq!(raw(&server, BETA).await, "a: 2\n");
    server.stop().await;
}
