//! Who watches, and how changes reached them.

use chameleon_proto::v1;
use test_kit::eventually;

use crate::support::{Server, Watch, subscribe};

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

async fn instances(server: &Server, profile: &str) -> Vec<v1::Instance> {
    let request = v1::FleetRequest {
        service: "location".to_owned(),
        profile: profile.to_owned(),
    };
    let mut client = server.client().await;
    client.fleet(request).await.unwrap().into_inner().instances
}

async fn deliveries(server: &Server, revision: u64) -> Vec<v1::Delivery> {
    let request = v1::HistoryRequest {
        before: revision + 1,
        limit: 1,
        ..v1::HistoryRequest::default()
    };
    let mut client = server.client().await;
    let commits = client.history(request).await.unwrap().into_inner().commits;
    commits[0].deliveries.clone()
}

#[tokio::test]
async fn every_instance_says_what_became_of_a_change() {
    use v1::outcome::Verdict;
    let server = Server::start().await;
    let mut one = Watch::open(&server, identified("one")).await;
    let mut two = Watch::open(&server, identified("two")).await;
    let _person = Watch::open(&server, subscribe(&["a"], &[])).await;
    assert!(
        instances(&server, "beta")
            .await
            .iter()
            .all(|one| one.applied.is_none())
    );

    server.write("a", "x").await;
    one.until("a", Some("x")).await;
    two.until("a", Some("x")).await;
    one.judge(Verdict::Applied(v1::Applied {})).await;
    let reason = "b: no provider".to_owned();
    two.judge(Verdict::Rejected(v1::Rejected { reason })).await;

    let seen = eventually("both have answered", async || {
        let seen = deliveries(&server, 1).await;
        (seen.len() == 2).then_some(seen)
    })
    .await;
    let of = |name: &str| seen.iter().find(|seen| seen.instance == name).unwrap();
    assert_eq!(
        (of("one").rejected.as_str(), of("one").applied_us),
        ("", 1_500)
    );
    assert_eq!(of("two").rejected, "b: no provider");

    let fleet = instances(&server, "beta").await;
    let names: Vec<_> = (fleet.iter())
        .map(|one| {
            (
                one.identity.as_ref().unwrap().instance.as_str(),
                one.current,
            )
        })
        .collect();
    assert_eq!(names, [("one", true), ("two", false)]);
    assert_eq!(fleet[0].applied.unwrap().revision, 1);
    assert_eq!(fleet[1].rejected, "b: no provider");
    assert!(instances(&server, "prod").await.is_empty());

    let metrics = server.get("/metrics").await.text().await.unwrap();
    for line in [
        r#"chameleon_verdicts_total{verdict="applied"} 1"#,
        r#"chameleon_verdicts_total{verdict="rejected"} 1"#,
        r#"chameleon_propagation_seconds_count{stage="delivered"} 2"#,
        r#"chameleon_propagation_seconds_count{stage="stored"} 1"#,
        "chameleon_instances 2.0",
        "chameleon_watches 3.0",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "no `{line}` in:\n{metrics}"
        );
    }
    drop(one);
    eventually("an instance has left", async || {
        (instances(&server, "").await.len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_has_not_judged_the_newest_state_is_not_current() {
    use v1::outcome::Verdict;
    let server = Server::start().await;
    let mut one = Watch::open(&server, identified("one")).await;
    one.judge(Verdict::Applied(v1::Applied {})).await;
    let current = async |expected| {
        eventually("the fleet has noticed", async || {
            (instances(&server, "").await[0].current == expected).then_some(())
        })
        .await;
    };
    current(true).await;
    server.write("elsewhere", "x").await;
    current(true).await;
    server.write("a", "x").await;
    current(false).await;
    one.until("a", Some("x")).await;
    one.judge(Verdict::Received(v1::Received {})).await;
    one.judge(Verdict::Applied(v1::Applied {})).await;
    current(true).await;
}

#[tokio::test]
async fn what_an_instance_holds_is_not_taken_for_applied() {
    use v1::outcome::Verdict;
    let server = Server::start().await;
    server.write("a", "bad").await;
    let one = Watch::open(&server, identified("one")).await;
    let held = one.stamp;
    drop(one);
    // It has rejected the state that it holds, and says so after it came back.
    let again = v1::Subscribe {
        last: held,
        ..identified("two")
    };
    let two = Watch::open(&server, again).await;
    let reason = "shares add up to 7".to_owned();
    two.judge(Verdict::Rejected(v1::Rejected { reason })).await;
    let two = eventually("its word has come", async || {
        let instances = instances(&server, "").await;
        let two = |one: &v1::Instance| one.identity.as_ref().unwrap().instance == "two";
        (instances.into_iter()).find(|one| two(one) && !one.rejected.is_empty())
    })
    .await;
    assert_eq!((two.applied, two.sent), (None, held));
}
