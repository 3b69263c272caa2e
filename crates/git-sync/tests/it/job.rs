use chameleon_client::HistoryQuery;
use chameleon_model::Stage;
use git_sync::{SourceResult, SourceSettings, sync_once};

use crate::support::{SHARES, World};

const BETA: &str = "config/location-beta.yml";

#[tokio::test]
async fn a_commit_is_one_transaction_that_tells_where_it_comes_from() {
    let world = World::applied().await;
    assert_eq!(
        world.server.keys().await,
        [
            BETA,
            "config/location.yml",
            "config/schemas/location.schema.yml"
        ]
    );
    let moved = "aMapPercentage: 0\nbMapPercentage: 100\n";
    let files = [(BETA, Some(moved)), ("config/location.yml", None)];
    let result = world.push(&files).await;
    let commit = world.repository.head();
    assert!(
        matches!(&result, SourceResult::Applied { commit: applied, files: 2, .. } if *applied == commit),
        "{result:?}"
    );
    assert_eq!(
        world.server.entries().await[0],
        (BETA.to_owned(), moved.to_owned())
    );
    assert_eq!(world.server.keys().await.len(), 2);

    let history = world.server.api.history(HistoryQuery::default()).await;
    let history = history.unwrap();
    assert_eq!(history.len(), 2);
    let newest = &history[0];
    let keys: Vec<_> = (newest.changes.iter())
        .map(|change| (change.key.as_str(), change.deleted))
        .collect();
    assert_eq!(keys, [(BETA, false), ("config/location.yml", true)]);
    assert_eq!(newest.origin.author, "Test <test@example.com>");
    assert_eq!(newest.origin.message, "Change");
    let git = newest.origin.git.as_ref().unwrap();
    assert_eq!(*git.commit.0, *commit);
    assert_eq!(git.branch, "main");
    let stages: Vec<_> = (newest.origin.stages.iter())
        .map(|time| time.stage)
        .collect();
    assert!(
        stages.starts_with(&[Stage::Fetched, Stage::Checked]),
        "{stages:?}"
    );
    world.server.stop().await;
}

#[tokio::test]
async fn a_second_sync_of_the_same_commit_changes_nothing() {
    let world = World::applied().await;
    let result = world.once().await;
    assert!(
        matches!(result, SourceResult::Unchanged { .. }),
        "{result:?}"
    );
    let history = world.server.api.history(HistoryQuery::default()).await;
    assert_eq!(history.unwrap().len(), 1);
    assert!(world.server.source().await.report.unwrap().accepted);
}

#[tokio::test]
async fn two_syncs_at_once_apply_a_commit_once() {
    let world = World::applied().await;
    let files = [("config/location.yml", Some("greeting: hi\n"))];
    world.repository.commit_all(&files, "Change");
    world.repository.push();
    let (mut one, mut other) = (
        world.settings(world.source()),
        world.settings(world.source()),
    );
    one.work_dir = world.work_dir().join("one");
    other.work_dir = world.work_dir().join("other");
    let (one, other) = tokio::join!(sync_once(&one), sync_once(&other));
    assert_eq!(
        (one.unwrap().exit_code(), other.unwrap().exit_code()),
        (0, 0)
    );
    let history = world.server.api.history(HistoryQuery::default()).await;
    assert_eq!(history.unwrap().len(), 2);
}

