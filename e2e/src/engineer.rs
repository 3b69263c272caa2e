//! A person with a clone of the configuration's repository.

use std::path::Path;
use std::process::Output;

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::process::Command;

const BRANCH: &str = "main";

/// A clone with its owner's name, untouched by the git configuration of this machine.
pub(crate) struct Engineer {
    name: String,
    clone: TempDir,
}

/// A push that git took.
#[derive(Debug)]
pub(crate) struct Pushed {
    /// The pushed commit's id.
    pub(crate) commit: String,
    /// What the git server told the pusher, without git's `remote: `.
    pub(crate) told: String,
}

/// Why git did not take a push.
#[derive(Debug)]
pub(crate) struct PushRefused(pub(crate) String);

impl Engineer {
    /// Clones `repository`, which may be empty still.
    pub(crate) async fn with_clone(name: &str, repository: &str) -> anyhow::Result<Self> {
        let engineer = Self {
            name: name.to_owned(),
            clone: tempfile::tempdir().context("make a folder for a clone")?,
        };
        engineer.git(&["init", "--quiet", "--template="]).await?;
        engineer
            .git(&["remote", "add", "origin", repository])
            .await?;
        engineer.update().await?;
        Ok(engineer)
    }

    /// The configuration's folder in the clone.
    pub(crate) fn folder(&self) -> &Path {
        self.clone.path()
    }

    /// Writes `text` as `file`, a path in the repository.
    pub(crate) fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        let path = self.folder().join(file);
        let folder = path.parent().context("a file is in a folder")?;
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, text))
            .with_context(|| format!("write `{}`", path.display()))
    }

    /// Commits all changes; returns the commit's id, or `None` if there is no change.
    pub(crate) async fn commit(&self, message: &str) -> anyhow::Result<Option<String>> {
        self.git(&["add", "--all"]).await?;
        if self.git(&["status", "--porcelain"]).await?.is_empty() {
            return Ok(None);
        }
        self.git(&["commit", "--quiet", "--message", message])
            .await?;
        self.head().await.map(Some)
    }

    /// Changes one file, commits and pushes.
    ///
    /// # Errors
    /// If git does not take the push, or there is no change.
    pub(crate) async fn push_change(
        &self,
        file: &str,
        text: &str,
        message: &str,
    ) -> anyhow::Result<Pushed> {
        self.write(file, text)?;
        let committed = self.commit(message).await?;
        committed.with_context(|| format!("`{file}` is so already"))?;
        match self.push(&[]).await? {
            Ok(pushed) => Ok(pushed),
            Err(PushRefused(why)) => bail!("git refused {}'s push: {why}", self.name),
        }
    }

    /// Pushes the clone's commit, with further `flags`.
    pub(crate) async fn push(&self, flags: &[&str]) -> anyhow::Result<Result<Pushed, PushRefused>> {
        let commit = self.head().await?;
        let to_main = format!("HEAD:refs/heads/{BRANCH}");
        let push = ["push", "--quiet", "origin", &to_main];
        let output = self.run(&[&push, flags].concat()).await?;
        let printed = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Ok(Err(PushRefused(printed.trim().to_owned())));
        }
        let told: Vec<_> = (printed.lines())
            .filter_map(|line| line.strip_prefix("remote: "))
            .map(str::trim_end)
            .collect();
        Ok(Ok(Pushed {
            commit,
            told: told.join("\n"),
        }))
    }

    /// Puts the clone's commits on top of what others have pushed.
    pub(crate) async fn rebase(&self) -> anyhow::Result<()> {
        self.git(&["pull", "--quiet", "--rebase", "origin", BRANCH])
            .await?;
        Ok(())
    }

    /// The id of the clone's commit.
    pub(crate) async fn head(&self) -> anyhow::Result<String> {
        self.git(&["rev-parse", "HEAD"]).await
    }

    /// Takes over what is in the repository.
    async fn update(&self) -> anyhow::Result<()> {
        let there = self.git(&["ls-remote", "origin", BRANCH]).await?;
        if there.is_empty() {
            return Ok(());
        }
        self.git(&["fetch", "--quiet", "origin", BRANCH]).await?;
        self.git(&["reset", "--quiet", "--hard", "FETCH_HEAD"])
            .await?;
        Ok(())
    }

    /// Runs git in the clone and returns what it printed.
    async fn git(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.run(arguments).await?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            bail!(
                "`git {}` of {}: {}",
                arguments.join(" "),
                self.name,
                text.trim()
            );
        }
        let text = String::from_utf8(output.stdout).context("read what git printed")?;
        Ok(text.trim().to_owned())
    }

    async fn run(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new("git");
        // Called from a git hook, we have inherited variables that would send git elsewhere.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GIT_") {
                command.env_remove(name);
            }
        }
        let email = format!("{}@example.com", self.name.to_lowercase());
        let settings = [
            ("init.defaultBranch", BRANCH),
            ("user.name", &self.name),
            ("user.email", &email),
            ("commit.gpgSign", "false"),
            ("core.autocrlf", "false"),
            ("gc.auto", "0"),
        ];
        for (key, value) in settings {
            command.arg("-c").arg(format!("{key}={value}"));
        }
        let output = command
            .args(arguments)
            .current_dir(self.folder())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("HOME", self.folder())
            .env("LC_ALL", "C")
            .env("no_proxy", "*")
            .kill_on_drop(true)
            .output();
        output
            .await
            .context("run `git`: install it, or put its folder on the PATH")
    }
}
