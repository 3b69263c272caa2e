//! The native API over HTTP: what it serves is what it describes.

use std::collections::BTreeSet;
use std::path::Path;

use chameleon_proto::v1;
use config_server::{Limits, Settings};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::{BETA, BOOTSTRAP, Server, Watch, commit, put, stamp_of, subscribe};

/// The description as it is kept with the documentation.
const DESCRIPTION: &str = "../../docs/reference/openapi.json";

/// Sends a request with an optional JSON body, and returns the status and the JSON of the answer.
async fn call(server: &Server, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    call_with(server, BOOTSTRAP, method, path, body).await
}

async fn call_with(
    server: &Server,
    token: &str,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let mut request = server.request(method, &format!("/api/v1{path}"));
    request = request.bearer_auth(token);
    if let Some(body) = body {
        request = request.json(&body);
    }
    answer(request.send().await.unwrap()).await
}

async fn answer(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let json = match text.as_str() {
        "" => Value::Null,
        text => serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")),
    };
    (status, json)
}

async fn get(server: &Server, path: &str) -> Value {
    let (status, json) = call(server, Method::GET, path, None).await;
    assert_eq!(status, 200, "{path}: {json}");
    json
}

async fn write(server: &Server, path: &str, value: impl Into<reqwest::Body>) -> (u16, Value) {
    let request = server.request(Method::PUT, &format!("/api/v1/entries/{path}"));
    answer(request.body(value).send().await.unwrap()).await
}

fn revision(answer: &Value) -> u64 {
    answer["stamp"]["revision"].as_u64().unwrap()
}

fn keys(entries: &Value) -> Vec<&str> {
    let entries = entries["entries"].as_array().unwrap();
    (entries.iter())
        .map(|entry| entry["key"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn the_description_is_the_one_in_the_documentation() {
    let server = Server::start().await;
    let response = server.get("/api/v1/openapi.json").await;
    assert_eq!(response.headers()["content-type"], "application/json");
    let answer = response.text().await.unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(DESCRIPTION);
    if std::env::var_os("CHAMELEON_BLESS").is_some() {
        std::fs::write(&file, &answer).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == answer,
        "the API is not as docs/reference/openapi.json says; if it is meant, run the test again \
         with CHAMELEON_BLESS=1 and read the change"
    );
    let description: Value = serde_json::from_str(&answer).unwrap();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1."));
}

/// Every operation of the description is routed, and each names what it answers and a summary.
#[tokio::test]
async fn what_is_described_is_served() {
    let server = Server::start().await;
    let description = get(&server, "/openapi.json").await;
    let mut seen = BTreeSet::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            assert!(operation["summary"].is_string(), "{method} {path}");
            let id = operation["operationId"].as_str().unwrap();
            assert!(seen.insert(id.to_owned()), "{id} names two operations");
            let method: Method = method.to_uppercase().parse().unwrap();
            let address = path.replace("{key}", "none").replace("{name}", "none");
            let response = server.request(method.clone(), &address).send().await;
            let response = response.unwrap();
            let (status, text) = (response.status().as_u16(), response.text().await.unwrap());
            assert!(
                status != 405 && !text.contains("is not served"),
                "{method} {path}: {status} {text}"
            );
        }
    }
    assert!(seen.len() >= 13, "{seen:?}");
}

#[tokio::test]
async fn entries_are_written_read_listed_and_deleted() {
    let server = Server::start().await;
    let (status, written) = write(&server, "a/one?message=why&author=ada", "1").await;
    assert_eq!((status, &written["outcome"]), (200, &json!("committed")));
    let first = revision(&written);
    let (_, unchanged) = write(&server, "a/one", "1").await;
    assert_eq!(unchanged["outcome"], "unchanged");
    write(&server, "a/two?flags=7", vec![0xff, 0]).await;
    write(&server, "b", "").await;

    let read = get(&server, "/entries/a/one").await;
    let entry = &read["entry"];
    assert_eq!(
        (&entry["key"], &entry["value"]),
        (&json!("a/one"), &json!("1"))
    );
    assert_eq!(entry["modify_revision"], first);
    let binary = get(&server, "/entries/a%2Ftwo").await;
    let expected = (&json!("/wA="), &json!(7));
    let entry = &binary["entry"];
    assert_eq!((&entry["value_base64"], &entry["flags"]), expected);
    assert!(entry.get("value").is_none(), "{binary}");

    let all = get(&server, "/entries").await;
    assert_eq!(keys(&all), ["a/one", "a/two", "b"]);
    assert!(all.get("next").is_none(), "{all}");
    let page = get(&server, "/entries?prefix=a/&limit=1").await;
    assert_eq!(
        (keys(&page), &page["next"]),
        (vec!["a/one"], &json!("a/one"))
    );
    let at = revision(&page);
    write(&server, "a/one-and-a-half", "later").await;
    let rest = get(
        &server,
        &format!("/entries?prefix=a/&after=a/one&revision={at}"),
    )
    .await;
    assert_eq!(keys(&rest), ["a/two"], "the rest is of the same state");

    let (status, gone) = call(&server, Method::DELETE, "/entries/a/one", None).await;
    assert_eq!((status, &gone["outcome"]), (200, &json!("committed")));
    let (status, problem) = call(&server, Method::GET, "/entries/a/one", None).await;
    assert_eq!(status, 404);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("there is no key `a/one`"), "{detail}");
    let old = get(&server, &format!("/entries/a/one?revision={first}")).await;
    assert_eq!(old["entry"]["value"], "1");
}