#[tokio::test]
async fn a_filter_leaves_other_profiles_out_and_lets_their_faults_warn() {
    let world = World::new().await;
    world.repository.commit_all(
        &[
            (BETA, Some(SHARES)),
            ("config/location-prod.yml", Some("a: yes\n")),
            ("config/.gitkeep", Some("")),
        ],
        "Begin",
    );
    world.repository.push();
    let source = SourceSettings {
        only: Some(vec!["beta".to_owned()]),
        prefix: "teams/maps/".to_owned(),
        ..world.source()
    };
    let report = world.report(source).await;
    assert_eq!(report.exit_code(), 0, "{report}");
    assert_eq!(
        world.server.keys().await,
        ["teams/maps/config/location-beta.yml"]
    );
    let warnings = &report.sources()[0].warnings;
    assert!(
        matches!(warnings.as_slice(), [one] if one.starts_with("config/location-prod.yml:1:4: a: ")),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn the_server_judges_a_source_by_its_own_profiles_as_far_as_they_are_applied() {
    let world = World::new().await;
    let schema = "required: [greeting]\nproperties: { greeting: { type: string } }\n";
    let files = [
        ("config/application-beta.yml", Some("greeting: hello\n")),
        ("config/application-prod.yml", Some("greeting: welcome\n")),
        ("config/location.yml", Some("x: 1\n")),
        ("config/schemas/location.schema.yml", Some(schema)),
        ("other/application-prod.yml", Some("greeting: welcome\n")),
        ("other/location.yml", Some("x: 1\n")),
        ("other/schemas/location.schema.yml", Some(schema)),
    ];
    world.repository.commit_all(&files, "Begin");
    world.repository.push();
    // On the server there is nothing of `prod` to judge.
    let filtered = SourceSettings {
        profiles: vec!["beta".to_owned(), "prod".to_owned()],
        only: Some(vec!["beta".to_owned()]),
        ..world.source()
    };
    let report = world.report(filtered).await;
    assert_eq!(report.exit_code(), 0, "{report}");
    // Another team has never heard of `beta`.
    let other = SourceSettings {
        name: "other".to_owned(),
        folder: "other".to_owned(),
        profiles: vec!["prod".to_owned()],
        prefix: "teams/other/".to_owned(),
        ..world.source()
    };
    let report = world.report(other).await;
    assert_eq!(report.exit_code(), 0, "{report}");
}

#[tokio::test]
async fn a_force_push_that_replaces_commits_is_applied() {
    let world = World::applied().await;
    world
        .push(&[("config/location.yml", Some("greeting: a\n"))])
        .await;
    world
        .repository
        .git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    let files = [("config/location.yml", Some("greeting: b\n"))];
    let commit = world.repository.commit_all(&files, "Replace");
    world
        .repository
        .git(&["push", "--quiet", "--force", "origin", "main"]);
    let result = world.once().await;
    assert!(matches!(result, SourceResult::Applied { .. }), "{result:?}");
    assert_eq!(world.server.applied().await, Some(commit));
}

#[tokio::test]
async fn a_damaged_clone_is_fetched_anew() {
    let world = World::applied().await;
    let clone = world.work_dir().join("shop.git");
    // A repository around the clones is not to be taken for one of them.
    let around = world.work_dir().join(".git");
    let around_text = around.to_string_lossy();
    let init = ["init", "--quiet", "--bare", &around_text];
    world.repository.git(&init);
    let damages: [fn(&std::path::Path); 4] = [
        |clone| std::fs::remove_dir_all(clone.join("objects")).unwrap(),
        |clone| std::fs::write(clone.join("refs/chameleon/head"), "").unwrap(),
        empty_objects,
        |clone| std::fs::write(clone.join("refs/chameleon/head.lock"), "").unwrap(),
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        damage(&clone);
        let text = format!("greeting: {number}\n");
        let result = world.push(&[("config/location.yml", Some(&text))]).await;
        assert!(
            matches!(result, SourceResult::Applied { .. }),
            "{number}: {result:?}"
        );
    }
    assert!(!around.join("refs/chameleon").exists());
}

/// What a power failure leaves of files that were not flushed.
fn empty_objects(clone: &std::path::Path) {
    let folders = std::fs::read_dir(clone.join("objects")).unwrap();
    for folder in folders.map(Result::unwrap) {
        for file in std::fs::read_dir(folder.path())
            .unwrap()
            .map(Result::unwrap)
        {
            std::fs::remove_file(file.path()).unwrap();
            std::fs::write(file.path(), "").unwrap();
        }
    }
}
