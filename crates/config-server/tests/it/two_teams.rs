//! Two teams on one installation neither see nor touch each other's prefix, in no dialect.

use std::fmt::Debug;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chameleon_proto::v1;
use chameleon_proto::v1::config_client::ConfigClient;
use config_server::Settings;
use futures::TryStreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use test_kit::eventually;
use tonic::{Code, Status};

use crate::support::{BOOTSTRAP, Guarded, Server, Watch, put, requests, subscribe};

/// What only team B may know.
const SECRET: &str = "only-for-b";

struct Teams {
    server: Server,
    a: String,
    b: String,
}

impl Teams {
    /// Both teams have the same keys, and team B's hold its secret.
    async fn start() -> Self {
        let server = Server::with(Settings {
            token: Some(BOOTSTRAP.into()),
            ..Settings::default()
        })
        .await;
        let a = server.token("team-a", &["write:a/"]).await;
        let b = server.token("team-b", &["write:b/"]).await;
        let teams = Self { server, a, b };
        for (token, prefix, value) in [(&teams.a, "a", "for-a"), (&teams.b, "b", SECRET)] {
            for key in ["one", "two", "three", "four", "five", "tree/x", "tree/y"] {
                let path = format!("/v1/kv/{prefix}/{key}");
                let (status, body) = teams.consul(token, Method::PUT, &path, value).await;
                assert_eq!((status, body.as_str()), (200, "true"), "{path}");
            }
        }
        teams
    }

    async fn consul(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: impl Into<String>,
    ) -> (u16, String) {
        let body: String = body.into();
        self.server.consul(token, method, path, body).await
    }

    async fn get(&self, token: &str, path: &str) -> (u16, String) {
        self.consul(token, Method::GET, path, "").await
    }

    /// Everything that there is of team B, as team B sees it.
    async fn of_b(&self) -> String {
        let (status, entries) = self.get(&self.b, "/v1/kv/b/?recurse").await;
        assert_eq!(status, 200);
        let (_, sessions) = self.get(&self.b, "/v1/session/list").await;
        format!("{entries} {sessions}")
    }

    /// A session of the token's, by its id.
    async fn session(&self, token: &str, name: &str) -> String {
        let body = json!({ "Name": name, "TTL": "600s" }).to_string();
        let (status, answer) = self
            .consul(token, Method::PUT, "/v1/session/create", body)
            .await;
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["ID"].as_str().unwrap().to_owned()
    }
}

/// Nothing of team B stands in an answer to team A.
fn assert_unseen(case: &str, answer: &str) {
    for hidden in ["b/", SECRET, &STANDARD.encode(SECRET), "team-b"] {
        // Bytes print as text, but for the quotes.
        assert!(
            !answer.contains(hidden),
            "{case} tells `{hidden}`: {answer}"
        );
    }
}

fn kv(verb: &str, key: &str, more: &Value) -> Value {
    let mut operation = json!({ "Verb": verb, "Key": key });
    for (name, value) in more.as_object().into_iter().flatten() {
        operation[name] = value.clone();
    }
    json!({ "KV": operation })
}

