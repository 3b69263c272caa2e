//! The git repository that `dev` and `demo` play with: a bare remote and a clone to edit.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context as _, bail};
use tokio::process::Command;

use crate::shell::word;

/// The branch that git-sync follows.
pub(crate) const BRANCH: &str = "main";

/// The folder inside the repository whose files are the configuration.
pub(crate) const FOLDER: &str = "config";

/// What a new repository holds.
const SAMPLE: [(&str, &str); 3] = [
    (
        "config/location.yml",
        include_str!("../../sample/config/location.yml"),
    ),
    (
        "config/location-prod.yml",
        include_str!("../../sample/config/location-prod.yml"),
    ),
    (
        "config/schemas/location.schema.yml",
        include_str!("../../sample/config/schemas/location.schema.yml"),
    ),
];

/// What the remote is told of its own, because the user's configuration counts for it, too.
const REMOTE_SETTINGS: &str = "
[core]
	hooksPath = hooks
";

/// What the clone is told of its own: whatever the user's configuration says, the edits of a
/// newcomer can be committed and pushed. The paths are relative, so that the folder can be moved.
const CLONE_SETTINGS: &str = "
[user]
	name = Chameleon dev
	email = dev@chameleon.invalid
[core]
	hooksPath = .git/hooks
	autocrlf = false
[commit]
	gpgSign = false
[push]
	default = current
	gpgSign = false
