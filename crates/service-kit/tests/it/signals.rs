//! Signals end this very process, so all of it is one test.

use std::process::Command;

use service_kit::Lifecycle;

fn send(signal: &str) {
    let status = Command::new("sh")
        .args(["-c", &format!("kill -{signal} {}", std::process::id())])
        .status()
        .expect("`sh` runs");
    assert!(status.success());
}

#[cfg(unix)]
#[tokio::test]
async fn the_first_signal_asks_and_the_second_insists() {
    let lifecycle = Lifecycle::new(std::time::Duration::from_hours(1));
    lifecycle.signals().unwrap();
    lifecycle.own("hangs", std::future::pending());

    send("TERM");
    lifecycle.soft().cancelled().await;
    assert!(!lifecycle.hard().is_cancelled());

    send("INT");
    let error = lifecycle.finished().await.unwrap_err();
    assert!(error.to_string().contains("`hangs`"), "{error}");
}