#[tokio::test]
async fn over_consuls_keys() {
    let teams = Teams::start().await;
    let session = teams.session(&teams.a, "mine").await;
    let acquire = format!("one?acquire={session}");
    let release = format!("one?release={session}");
    let before = teams.of_b().await;
    let cases = [
        (Method::GET, "one"),
        (Method::GET, "one?raw"),
        (Method::GET, "one?index=1&wait=1s"),
        (Method::GET, "?recurse"),
        (Method::GET, "tree/?recurse"),
        (Method::GET, "t?recurse"),
        (Method::GET, "?recurse&index=1&wait=1s"),
        (Method::GET, "?keys"),
        (Method::GET, "?keys&separator=/"),
        (Method::PUT, "one"),
        (Method::PUT, "new"),
        (Method::PUT, "new?cas=0"),
        (Method::PUT, acquire.as_str()),
        (Method::PUT, release.as_str()),
        (Method::DELETE, "two"),
        (Method::DELETE, "three?cas=1"),
        (Method::DELETE, "none"),
        (Method::DELETE, "tree/?recurse"),
    ];
    for (method, rest) in cases {
        let of = |team: &str| format!("/v1/kv/{team}/{rest}");
        let (status, body) = teams
            .consul(&teams.a, method.clone(), &of("b"), "stolen")
            .await;
        assert_eq!(status, 403, "{method} {rest}: {body}");
        assert!(body.starts_with("Permission denied: "), "{body}");
        assert!(!body.contains(SECRET), "{body}");
        let (status, body) = teams
            .consul(&teams.a, method.clone(), &of("a"), "for-a")
            .await;
        assert_eq!(status, 200, "{method} {rest}: {body}");
        assert_unseen(rest, &body);
    }
    let (status, body) = teams
        .consul(&teams.a, Method::DELETE, "/v1/kv/?recurse", "")
        .await;
    assert_eq!(status, 403, "{body}");
    assert_eq!(teams.of_b().await, before);
}

