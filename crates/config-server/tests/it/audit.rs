//! What the audit in the store tells, in every dialect, and when something fails.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chameleon_model::{
    AuditAction, AuditId, AuditQuery, AuditReader, AuditRecord, AuditTarget, AuditVerdict,
    Timestamp,
};
use chameleon_proto::v1;
use chameleon_store::Store;
use config_server::Settings;
use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use test_kit::{FaultProxy, eventually, postgres};
use tonic::Code;

use crate::support::{BOOTSTRAP, Server, Watch, put, requests, subscribe};

both_stores! {
    every_dialect_leaves_its_records,
    a_flood_of_refusals_is_folded,
    what_is_left_is_written_at_the_end,
    old_records_are_forgotten,
}

async fn guarded(store: Arc<dyn Store>) -> Server {
    let settings = Settings {
        token: Some(BOOTSTRAP.into()),
        ..Settings::default()
    };
    Server::of(settings, store).await
}

/// All that the store has, oldest first.
async fn kept(store: &dyn Store) -> Vec<AuditRecord> {
    let query = AuditQuery {
        limit: 100_000,
        ..AuditQuery::default()
    };
    let mut records = store.audit(&query, &AuditReader::All).await.unwrap();
    records.reverse();
    records
}

/// Who did what from where, in one line.
fn line(record: &AuditRecord) -> String {
    assert_eq!(record.outcome.revision.is_some(), {
        let verdict = record.outcome.verdict;
        matches!(verdict, AuditVerdict::Committed | AuditVerdict::Unchanged)
    });
    let peer = record.peer.map(|peer| peer.to_string());
    format!(
        "{} {} {} {} {} {}",
        record.who,
        record.dialect,
        peer.unwrap_or_default(),
        record.action,
        record.target,
        record.outcome.verdict
    )
}