#[tokio::test]
async fn a_condition_that_is_not_met_changes_nothing() {
    let server = Server::start().await;
    let (_, written) = write(&server, "k?if_revision=0", "1").await;
    let at = revision(&written);
    for (path, found) in [
        ("k?if_revision=0".to_owned(), "exists"),
        (format!("k?if_revision={}", at + 5), "is not at revision"),
    ] {
        let (status, problem) = write(&server, &path, "2").await;
        assert_eq!(status, 409, "{path}: {problem}");
        assert!(
            problem["detail"].as_str().unwrap().contains(found),
            "{problem}"
        );
    }
    assert_eq!(get(&server, "/entries/k").await["entry"]["value"], "1");
    let (status, _) = write(&server, &format!("k?if_revision={at}"), "2").await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_transaction_is_applied_whole_or_not_at_all() {
    let server = Server::start().await;
    let id = "0192f0c1-2f5e-7a60-9d8f-1b1f6f3a0001";
    let body = json!({
        "request_id": id,
        "author": "ada",
        "message": "Both at once",
        "preconditions": [{ "type": "absent", "key": "x" }, { "type": "unchanged", "prefix": "y", "since": 0 }],
        "operations": [
            { "type": "put", "key": "x", "value": "1" },
            { "type": "put", "key": "y", "value_base64": "/wA=", "flags": 3 },
        ],
    });
    let (status, first) = call(&server, Method::POST, "/transactions", Some(body.clone())).await;
    assert_eq!(
        (status, &first["outcome"]),
        (200, &json!("committed")),
        "{first}"
    );
    let (_, again) = call(&server, Method::POST, "/transactions", Some(body)).await;
    assert_eq!(
        again["stamp"], first["stamp"],
        "a retry gets the first outcome"
    );

    let refused = json!({
        "preconditions": [{ "type": "absent", "key": "x" }, { "type": "at_revision", "key": "y", "revision": 9 }],
        "operations": [{ "type": "delete_prefix", "prefix": "" }],
    });
    let (status, problem) = call(&server, Method::POST, "/transactions", Some(refused)).await;
    assert_eq!(status, 409, "{problem}");
    assert_eq!(problem["reasons"].as_array().unwrap().len(), 2, "{problem}");
    assert_eq!(keys(&get(&server, "/entries").await), ["x", "y"]);

    let delete = json!({ "operations": [
        { "type": "delete", "key": "x" }, { "type": "delete", "key": "none" },
    ] });
    let (status, _) = call(&server, Method::POST, "/transactions", Some(delete)).await;
    assert_eq!(status, 200);
    let history = get(&server, "/history?key=x").await;
    let (last, first) = (&history["commits"][0], &history["commits"][1]);
    assert_eq!(last["changes"], json!([{ "key": "x", "deleted": true }]));
    assert_eq!(
        (&first["author"], &first["message"]),
        (&json!("ada"), &json!("Both at once"))
    );
    assert!(
        first["via"].as_str().unwrap().starts_with("api 127.0.0.1"),
        "{first}"
    );
    assert!(first["at"].as_str().unwrap().ends_with('Z'), "{first}");
}

/// The documents of a service are judged together, as for a push.
#[tokio::test]
async fn documents_that_would_be_broken_are_told_with_file_and_line() {
    let server = Server::with(Settings {
        profiles: vec![chameleon_model::document::Profile::new("beta").unwrap()],
        ..Settings::default()
    })
    .await;
    let schema = "type: object\nproperties:\n  port: {type: integer}\n";
    write(&server, "config/schemas/location.schema.yml", schema).await;
    let (status, problem) = write(&server, BETA, "name: x\nport: many\n").await;
    assert_eq!(status, 422, "{problem}");
    let reason = problem["reasons"][0].as_str().unwrap();
    assert!(
        reason.starts_with(&format!("{BETA}:2")) && reason.contains("port"),
        "{reason}"
    );
    let (status, _) = call(&server, Method::GET, &format!("/entries/{BETA}"), None).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn history_goes_on_where_it_stopped() {
    let server = Server::start().await;
    for value in ["1", "2", "3", "4", "5"] {
        write(&server, "k", value).await;
    }
    let (mut seen, mut before) = (Vec::new(), String::new());
    loop {
        let page = get(&server, &format!("/history?limit=2{before}")).await;
        let commits = page["commits"].as_array().unwrap();
        seen.extend(commits.iter().map(revision));
        if commits.is_empty() {
            break;
        }
        before = format!("&before={}", page["next"]);
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
}

#[tokio::test]
async fn two_revisions_are_compared_and_the_earlier_comes_back() {
    let server = Server::start().await;
    write(&server, "a/changed", "old").await;
    let (_, last) = write(&server, "a/deleted", "there").await;
    let good = revision(&last);
    write(&server, "a/changed", "new").await;
    call(&server, Method::DELETE, "/entries/a/deleted", None).await;
    write(&server, "a/created", "late").await;
    write(&server, "b/other", "stays").await;

    let diff = get(&server, &format!("/diff?from={good}&prefix=a/")).await;
    assert_eq!(
        diff["entries"],
        json!([
            { "key": "a/changed", "before": { "value": "old" }, "after": { "value": "new" } },
            { "key": "a/created", "after": { "value": "late" } },
            { "key": "a/deleted", "before": { "value": "there" } },
        ])
    );
    let one = get(&server, &format!("/diff?from={good}&to=5&key=a/created")).await;
    assert_eq!(keys(&one), ["a/created"]);

    let body = json!({ "to": good, "prefix": "a/", "author": "ada" });
    let (status, rolled) = call(&server, Method::POST, "/rollback", Some(body.clone())).await;
    assert_eq!(
        (status, &rolled["outcome"]),
        (200, &json!("committed")),
        "{rolled}"
    );
    assert_eq!(rolled["changes"].as_array().unwrap().len(), 3, "{rolled}");
    let at = revision(&rolled);
    assert_eq!(
        get(&server, &format!("/diff?from={good}&prefix=a/")).await["entries"],
        json!([])
    );
    assert_eq!(
        keys(&get(&server, "/entries").await),
        ["a/changed", "a/deleted", "b/other"]
    );
    let history = get(&server, "/history?limit=1").await;
    let message = format!("Roll back to revision {good}");
    assert_eq!(history["commits"][0]["message"], message.as_str());

    let (_, again) = call(&server, Method::POST, "/rollback", Some(body)).await;
    assert_eq!(
        (&again["outcome"], revision(&again)),
        (&json!("unchanged"), at)
    );
}

/// The state of git source `main`: one document.
async fn push(server: &Server, value: &'static str) -> v1::Stamp {
    let header = v1::CommitHeader {
        source: Some(v1::SourceUpdate {
            name: "main".to_owned(),
            commit: "ab".repeat(20),
            profiles: vec!["beta".to_owned()],
            ..v1::SourceUpdate::default()
        }),
        ..v1::CommitHeader::default()
    };
    let pushed = commit(server, header, vec![put(BETA, value)]).await;
    stamp_of(&pushed.unwrap())
}

#[tokio::test]
async fn a_key_of_a_source_is_held_and_released() {
    let server = Server::start().await;
    push(&server, "a: 1\n").await;
    let key = format!("/entries/{BETA}?author=ada&message=vendor%20down");
    let (status, written) = call(&server, Method::PUT, &key, None).await;
    assert_eq!(status, 200, "{written}");
    assert_eq!(written["held"], json!([BETA]));
    let holds = get(&server, "/holds").await;
    let hold = &holds["holds"][0];
    for (field, expected) in [
        ("key", BETA),
        ("source", "main"),
        ("author", "ada"),
        ("reason", "vendor down"),
    ] {
        assert_eq!(hold[field], expected, "{holds}");
    }
    assert_eq!(
        (&hold["expired"], &hold["in_git"]),
        (&json!(false), &json!(true))
    );

    let renew = json!({ "reason": "still down", "lasts_seconds": 60 });
    let path = format!("/holds/{BETA}");
    let (status, renewed) = call(&server, Method::PUT, &path, Some(renew)).await;
    assert_eq!(
        (status, &renewed["held"]),
        (200, &json!([BETA])),
        "{renewed}"
    );
    let (status, released) = call(&server, Method::DELETE, &path, None).await;
    assert_eq!(
        (status, &released["released"]),
        (200, &json!([BETA])),
        "{released}"
    );
    let read = get(&server, &format!("/entries/{BETA}")).await;
    assert_eq!(read["entry"]["value"], "a: 1\n", "what git has is back");
    assert_eq!(get(&server, "/holds").await["holds"], json!([]));

    let (status, problem) = call(&server, Method::DELETE, &path, None).await;
    assert_eq!(status, 409, "{problem}");
    let (status, problem) = call(&server, Method::PUT, "/holds/free", Some(json!({}))).await;
    assert_eq!(status, 409, "{problem}");
}

#[tokio::test]
async fn a_file_that_a_push_has_deleted_comes_back_held() {
    let server = Server::start().await;
    let good = push(&server, "a: 1\n").await;
    let header = v1::CommitHeader {
        source: Some(v1::SourceUpdate {
            name: "main".to_owned(),
            expected_commit: "ab".repeat(20),
            commit: "cd".repeat(20),
            profiles: vec!["beta".to_owned()],
        }),
        ..v1::CommitHeader::default()
    };
    commit(&server, header, Vec::new()).await.unwrap();
    let (status, _) = call(&server, Method::GET, &format!("/entries/{BETA}"), None).await;
    assert_eq!(status, 404, "the push has deleted it");

    let body = json!({ "to": good.revision, "key": BETA });
    let (status, rolled) = call(&server, Method::POST, "/rollback", Some(body)).await;
    assert_eq!((status, &rolled["held"]), (200, &json!([BETA])), "{rolled}");
    let entry = &get(&server, &format!("/entries/{BETA}")).await["entry"];
    assert_eq!(
        (&entry["value"], &entry["owner"]),
        (&json!("a: 1\n"), &json!("main"))
    );
    assert_eq!(get(&server, "/holds").await["holds"][0]["in_git"], false);
}

#[tokio::test]
async fn the_fleet_the_sources_and_the_server_are_told() {
    let server = Server::start().await;
    let head = push(&server, "a: 1\n").await;
    let mut subscription = subscribe(&[BETA], &[]);
    subscription.identity = Some(v1::Identity {
        service: "location".to_owned(),
        profile: "beta".to_owned(),
        instance: "location-1".to_owned(),
        ..v1::Identity::default()
    });
    let watch = Watch::open(&server, subscription).await;
    let fleet = get(&server, "/fleet?service=location").await;
    assert_eq!(fleet["head"]["revision"], head.revision);
    assert_eq!(fleet["instances"][0]["instance"], "location-1");
    assert_eq!(fleet["instances"][0]["current"], false);
    let none = get(&server, "/fleet?service=other").await;
    assert_eq!(none["instances"], json!([]));
    let sources = get(&server, "/sources").await;
    assert_eq!(sources["sources"][0]["name"], "main");
    assert_eq!(sources["sources"][0]["applied"]["commit"], "ab".repeat(20));
    let status = get(&server, "/status").await;
    assert_eq!(status["entries"], 1);
    assert_eq!(status["watches"], 1);
    assert_eq!(status["store_available"], true);
    drop(watch);
}

fn guarded() -> Settings {
    Settings {
        token: Some(BOOTSTRAP.into()),
        ..Settings::default()
    }
}

#[tokio::test]
async fn tokens_are_made_used_rotated_and_ended() {
    let server = Server::with(guarded()).await;
    let body = json!({ "name": "team", "rules": ["write:team/"], "lives_seconds": 3600 });
    let (status, made) = call(&server, Method::POST, "/tokens", Some(body.clone())).await;
    assert_eq!(status, 201, "{made}");
    let secret = made["secret"].as_str().unwrap();
    let (status, problem) = call(&server, Method::POST, "/tokens", Some(body)).await;
    assert_eq!(status, 400, "{problem}");

    let read = |secret: &str| {
        let (server, secret) = (&server, secret.to_owned());
        async move {
            call_with(server, &secret, Method::GET, "/entries?prefix=team/", None)
                .await
                .0
        }
    };
    assert_eq!(read(secret).await, 200);
    let listed = get(&server, "/tokens").await;
    assert_eq!(listed["tokens"][0]["rules"], json!(["write:team/"]));
    assert!(
        !listed.to_string().contains(secret),
        "a secret is told once"
    );

    let grace = json!({ "grace_seconds": 0 });
    let (status, rotated) = call(&server, Method::POST, "/tokens/team/rotate", Some(grace)).await;
    assert_eq!(status, 200, "{rotated}");
    let next = rotated["secret"].as_str().unwrap();
    assert_eq!((read(secret).await, read(next).await), (401, 200));
    let (status, problem) = call_with(&server, next, Method::GET, "/tokens", None).await;
    assert_eq!(status, 403, "{problem}");
    let (status, _) = call(&server, Method::DELETE, "/tokens/team", None).await;
    assert_eq!((status, read(next).await), (204, 401));
}

#[tokio::test]
async fn the_audit_tells_what_was_done_and_refused_here() {
    let server = Server::with(guarded()).await;
    let token = server.token("team", &["write:mine/"]).await;
    for (key, status) in [("mine/x", 200), ("other/x", 403)] {
        let path = format!("/entries/{key}?message=why");
        let body = Some(json!("the-value"));
        let (found, problem) = call_with(&server, &token, Method::PUT, &path, body).await;
        assert_eq!(found, status, "{problem}");
    }
    let told = test_kit::eventually("both are in the store", async || {
        let told = get(&server, "/audit?who=team").await;
        (told["records"].as_array().unwrap().len() == 2).then_some(told)
    })
    .await;
    let (refused, done) = (&told["records"][0], &told["records"][1]);
    let of = |record: &Value| {
        let texts = ["who", "dialect", "peer", "action", "outcome"];
        texts.map(|field| record[field].as_str().unwrap().to_owned())
    };
    let expected = ["team", "api", "127.0.0.1", "put", "committed"];
    assert_eq!(of(done), expected, "{told}");
    assert_eq!(done["target"], json!({ "kind": "key", "name": "mine/x" }));
    assert_eq!(of(refused)[3..], ["write", "refused"], "{told}");
    assert!(!told.to_string().contains("the-value"), "{told}");

    let only = get(&server, "/audit?refused=true&key=other/x").await;
    assert_eq!(only["records"].as_array().unwrap().len(), 1, "{only}");
    let before = refused["id"].as_str().unwrap();
    let rest = get(&server, &format!("/audit?who=team&before={before}")).await;
    assert_eq!(rest["records"][0]["id"], done["id"]);
    let (_, own) = call_with(&server, &token, Method::GET, "/audit?prefix=other/", None).await;
    assert_eq!(
        own["records"].as_array().unwrap().len(),
        1,
        "its own refusal"
    );
}

#[tokio::test]
async fn without_a_right_nothing_is_told_or_changed() {
    let server = Server::with(guarded()).await;
    let missing = server.get("/api/v1/entries").await;
    assert_eq!(missing.status(), 401);
    assert_eq!(missing.headers()["www-authenticate"], "Bearer");
    assert_eq!(server.get("/api/v1/openapi.json").await.status(), 200);
    for key in ["mine/x", "other/x"] {
        let (status, _) = server
            .consul(BOOTSTRAP, Method::PUT, &format!("/v1/kv/{key}"), "secret")
            .await;
        assert_eq!(status, 200);
    }
    let token = server.token("team", &["write:mine/"]).await;
    let request = |method, path, body| call_with(&server, &token, method, path, body);
    let operations = json!({ "operations": [
        { "type": "put", "key": "mine/y", "value": "" }, { "type": "put", "key": "other/y", "value": "" },
    ] });
    for (method, path, body) in [
        (Method::GET, "/entries/other/x", None),
        (Method::GET, "/entries?prefix=other/", None),
        (Method::PUT, "/entries/other/x", Some(json!("stolen"))),
        (Method::DELETE, "/entries/other/x", None),
        (Method::POST, "/transactions", Some(operations)),
        (Method::GET, "/history?prefix=other/", None),
        (Method::GET, "/history?key=other/x", None),
        (Method::GET, "/diff?from=1", None),
        (Method::POST, "/rollback", Some(json!({ "to": 1 }))),
        (
            Method::POST,
            "/rollback",
            Some(json!({ "to": 1, "key": "other/x" })),
        ),
        (
            Method::POST,
            "/tokens",
            Some(json!({ "name": "x", "rules": ["write:other/"] })),
        ),
        (Method::DELETE, "/tokens/team", None),
    ] {
        let (status, problem) = request(method.clone(), path, body).await;
        assert_eq!(status, 403, "{method} {path}: {problem}");
        assert!(!problem.to_string().contains("secret"), "{problem}");
    }
    let (_, seen) = request(Method::GET, "/entries", None).await;
    assert_eq!(keys(&seen), ["mine/x"], "of all, only what may be read");
    let all = get(&server, "/entries").await;
    assert_eq!(keys(&all), ["mine/x", "other/x"]);
}

/// The request is answered with `status`, and its problem tells `told`.
async fn refused(request: reqwest::RequestBuilder, status: u16, told: &str) {
    let case = format!("{request:?}");
    let (found, problem) = answer(request.send().await.unwrap()).await;
    assert_eq!(found, status, "{case}: {problem}");
    assert_eq!(problem["status"], status, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(told), "{case}: {detail}");
}

#[tokio::test]
async fn a_bad_address_says_what_is_wrong() {
    let server = Server::start().await;
    for (path, status, told) in [
        ("entries?prefx=a", 400, "unknown field `prefx`"),
        ("entries?limit=0", 400, "limit: is 0"),
        ("entries?limit=many", 400, "invalid digit"),
        ("entries/a%2F..%2Fb", 400, "has a `..` segment"),
        ("entries/k?revision=99", 404, "revision 99 is not kept"),
        ("diff?from=0&key=a&prefix=b", 400, "not both"),
        ("diff", 400, "missing field `from`"),
        ("audit?since=yesterday", 400, "since: "),
        ("audit?before=7", 400, "before"),
        ("status?x=1", 400, "unknown field `x`"),
        ("nothing", 404, "`/api/v1/nothing` is not served"),
    ] {
        let request = server.request(Method::GET, &format!("/api/v1/{path}"));
        refused(request, status, told).await;
    }
    let patch = server.request(Method::PATCH, "/api/v1/entries/k");
    refused(patch, 405, "PATCH is not possible").await;
}

#[tokio::test]
async fn a_bad_body_says_what_is_wrong_and_changes_nothing() {
    let limits = Limits {
        transaction_operations: 2,
        ..Limits::default()
    };
    let server = Server::with(Settings {
        limits,
        ..Settings::default()
    })
    .await;
    let delete = r#"{"type": "delete", "key": "k"}"#;
    let three = format!(r#"{{"operations": [{delete}, {delete}, {delete}]}}"#);
    let unders = vec![r#"{"type": "unchanged", "prefix": "a", "since": 9}"#; 17].join(",");
    let unders = format!(r#"{{"operations": [{delete}], "preconditions": [{unders}]}}"#);
    let absent = [r#"{"type": "absent", "key": "k"}"#; 3].join(",");
    let absent = format!(r#"{{"operations": [{delete}], "preconditions": [{absent}]}}"#);
    let long = format!(
        r#"{{"operations": [{delete}], "hold_seconds": {}}}"#,
        u64::MAX
    );
    let either = "operations[0]: key `k` needs either `value` or `value_base64`";
    for (path, body, status, told) in [
        ("transactions", "", 400, "missing field `operations`"),
        (
            "transactions",
            r#"{"operation": []}"#,
            400,
            "unknown field `operation`",
        ),
        (
            "transactions",
            r#"{"operations": [{"type": "put", "key": "k"}]}"#,
            400,
            either,
        ),
        (
            "transactions",
            r#"{"operations": [{"type": "drop"}]}"#,
            400,
            "unknown variant `drop`",
        ),
        (
            "transactions",
            r#"{"operations": [{"type": "delete", "key": ""}]}"#,
            400,
            "operations[0]: ",
        ),
        ("transactions", &three, 413, "3 operations, 2 are allowed"),
        (
            "transactions",
            &unders,
            413,
            "17 preconditions on whole prefixes, 16 are allowed",
        ),
        (
            "transactions",
            &absent,
            413,
            "3 preconditions, 2 are allowed",
        ),
        ("transactions", &long, 400, "a hold may last 366 days"),
        (
            "rollback?dry_run=true",
            r#"{"to": 1}"#,
            400,
            "this call takes none",
        ),
        (
            "rollback",
            r#"{"to": 0}"#,
            400,
            "revision 0 is before the first change",
        ),
        ("rollback", r#"{"to": 99}"#, 404, "revision 99 is not kept"),
        ("tokens", r#"{"name": "a b", "rules": []}"#, 400, "name: "),
        (
            "tokens",
            r#"{"name": "x", "rules": ["all"]}"#,
            400,
            "rules: ",
        ),
        (
            "tokens",
            r#"{"name": "x", "rules": ["read:a/"], "lives_seconds": 0}"#,
            400,
            "is 0",
        ),
    ] {
        let request = server.request(Method::POST, &format!("/api/v1/{path}"));
        refused(request.body(body.to_owned()), status, told).await;
    }
    let put = server.request(Method::PUT, "/api/v1/entries/k");
    refused(put.body("x".repeat(512 * 1024 + 1)), 413, "too large").await;
    assert_eq!(keys(&get(&server, "/entries").await), Vec::<&str>::new());
}