[protocol \"file\"]
	allow = always
[remote]
	pushDefault = origin
[remote \"origin\"]
	url = ../remote.git
	fetch = +refs/heads/*:refs/remotes/origin/*
[branch \"main\"]
	remote = origin
	merge = refs/heads/main
";

/// A bare remote with a clone of it.
#[derive(Debug, Clone)]
pub struct Repository {
    remote: PathBuf,
    clone: PathBuf,
}

/// What the remote's post-receive hook needs to know.
#[derive(Debug)]
pub(crate) struct Hook<'a> {
    /// The `chameleon` binary.
    pub(crate) program: &'a Path,
    /// Where git-sync takes this source's webhook.
    pub(crate) url: String,
    /// The file with the webhook's secret.
    pub(crate) secret_file: &'a Path,
    /// The config server's gRPC address.
    pub(crate) server: String,
    /// The name of the source.
    pub(crate) source: &'a str,
}

impl Repository {
    /// Opens the repository under `dir`, or makes it with the sample configuration, pushed.
    ///
    /// Makes what is missing only, so that a start that was cut short is made good by the next.
    pub(crate) async fn open(dir: &Path) -> anyhow::Result<Self> {
        let repository = Self {
            remote: dir.join("remote.git"),
            clone: dir.join("repo"),
        };
        (repository.complete().await)
            .with_context(|| format!("make the sample repository in `{}`", dir.display()))?;
        Ok(repository)
    }

    /// The bare repository that is pushed to.
    pub fn remote(&self) -> &Path {
        &self.remote
    }

    /// The work tree to edit.
    pub fn clone_dir(&self) -> &Path {
        &self.clone
    }

    /// Replaces the remote's post-receive hook.
    pub(crate) fn install_hook(&self, hook: &Hook<'_>) -> anyhow::Result<()> {
        let script = format!(
            "#!/bin/sh\n\
             # Tells git-sync of the push and prints what became of it.\n\
             exec {} push-hook --url {} --secret-file {} --server {} --source {}\n",
            word(&hook.program.to_string_lossy()),
            word(&hook.url),
            word(&hook.secret_file.to_string_lossy()),
            word(&hook.server),
            word(hook.source),
        );
        let path = self.remote.join("hooks/post-receive");
        std::fs::create_dir_all(self.remote.join("hooks"))
            .and_then(|()| std::fs::write(&path, script))
            .and_then(|()| std::fs::set_permissions(&path, Permissions::from_mode(0o755)))
            .with_context(|| format!("write `{}`", path.display()))
    }

    /// Writes `text` as the repository's `file`, commits and pushes. Returns what the push printed.
    pub async fn push(&self, file: &str, text: &str, message: &str) -> anyhow::Result<String> {
        write(&self.clone.join(file), text)?;
        commit(&self.clone, message).await?;
        git(&self.clone, ["push", "--quiet", "origin", BRANCH]).await
    }

    async fn complete(&self) -> anyhow::Result<()> {
        if !self.remote.exists() {
            init(&self.remote, REMOTE_SETTINGS, &["--bare"], async |_| Ok(())).await?;
        }
        let mut has_branch = git_command(&self.remote);
        has_branch.args(["rev-parse", "--quiet", "--verify", "refs/heads/main"]);
        let has_branch = output(&mut has_branch).await?.status.success();
        if !self.clone.exists() {
            init(&self.clone, CLONE_SETTINGS, &[], async |clone| {
                if has_branch {
                    git(clone, ["pull", "--quiet", "--ff-only", "origin", BRANCH]).await?;
                    return Ok(());
                }
                for (file, text) in SAMPLE {
                    write(&clone.join(file), text)?;
                }
                commit(clone, "Begin with all searches at vendor A").await
            })
            .await?;
        }
        if !has_branch {
            git(&self.clone, ["push", "--quiet", "origin", BRANCH]).await?;
        }
        Ok(())
    }
}

/// Makes a repository in the folder `at`, which is there only once `fill` is done with it.
async fn init(
    at: &Path,
    settings: &str,
    flags: &[&str],
    fill: impl AsyncFnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    use std::io::Write as _;

    let making = at.with_extension("new");
    if making.exists() {
        std::fs::remove_dir_all(&making)
            .with_context(|| format!("remove `{}`", making.display()))?;
    }
    std::fs::create_dir_all(&making).with_context(|| format!("make `{}`", making.display()))?;
    // Without a template, because the user's may hold hooks.
    let mut init = vec!["init", "--quiet", "--template=", "--initial-branch", BRANCH];
    init.extend(flags);
    git(&making, init).await?;
    let config = if making.join("HEAD").exists() {
        making.join("config")
    } else {
        making.join(".git/config")
    };
    std::fs::File::options()
        .append(true)
        .open(&config)
        .and_then(|mut file| file.write_all(settings.as_bytes()))
        .with_context(|| format!("write `{}`", config.display()))?;
    fill(&making).await?;
    std::fs::rename(&making, at).with_context(|| format!("make `{}`", at.display()))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().expect("a file is in a folder");
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, text))
        .with_context(|| format!("write `{}`", path.display()))
}

/// Commits everything in the work tree.
async fn commit(clone: &Path, message: &str) -> anyhow::Result<()> {
    git(clone, ["add", "--all"]).await?;
    git(clone, ["commit", "--quiet", "--message", message]).await?;
    Ok(())
}

/// Runs git in `dir` and returns what it printed to either stream.
async fn git<A: AsRef<OsStr>>(
    dir: &Path,
    args: impl IntoIterator<Item = A>,
) -> anyhow::Result<String> {
    let mut command = git_command(dir);
    let output = output(command.args(args)).await?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    if !output.status.success() {
        bail!("`git` in `{}`: {text}", dir.display());
    }
    Ok(text)
}

/// Git in `dir`, untouched by the user's configuration and by a hook that this process may run in.
fn git_command(dir: &Path) -> Command {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GIT_") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .kill_on_drop(true);
    // Ctrl-C is for this process, which ends git when it is done with it.
    command.process_group(0);
    command
}

async fn output(command: &mut Command) -> anyhow::Result<Output> {
    (command.output().await).context("run `git`: install it, or put its folder on the PATH")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_new_repository_is_pushed_and_opens_again() {
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::open(dir.path()).await.unwrap();
        let changed = "aMapPercentage: 0\nbMapPercentage: 100\n";
        let file = "config/location-prod.yml";
        repository.push(file, changed, "All to B").await.unwrap();

        let again = Repository::open(dir.path()).await.unwrap();
        let pushed = git(again.remote(), ["show", &format!("{BRANCH}:{file}")]).await;
        assert_eq!(pushed.unwrap(), changed.trim());
    }

    async fn pushed(repository: &Repository) -> Vec<String> {
        let messages = git(repository.remote(), ["log", "--format=%s", BRANCH]).await;
        messages.unwrap().lines().map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn a_start_that_was_cut_short_is_made_good() {
        type Cut = fn(&Path);
        let cuts: [(&str, Cut); 5] = [
            ("nothing is there yet", |dir| {
                std::fs::remove_dir_all(dir.join("remote.git")).unwrap();
                std::fs::remove_dir_all(dir.join("repo")).unwrap();
            }),
            ("the clone is half made", |dir| {
                std::fs::rename(dir.join("repo"), dir.join("repo.new")).unwrap();
                std::fs::remove_file(dir.join("repo.new/.git/HEAD")).unwrap();
            }),
            ("nothing was pushed", |dir| {
                std::fs::remove_file(dir.join("remote.git/refs/heads/main")).unwrap();
            }),
            ("the clone was deleted", |dir| {
                std::fs::remove_dir_all(dir.join("repo")).unwrap();
            }),
            ("the remote was deleted", |dir| {
                std::fs::remove_dir_all(dir.join("remote.git")).unwrap();
            }),
        ];
        for (name, cut) in cuts {
            let dir = tempfile::tempdir().unwrap();
            Repository::open(dir.path()).await.unwrap();
            cut(dir.path());
            let again = Repository::open(dir.path()).await;
            let again = again.unwrap_or_else(|error| panic!("{name}: {error:#}"));
            assert_eq!(pushed(&again).await.len(), 1, "{name}");
            again.push("config/x.yml", "a: 1\n", "More").await.unwrap();
            assert_eq!(pushed(&again).await[0], "More", "{name}");
        }
    }

    #[tokio::test]
    async fn the_folder_can_be_moved() {
        let parent = tempfile::tempdir().unwrap();
        let (here, there) = (parent.path().join("here"), parent.path().join("there"));
        std::fs::create_dir(&here).unwrap();
        Repository::open(&here).await.unwrap();
        std::fs::rename(&here, &there).unwrap();
        let moved = Repository::open(&there).await.unwrap();
        moved.push("config/x.yml", "a: 1\n", "More").await.unwrap();
        assert_eq!(pushed(&moved).await[0], "More");
    }
}
