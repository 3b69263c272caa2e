//! The small build context of prebuilt images.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::shell;

/// The binaries that go into images.
const BINARIES: [&str; 5] = [
    "chameleon",
    "config-server",
    "git-sync",
    "location-service",
    "map-simulator",
];

/// What the Dockerfile copies from the repository.
const FILES: [&str; 3] = [
    "crates/chameleon-cli/sample",
    "deploy/docker/git-server",
    "deploy/docker/load-balancer",
];

/// Builds the binaries and puts them, stripped, into a folder with everything that the Dockerfile
/// copies. Returns the folder.
///
/// # Errors
/// If the workspace does not compile, `strip` is missing, or a file cannot be written.
pub(super) fn stage() -> anyhow::Result<PathBuf> {
    let binaries = binaries()?;
    let root = shell::root();
    let folder = root.join("target/images/context");
    let bin = folder.join("bin");
    make(&bin)?;
    for (name, binary) in &binaries {
        strip(binary, &bin.join(name))?;
    }
    for file in FILES {
        let to = folder.join(file);
        if to.exists() {
            std::fs::remove_dir_all(&to).with_context(|| format!("remove `{}`", to.display()))?;
        }
        copy(&root.join(file), &to)?;
    }
    Ok(folder)
}

/// Builds the whole workspace, and returns the path of each of [`BINARIES`].
fn binaries() -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
    eprintln!("images: cargo builds the binaries");
    // All of the workspace and the profile of the tests, so that nothing is compiled twice.
    let mut command = shell::cargo();
    command
        .args([
            "build",
            "--workspace",
            "--bins",
            "--message-format=json-render-diagnostics",
        ])
        .stderr(Stdio::inherit());
    let output = command.output().context("run `cargo build`")?;
    if !output.status.success() {
        bail!("`cargo build` ended with {}", output.status);
    }
    let messages = String::from_utf8(output.stdout).context("read what cargo built")?;
    let built: Vec<PathBuf> = messages.lines().filter_map(executable).collect();
    let path_of = |name: &'static str| {
        let path = built
            .iter()
            .find(|path| path.file_stem() == Some(name.as_ref()));
        let path =
            path.with_context(|| format!("find the binary `{name}` among what cargo built"))?;
        Ok((name, path.clone()))
    };
    BINARIES.into_iter().map(path_of).collect()
}

/// The program that a line of cargo's is about, if it is about one.
fn executable(line: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
    }
    serde_json::from_str::<Message>(line).ok()?.executable
}

/// Writes `from` without its symbols as `to`, unless that is newer already.
fn strip(from: &Path, to: &Path) -> anyhow::Result<()> {
    let modified = |path: &Path| std::fs::metadata(path).and_then(|data| data.modified());
    let built = modified(from).with_context(|| format!("read `{}`", from.display()))?;
    if modified(to).is_ok_and(|stripped| stripped > built) {
        return Ok(());
    }
    let mut command = Command::new("strip");
    command.arg("--strip-all").arg("-o").arg(to).arg(from);
    shell::output(&mut command)
        .map(drop)
        .context("strip the binaries; `strip` comes with the C compiler (binutils)")
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    make(to)?;
    let entries = std::fs::read_dir(from).with_context(|| format!("read `{}`", from.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("read `{}`", from.display()))?;
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), &to)
                .with_context(|| format!("write `{}`", to.display()))?;
        }
    }
    Ok(())
}

fn make(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("make `{}`", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_among_cargos_messages() {
        let check = |line: &str, expected: Option<&str>| {
            assert_eq!(executable(line), expected.map(PathBuf::from), "{line}");
        };
        check(r#"{"reason":"build-script-executed"}"#, None);
        check(r#"{"reason":"compiler-artifact","executable":null}"#, None);
        check(
            r#"{"reason":"compiler-artifact","executable":"/t/debug/git-sync"}"#,
            Some("/t/debug/git-sync"),
        );
        check("   Compiling", None);
    }

    #[test]
    fn the_dockerfile_copies_nothing_else() {
        let dockerfile =
            std::fs::read_to_string(shell::root().join(super::super::DOCKERFILE)).unwrap();
        let copied = dockerfile
            .lines()
            .filter_map(|line| line.strip_prefix("COPY "));
        for line in copied.filter(|line| !line.starts_with("--from") && *line != ". .") {
            let words: Vec<&str> = line.split_whitespace().collect();
            for from in &words[..words.len() - 1] {
                assert!(FILES.iter().any(|file| from.starts_with(file)), "{from}");
                assert!(shell::root().join(from).exists(), "{from}");
            }
        }
    }

    #[test]
    fn the_dockerfile_takes_every_binary() {
        let dockerfile =
            std::fs::read_to_string(shell::root().join(super::super::DOCKERFILE)).unwrap();
        for name in BINARIES {
            assert!(
                dockerfile.contains(&format!("COPY --from=build /out/{name} ")),
                "{name}"
            );
        }
    }
}
