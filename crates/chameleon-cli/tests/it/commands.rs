//! What a person asks of a running platform, as a table and as JSON, and into a pipe.

use std::io::{Read as _, Write as _};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::rig::{PROD, Rig, all_to, chameleon};

/// Runs a command against the platform and returns what it printed; its exit code is `code`.
async fn printed(rig: &Rig, code: i32, arguments: &[&str]) -> String {
    let mut command = chameleon(arguments);
    command.env("CHAMELEON_SERVER", rig.stack.addresses().grpc_url());
    // The tests' own locale and terminal are nobody's.
    command.env("TZ", "UTC").env("USER", "ada");
    let output = run(command).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).expect("it prints UTF-8")
}

async fn run(command: Command) -> Output {
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true).output().await.expect("it runs")
}

/// What it prints for people: without colours, and without blanks at the ends of its lines.
async fn table(rig: &Rig, arguments: &[&str]) -> String {
    let text = printed(rig, 0, arguments).await;
    assert!(!text.contains('\u{1b}'), "{arguments:?}: {text:?}");
    assert!(text.ends_with('\n'), "{arguments:?}: {text:?}");
    for line in text.lines() {
        assert_eq!(line, line.trim_end(), "{arguments:?}");
    }
    text
}

/// What it prints for programs: one line of JSON.
async fn json(rig: &Rig, code: i32, arguments: &[&str]) -> Value {
    let text = printed(rig, code, &[arguments, &["--output", "json"]].concat()).await;
    assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

/// The rows of a table as words, without its heading.
fn rows(table: &str) -> Vec<Vec<&str>> {
    let lines = table.lines().skip_while(|line| !line.starts_with(" KEY"));
    let rows = lines.skip(1).map(|line| line.split_whitespace().collect());
    rows.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_answers_people_and_programs() {
    let rig = Rig::start(None).await;
    keys(&rig).await;
    values(&rig).await;
    writes(&rig).await;
    pushes(&rig).await;
    watches(&rig).await;
    ways_back(&rig).await;
    searches(&rig).await;
    colours(&rig).await;
    pipes(&rig);
    rig.stop().await;
}

async fn keys(rig: &Rig) {
    let listed = table(rig, &["ls"]).await;
    let expected = [
        PROD,
        "config/location.yml",
        "config/schemas/location.schema.yml",
    ];
    let names: Vec<_> = rows(&listed).into_iter().map(|row| row[0]).collect();
    assert_eq!(names, expected, "{listed}");
    assert_eq!(rows(&listed)[0][2..], ["1", "location"], "{listed}");
    assert_eq!(
        table(rig, &["ls", "none/"]).await,
        "no keys at revision 1\n"
    );

    let listed = json(rig, 0, &["ls", "config/schemas/"]).await;
    assert_eq!(listed["revision"], 1);
    assert_eq!(listed["keys"].as_array().unwrap().len(), 1);
    assert_eq!(listed["keys"][0]["key"], expected[2]);
    assert_eq!(listed["keys"][0]["owner"], "location");
}

async fn values(rig: &Rig) {
    let value = std::fs::read_to_string(rig.stack.repository().clone_dir().join(PROD)).unwrap();
    assert_eq!(printed(rig, 0, &["get", PROD]).await, value);
    let got = json(rig, 0, &["get", PROD]).await;
    assert_eq!(got["value"], value);
    assert_eq!(
        (&got["modify_revision"], &got["owner"]),
        (&1.into(), &"location".into())
    );

    for flags in [&[][..], &["--output", "json"]] {
        let absent = printed(rig, 1, &[&["get", "config/none.yml"], flags].concat()).await;
        assert_eq!(absent, "");
    }
}

async fn writes(rig: &Rig) {
    assert_eq!(
        table(rig, &["put", "scratch/x", "one", "--message", "Try"]).await,
        "wrote `scratch/x` as revision 2\n"
    );
    let again = json(rig, 0, &["put", "scratch/x", "one"]).await;
    assert_eq!(again["outcome"], "unchanged");
    let written = json(rig, 0, &["put", "scratch/x", "two", "--if-revision", "2"]).await;
    assert_eq!(
        (&written["outcome"], &written["revision"]),
        (&"committed".into(), &3.into())
    );

    let stale = json(rig, 1, &["put", "scratch/x", "three", "--if-revision", "2"]).await;
    assert_eq!(stale["outcome"], "refused");
    let reason = stale["reasons"][0].as_str().unwrap();
    assert!(reason.contains("it is at revision 3"), "{reason}");
    let refused = printed(rig, 1, &["put", PROD, "aMapPercentage: 90\n"]).await;
    assert!(
        refused.starts_with(&format!("refused to write `{PROD}`:\n  {PROD}:1:1: ")),
        "{refused}"
    );

    assert_eq!(printed(rig, 0, &["get", "scratch/x"]).await, "two");
    let before = ["get", "scratch/x", "--revision", "2"];
    assert_eq!(printed(rig, 0, &before).await, "one");
}

async fn pushes(rig: &Rig) {
    rig.stack
        .repository()
        .push(PROD, &all_to("b"), "All to B")
        .await
        .unwrap();
    rig.settled("b").await;

    let told = table(rig, &["history", PROD]).await;
    let newest = told.lines().nth(1).unwrap();
    for part in [
        " 4 ",
        "Chameleon dev <dev@chameleon.invalid>",
        "All to B",
        "2 applied in",
    ] {
        assert!(newest.contains(part), "{told}");
    }
    let told = json(rig, 0, &["history", "--limit", "3"]).await;
    let commits = told["commits"].as_array().unwrap();
    let of = |field: &str| {
        commits
            .iter()
            .map(|commit| commit[field].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(of("revision"), [4, 3, 2]);
    assert_eq!(of("message"), ["All to B", "", "Try"]);
    assert_eq!(of("author")[2], "ada");
    assert_eq!(commits[0]["puts"], serde_json::json!([PROD]));
    assert_eq!(
        commits[0]["waterfall"]["instances"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let at = commits[0]["at"].as_str().unwrap();
    assert!(
        at.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(at).is_ok(),
        "{at}"
    );
    assert_eq!(
        table(rig, &["history", "--before", "1"]).await,
        "no such change is kept\n"
    );

    // One change of each kind: from git with instances, and by hand without.
    let drawn = table(rig, &["history", "--waterfall", "--limit", "2"]).await;
    for stage in [
        "notified",
        "fetched",
        "checked",
        "stored",
        "delivered location-1",
        "in all",
    ] {
        assert!(drawn.contains(stage), "{drawn}");
    }

    let fleet = table(rig, &["fleet"]).await;
    assert!(fleet.starts_with("server at revision 4\n"), "{fleet}");
    for name in ["location-1", "location-2"] {
        let row = fleet.lines().find(|line| line.contains(name)).unwrap();
        assert!(row.ends_with(" current"), "{fleet}");
    }
    let fleet = json(rig, 0, &["fleet", "--service", "location"]).await;
    assert_eq!(fleet["instances"][1]["instance"], "location-2");
    assert_eq!(fleet["instances"][1]["applied"], 4);
    let none = table(rig, &["fleet", "--profile", "beta"]).await;
    assert_eq!(none, "no instances; the server is at revision 4\n");

    let status = table(rig, &["status"]).await;
    for part in [
        "at revision 4\n",
        "sqlite is there",
        "2 instances, all current",
        " applied\n",
    ] {
        assert!(status.contains(part), "{status}");
    }
    let status = json(rig, 0, &["status"]).await;
    assert_eq!(
        (&status["revision"], &status["instances"]),
        (&4.into(), &2.into())
    );
    assert_eq!(status["sources"][0]["name"], "location");
    assert_eq!(status["sources"][0]["revision"], 4);
}

async fn watches(rig: &Rig) {
    let seen = table(rig, &["watch", PROD, "--count", "1"]).await;
    let expected = format!(
        "revision 4 (complete)\n+ {PROD}\n    aMapPercentage: 0\n    bMapPercentage: 100\n"
    );
    assert_eq!(seen, expected);
    let seen = json(rig, 0, &["watch", "config/", "--count", "1"]).await;
    assert_eq!(seen["incremental"], false);
    assert_eq!(seen["puts"].as_array().unwrap().len(), 3);
}

/// What differs between two revisions is told, and the earlier comes back as a new one.
async fn ways_back(rig: &Rig) {
    let expected = "~ scratch/x\n    @@ -1 +1 @@\n    -one\n    +two\n";
    assert_eq!(table(rig, &["diff", "2", "3"]).await, expected);
    let of_git = json(rig, 0, &["diff", "3", "--key", "config/"]).await;
    assert_eq!((&of_git["from"], &of_git["to"]), (&3.into(), &4.into()));
    assert_eq!(of_git["keys"][0]["key"], PROD);
    let same = table(rig, &["diff", "3", "4", "--key", "scratch/"]).await;
    assert_eq!(same, "revisions 3 and 4 are the same at `scratch/`\n");

    let tried = table(rig, &["rollback", "2", "scratch/x", "--dry-run"]).await;
    assert_eq!(
        tried,
        expected.replace("-one", "-two").replace("+two", "+one")
    );
    assert_eq!(printed(rig, 0, &["get", "scratch/x"]).await, "two");
    let done = table(rig, &["rollback", "2", "scratch/x"]).await;
    let told = "~ scratch/x\nrolled back to revision 2 as revision 5\n";
    assert_eq!(done, told);
    assert_eq!(printed(rig, 0, &["get", "scratch/x"]).await, "one");
    let again = json(rig, 0, &["rollback", "2", "scratch/"]).await;
    assert_eq!(again["outcome"], "unchanged");
    let history = json(rig, 0, &["history", "--limit", "1"]).await;
    assert_eq!(history["commits"][0]["message"], "Roll back to revision 2");
    assert_eq!(history["commits"][0]["author"], "ada");
    printed(rig, 1, &["rollback", "99", "--all"]).await;
    printed(rig, 2, &["rollback", "2"]).await;

    let deleted = table(rig, &["delete", "scratch/x", "--message", "Done"]).await;
    assert_eq!(deleted, "deleted `scratch/x` as revision 6\n");
    let again = table(rig, &["delete", "scratch/x"]).await;
    assert_eq!(again, "there was no `scratch/x` at revision 6\n");
    let moved = ["delete", PROD, "--if-revision", "1"];
    let refused = json(rig, 1, &moved).await;
    assert_eq!(refused["outcome"], "refused");

    let sources = table(rig, &["source"]).await;
    assert!(
        sources.contains(" location ") && sources.ends_with(" applied\n"),
        "{sources}"
    );
    let sources = json(rig, 0, &["source"]).await;
    assert_eq!(sources["sources"][0]["revision"], 4);
}

async fn searches(rig: &Rig) {
    let at = &rig.stack.addresses().location_urls()[0];
    let found = table(rig, &["search", "경복궁", "--at", at]).await;
    assert!(found.starts_with("served by provider "), "{found}");
    assert!(found.contains("서울특별시 종로구 사직로 161"), "{found}");
    let found = json(rig, 0, &["search", "경복궁", "--at", at]).await;
    assert_eq!(found["items"][0]["name"], "경복궁");
    assert!(
        ["a", "b"].contains(&found["provider"].as_str().unwrap()),
        "{found}"
    );
    let none = table(rig, &["search", "zzzz", "--at", at]).await;
    assert!(none.ends_with("nothing found\n"), "{none}");
    assert_eq!(printed(rig, 1, &["search", "", "--at", at]).await, "");
}

/// Colours change nothing but colours: columns stay under their headings.
async fn colours(rig: &Rig) {
    for command in ["ls", "history", "status"] {
        let plain = table(rig, &[command]).await;
        let painted = printed(rig, 0, &[command, "--color", "always"]).await;
        assert!(painted.contains("\u{1b}["), "{painted:?}");
        let mut parts = painted.split('\u{1b}');
        let mut bare = parts.next().unwrap_or_default().to_owned();
        bare.extend(parts.filter_map(|part| Some(part.split_once('m')?.1)));
        let columns = |text: &str| {
            let lines = text.lines().map(|line| line.trim_end().to_owned());
            // A watch that has just ended may be counted still.
            lines
                .map(|line| line.replace(|c: char| c.is_ascii_digit(), "0"))
                .collect::<Vec<_>>()
        };
        assert_eq!(columns(&bare), columns(&plain), "{command}");
    }
}

/// A reader that has gone away is no error, whatever is printed.
fn pipes(rig: &Rig) {
    let large = "x".repeat(256 * 1024);
    let mut put = chameleon(&["put", "scratch/large"]);
    put.env("CHAMELEON_SERVER", rig.stack.addresses().grpc_url());
    let mut put = put
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("it runs");
    let mut input = put.stdin.take().expect("its input is piped");
    input
        .write_all(large.as_bytes())
        .expect("it reads its input");
    drop(input);
    assert!(put.wait().expect("it ends").success());

    for arguments in [
        &["ls"][..],
        &["get", "scratch/large"],
        &["get", "scratch/large", "--output", "json"],
        &["watch", "scratch/"],
        &["completion", "zsh"],
    ] {
        let mut command = chameleon(arguments);
        command.env("CHAMELEON_SERVER", rig.stack.addresses().grpc_url());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        // What `head` does when it has seen enough.
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), &*error),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

#[tokio::test]
async fn a_folder_is_judged_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    let write = |text: &str| std::fs::write(folder.path().join("shop-beta.yml"), text).unwrap();
    write("a: 1\n");
    let good = run(chameleon(&["validate", &path])).await;
    assert_eq!(good.status.code(), Some(0));
    assert_eq!(
        String::from_utf8_lossy(&good.stdout),
        "1 file checked, all good\n"
    );

    write("a: on\n");
    let bad = run(chameleon(&["validate", &path])).await;
    let text = String::from_utf8_lossy(&bad.stdout);
    assert_eq!(bad.status.code(), Some(1));
    assert!(text.starts_with("shop-beta.yml:1:4: a: "), "{text}");
    assert!(text.ends_with("\n1 fault in 1 file\n"), "{text}");
    let bad = run(chameleon(&["validate", &path, "--output", "json"])).await;
    let judged: Value = serde_json::from_slice(&bad.stdout).unwrap();
    assert_eq!(bad.status.code(), Some(1));
    assert_eq!(judged["good"], false);
    assert_eq!(judged["faults"][0]["line"], 1);
    let others = ["validate", &path, "--only", "prod", "--output", "json"];
    let judged: Value = serde_json::from_slice(&run(chameleon(&others)).await.stdout).unwrap();
    assert_eq!(
        (
            &judged["good"],
            judged["warnings"].as_array().unwrap().len()
        ),
        (&true.into(), 1)
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_one_line_with_advice() {
    // Nobody listens where a listener has just gone.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for arguments in [
        &["ls"][..],
        &["get", "x"],
        &["put", "x", "y"],
        &["watch", "x"],
        &["history"],
        &["fleet"],
        &["status"],
        &["status", "--output", "json"],
    ] {
        let output = run(chameleon(&[arguments, &["--server", &server]].concat())).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), &*output.stdout),
            (Some(1), &b""[..]),
            "{arguments:?}"
        );
        assert_eq!(error.lines().count(), 1, "{arguments:?}: {error}");
        let start = format!("error: no server answers at `{server}`: ");
        let end = "; start one by `chameleon dev`, or name another by `--server`\n";
        assert!(
            error.starts_with(&start) && error.ends_with(end),
            "{arguments:?}: {error}"
        );
    }
}

#[tokio::test]
async fn completion_scripts_know_the_commands() {
    for (shell, start) in [("bash", "_chameleon() {"), ("zsh", "#compdef chameleon")] {
        let output = run(chameleon(&["completion", shell])).await;
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && script.starts_with(start),
            "{shell}: {script}"
        );
        for word in ["waterfall", "port-offset", "validate"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let mut bash = chameleon(&["completion", "bash"]);
    let mut script = String::new();
    let mut bash = bash.stdout(Stdio::piped()).spawn().unwrap();
    bash.stdout
        .take()
        .unwrap()
        .read_to_string(&mut script)
        .unwrap();
    assert!(bash.wait().unwrap().success());
    let parsed = Command::new("sh")
        .args(["-c", "command -v bash"])
        .output()
        .unwrap();
    if parsed.status.success() {
        let asked = format!(
            "{script}\nCOMP_WORDS=(chameleon hi) COMP_CWORD=1; _chameleon chameleon hi chameleon; \
             echo \"${{COMPREPLY[*]}}\""
        );
        let output = Command::new("bash").args(["-c", &asked]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "history\n");
    }
}
