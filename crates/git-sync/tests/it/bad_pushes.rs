//! Whatever is wrong with a push says where and what, and leaves the last good state live.

use std::sync::{Arc, Mutex};

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use git_sync::{SourceResult, SourceSettings};
use service_kit::Lifecycle;

use crate::support::{World, local};

const BETA: &str = "config/location-beta.yml";

/// Files to write, or to delete.
type Files = &'static [(&'static str, Option<&'static str>)];

#[tokio::test]
async fn a_bad_commit_is_rejected_whole_with_every_fault() {
    let cases: [(&str, Files, &[&str]); 6] = [
        (
            "a broken YAML",
            &[(BETA, Some("aMapPercentage: 100\nb: [\n"))],
            &["config/location-beta.yml:3:1: "],
        ),
        (
            "shares that do not add up",
            &[(BETA, Some("aMapPercentage: 90\nbMapPercentage: 20\n"))],
            &["config/location-beta.yml:"],
        ),
        (
            "two bad files beside a good one",
            &[
                (BETA, Some("a: on\n")),
                ("config/pay-prod.yml", Some("b: 010\n")),
                ("config/location.yml", Some("greeting: changed\n")),
            ],
            &[
                "config/location-beta.yml:1:4: a: plain `on`",
                "config/pay-prod.yml:1:4: b: ",
            ],
        ),
        (
            "a wrong extension",
            &[("config/pay.yaml", Some("a: 1\n"))],
            &["config/pay.yaml: is not named `*.yml`; rename it to `pay.yml`"],
        ),
        (
            "a broken schema",
            &[("config/schemas/location.schema.yml", Some("type: 5\n"))],
            &["config/schemas/location.schema.yml:1:"],
        ),
        (
            "all files deleted",
            &[
                (BETA, None),
                ("config/location.yml", None),
                ("config/schemas/location.schema.yml", None),
            ],
            &["config: has no file at this commit, so applying it would delete every key"],
        ),
    ];
    for (case, files, expected) in cases {
        let world = World::applied().await;
        let (live, applied) = (world.server.entries().await, world.server.applied().await);
        let SourceResult::Rejected { commit, faults } = world.push(files).await else {
            panic!("{case}: not rejected");
        };
        assert_eq!(commit, world.repository.head(), "{case}");
        assert_eq!(faults.len(), expected.len(), "{case}: {faults:?}");
        for (fault, start) in faults.iter().zip(expected) {
            assert!(fault.starts_with(start), "{case}: {fault}");
        }
        assert_eq!(world.server.entries().await, live, "{case}");
        let source = world.server.source().await;
        assert_eq!(source.commit.map(|id| id.to_string()), applied, "{case}");
        let report = source.report.expect("the rejection is reported");
        assert_eq!((report.accepted, report.faults), (false, faults), "{case}");

        let repaired = [(BETA, Some("aMapPercentage: 1\nbMapPercentage: 99\n"))];
        world.repository.git(&["revert", "--no-edit", "HEAD"]);
        let result = world.push(&repaired).await;
        assert!(
            matches!(result, SourceResult::Applied { .. }),
            "{case}: {result:?}"
        );
        world.server.stop().await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_no_file_is_rejected() {
    let world = World::applied().await;
    let config = world.repository.work().join("config");
    std::os::unix::fs::symlink("location.yml", config.join("link.yml")).unwrap();
    let module = format!("160000,{},config/module", world.repository.head());
    world
        .repository
        .git(&["update-index", "--add", "--cacheinfo", &module]);
    std::fs::create_dir(config.join("module")).unwrap();
    world.repository.git(&["add", "config/link.yml"]);
    world
        .repository
        .git(&["commit", "--quiet", "--message", "Odd"]);
    world.repository.push();
    let SourceResult::Rejected { faults, .. } = world.once().await else {
        panic!("not rejected");
    };
    assert_eq!(
        faults,
        [
            "config/link.yml: is a symbolic link; put the file itself here",
            "config/module: is a submodule; make it a source of its own",
        ]
    );
}

#[tokio::test]
async fn a_file_that_is_too_large_is_rejected_unread() {
    let world = World::applied().await;
    let large = format!("a: {}\n", "x".repeat(512 * 1024));
    let SourceResult::Rejected { faults, .. } =
        world.push(&[("config/large.yml", Some(&large))]).await
    else {
        panic!("not rejected");
    };
    assert_eq!(
        faults,
        ["config/large.yml: has 524292 bytes, 524288 are allowed; split it"]
    );
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let world = World::applied().await;
    let remote = world.source().repository;
    let gone = format!("{remote}-gone");
    for (source, message) in [
        (
            SourceSettings {
                repository: gone.clone(),
                ..world.source()
            },
            format!(
                "repository `{gone}` does not exist or is not visible; check `repository`, and \
                 the credentials if it is private"
            ),
        ),
        (
            SourceSettings {
                branch: "live".to_owned(),
                ..world.source()
            },
            format!(
                "branch `live` does not exist in `{remote}`; what was applied stays; push the \
                 branch, or change `branch`"
            ),
        ),
    ] {
        let report = world.report(source).await;
        assert_eq!(report.exit_code(), 2);
        let result = &report.sources()[0].result;
        assert_eq!(*result, SourceResult::Failed { error: message });
    }
    let source = SourceSettings {
        folder: "deploy/config".to_owned(),
        ..world.source()
    };
    let report = world.report(source).await;
    assert_eq!(report.exit_code(), 1);
    assert!(
        report
            .to_string()
            .contains("deploy/config: has no file at this commit"),
        "{report}"
    );
    assert_eq!(world.server.keys().await.len(), 3);
}

#[tokio::test]
async fn a_work_folder_that_can_not_be_written_is_named() {
    let world = World::new().await;
    let file = world.repository.work().join("file");
    std::fs::write(&file, "").unwrap();
    let mut settings = world.settings(world.source());
    settings.work_dir = file.join("work");
    let error = git_sync::sync_once(&settings).await.unwrap_err();
    let expected = format!(
        "work folder `{}` can't be written; choose another with `--work-dir`",
        settings.work_dir.display()
    );
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let world = World::new().await;
    world.repository.commit("config/location.yml", "a: 1\n");
    world.repository.push();
    let mut settings = world.settings(world.source());
    settings.api.servers = vec!["http://127.0.0.1:1".to_owned()];
    let report = git_sync::sync_once(&settings).await.unwrap();
    assert_eq!(report.exit_code(), 2);
    let line = report.to_string();
    assert!(
        line.starts_with("shop: failed: no server answers at `http://127.0.0.1:1`"),
        "{line}"
    );
}

#[tokio::test]
async fn credentials_reach_the_remote_and_no_error() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let router = axum::Router::new().fallback({
        let seen = Arc::clone(&seen);
        move |headers: HeaderMap| async move {
            let sent = headers.get(AUTHORIZATION).cloned();
            seen.lock().unwrap().push(sent);
            StatusCode::UNAUTHORIZED
        }
    });
    let (listener, lifecycle) = (local().await, Lifecycle::default());
    let host = listener.local_addr().unwrap();
    let limits = service_kit::http::HttpLimits::default();
    service_kit::http::serve("remote", listener, router, limits, &lifecycle);

    let world = World::new().await;
    let report = world
        .report(SourceSettings {
            repository: format!("http://bot:s3cret@{host}/shop.git"),
            ..world.source()
        })
        .await;
    assert_eq!(report.exit_code(), 2);
    let line = report.to_string();
    let start = format!("shop: failed: repository `http://{host}/shop.git` refuses access: ");
    assert!(line.starts_with(&start), "{line}");
    assert!(!line.contains("s3cret") && !line.contains("bot"), "{line}");
    let sent = seen.lock().unwrap().clone();
    assert_eq!(sent[0].as_ref().unwrap(), "Basic Ym90OnMzY3JldA==");
    lifecycle.shut_down();
}

/// Trees that cost the repository a few objects and hold millions of files, or gigabytes.
#[tokio::test]
async fn a_folder_without_bounds_is_refused_before_it_is_read() {
    let world = World::applied().await;
    let entries = |count: u32, mode: &str, kind: &str| {
        let entries = (0..count).map(|n| format!("{mode} {kind} $id\\t{n:03}.yml\\n"));
        entries.collect::<Vec<_>>().concat()
    };
    let (folders, files) = (
        entries(20, "040000", "tree"),
        entries(200, "100644", "blob"),
    );
    let empty = "id=$(git mktree </dev/null)";
    let deep =
        format!("{empty}; for n in 1 2 3 4 5 6; do id=$(printf \"{folders}\" | git mktree); done");
    let large = format!(
        "id=$(head -c 500000 /dev/zero | tr '\\0' '#' | git hash-object -w --stdin); \
         id=$(printf \"{files}\" | git mktree)"
    );
    for (make, fault) in [
        (
            deep,
            "config: has over 20000 files and folders; split it into several sources",
        ),
        (
            large,
            "config: has over 67108864 bytes; split it into several sources",
        ),
    ] {
        let script = format!(
            "set -e; {make}; id=$(printf \"040000 tree $id\\tconfig\\n\" | git mktree); \
             git -c user.name=x -c user.email=x@x commit-tree -p HEAD -m Large $id"
        );
        let work = world.repository.work();
        let made = std::process::Command::new("sh")
            .args(["-c", &script])
            .current_dir(work)
            .output()
            .unwrap();
        let commit = String::from_utf8(made.stdout).unwrap();
        let commit = commit.trim();
        assert!(
            !commit.is_empty(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let target = format!("{commit}:refs/heads/main");
        world
            .repository
            .git(&["push", "--quiet", "--force", "origin", &target]);
        let result = world.once().await;
        let SourceResult::Rejected { faults, .. } = &result else {
            panic!("{result:?}");
        };
        assert_eq!(faults, &[fault]);
        assert_eq!(world.server.keys().await.len(), 3);
    }
    world.server.stop().await;
}
