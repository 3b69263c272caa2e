//! `chameleon dev` as a newcomer meets it: what it prints works, Ctrl-C ends it, its data stays.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// A running `chameleon dev`; killed with this value.
struct Dev {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    running: Value,
}

impl Dev {
    /// Starts it in `folder` on ports of its own and reads what it says is running.
    fn start(folder: &Path, offset: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_chameleon"))
            .args(["dev", "--output", "json", "--port-offset", offset])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("run chameleon dev");
        let mut lines = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut line = String::new();
        lines.read_line(&mut line).expect("read what is running");
        let running = serde_json::from_str(&line).expect("JSON");
        Self {
            child,
            lines,
            running,
        }
    }

    /// The command line of the n-th thing to try.
    fn attempt(&self, n: usize) -> &str {
        self.running["tries"][n]["command"]
            .as_str()
            .expect("a command")
    }

    /// Presses Ctrl-C and returns the exit code.
    fn interrupt(mut self) -> Option<i32> {
        let kill = Command::new("kill")
            .args(["-INT", &self.child.id().to_string()])
            .status();
        assert!(kill.expect("run kill").success());
        let mut rest = String::new();
        self.lines
            .read_to_string(&mut rest)
            .expect("read until its end");
        let status = self.child.wait().expect("wait for its end");
        status.code()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It has ended already if the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command line as a person would type it, and returns all it printed.
fn shell(folder: &Path, line: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(folder)
        .output()
        .expect("run sh");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "`{line}` failed: {text}");
    text
}

#[test]
fn the_three_things_to_try_work_as_printed_and_the_data_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let dev = Dev::start(folder.path(), "21000");

    let answer = shell(folder.path(), dev.attempt(0));
    assert!(answer.contains("x-chameleon-provider: a"), "{answer}");
    assert!(answer.contains("경복궁"), "{answer}");

    let pushed = shell(folder.path(), dev.attempt(1));
    assert!(
        pushed.contains("is in force on 2 instances after"),
        "{pushed}"
    );
    let answer = shell(folder.path(), dev.attempt(0));
    assert!(answer.contains("x-chameleon-provider: b"), "{answer}");

    let drawn = shell(folder.path(), dev.attempt(2));
    for stage in [
        "notified",
        "fetched",
        "checked",
        "stored",
        "delivered location-2",
    ] {
        assert!(drawn.contains(stage), "{drawn}");
    }
    assert_eq!(dev.interrupt(), Some(0));

    let again = Dev::start(folder.path(), "21000");
    let answer = shell(folder.path(), again.attempt(0));
    assert!(answer.contains("x-chameleon-provider: b"), "{answer}");
    assert_eq!(again.interrupt(), Some(0));
}
