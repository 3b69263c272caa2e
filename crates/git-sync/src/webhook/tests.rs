use std::time::SystemTime;

use axum::body::Body;
use http_body_util::BodyExt as _;
use service_kit::metrics::Registry;
use tower::ServiceExt as _;

use super::github::{Push, SignedPush, path, signed_push};
use super::signature::Signature;
use super::*;
use crate::settings::{SourceSettings, Sources};

const SECRET: &str = "s3cret";

struct Rig {
    router: Router,
    bell: Arc<Doorbell>,
}

impl Rig {
    fn new() -> Self {
        let settings = |name: &str, prefix: &str, secret: Option<&str>| SourceSettings {
            name: name.to_owned(),
            repository: "https://git.example/shop.git".to_owned(),
            prefix: prefix.to_owned(),
            secret: secret.map(Into::into),
            ..SourceSettings::default()
        };
        let sources = [
            settings("shop", "", Some(SECRET)),
            settings("mute", "x/", None),
        ];
        let bell = Arc::new(Doorbell::default());
        let mut hooks = Hooks::new(Metrics::new(&Registry::new("git-sync", "0")));
        for source in Sources::new(sources).unwrap().iter() {
            hooks.add(source, Arc::clone(&bell));
        }
        Self {
            router: hooks.router(),
            bell,
        }
    }

