//! `chameleon dev` as a newcomer meets it: what it prints works, Ctrl-C ends it, its data stays.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// The user's own git configuration, in the folder in which it is run.
const HOSTILE: &str = "gitconfig";

/// Makes a folder with a name that a shell would take apart, and a git configuration that would
/// keep anybody from committing and pushing.
fn hostile_folder(parent: &Path) -> PathBuf {
    let folder = parent.join("it's a $folder");
    let hooks = folder.join("template/hooks");
    fs::create_dir_all(&hooks).expect("a folder can be made");
    for hook in [
        "pre-commit",
        "commit-msg",
        "pre-push",
        "pre-receive",
        "reference-transaction",
    ] {
        let hook = hooks.join(hook);
        fs::write(&hook, "#!/bin/sh\nexit 1\n").expect("a hook can be written");
        fs::set_permissions(&hook, Permissions::from_mode(0o755)).expect("a hook can be made one");
    }
    let (hooks, template) = (hooks.display(), folder.join("template"));
    let template = template.display();
    let config = format!(
        "[core]\n hooksPath = \"{hooks}\"\n autocrlf = true\n safecrlf = true\n \
         excludesFile = \"{template}/ignored\"\n[init]\n templateDir = \"{template}\"\n \
         defaultBranch = trunk\n defaultObjectFormat = sha256\n[commit]\n gpgSign = true\n\
         [push]\n gpgSign = true\n default = nothing\n[user]\n useConfigOnly = true\n\
         [safe]\n bareRepository = explicit\n[protocol]\n allow = never\n\
         [remote]\n pushDefault = elsewhere\n"
    );
    fs::write(folder.join("template/ignored"), "*.yml\n").expect("a file can be written");
    fs::write(folder.join(HOSTILE), config).expect("a file can be written");
    folder
}

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
            .env("GIT_CONFIG_GLOBAL", folder.join(HOSTILE))
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
        .env("GIT_CONFIG_GLOBAL", folder.join(HOSTILE))
        .output()
        .expect("run sh");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "`{line}` failed: {text}");
    text
}

#[test]
fn the_three_things_to_try_work_as_printed_and_the_data_stays() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = &hostile_folder(parent.path());
    let dev = Dev::start(folder, "21000");

    let answer = shell(folder, dev.attempt(0));
    assert!(answer.contains("served by provider a, tmap"), "{answer}");
    assert!(answer.contains("경복궁"), "{answer}");

    let pushed = shell(folder, dev.attempt(1));
    assert!(
        pushed.contains("is in force on 2 instances after"),
        "{pushed}"
    );
    let answer = shell(folder, dev.attempt(0));
    assert!(answer.contains("served by provider b, naver"), "{answer}");

    let drawn = shell(folder, dev.attempt(2));
    for stage in [
        "notified",
        "fetched",
        "checked",
        "stored",
        "delivered location-2",
    ] {
        assert!(drawn.contains(stage), "{drawn}");
    }
    let gone = shell(
        folder,
        "cd .chameleon/repo && git push -q origin main:x && git push -q origin :x",
    );
    assert!(!gone.contains("not applied"), "{gone}");

    let beside = Command::new(env!("CARGO_BIN_EXE_chameleon"))
        .args(["dev", "--port-offset", "21050"])
        .current_dir(folder)
        .output()
        .expect("run chameleon dev");
    let error = String::from_utf8_lossy(&beside.stderr);
    let expected = format!(
        "error: the folder `.chameleon` is in use by another `chameleon` (pid {}); end that one, \
         or run beside it with `--dir` and `--port-offset`\n",
        dev.child.id()
    );
    assert_eq!((beside.status.code(), &*error), (Some(1), &*expected));
    assert_eq!(dev.interrupt(), Some(0));

    let again = Dev::start(folder, "21000");
    let answer = shell(folder, again.attempt(0));
    assert!(answer.contains("served by provider b, naver"), "{answer}");
    assert_eq!(again.interrupt(), Some(0));
}
