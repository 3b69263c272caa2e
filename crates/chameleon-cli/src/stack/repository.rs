//! The git repository that `dev` and `demo` play with: a bare remote and a clone to edit.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tokio::process::Command;

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
    pub(crate) async fn open(dir: &Path) -> anyhow::Result<Self> {
        let repository = Self {
            remote: dir.join("remote.git"),
            clone: dir.join("repo"),
        };
        if !repository.clone.join(".git").exists() {
            repository
                .make()
                .await
                .with_context(|| format!("make the sample repository in `{}`", dir.display()))?;
        }
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
            quoted(&hook.program.to_string_lossy()),
            quoted(&hook.url),
            quoted(&hook.secret_file.to_string_lossy()),
            quoted(&hook.server),
            quoted(hook.source),
        );
        let path = self.remote.join("hooks/post-receive");
        std::fs::write(&path, script)
            .and_then(|()| std::fs::set_permissions(&path, Permissions::from_mode(0o755)))
            .with_context(|| format!("write `{}`", path.display()))
    }

    /// Writes `text` as the repository's `file`, commits and pushes. Returns what the push printed.
    pub async fn push(&self, file: &str, text: &str, message: &str) -> anyhow::Result<String> {
        let path = self.clone.join(file);
        std::fs::write(&path, text).with_context(|| format!("write `{}`", path.display()))?;
        git(&self.clone, ["add", "--all"]).await?;
        git(&self.clone, ["commit", "--quiet", "--message", message]).await?;
        git(&self.clone, ["push", "--quiet", "origin", BRANCH]).await
    }

    async fn make(&self) -> anyhow::Result<()> {
        for path in [&self.remote, &self.clone] {
            std::fs::create_dir_all(path).with_context(|| format!("make `{}`", path.display()))?;
        }
        let initial = format!("--initial-branch={BRANCH}");
        git(&self.remote, ["init", "--quiet", "--bare", &initial]).await?;
        let hooks = std::path::absolute(self.remote.join("hooks"))?;
        std::fs::create_dir_all(&hooks).with_context(|| format!("make `{}`", hooks.display()))?;
        // A hooks path in the user's own configuration would win over the remote's.
        set(&self.remote, "core.hooksPath", &hooks).await?;

        git(&self.clone, ["init", "--quiet", &initial]).await?;
        set(&self.clone, "user.name", "Chameleon dev").await?;
        set(&self.clone, "user.email", "dev@chameleon.invalid").await?;
        set(&self.clone, "commit.gpgSign", "false").await?;
        set(&self.clone, "push.default", "current").await?;
        set(&self.clone, "core.hooksPath", self.clone.join(".git/hooks")).await?;
        let remote = std::path::absolute(&self.remote)?;
        let add: [&OsStr; 4] = [
            "remote".as_ref(),
            "add".as_ref(),
            "origin".as_ref(),
            remote.as_os_str(),
        ];
        git(&self.clone, add).await?;
        for (file, text) in SAMPLE {
            let path = self.clone.join(file);
            let folder = path.parent().expect("a sample file is in a folder");
            std::fs::create_dir_all(folder)?;
            std::fs::write(&path, text).with_context(|| format!("write `{}`", path.display()))?;
        }
        git(&self.clone, ["add", "--all"]).await?;
        let message = "Begin with all searches at vendor A";
        git(&self.clone, ["commit", "--quiet", "--message", message]).await?;
        git(
            &self.clone,
            ["push", "--quiet", "--set-upstream", "origin", BRANCH],
        )
        .await?;
        Ok(())
    }
}

async fn set(dir: &Path, name: &str, value: impl AsRef<OsStr>) -> anyhow::Result<()> {
    git(dir, ["config".as_ref(), name.as_ref(), value.as_ref()]).await?;
    Ok(())
}

/// Runs git in `dir` and returns what it printed to either stream.
async fn git<A: AsRef<OsStr>>(
    dir: &Path,
    args: impl IntoIterator<Item = A>,
) -> anyhow::Result<String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(dir).args(args).kill_on_drop(true);
    // Set while a hook runs, and then wrong for other repositories.
    command.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
    let output =
        (command.output().await).context("run `git`: install it, or put its folder on the PATH")?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    if !output.status.success() {
        bail!("`git` in `{}`: {text}", dir.display());
    }
    Ok(text)
}

/// `text` as one word of a shell command.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        for text in ["plain", "two words", "it's", "$HOME `x` \"y\""] {
            let output = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", quoted(text))])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
    }

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
}
