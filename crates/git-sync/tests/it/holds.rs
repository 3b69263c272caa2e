//! Keys that are held while git goes on.

use chameleon_client::CommitEffects;
use chameleon_model::{Key, Operation, Origin, Transaction};
use git_sync::{SourceReport, SourceResult};
use test_kit::eventually;

use crate::service::Service;
use crate::support::{SECRET, SHARES, World};

const BETA: &str = "config/location-beta.yml";
const CURE: &str = "aMapPercentage: 0\nbMapPercentage: 100\n";

async fn commit(world: &World, operation: Operation) -> CommitEffects {
    let transaction = Transaction {
        operations: vec![operation],
        origin: Origin {
            author: "ada".to_owned(),
            message: "vendor A is down\nmore".to_owned(),
            ..Origin::default()
        },
        ..Transaction::default()
    };
    world
        .server
        .api
        .commit_with_effects(transaction)
        .await
        .unwrap()
}

async fn cure(world: &World) {
    let put = Operation::Put {
        key: Key::new(BETA).unwrap(),
        value: CURE.into(),
        flags: 0,
    };
    assert_eq!(commit(world, put).await.held.len(), 1);
}

async fn report(world: &World) -> SourceReport {
    let report = world.report(world.source()).await;
    report.sources()[0].clone()
}

fn held() -> String {
    format!("key `{BETA}` is held by `ada`, the commit does not reach it: vendor A is down")
}

#[tokio::test]
async fn a_push_of_something_else_and_a_new_clone_leave_what_is_held() {
    let world = World::applied().await;
    cure(&world).await;
    // As it starts again, with nothing that it knew.
    std::fs::remove_dir_all(world.work_dir()).unwrap();
    let again = report(&world).await;
    assert!(
        matches!(again.result, SourceResult::Unchanged { .. }),
        "{again:?}"
    );
    assert_eq!(again.held, [held()]);
    assert_eq!(world.server.value(BETA).await.as_deref(), Some(CURE));

    let files = [("config/location.yml", Some("greeting: hi\n"))];
    world.repository.commit_all(&files, "Greet");
    world.repository.push();
    let pushed = report(&world).await;
    assert!(
        matches!(pushed.result, SourceResult::Applied { .. }),
        "{pushed:?}"
    );
    assert_eq!(pushed.held, [held()]);
    assert!(
        pushed
            .to_string()
            .contains(&format!("\nheld: {}\n", held())),
        "{pushed}"
    );
    assert_eq!(world.server.value(BETA).await.as_deref(), Some(CURE));
    let value = world.server.value("config/location.yml").await;
    assert_eq!(value.as_deref(), Some("greeting: hi\n"));
    let source = world.server.source().await;
    assert_eq!(source.held, [Key::new(BETA).unwrap()]);

    // Released, git's word counts at once, without another push.
    let release = Operation::Release {
        key: Key::new(BETA).unwrap(),
    };
    assert_eq!(commit(&world, release).await.released.len(), 1);
    assert_eq!(world.server.value(BETA).await.as_deref(), Some(SHARES));
    assert_eq!(report(&world).await.held, [""; 0]);
    world.server.stop().await;
}

#[tokio::test]
async fn a_commit_that_changes_the_file_ends_the_hold() {
    let world = World::applied().await;
    cure(&world).await;
    let half = "aMapPercentage: 50\nbMapPercentage: 50\n";
    world.push(&[(BETA, Some(half))]).await;
    assert_eq!(world.server.value(BETA).await.as_deref(), Some(half));
    assert_eq!(world.server.api.holds().await.unwrap(), []);
    // Also one that says what is live.
    cure(&world).await;
    world.push(&[(BETA, Some(CURE))]).await;
    assert_eq!(world.server.api.holds().await.unwrap(), []);
    // And one that has the file no more.
    let file = "config/location.yml";
    let key = Key::new(file).unwrap();
    commit(&world, Operation::Hold { key }).await;
    world.push(&[(file, None)]).await;
    assert_eq!(world.server.value(file).await, None);
    assert_eq!(world.server.api.holds().await.unwrap(), []);
    world.server.stop().await;
}

#[tokio::test]
async fn a_running_sync_counts_what_is_held() {
    let world = World::applied().await;
    let service = Service::start(&world).await;
    cure(&world).await;
    let files = [("config/location.yml", Some("greeting: hi\n"))];
    let commit = world.repository.commit_all(&files, "Greet");
    world.repository.push();
    assert_eq!(service.hook("main", SECRET).await, 202);
    eventually("the push is applied", async || {
        (world.server.applied().await == Some(commit.clone())).then_some(())
    })
    .await;
    eventually("what is held is counted", async || {
        let metrics = service.page("/metrics").await;
        metrics
            .contains("chameleon_sync_held_keys{source=\"shop\"} 1\n")
            .then_some(())
    })
    .await;
    assert_eq!(world.server.value(BETA).await.as_deref(), Some(CURE));
    service.stop().await;
    world.server.stop().await;
}
