use std::time::{Duration, SystemTime};

use chameleon_client::HistoryQuery;
use chameleon_model::Stage;
use git_sync::github::{Push, path, signed_push};
use git_sync::{Listeners, SourceSettings, start};
use service_kit::Lifecycle;
use service_kit::http_client::{self, HttpClientSettings};
use test_kit::eventually;

use crate::support::{SECRET, World, local};

const BETA: &str = "config/location-beta.yml";

/// A running git-sync that polls too seldom for the tests to notice.
pub(crate) struct Service {
    url: String,
    lifecycle: Lifecycle,
}

impl Service {
    pub(crate) async fn start(world: &World) -> Self {
        let source = SourceSettings {
            poll_interval: Duration::from_hours(1),
            ..world.source()
        };
        let listeners = Listeners {
            http: local().await,
            admin: None,
        };
        let url = format!("http://{}", listeners.http.local_addr().unwrap());
        let lifecycle = Lifecycle::default();
        start(world.settings(source), listeners, &lifecycle)
            .await
            .unwrap();
        Self { url, lifecycle }
    }

    /// Sends the webhook of a push to `branch`, and returns the answer's status.
    pub(crate) async fn hook(&self, branch: &str, secret: &str) -> u16 {
        let push = Push {
            reference: format!("refs/heads/{branch}"),
            before: "a".repeat(40),
            after: "b".repeat(40),
            repository: "shop".to_owned(),
        };
        let request = signed_push(&push, &secret.into(), SystemTime::now());
        let client = http_client::new(&HttpClientSettings::new("test")).unwrap();
        let sent = client
            .post(format!("{}{}", self.url, path("shop")))
            .headers(request.headers)
            .body(request.body);
        sent.send().await.unwrap().status().as_u16()
    }

    pub(crate) async fn page(&self, page: &str) -> String {
        let client = http_client::new(&HttpClientSettings::new("test")).unwrap();
        let answer = client.get(format!("{}{page}", self.url)).send().await;
        answer.unwrap().text().await.unwrap()
    }

