//! The life of a token, and what the audit tells of it.

use std::io;
use std::sync::{Arc, Mutex};

use chameleon_proto::v1;
use config_server::Settings;
use reqwest::Method;
use serde_json::Value;
use test_kit::{FaultProxy, eventually, postgres};
use tonic::Code;

use crate::support::{BOOTSTRAP, Server, Watch, put, requests, subscribe};

async fn guarded() -> Server {
    let store = chameleon_store::open("sqlite::memory:").await.unwrap();
    guarded_of(store).await
}

async fn guarded_of(store: Arc<dyn chameleon_store::Store>) -> Server {
    let settings = Settings {
        token: Some(BOOTSTRAP.into()),
        ..Settings::default()
    };
    Server::of(settings, store).await
}

/// What `server` answers to a harmless call with `token`.
async fn status_of(server: &Server, token: &str) -> u16 {
    let (status, _) = server
        .consul(token, Method::GET, "/v1/status/leader", "")
        .await;
    status
}

async fn rotate(server: &Server, name: &str, grace_ms: u64) -> String {
    let request = v1::RotateTokenRequest {
        name: name.to_owned(),
        grace_ms,
    };
    let rotated = server.tokens().await.rotate(request).await.unwrap();
    rotated.into_inner().secret
}

async fn revoke(server: &Server, name: &str) {
    let request = v1::RevokeTokenRequest {
        name: name.to_owned(),
    };
    server.tokens().await.revoke(request).await.unwrap();
}

#[tokio::test]
async fn every_server_learns_of_a_token_and_of_its_end() {
    let store = chameleon_store::open("sqlite::memory:").await.unwrap();
    let one = guarded_of(Arc::clone(&store)).await;
    let other = guarded_of(store).await;
    let becomes = async |token: &str, expected: u16| {
        eventually("the other server has learned of it", async || {
            (status_of(&other, token).await == expected).then_some(())
        })
        .await;
    };
    let secret = one.token("team-a", &["read:a/"]).await;
    assert!(secret.starts_with("cham_") && secret.len() == 69);
    assert_eq!(status_of(&one, &secret).await, 200);
    becomes(&secret, 200).await;

    let next = rotate(&one, "team-a", 3_600_000).await;
    becomes(&next, 200).await;
    for server in [&one, &other] {
        assert_eq!(status_of(server, &secret).await, 200);
    }
    let last = rotate(&one, "team-a", 0).await;
    assert_eq!(status_of(&one, &secret).await, 403);
    becomes(&secret, 403).await;
    assert_eq!(status_of(&other, &next).await, 403);
    assert_eq!(status_of(&other, &last).await, 200);

    revoke(&one, "team-a").await;
    assert_eq!(status_of(&one, &last).await, 403);
    becomes(&last, 403).await;
    assert_eq!(status_of(&other, BOOTSTRAP).await, 200);
}

#[tokio::test]
async fn watches_end_with_their_token() {
    let store = chameleon_store::open("sqlite::memory:").await.unwrap();
    let one = guarded_of(Arc::clone(&store)).await;
    let other = guarded_of(store).await;
    let revoked = one.token("revoked", &["read:a/"]).await;
    let expiring = v1::CreateTokenRequest {
        name: "expiring".to_owned(),
        rules: vec!["read:a/".to_owned()],
        lives_ms: 1_500,
    };
    let expiring = one.tokens().await.create(expiring).await.unwrap();
    let expiring = expiring.into_inner().secret;
    eventually("the other server knows both", async || {
        let known =
            status_of(&other, &revoked).await == 200 && status_of(&other, &expiring).await == 200;
        known.then_some(())
    })
    .await;
    let mut watches = Vec::new();
    for (server, token) in [(&one, &expiring), (&other, &revoked), (&other, &expiring)] {
        let opened = Watch::guarded(server, token, subscribe(&[], &["a/"])).await;
        let mut watch = opened.unwrap();
        watch.next().await;
        watches.push(watch);
    }
    let mut staying = Watch::guarded(&other, BOOTSTRAP, subscribe(&[], &["a/"]))
        .await
        .unwrap();
    staying.next().await;
    let poll = other
        .request(Method::GET, "/v1/kv/a/?recurse&index=1&wait=5m")
        .header("x-consul-token", &revoked)
        .send();
    let (poll, ()) = tokio::join!(poll, revoke(&one, "revoked"));
    let poll = poll.unwrap();
    assert_eq!(poll.status(), 403);
    assert!(
        poll.text()
            .await
            .unwrap()
            .starts_with("Permission denied: ")
    );
    for mut watch in watches {
        let status = watch.try_next().await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(
            status.message().contains("was revoked, has expired"),
            "{status}"
        );
    }
    let write = other
        .consul(BOOTSTRAP, Method::PUT, "/v1/kv/a/x", "y")
        .await;
    assert_eq!(write.0, 200);
    staying.until("a/x", Some("y")).await;
}

