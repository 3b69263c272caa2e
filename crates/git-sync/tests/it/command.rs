//! The command as a cron job or a CI system calls it.

use tokio::process::Command;

use crate::support::World;

/// Runs `git-sync` with flags; returns its exit code, stdout and stderr.
async fn git_sync(world: &World, flags: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_git-sync"))
        .args([
            "--server",
            &world.server.url,
            "--name",
            "shop",
            "--log",
            "off",
        ])
        .arg("--work-dir")
        .arg(world.work_dir())
        .args(flags)
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn the_exit_code_says_what_became_of_it() {
    let world = World::new().await;
    let remote = world.source().repository;
    let flags = ["--once", "--repository", &remote];
    let commit = world.repository.commit("config/location.yml", "a: 1\n");
    world.repository.push();
    let short = &commit[..10];
    let (code, out, _) = git_sync(&world, &flags).await;
    assert_eq!(
        (code, out),
        (
            0,
            format!("shop: applied {short} at revision 1, 1 files: Change config/location.yml\n")
        )
    );
    let (code, out, _) = git_sync(&world, &flags).await;
    assert_eq!(
        (code, out),
        (0, format!("shop: unchanged at {short}, revision 1\n"))
    );

    let commit = world.repository.commit("config/location.yml", "a: on\n");
    world.repository.push();
    let (code, out, _) = git_sync(&world, &flags).await;
    let lines: Vec<_> = out.lines().collect();
    assert_eq!((code, lines.len()), (1, 2), "{out}");
    assert_eq!(
        lines[0],
        format!("shop: rejected {}, what was live stays:", &commit[..10])
    );
    assert!(
        lines[1].starts_with("config/location.yml:1:4: a: plain `on` is "),
        "{out}"
    );

    let json = [&flags[..], &["--output", "json"]].concat();
    let (code, out, _) = git_sync(&world, &json).await;
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 1);
    assert_eq!(report[0]["source"], "shop");
    assert_eq!(report[0]["outcome"], "rejected");
    assert_eq!(report[0]["commit"], commit);
    assert_eq!(report[0]["faults"][0], lines[1]);
    world.server.stop().await;
}

#[tokio::test]
async fn what_can_not_run_is_one_line() {
    let world = World::new().await;
    let (code, _, error) = git_sync(&world, &["--once"]).await;
    assert_eq!(code, 2);
    assert_eq!(
        error,
        "error: no source is named: give `--repository`, or a file of sources with `--config`\n"
    );
    let (code, out, _) = git_sync(&world, &["--once", "--repository", "/nowhere/x.git"]).await;
    assert_eq!(code, 2);
    assert_eq!(
        out,
        "shop: failed: repository `/nowhere/x.git` does not exist or is not visible; check \
         `repository`, and the credentials if it is private\n"
    );
}

#[tokio::test]
async fn a_settings_file_is_checked_without_syncing() {
    let world = World::new().await;
    let path = world.repository.work().join("git-sync.yml");
    let file = path.to_string_lossy().into_owned();
    let text = "sources:\n  - name: shop\n    repository: https://me:pw@git.example/x.git\n";
    std::fs::write(&path, text).unwrap();
    let (code, out, _) = git_sync(&world, &["check-config", "--config", &file]).await;
    assert_eq!(code, 0);
    assert_eq!(
        out,
        "shop: https://git.example/x.git branch main folder config -> config/ (poll only, every \
         30s)\n"
    );
    std::fs::write(&path, "sources:\n  - nam: shop\n").unwrap();
    let (code, _, error) = git_sync(&world, &["check-config", "--config", &file]).await;
    assert_eq!(code, 1);
    let start = format!("error: {file}:2:5: sources[0]: unknown field `nam`, expected one of ");
    assert!(error.starts_with(&start), "{error}");
}
