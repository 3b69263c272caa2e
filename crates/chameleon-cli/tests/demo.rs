//! `chameleon demo` succeeds when everything happens, and fails when any step does not.
//!
//! A binary of its own, because cargo runs one after the other: the demo is a load on the machine
//! and judges what it sees, so nothing else should run beside it.

use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// Nor should another demo.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn demo(arguments: &[&str]) -> (Output, Value) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(env!("CARGO_BIN_EXE_chameleon"))
        .args(["demo", "--output", "json"])
        .args(arguments)
        .output()
        .expect("run the demo");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let report = serde_json::from_str(&text).unwrap_or_else(|error| {
        let log = String::from_utf8_lossy(&output.stderr);
        panic!("{error}: {text}\n{log}")
    });
    (output, report)
}

#[test]
fn the_story_is_told_and_no_search_fails() {
    let (output, report) = demo(&[]);
    assert!(output.status.success(), "{report:#}");
    assert_eq!(report["failures"], serde_json::json!([]));

    let stages: Vec<_> = (report["waterfall"]["shared"].as_array().unwrap().iter())
        .map(|bar| bar["stage"].as_str().unwrap())
        .collect();
    assert_eq!(stages, ["notified", "fetched", "checked", "stored"]);
    assert_eq!(
        report["waterfall"]["instances"].as_array().unwrap().len(),
        2
    );

    let phases = report["phases"].as_array().unwrap();
    let names: Vec<_> = phases
        .iter()
        .map(|phase| phase["phase"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["before", "shifting", "after", "outage"]);
    assert!(phases.iter().all(|phase| phase["failed"] == 0));
    assert!(report["slowest_second"].as_u64().unwrap() >= 50);
}

#[test]
fn a_bad_push_fails_the_demo_with_its_fault() {
    let (output, report) = demo(&["--sabotage", "bad-push"]);
    assert_eq!(output.status.code(), Some(1));
    let failures = report["failures"].to_string();
    assert!(
        failures.contains("the push was rejected: config/location-prod.yml:1:1: "),
        "{failures}"
    );
}

#[test]
fn both_vendors_down_fails_the_demo() {
    let (output, report) = demo(&["--sabotage", "both-vendors"]);
    assert_eq!(output.status.code(), Some(1));
    let failures = report["failures"].to_string();
    assert!(failures.contains("searches failed: 504"), "{failures}");
}

#[test]
fn an_instance_that_does_not_apply_the_push_fails_the_demo() {
    let (output, report) = demo(&["--sabotage", "lost-instance"]);
    assert_eq!(output.status.code(), Some(1));
    let failures = report["failures"].to_string();
    assert!(
        failures.contains("not every instance has applied the push"),
        "{failures}"
    );
}