#[tokio::test]
async fn known_tokens_go_on_without_the_database() {
    let database = postgres::database().await;
    let proxy = FaultProxy::start(database.server_address()).await;
    let url = database.url_through(&proxy);
    let server = guarded_of(chameleon_store::open(&url).await.unwrap()).await;
    let other = guarded_of(chameleon_store::open(database.url()).await.unwrap()).await;
    let token = server.token("team-a", &["read:a/"]).await;
    let mut watch = Watch::guarded(&server, &token, subscribe(&[], &["a/"]))
        .await
        .unwrap();
    watch.next().await;
    eventually("the other server knows it", async || {
        (status_of(&other, &token).await == 200).then_some(())
    })
    .await;

    proxy.cut().await;
    let create = v1::CreateTokenRequest {
        name: "team-b".to_owned(),
        rules: vec!["read:b/".to_owned()],
        lives_ms: 0,
    };
    let status = server.tokens().await.create(create).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(status_of(&server, &token).await, 200);
    assert_eq!(status_of(&server, "wrong").await, 403);

    // What happened meanwhile is learned when the database is back.
    revoke(&other, "team-a").await;
    assert_eq!(status_of(&server, &token).await, 200);
    proxy.heal();
    let status = watch.try_next().await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(status_of(&server, &token).await, 403);
}

#[tokio::test]
async fn only_the_bootstrap_token_manages_tokens() {
    let server = guarded().await;
    let team = server.token("team-a", &["override:a/", "read:b/one"]).await;
    let mut tokens = server.tokens_with(&team).await;
    let create = v1::CreateTokenRequest {
        name: "mine".to_owned(),
        rules: vec!["override:b/".to_owned()],
        lives_ms: 0,
    };
    let rotate = v1::RotateTokenRequest {
        name: "team-a".to_owned(),
        grace_ms: 0,
    };
    let revoke = v1::RevokeTokenRequest {
        name: "team-a".to_owned(),
    };
    for status in [
        tokens.create(create).await.err(),
        tokens.rotate(rotate).await.err(),
        tokens.revoke(revoke).await.err(),
        tokens.list(v1::ListTokensRequest {}).await.err(),
    ] {
        let status = status.unwrap();
        assert_eq!(status.code(), Code::PermissionDenied);
        assert_eq!(
            status.message(),
            "token `team-a` may not manage tokens; the bootstrap token may"
        );
    }
    let mut tokens = server.tokens_with("wrong").await;
    let status = tokens.list(v1::ListTokensRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);

    let listed = server.tokens().await.list(v1::ListTokensRequest {}).await;
    let listed = listed.unwrap().into_inner().tokens;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].rules, ["override:a/", "read:b/one"]);
    assert_eq!(listed[0].created_by, "bootstrap");
    assert!(!format!("{listed:?}").contains("cham_"));
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named() {
    let server = guarded().await;
    let mut tokens = server.tokens().await;
    for (name, rules, part) in [
        (
            "two words",
            &["read:a/"][..],
            "name: `two words` is no name",
        ),
        ("bootstrap", &["read:a/"], "name: `bootstrap` is what"),
        ("x", &[], "rules: is missing"),
        (
            "x",
            &["read:a/", "admin:a/"],
            "rules: `admin:a/` is no rule",
        ),
        ("x", &["read:a/../b/"], "has a `..` segment"),
        (
            "x",
            &["read:a/"; 101],
            "rules: 101 are given, 100 are allowed",
        ),
        ("taken", &["read:a/"], ""),
        ("taken", &["read:b/"], "no name is given twice; rotate it"),
    ] {
        let request = v1::CreateTokenRequest {
            name: name.to_owned(),
            rules: rules.iter().map(|&rule| rule.to_owned()).collect(),
            lives_ms: 0,
        };
        match tokens.create(request).await {
            Ok(_) => assert_eq!(part, ""),
            Err(status) => {
                assert_eq!(status.code(), Code::InvalidArgument);
                assert!(
                    !part.is_empty() && status.message().contains(part),
                    "{status}"
                );
            }
        }
    }
    let request = v1::RevokeTokenRequest {
        name: "nobody".to_owned(),
    };
    let status = tokens.revoke(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status.message().contains("there is no token `nobody`"),
        "{status}"
    );
}

#[tokio::test]
async fn a_secret_is_nowhere_in_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let address = format!("sqlite://{}", file.display());
    let server = guarded_of(chameleon_store::open(&address).await.unwrap()).await;
    let first = server.token("team-a", &["write:a/"]).await;
    let second = rotate(&server, "team-a", 3_600_000).await;
    let written = server.consul(&second, Method::PUT, "/v1/kv/a/x", "y").await;
    assert_eq!(written.0, 200);
    server.stop().await;
    let mut bytes = Vec::new();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        bytes.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    for secret in [first.as_str(), second.as_str(), BOOTSTRAP] {
        let secret = secret.trim_start_matches("cham_").as_bytes();
        assert!(!bytes.windows(secret.len()).any(|part| part == secret));
    }
    assert!(bytes.windows(6).any(|part| part == b"team-a"));
}