async fn every_dialect_leaves_its_records(store: Arc<dyn Store>) {
    let server = guarded(Arc::clone(&store)).await;
    let secret = server.token("team-a", &["write:a/"]).await;
    let mut client = server.client_with(&secret).await;
    let header = v1::CommitHeader::default;
    for key in ["a/x", "b/x"] {
        let both = vec![put("a/first", "the-value"), put(key, "the-value")];
        let commit = client.commit(requests(header(), vec![both])).await;
        assert_eq!(commit.is_ok(), key == "a/x");
    }
    let watch = Watch::guarded(&server, &secret, subscribe(&[], &["b/"])).await;
    assert_eq!(watch.err().unwrap().code(), Code::PermissionDenied);
    let wrong = server
        .client_with("cham_wrong")
        .await
        .status(v1::StatusRequest {})
        .await;
    assert_eq!(wrong.unwrap_err().code(), Code::Unauthenticated);

    let consul = async |token: &str, method: Method, path: &str, body: String| {
        server.consul(token, method, path, body).await
    };
    let value = || "the-value".to_owned();
    let written = consul(&secret, Method::PUT, "/v1/kv/a/y", value()).await;
    assert_eq!(written, (200, "true".to_owned()));
    let unmet = consul(&secret, Method::PUT, "/v1/kv/a/y?cas=1", value()).await;
    assert_eq!(unmet, (200, "false".to_owned()));
    consul(&secret, Method::DELETE, "/v1/kv/a/?recurse", String::new()).await;
    let txn = json!([{ "KV": { "Verb": "delete", "Key": "b/y" } }]).to_string();
    assert_eq!(consul(&secret, Method::PUT, "/v1/txn", txn).await.0, 403);
    for (token, path) in [
        (secret.as_str(), "/v1/kv/b/x"),
        ("cham_wrong", "/v1/kv/a/x"),
    ] {
        assert_eq!(consul(token, Method::GET, path, String::new()).await.0, 403);
    }
    let metrics = server
        .request(Method::GET, "/metrics")
        .bearer_auth("cham_wrong");
    assert_eq!(metrics.send().await.unwrap().status(), 401);
    let revoke = v1::RevokeTokenRequest {
        name: "team-a".to_owned(),
    };
    server.tokens().await.revoke(revoke).await.unwrap();

    let expected = [
        "bootstrap grpc 127.0.0.1 create_token team-a done",
        "team-a grpc 127.0.0.1 put a/first committed",
        "team-a grpc 127.0.0.1 put a/x committed",
        "team-a grpc 127.0.0.1 write b/x refused",
        "team-a grpc 127.0.0.1 read b/* refused",
        " grpc 127.0.0.1 enter  turned_away",
        "team-a consul 127.0.0.1 put a/y committed",
        "team-a consul 127.0.0.1 put a/y not_met",
        "team-a consul 127.0.0.1 delete a/* committed",
        "team-a consul 127.0.0.1 write b/y refused",
        "team-a consul 127.0.0.1 read b/x refused",
        " consul 127.0.0.1 enter  turned_away",
        " http 127.0.0.1 enter  turned_away",
        "bootstrap grpc 127.0.0.1 revoke_token team-a done",
    ];
    // What was refused waits a second for its like.
    let records = eventually("all is in the store", async || {
        let records = kept(&*store).await;
        (records.len() >= expected.len()).then_some(records)
    })
    .await;
    assert_eq!(records.iter().map(line).collect::<Vec<_>>(), expected);
    assert_eq!(
        records[3].detail,
        "token `team-a` lacks the right `write` on key `b/x`"
    );
    let all = format!("{records:?}");
    for hidden in [secret.as_str(), BOOTSTRAP, "cham_wrong", "the-value"] {
        assert!(!all.contains(hidden), "the audit tells `{hidden}`");
    }

    // And it is read by who may, as it was asked for.
    let list = async |request: v1::ListAuditRequest| {
        let listed = server.audit_with(BOOTSTRAP).await.list(request).await;
        listed.unwrap().into_inner().records
    };
    let about = v1::ListAuditRequest {
        key: "a/y".to_owned(),
        access: v1::list_audit_request::Access::Allowed.into(),
        ..v1::ListAuditRequest::default()
    };
    let actions: Vec<_> = (list(about).await.into_iter())
        .map(|record| (record.action, record.outcome))
        .collect();
    let told = |action: &str, outcome: &str| (action.to_owned(), outcome.to_owned());
    assert_eq!(
        actions,
        [
            told("delete", "committed"),
            told("put", "not_met"),
            told("put", "committed")
        ]
    );
    let newest = v1::ListAuditRequest {
        limit: 1,
        before: records[1].id.to_string(),
        ..v1::ListAuditRequest::default()
    };
    assert_eq!(list(newest).await[0].action, "create_token");
    let wrong = v1::ListAuditRequest {
        before: "7".to_owned(),
        ..v1::ListAuditRequest::default()
    };
    let wrong = server.audit_with(BOOTSTRAP).await.list(wrong).await;
    assert_eq!(wrong.unwrap_err().code(), Code::InvalidArgument);
    server.stop().await;
}

async fn a_flood_of_refusals_is_folded(store: Arc<dyn Store>) {
    const CALLS: usize = 2_000;
    let server = guarded(Arc::clone(&store)).await;
    let wrong = (0..50).map(async |_| {
        for _ in 0..CALLS / 50 {
            let (status, _) = server
                .consul("cham_wrong", Method::GET, "/v1/kv/x", "")
                .await;
            assert_eq!(status, 403);
        }
    });
    join_all(wrong).await;
    let written = server.consul(BOOTSTRAP, Method::PUT, "/v1/kv/a", "x").await;
    assert_eq!(written.0, 200);
    let (turned_away, others) = eventually("all are counted", async || {
        let records = kept(&*store).await;
        let (away, others): (Vec<_>, Vec<_>) = (records.into_iter())
            .partition(|record| record.outcome.verdict == AuditVerdict::TurnedAway);
        let times: u64 = away.iter().map(|record| record.times).sum();
        (times == CALLS as u64 && !others.is_empty()).then_some((away, others))
    })
    .await;
    // One for each second that it took, on whatever machine.
    assert!(turned_away.len() < CALLS / 20, "{}", turned_away.len());
    let others: Vec<_> = others.iter().map(line).collect();
    assert_eq!(others, ["bootstrap consul 127.0.0.1 put a committed"]);
    let metrics = server
        .request(Method::GET, "/metrics")
        .bearer_auth(BOOTSTRAP);
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    assert!(
        metrics.contains("chameleon_audit_dropped_total 0\n"),
        "{metrics}"
    );
}