#[tokio::test]
async fn lists_from_above_show_only_what_may_be_read() {
    let teams = Teams::start().await;
    for (path, expected) in [
        ("/v1/kv/?recurse", 7),
        ("/v1/kv?recurse", 7),
        ("/v1/kv/?keys", 7),
        ("/v1/kv/?keys&separator=/", 1),
        ("/v1/kv/a?recurse", 7),
    ] {
        let response = (teams.server.request(Method::GET, path))
            .header("x-consul-token", &teams.a)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let filtered = response.headers().get("x-consul-results-filtered-by-acls");
        assert_eq!(filtered.unwrap(), "true", "{path}");
        let body = response.text().await.unwrap();
        assert_unseen(path, &body);
        let list: Vec<Value> = serde_json::from_str(&body).unwrap();
        assert_eq!(list.len(), expected, "{path}: {body}");
    }
    let (status, _) = teams.get(&teams.a, "/v1/kv/none/?keys").await;
    assert_eq!(status, 403);
    let unlimited = teams.get(BOOTSTRAP, "/v1/kv/?keys&separator=/").await;
    assert_eq!(unlimited, (200, r#"["a/","b/"]"#.to_owned()));
}

/// The index of a list from above is that of its own part: who waits is not told of others.
#[tokio::test]
async fn a_list_from_above_does_not_move_with_others() {
    let teams = Teams::start().await;
    let index = async || {
        let request = teams.server.request(Method::GET, "/v1/kv/?recurse");
        let response = request.header("x-consul-token", &teams.a).send().await;
        let index = response.unwrap().headers()["x-consul-index"].clone();
        index.to_str().unwrap().parse::<u64>().unwrap()
    };
    let before = index().await;
    let write = async |token: &str, path: &str| {
        let written = teams.consul(token, Method::PUT, path, "more").await;
        assert_eq!(written, (200, "true".to_owned()));
    };
    write(&teams.b, "/v1/kv/b/one").await;
    assert_eq!(index().await, before);
    write(&teams.a, "/v1/kv/a/one").await;
    assert!(index().await > before);
}

#[tokio::test]
async fn over_consuls_transactions() {
    let teams = Teams::start().await;
    let session = teams.session(&teams.a, "mine").await;
    let before = teams.of_b().await;
    let value = json!({ "Value": STANDARD.encode("for-a") });
    let with_session = json!({ "Value": STANDARD.encode("for-a"), "Session": session });
    let none = json!({});
    for (verb, key, more) in [
        ("get", "one", &none),
        ("get-or-empty", "none", &none),
        ("get-tree", "", &none),
        ("get-tree", "tree/", &none),
        ("check-not-exists", "none", &none),
        ("set", "one", &value),
        ("cas", "new", &value),
        ("lock", "three", &with_session),
        ("check-session", "three", &with_session),
        ("unlock", "three", &with_session),
        ("delete", "two", &none),
        ("delete-cas", "none", &none),
        ("delete-tree", "tree/", &none),
    ] {
        let body = |keys: &[String]| {
            let steps: Vec<_> = keys.iter().map(|key| kv(verb, key, more)).collect();
            Value::from(steps).to_string()
        };
        let of = |team: &str| format!("{team}/{key}");
        // Beside an operation that is allowed, too: it is whole or not at all.
        for steps in [vec![of("b")], vec![of("a"), of("b")]] {
            let (status, answer) = teams
                .consul(&teams.a, Method::PUT, "/v1/txn", body(&steps))
                .await;
            assert_eq!(status, 403, "{verb} {steps:?}: {answer}");
            assert!(answer.starts_with("Permission denied: "), "{answer}");
            assert!(!answer.contains(SECRET), "{answer}");
        }
        let (status, answer) = teams
            .consul(&teams.a, Method::PUT, "/v1/txn", body(&[of("a")]))
            .await;
        assert_eq!(status, 200, "{verb} {key}: {answer}");
        assert_unseen(verb, &answer);
    }
    let all = Value::from(vec![kv("get-tree", "", &none)]).to_string();
    let (status, _) = teams.consul(&teams.a, Method::PUT, "/v1/txn", all).await;
    assert_eq!(status, 403);
    assert_eq!(teams.of_b().await, before);
}

#[tokio::test]
async fn over_consuls_sessions() {
    let teams = Teams::start().await;
    let theirs = teams.session(&teams.b, "for team-b only").await;
    let lock = format!("/v1/kv/b/one?acquire={theirs}");
    let locked = teams.consul(&teams.b, Method::PUT, &lock, SECRET).await;
    assert_eq!(locked, (200, "true".to_owned()));
    let mine = teams.session(&teams.a, "mine").await;
    let before = teams.of_b().await;

    for path in ["/v1/session/list", "/v1/session/node/chameleon"] {
        let (status, body) = teams.get(&teams.a, path).await;
        assert_eq!(status, 200);
        assert_unseen(path, &body);
        assert!(body.contains(&mine) && !body.contains(&theirs), "{body}");
    }
    let info = |id: &str| format!("/v1/session/info/{id}");
    let unknown = teams.get(&teams.a, &info(&theirs)).await;
    assert_eq!(unknown, (200, "[]".to_owned()));
    assert!(teams.get(&teams.a, &info(&mine)).await.1.contains("mine"));

    // Each is allowed with the own session and refused with the other's.
    for path in [
        |id: &str| format!("/v1/session/renew/{id}"),
        |id: &str| format!("/v1/kv/a/one?acquire={id}"),
        |id: &str| format!("/v1/kv/a/one?release={id}"),
        |id: &str| format!("/v1/session/destroy/{id}"),
    ] {
        let (status, body) = teams
            .consul(&teams.a, Method::PUT, &path(&theirs), "")
            .await;
        assert_eq!(status, 403, "{}: {body}", path(&theirs));
        let (status, body) = teams.consul(&teams.a, Method::PUT, &path(&mine), "").await;
        assert_eq!(status, 200, "{}: {body}", path(&mine));
    }
    assert_eq!(teams.of_b().await, before);

    let reader = teams.server.token("reader", &["read:a/"]).await;
    let (status, body) = teams
        .consul(&reader, Method::PUT, "/v1/session/create", "")
        .await;
    assert_eq!(status, 403, "{body}");
}

/// Calls with what each answered, as text.
type Answers = Vec<(&'static str, Result<String, Status>)>;

fn printed<T: Debug>(answer: Result<tonic::Response<T>, Status>) -> Result<String, Status> {
    answer.map(|answer| format!("{:?}", answer.into_inner()))
}

/// All calls of `chameleon.v1` about `team`'s prefix by whom `own` is theirs.
async fn calls(client: &mut ConfigClient<Guarded>, own: &str, team: &str) -> Answers {
    let mut answers = reads(client, team).await;
    answers.extend(writes(client, own, team).await);
    answers
}

async fn reads(client: &mut ConfigClient<Guarded>, team: &str) -> Answers {
    let (key, prefix) = (format!("{team}/one"), format!("{team}/"));
    let mut answers = Vec::new();
    for (keys, prefixes, revision) in [
        (vec![key.clone()], vec![], 0),
        (vec![key.clone()], vec![], 14),
        (vec![], vec![prefix.clone()], 0),
        (vec![], vec![prefix.clone()], 14),
    ] {
        let read = v1::ReadRequest {
            keys,
            prefixes,
            revision,
            consistent: false,
        };
        let states = match client.read(read).await {
            Ok(states) => states.into_inner().try_collect::<Vec<_>>().await,
            Err(status) => Err(status),
        };
        answers.push(("read", states.map(|states| format!("{states:?}"))));
    }
    for (key, prefix) in [(key, String::new()), (String::new(), prefix.clone())] {
        let history = v1::HistoryRequest {
            key,
            prefix,
            ..v1::HistoryRequest::default()
        };
        answers.push(("history", printed(client.history(history).await)));
    }
    let diff = v1::DiffRequest {
        from: 1,
        to: 0,
        prefixes: vec![prefix],
        keys: Vec::new(),
    };
    answers.push(("diff", printed(client.diff(diff).await)));
    answers
}

async fn writes(client: &mut ConfigClient<Guarded>, own: &str, team: &str) -> Answers {
    use v1::operation::Operation;
    use v1::precondition::Precondition;
    let own = format!("{own}/own");
    let key = format!("{team}/one");
    let mut answers = Vec::new();
    let mut commit = async |case, header, operations| {
        let answer = client.commit(requests(header, vec![operations])).await;
        answers.push((case, printed(answer)));
    };
    let header = v1::CommitHeader::default;
    let of = |operation| v1::Operation {
        operation: Some(operation),
    };
    let delete = of(Operation::Delete(format!("{team}/four")));
    let delete_prefix = of(Operation::DeletePrefix(format!("{team}/tree/")));
    commit("put", header(), vec![put(&key, "for-a")]).await;
    commit(
        "put behind own",
        header(),
        vec![put(&own, "x"), put(&key, "x")],
    )
    .await;
    commit("delete", header(), vec![delete]).await;
    commit("delete prefix", header(), vec![delete_prefix]).await;
    for precondition in [
        Precondition::Absent(format!("{team}/none")),
        Precondition::AtRevision(v1::AtRevision {
            key: format!("{team}/five"),
            revision: 5,
        }),
        Precondition::Unchanged(v1::Unchanged {
            prefix: format!("{team}/"),
            since: 100,
        }),
    ] {
        let header = v1::CommitHeader {
            preconditions: vec![v1::Precondition {
                precondition: Some(precondition),
            }],
            ..header()
        };
        commit("condition", header, vec![put(&own, "y")]).await;
    }
    let source = v1::CommitHeader {
        source: Some(v1::SourceUpdate {
            name: format!("source-{team}"),
            expected_commit: String::new(),
            commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            profiles: Vec::new(),
        }),
        ..header()
    };
    commit(
        "source",
        source,
        vec![put(&format!("{team}/git.yml"), "x: 1")],
    )
    .await;
    answers
}

#[tokio::test]
async fn over_grpc() {
    let teams = Teams::start().await;
    let mut client = teams.server.client_with(&teams.a).await;
    let before = teams.of_b().await;
    for (case, answer) in calls(&mut client, "a", "b").await {
        let status = answer.expect_err(case);
        assert_eq!(status.code(), Code::PermissionDenied, "{case}: {status}");
        let message = status.message();
        assert!(
            message.starts_with("token `team-a` lacks the right `") && message.contains("`b/"),
            "{case}: {message}"
        );
    }
    assert_eq!(teams.of_b().await, before);
    for (case, answer) in calls(&mut client, "a", "a").await {
        assert_unseen(case, &answer.expect(case));
    }
    assert_eq!(teams.of_b().await, before);
    // Team B's calls are the same, so that the table holds in both directions.
    let mut client = teams.server.client_with(&teams.b).await;
    let (_, answer) = calls(&mut client, "b", "b").await.remove(0);
    assert!(answer.unwrap().contains(SECRET));
}

#[tokio::test]
async fn over_watches() {
    let teams = Teams::start().await;
    for (keys, prefixes) in [
        (&["b/one"][..], &[][..]),
        (&[], &["b/"]),
        (&["a/one", "b/one"], &[]),
        (&[], &["a/", "b/"]),
        (&[], &["a"]),
        (&[], &[""]),
    ] {
        let refused = Watch::guarded(&teams.server, &teams.a, subscribe(keys, prefixes)).await;
        let status = refused.err().expect("it is refused");
        assert_eq!(status.code(), Code::PermissionDenied);
        assert!(
            status.message().contains("lacks the right `read`"),
            "{status}"
        );
    }
    let allowed = subscribe(&["a/one"], &["a/tree/"]);
    let mut watch = Watch::guarded(&teams.server, &teams.a, allowed)
        .await
        .unwrap();
    watch.next().await;
    assert_eq!(watch.entries.len(), 3);
}

/// What is asked for without naming a place leaves out what is out of reach.
#[tokio::test]
async fn over_what_names_no_place() {
    let teams = Teams::start().await;
    let of_both = vec![put("a/both", "x"), put("b/both", SECRET)];
    let mut root = teams.server.client_with(BOOTSTRAP).await;
    let requests = requests(v1::CommitHeader::default(), vec![of_both]);
    root.commit(requests).await.unwrap();
    // Each team has an instance and a source.
    let mut watches = Vec::new();
    for (token, team) in [(&teams.a, "a"), (&teams.b, "b")] {
        let mut client = teams.server.client_with(token).await;
        let source = calls(&mut client, team, team).await;
        assert!(
            source.iter().all(|(_, answer)| answer.is_ok()),
            "{source:?}"
        );
        let subscribe = v1::Subscribe {
            identity: Some(v1::Identity {
                service: format!("service-of-team-{team}"),
                instance: team.to_owned(),
                ..v1::Identity::default()
            }),
            ..subscribe(&[], &[&format!("{team}/")])
        };
        let mut watch = Watch::guarded(&teams.server, token, subscribe)
            .await
            .unwrap();
        watch.next().await;
        watches.push(watch);
        let report = v1::ReportSyncRequest {
            report: Some(v1::SyncReport {
                source: format!("source-{team}"),
                faults: vec![format!("{team}/git.yml: {SECRET}")],
                ..v1::SyncReport::default()
            }),
        };
        client.report_sync(report).await.unwrap();
    }

    let mut client = teams.server.client_with(&teams.a).await;
    let history = client.history(v1::HistoryRequest::default()).await;
    let commits = history.unwrap().into_inner().commits;
    assert!(commits.iter().any(|one| one.changes[0].key == "a/both"));
    assert!(commits.iter().all(|one| !one.changes.is_empty()));
    assert_unseen("history", &format!("{commits:?}"));

    let fleet = client.fleet(v1::FleetRequest::default()).await.unwrap();
    let fleet = fleet.into_inner().instances;
    assert_eq!(fleet.len(), 1);
    assert_unseen("fleet", &format!("{fleet:?}"));

    let sources = client.sources(v1::SourcesRequest {}).await.unwrap();
    let sources = sources.into_inner().sources;
    let names: Vec<_> = sources.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["source-a"]);

    let report = |name: &str| v1::ReportSyncRequest {
        report: Some(v1::SyncReport {
            source: name.to_owned(),
            ..v1::SyncReport::default()
        }),
    };
    let status = client.report_sync(report("source-b")).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);

    for prefix in ["", "b/"] {
        let diff = v1::DiffRequest {
            from: 1,
            to: 0,
            prefixes: vec![prefix.to_owned()],
            keys: Vec::new(),
        };
        let status = client.diff(diff).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
        let rollback = v1::RollbackRequest {
            to: 1,
            prefixes: vec![prefix.to_owned()],
            ..v1::RollbackRequest::default()
        };
        let status = client.rollback(rollback).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
    }
    let all = root.fleet(v1::FleetRequest::default()).await.unwrap();
    assert_eq!(all.into_inner().instances.len(), 2);
    let all = root.sources(v1::SourcesRequest {}).await.unwrap();
    assert_eq!(all.into_inner().sources.len(), 2);
    client.status(v1::StatusRequest {}).await.unwrap();
}

/// A team is told of its own acts and of its own keys, whoever touched them, and of nothing else.
#[tokio::test]
async fn over_the_audit() {
    let teams = Teams::start().await;
    let (status, _) = teams.get(&teams.a, "/v1/kv/b/one").await;
    assert_eq!(status, 403);
    let (status, _) = teams
        .consul(&teams.b, Method::PUT, "/v1/kv/a/one", SECRET)
        .await;
    assert_eq!(status, 403);
    let of_both = vec![put("a/both", "x"), put("b/both", SECRET)];
    let mut root = teams.server.client_with(BOOTSTRAP).await;
    let both = requests(v1::CommitHeader::default(), vec![of_both]);
    root.commit(both).await.unwrap();
    let list = async |token: &str, request: v1::ListAuditRequest| {
        let listed = teams.server.audit_with(token).await.list(request).await;
        listed.unwrap().into_inner().records
    };
    let all = v1::ListAuditRequest {
        limit: 1_000,
        ..v1::ListAuditRequest::default()
    };
    // Two tokens, seven keys of each team, two refusals, and the two keys at last.
    eventually("all is in the store", async || {
        (list(BOOTSTRAP, all.clone()).await.len() == 20).then_some(())
    })
    .await;
    for (token, own, other) in [(&teams.a, "a", "b"), (&teams.b, "b", "a")] {
        let told: Vec<_> = (list(token, all.clone()).await.iter())
            .map(|one| format!("{} {} {} {}", one.who, one.action, one.target, one.outcome))
            .collect();
        assert_eq!(told.len(), 10, "{told:?}");
        let mine = |line: &String| {
            line.starts_with(&format!("team-{own} put {own}/")) && line.ends_with(" committed")
        };
        let rest: Vec<_> = told.iter().filter(|line| !mine(line)).cloned().collect();
        let tried = |who: &str, whose: &str| {
            let action = if who == "a" { "read" } else { "write" };
            format!("team-{who} {action} {whose}/one refused")
        };
        let (mut expected, mut rest) = (
            vec![
                format!("bootstrap put {own}/both committed"),
                tried(own, other),
                tried(other, own),
            ],
            rest,
        );
        expected.sort();
        rest.sort();
        assert_eq!(rest, expected);
        // Asking for more tells no more.
        for request in [
            v1::ListAuditRequest {
                prefix: format!("{other}/"),
                ..all.clone()
            },
            v1::ListAuditRequest {
                who: format!("team-{other}"),
                ..all.clone()
            },
        ] {
            let told = list(token, request).await;
            assert_eq!(told.len(), 1, "{told:?}");
            assert_eq!(told[0].outcome, "refused");
        }
    }
    assert!(!format!("{:?}", list(BOOTSTRAP, all.clone()).await).contains(SECRET));
    let mut anybody = teams.server.audit_with("cham_wrong").await;
    let status = anybody.list(all).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}