/// A source's keys take the right to override, in every dialect.
#[tokio::test]
async fn what_git_owns_takes_the_right_to_override() {
    let server = guarded().await;
    let git = server.token("git-sync", &["write:a/"]).await;
    let hands = server.token("hands", &["write:a/"]).await;
    let oncall = server
        .token("oncall", &["override:a/git.yml", "write:a/"])
        .await;
    let header = v1::CommitHeader {
        source: Some(v1::SourceUpdate {
            name: "a".to_owned(),
            expected_commit: String::new(),
            commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            profiles: Vec::new(),
        }),
        ..v1::CommitHeader::default()
    };
    let mut client = server.client_with(&git).await;
    let commit = requests(header, vec![vec![put("a/git.yml", "x: 1")]]);
    client.commit(commit).await.unwrap();
    for (token, status) in [(&hands, 403), (&git, 403), (&oncall, 200)] {
        let (found, body) = server
            .consul(token, Method::PUT, "/v1/kv/a/git.yml", "x: 2")
            .await;
        assert_eq!(found, status, "{body}");
        let mut client = server.client_with(token).await;
        let commit = requests(
            v1::CommitHeader::default(),
            vec![vec![put("a/git.yml", "x: 3")]],
        );
        let answer = client.commit(commit).await;
        assert_eq!(answer.is_ok(), status == 200, "{answer:?}");
    }
    let delete = server
        .consul(&hands, Method::DELETE, "/v1/kv/a/?recurse", "")
        .await;
    assert_eq!(delete.0, 403);
    assert!(
        delete.1.contains("`override` on key `a/git.yml`"),
        "{}",
        delete.1
    );
}

/// What was logged, a JSON object a line.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_audit_tells_of_every_write_and_refusal_and_no_secret() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // With one subscriber alone, an event that another test's thread is first to come by is off for
    // all threads.
    let _other = tracing::Dispatch::new(tracing_subscriber::registry());
    // The server runs on this thread.
    let _here = tracing::subscriber::set_default(subscriber);
    let server = guarded().await;
    let secret = server.token("team-a", &["write:a/"]).await;
    let mut client = server.client_with(&secret).await;
    let header = v1::CommitHeader {
        origin: Some(v1::Origin {
            author: "root".to_owned(),
            via: "grpc 10.0.0.1 token root".to_owned(),
            ..v1::Origin::default()
        }),
        ..v1::CommitHeader::default()
    };
    let mine = requests(header.clone(), vec![vec![put("a/x", "the-value")]]);
    client.commit(mine).await.unwrap();
    let theirs = requests(header, vec![vec![put("b/x", "the-value")]]);
    client.commit(theirs).await.unwrap_err();
    let written = server
        .consul(&secret, Method::PUT, "/v1/kv/a/y", "the-value")
        .await;
    assert_eq!(written.0, 200);
    assert_eq!(
        server
            .consul(&secret, Method::GET, "/v1/kv/b/x", "")
            .await
            .0,
        403
    );
    assert_eq!(status_of(&server, "cham_wrong-token").await, 403);
    revoke(&server, "team-a").await;

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for hidden in [secret.as_str(), BOOTSTRAP, "wrong-token", "the-value"] {
        assert!(!text.contains(hidden), "the log tells `{hidden}`");
    }
    let events: Vec<[String; 4]> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["target"] == "audit")
        .map(|event| {
            let field = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            let what = field("what") + &field("reason");
            [field("who"), field("from"), what, field("outcome")]
        })
        .collect();
    let expected = [
        ["bootstrap", "grpc 127.0.0.1", "created", ""],
        ["team-a", "grpc 127.0.0.1", "put a/x", "committed"],
        [
            "team-a",
            "grpc 127.0.0.1",
            "token `team-a` lacks the right `write` on key `b/x`",
            "",
        ],
        ["team-a", "consul 127.0.0.1", "put a/y", "committed"],
        [
            "team-a",
            "consul 127.0.0.1",
            "token `team-a` lacks the right `read` on key `b/x`",
            "",
        ],
        [
            "",
            "consul 127.0.0.1",
            "the token is not valid here: it was revoked, has expired, or never was",
            "",
        ],
        ["bootstrap", "grpc 127.0.0.1", "revoked", ""],
    ];
    assert_eq!(events, expected.map(|event| event.map(str::to_owned)));

    // The history tells the token beside what the client says of itself.
    let mut client = server.client_with(BOOTSTRAP).await;
    let history = client.history(v1::HistoryRequest::default()).await.unwrap();
    let origins: Vec<_> = (history.into_inner().commits.into_iter())
        .map(|commit| commit.origin.unwrap())
        .map(|origin| (origin.author, origin.via))
        .collect();
    let told = |author: &str, via: &str| (author.to_owned(), via.to_owned());
    assert_eq!(
        origins,
        [
            told("team-a", "consul 127.0.0.1 token team-a"),
            told("root", "grpc 127.0.0.1 token team-a"),
        ]
    );
}