async fn what_is_left_is_written_at_the_end(store: Arc<dyn Store>) {
    let server = guarded(Arc::clone(&store)).await;
    for _ in 0..3 {
        server
            .consul("cham_wrong", Method::GET, "/v1/kv/a", "")
            .await;
    }
    let written = server.consul(BOOTSTRAP, Method::PUT, "/v1/kv/a", "x").await;
    assert_eq!(written.0, 200);
    // At once: a refusal would wait a second for its like.
    server.stop().await;
    let records = kept(&*store).await;
    assert_eq!(
        records.iter().map(line).collect::<Vec<_>>(),
        [
            " consul 127.0.0.1 enter  turned_away",
            "bootstrap consul 127.0.0.1 put a committed",
        ]
    );
    assert_eq!(records[0].times, 3);
}

async fn old_records_are_forgotten(store: Arc<dyn Store>) {
    let Timestamp(now) = SystemTime::now().into();
    let [old, young] = [91, 89].map(|days| {
        let at = Timestamp(now - days * 86_400 * 1_000_000);
        AuditRecord {
            id: AuditId::first_at(at),
            at,
            who: format!("{days} days"),
            dialect: "grpc".to_owned(),
            peer: None,
            action: AuditAction::Write,
            target: AuditTarget::Nothing,
            outcome: AuditVerdict::Done.into(),
            times: 1,
            detail: String::new(),
        }
    });
    store.append_audit(&[old, young.clone()]).await.unwrap();
    let _server = guarded(Arc::clone(&store)).await;
    eventually("the old one is gone", async || {
        (kept(&*store).await == [young.clone()]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_happens_while_the_database_is_away_is_told_when_it_is_back() {
    let database = postgres::database().await;
    let proxy = FaultProxy::start(database.server_address()).await;
    let store = chameleon_store::open(&database.url_through(&proxy))
        .await
        .unwrap();
    let behind = chameleon_store::open(database.url()).await.unwrap();
    let server = guarded(store).await;
    let token = server.token("team-a", &["write:a/"]).await;
    eventually("the first record is there", async || {
        (!kept(&*behind).await.is_empty()).then_some(())
    })
    .await;

    proxy.cut().await;
    let written = server.consul(&token, Method::PUT, "/v1/kv/a/x", "x").await;
    assert_eq!(written.0, 503, "{}", written.1);
    let refused = server.consul(&token, Method::GET, "/v1/kv/b/x", "").await;
    assert_eq!(refused.0, 403);
    // Reading it is one of the things that need the database.
    let mut audit = server.audit_with(BOOTSTRAP).await;
    let listed = audit.list(v1::ListAuditRequest::default()).await;
    assert_eq!(listed.unwrap_err().code(), Code::Unavailable);

    proxy.heal();
    let expected = [
        "bootstrap grpc 127.0.0.1 create_token team-a done",
        "team-a consul 127.0.0.1 put a/x failed",
        "team-a consul 127.0.0.1 read b/x refused",
    ];
    eventually("all is told", async || {
        let records = kept(&*behind).await;
        let lines: Vec<_> = records.iter().map(line).collect();
        (lines == expected).then_some(())
    })
    .await;
    tokio::time::timeout(Duration::from_secs(10), server.stop())
        .await
        .unwrap();
}
