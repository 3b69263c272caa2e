use super::*;

async fn waits_for(token: CancellationToken) -> anyhow::Result<()> {
    token.cancelled().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_tasks_that_finish() {
    let lifecycle = Lifecycle::default();
    lifecycle.own("follower", waits_for(lifecycle.soft()));
    lifecycle.shut_down();
    assert_eq!(lifecycle.finished().await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_hangs_is_named_after_the_grace() {
    let lifecycle = Lifecycle::new(Duration::from_secs(3));
    lifecycle.own("good", waits_for(lifecycle.soft()));
    lifecycle.own("hangs", std::future::pending());
    lifecycle.shut_down();
    let before = tokio::time::Instant::now();
    let error = lifecycle.finished().await.unwrap_err();
    assert_eq!(before.elapsed(), Duration::from_secs(3));
    assert_eq!(
        error.to_string(),
        "stopped without having finished: `hangs`"
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ends_early_takes_the_process_down() {
    let lifecycle = Lifecycle::default();
    lifecycle.own("other", waits_for(lifecycle.soft()));
    lifecycle.own("short", async { Ok(()) });
    let error = lifecycle.finished().await.unwrap_err();
    assert_eq!(error.to_string(), "task `short` ended early");
}

#[tokio::test(start_paused = true)]
async fn a_failing_task_says_why_even_if_another_hangs() {
    let lifecycle = Lifecycle::default();
    lifecycle.own("hangs", std::future::pending());
    lifecycle.own("fails", async {
        Err(anyhow::anyhow!("disk full").context("write the snapshot"))
    });
    let error = lifecycle.finished().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "task `fails` failed: write the snapshot: disk full"
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_early_end() {
    let lifecycle = Lifecycle::default();
    lifecycle.own("panics", async { panic!("a test's panic, not a fault") });
    let error = lifecycle.finished().await.unwrap_err();
    assert_eq!(error.to_string(), "task `panics` panicked");
}

#[tokio::test(start_paused = true)]
async fn hard_ends_the_grace_at_once() {
    let lifecycle = Lifecycle::new(Duration::from_hours(1));
    lifecycle.own("hangs", std::future::pending());
    lifecycle.shut_down();
    lifecycle.hard().cancel();
    let before = tokio::time::Instant::now();
    assert!(lifecycle.finished().await.is_err());
    assert!(before.elapsed() <= STOP_LIMIT);
}

#[tokio::test(start_paused = true)]
async fn a_child_ends_alone_without_its_parent() {
    let parent = Lifecycle::default();
    let child = parent.child("location-8520");
    parent.own("main", waits_for(parent.soft()));
    child.own("http", waits_for(child.soft()));
    child.shut_down();
    assert_eq!(child.finished().await, Ok(()));
    assert!(!parent.soft().is_cancelled());
    parent.shut_down();
    assert_eq!(parent.finished().await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_parent_waits_for_its_children_and_names_their_tasks() {
    let parent = Lifecycle::default();
    parent.child("sync").own("poll", std::future::pending());
    parent.shut_down();
    assert_eq!(
        parent.finished().await,
        Err(LifecycleError::NotFinished {
            tasks: vec!["sync/poll".to_owned()],
        })
    );
}

#[tokio::test(start_paused = true)]
async fn an_early_end_in_a_child_takes_the_whole_process_down() {
    let parent = Lifecycle::default();
    parent.own("main", waits_for(parent.soft()));
    parent.child("sync").own("poll", async { Ok(()) });
    let error = parent.finished().await.unwrap_err();
    assert_eq!(error.to_string(), "task `sync/poll` ended early");
}
