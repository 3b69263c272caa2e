//! The binary.

use std::process::Stdio;

use tokio::process::Command;

use crate::Running;

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_map-simulator"));
    command.env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command
}

#[tokio::test]
async fn flags_are_checked_without_serving() {
    let output = binary().arg("check-config").output().await.unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ok\n");

    let flags = ["check-config", "--naver-client-id", "id"];
    let output = binary().args(flags).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "error: `--naver-client-id` needs `--naver-client-secret` (or its file)\n"
    );
}

#[tokio::test]
async fn a_port_in_use_is_one_clear_line() {
    let running = Running::start();
    let taken = running.simulator.addresses().control.to_string();
    let flags = ["serve", "--control-listen", &taken];
    let output = binary().args(flags).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    let start = format!("error: listen for control on {taken}: the port is in use");
    assert!(told.starts_with(&start), "{told}");
    assert!(
        told.ends_with("choose another with `--control-listen`\n"),
        "{told}"
    );
    running.end().await;
}

#[tokio::test]
async fn the_healthcheck_asks_the_control_port() {
    let running = Running::start();
    let address = running.simulator.addresses().control.to_string();
    let check = async || {
        let flags = ["healthcheck", "--control-listen", &address];
        binary().args(flags).output().await.unwrap()
    };
    assert!(check().await.status.success());
    running.end().await;
    assert_eq!(check().await.status.code(), Some(1));
}