    /// How many looks at the source ended in `outcome`.
    async fn turns(&self, outcome: &str) -> u64 {
        let start = format!(r#"chameleon_sync_turns_total{{source="shop",outcome="{outcome}"}} "#);
        let metrics = self.page("/metrics").await;
        let mut lines = metrics.lines();
        let count = lines.find_map(|line| line.strip_prefix(&start));
        count.map_or(0, |count| count.parse().unwrap())
    }

    async fn reached(&self, outcome: &str, count: u64) {
        eventually(outcome, async || {
            (self.turns(outcome).await >= count).then_some(())
        })
        .await;
    }

    pub(crate) async fn stop(self) {
        self.lifecycle.shut_down();
        self.lifecycle.finished().await.unwrap();
    }
}

#[tokio::test]
async fn a_push_is_applied_and_tells_its_stages() {
    let world = World::applied().await;
    let service = Service::start(&world).await;
    service.reached("unchanged", 1).await;

    let moved = "aMapPercentage: 0\nbMapPercentage: 100\n";
    let commit = world.repository.commit(BETA, moved);
    world.repository.push();
    assert_eq!(service.hook("main", SECRET).await, 202);
    service.reached("applied", 1).await;
    assert_eq!(world.server.value(BETA).await.as_deref(), Some(moved));
    assert_eq!(world.server.applied().await, Some(commit));

    let history = world.server.api.history(HistoryQuery::default()).await;
    let stages = &history.unwrap()[0].origin.stages;
    let stages: Vec<_> = stages.iter().map(|time| time.stage).collect();
    assert!(
        stages.starts_with(&[Stage::Notified, Stage::Fetched, Stage::Checked]),
        "{stages:?}"
    );
    let ready = service.page("/health/ready").await;
    assert!(ready.contains(r#""ready":true"#), "{ready}");
    service.stop().await;
    world.server.stop().await;
}

#[tokio::test]
async fn a_rejected_commit_is_told_and_the_next_good_one_applied() {
    let world = World::applied().await;
    let before = world.server.value(BETA).await;
    let service = Service::start(&world).await;
    service.reached("unchanged", 1).await;

    world.repository.commit(BETA, "aMapPercentage: 1\n");
    world.repository.push();
    assert_eq!(service.hook("main", SECRET).await, 202);
    service.reached("rejected", 1).await;
    assert_eq!(world.server.value(BETA).await, before);
    let ready = service.page("/health/ready").await;
    assert!(
        ready.contains("source `shop` has a rejected commit"),
        "{ready}"
    );
    let report = world.server.source().await.report.unwrap();
    assert!(!report.accepted);

    let good = "aMapPercentage: 1\nbMapPercentage: 99\n";
    world.repository.commit(BETA, good);
    world.repository.push();
    assert_eq!(service.hook("main", SECRET).await, 202);
    service.reached("applied", 1).await;
    assert_eq!(world.server.value(BETA).await.as_deref(), Some(good));
    let ready = service.page("/health/ready").await;
    assert!(!ready.contains("rejected"), "{ready}");
    service.stop().await;
}

#[tokio::test]
async fn a_head_that_steps_back_is_not_applied_at_once() {
    let world = World::applied().await;
    let newest = "aMapPercentage: 5\nbMapPercentage: 95\n";
    world.push(&[(BETA, Some(newest))]).await;
    let service = Service::start(&world).await;
    service.reached("unchanged", 1).await;

    let back = ["push", "--quiet", "--force", "origin", "HEAD~1:main"];
    world.repository.git(&back);
    assert_eq!(service.hook("main", SECRET).await, 202);
    service.reached("waiting", 1).await;
    assert_eq!(world.server.value(BETA).await.as_deref(), Some(newest));

    world.repository.push();
    assert_eq!(service.hook("main", SECRET).await, 202);
    service.reached("unchanged", 2).await;
    service.stop().await;
}

#[tokio::test]
async fn a_deleted_branch_leaves_everything_and_its_return_is_applied() {
    let world = World::applied().await;
    let live = world.server.entries().await;
    let service = Service::start(&world).await;
    service.reached("unchanged", 1).await;

    let remote = world.repository.remote();
    let remote = remote.to_string_lossy();
    world
        .repository
        .git(&["--git-dir", &remote, "update-ref", "-d", "refs/heads/main"]);
    assert_eq!(service.hook("main", SECRET).await, 202);
    service.reached("failed", 1).await;
    assert_eq!(world.server.entries().await, live);

    world
        .repository
        .commit("config/location.yml", "greeting: back\n");
    world.repository.push();
    // No webhook: what failed is tried again by itself.
    service.reached("applied", 1).await;
    service.stop().await;
}

#[tokio::test]
async fn a_webhook_that_is_not_for_us_moves_nothing() {
    let world = World::applied().await;
    let live = world.server.entries().await;
    let service = Service::start(&world).await;
    service.reached("unchanged", 1).await;
    world
        .repository
        .commit("config/location.yml", "greeting: new\n");
    world.repository.push();
    assert_eq!(service.hook("feature", SECRET).await, 200);
    assert_eq!(service.hook("main", "wrong").await, 401);
    assert_eq!(world.server.entries().await, live);
    assert_eq!(service.hook("main", SECRET).await, 202);
    service.reached("applied", 1).await;
    // One look at the start, one for the good webhook.
    assert_eq!(service.turns("unchanged").await, 1);
    assert_eq!(service.turns("applied").await, 1);
    service.stop().await;
}

#[tokio::test]
async fn a_commit_waits_for_a_server_that_is_away() {
    let world = World::applied().await;
    let proxy = test_kit::FaultProxy::start(world.server.url.trim_start_matches("http://")).await;
    let mut settings = world.settings(SourceSettings {
        poll_interval: Duration::from_hours(1),
        ..world.source()
    });
    settings.api.servers = vec![format!("http://{}", proxy.addr())];
    settings.api.call_timeout = Duration::from_millis(500);
    let listeners = Listeners {
        http: local().await,
        admin: None,
    };
    let service = Service {
        url: format!("http://{}", listeners.http.local_addr().unwrap()),
        lifecycle: Lifecycle::default(),
    };
    start(settings, listeners, &service.lifecycle)
        .await
        .unwrap();
    service.reached("unchanged", 1).await;

    proxy.cut().await;
    let commit = world
        .repository
        .commit("config/location.yml", "greeting: late\n");
    world.repository.push();
    assert_eq!(service.hook("main", SECRET).await, 202);
    service.reached("failed", 1).await;
    proxy.heal();
    service.reached("applied", 1).await;
    assert_eq!(world.server.applied().await, Some(commit));
    service.stop().await;
}