    async fn send(&self, source: &str, request: SignedPush) -> (u16, String) {
        let mut sent = Request::post(path(source))
            .body(Body::from(request.body))
            .unwrap();
        *sent.headers_mut() = request.headers;
        let response = self.router.clone().oneshot(sent).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn rung(&self) -> Option<Notice> {
        let heard = tokio::time::timeout(Duration::from_millis(1), self.bell.answer());
        heard.await.ok()
    }
}

fn to(reference: &str) -> Push {
    Push {
        reference: reference.to_owned(),
        before: "a".repeat(40),
        after: "b".repeat(40),
        repository: "shop".to_owned(),
    }
}

fn signed(push: &Push) -> SignedPush {
    signed_push(push, &SECRET.into(), SystemTime::now())
}

fn with_body(content_type: &'static str, event: &'static str, body: &'static str) -> SignedPush {
    let mut request = signed(&to("refs/heads/main"));
    let signature = Signature::of(&SECRET.into(), body.as_bytes()).to_hex();
    request.body = Bytes::from_static(body.as_bytes());
    for (name, value) in [
        ("x-hub-signature-256", format!("sha256={signature}")),
        ("content-type", content_type.to_owned()),
        ("x-github-event", event.to_owned()),
    ] {
        request.headers.insert(name, value.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn a_push_to_the_branch_rings() {
    let rig = Rig::new();
    let answer = rig.send("shop", signed(&to("refs/heads/main"))).await;
    assert_eq!(answer, (202, "accepted\n".to_owned()));
    let notice = rig.rung().await.expect("the bell was rung");
    let notified = notice.notified.expect("the push told its time");
    assert!(notified < Duration::from_mins(1), "{notified:?}");
}

#[tokio::test]
async fn whatever_is_not_for_us_does_no_work() {
    let json = "application/json";
    let wrong_secret = signed_push(&to("refs/heads/main"), &"wrong".into(), SystemTime::now());
    let mut unsigned = signed(&to("refs/heads/main"));
    unsigned.headers.remove("x-hub-signature-256");
    let mut eventless = signed(&to("refs/heads/main"));
    eventless.headers.remove("x-github-event");
    let mut tampered = signed(&to("refs/heads/other"));
    tampered.body = signed(&to("refs/heads/main")).body;
    let mut huge = signed(&to("refs/heads/main"));
    huge.body = vec![b' '; MAX_BODY_BYTES + 1].into();
    let cases = [
        (
            "shop",
            wrong_secret,
            401,
            "the signature is missing or wrong; give the sender the same secret as this source\n",
        ),
        (
            "shop",
            unsigned,
            401,
            "the signature is missing or wrong; give the sender the same secret as this source\n",
        ),
        (
            "shop",
            tampered,
            401,
            "the signature is missing or wrong; give the sender the same secret as this source\n",
        ),
        ("shop", huge, 413, "the body has over 26214400 bytes\n"),
        (
            "shop",
            with_body(json, "push", "{"),
            400,
            "the body is no push of GitHub's: EOF while parsing an object at line 1 column 1\n",
        ),
        (
            "shop",
            with_body("application/x-www-form-urlencoded", "push", "x=y"),
            400,
            "the form has no field `payload`\n",
        ),
        (
            "shop",
            eventless,
            400,
            "the header `X-GitHub-Event` is missing\n",
        ),
        (
            "shop",
            with_body(json, "ping", r#"{"zen":"Design for failure."}"#),
            200,
            "pong: the signature is right\n",
        ),
        (
            "shop",
            with_body(json, "issues", "{}"),
            200,
            "event `issues` is not a push: ignored\n",
        ),
        (
            "shop",
            signed(&to("refs/heads/feature/x")),
            200,
            "`refs/heads/feature/x` is not the synced branch `main`: ignored\n",
        ),
        (
            "shop",
            signed(&to("refs/tags/main")),
            200,
            "`refs/tags/main` is not the synced branch `main`: ignored\n",
        ),
        (
            "other",
            signed(&to("refs/heads/main")),
            404,
            "no source of that name is synced here\n",
        ),
        (
            "mute",
            signed(&to("refs/heads/main")),
            403,
            "this source takes no webhook; set its `secret` or `secretFile`\n",
        ),
    ];
    let rig = Rig::new();
    for (source, request, status, note) in cases {
        let answer = rig.send(source, request).await;
        assert_eq!(answer, (status, note.to_owned()));
        assert_eq!(rig.rung().await, None, "{note}");
    }
}

#[tokio::test]
async fn a_repeated_delivery_does_no_work() {
    let rig = Rig::new();
    let request = signed(&to("refs/heads/main"));
    assert_eq!(rig.send("shop", request.clone()).await.0, 202);
    assert!(rig.rung().await.is_some());
    let answer = rig.send("shop", request).await;
    assert_eq!(answer.0, 200);
    assert_eq!(answer.1, "this delivery was taken before: ignored\n");
    assert_eq!(rig.rung().await, None);
}

#[tokio::test]
async fn a_form_is_read_after_its_raw_bytes_were_verified() {
    let form = "application/x-www-form-urlencoded";
    let body = "payload=%7B%22ref%22%3A+%22refs%2Fheads%2Fmain%22%2C%22after%22%3A%22b%22%7D";
    let rig = Rig::new();
    let answer = rig.send("shop", with_body(form, "push", body)).await;
    assert_eq!(answer, (202, "accepted\n".to_owned()));
}

#[tokio::test]
async fn a_deleted_branch_is_told_and_looked_at() {
    let rig = Rig::new();
    let push = Push {
        after: "0".repeat(40),
        ..to("refs/heads/main")
    };
    let answer = rig.send("shop", signed(&push)).await;
    let note = "the branch is gone: what is live stays\n";
    assert_eq!(answer, (202, note.to_owned()));
}

#[tokio::test]
async fn a_time_that_can_not_be_true_is_left_out() {
    let now = SystemTime::now();
    for pushed_at in [now + Duration::from_mins(1), now - Duration::from_mins(6)] {
        let rig = Rig::new();
        let push = signed_push(&to("refs/heads/main"), &SECRET.into(), pushed_at);
        assert_eq!(rig.send("shop", push).await.0, 202);
        assert_eq!(rig.rung().await.unwrap().notified, None);
    }
}

#[tokio::test]
async fn bodies_that_keep_coming_leave_room_for_small_ones_only() {
    let rig = Rig::new();
    let endless = || {
        let mut request = Request::post(path("shop"))
            .body(Body::from_stream(futures::stream::pending::<
                std::io::Result<Bytes>,
            >()))
            .unwrap();
        *request.headers_mut() = signed(&to("refs/heads/main")).headers;
        rig.router.clone().oneshot(request)
    };
    // Without an announced length each may become as large as any.
    let (mut first, mut second) = (std::pin::pin!(endless()), std::pin::pin!(endless()));
    assert!(futures::poll!(&mut first).is_pending());
    assert!(futures::poll!(&mut second).is_pending());
    let refused = endless().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);

    let mut small = signed(&to("refs/heads/main"));
    let length = small.body.len().to_string().parse().unwrap();
    small.headers.insert(CONTENT_LENGTH, length);
    assert_eq!(rig.send("shop", small).await.0, 202);
}
