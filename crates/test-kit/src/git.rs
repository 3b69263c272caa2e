//! A git remote to push to, untouched by the user's git configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A bare remote and a work tree that pushes to it, both on branch `main`, in a temporary folder
/// that goes with this value.
///
/// Everything panics with git's own words if it fails.
#[derive(Debug)]
pub struct Repository {
    folder: TempDir,
}

impl Repository {
    /// Creates the remote, without any commit, and the work tree.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let repository = Self { folder };
        repository.git_in(
            repository.folder.path(),
            &["init", "--quiet", "--bare", "--template=", "remote.git"],
        );
        repository.git_in(
            repository.folder.path(),
            &["init", "--quiet", "--template=", "work"],
        );
        let remote = repository.remote();
        repository.git(&["remote", "add", "origin", &remote.to_string_lossy()]);
        repository
    }

    /// The folder of the bare remote, which git also takes as its URL.
    pub fn remote(&self) -> PathBuf {
        self.folder.path().join("remote.git")
    }

    /// The folder of the work tree.
    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// Writes `text` to `file` (a path in the work tree) and commits it; returns the commit's id.
    pub fn commit(&self, file: &str, text: &str) -> String {
        self.commit_all(&[(file, Some(text))], &format!("Change {file}"))
    }

    /// Deletes `file` and commits that; returns the commit's id.
    pub fn commit_removal(&self, file: &str) -> String {
        self.commit_all(&[(file, None)], &format!("Remove {file}"))
    }

    /// Writes files, or deletes those with `None`, in one commit; returns the commit's id.
    pub fn commit_all(&self, files: &[(&str, Option<&str>)], message: &str) -> String {
        for (file, text) in files {
            let path = self.work().join(file);
            if let Some(text) = text {
                let folder = path.parent().expect("a file is in a folder");
                fs::create_dir_all(folder).expect("a folder can be made");
                fs::write(&path, text).expect("a file can be written");
            } else {
                fs::remove_file(&path).expect("a file can be removed");
            }
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.head()
    }

    /// Pushes `main` to the remote.
    pub fn push(&self) {
        self.git(&["push", "--quiet", "origin", "main"]);
    }

    /// The id of the work tree's commit.
    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git in the work tree and returns what it printed, trimmed.
    pub fn git(&self, arguments: &[&str]) -> String {
        self.git_in(&self.work(), arguments)
    }

    fn git_in(&self, folder: &Path, arguments: &[&str]) -> String {
        let output = self
            .command(folder)
            .args(arguments)
            .output()
            .expect("`git` is installed");
        assert!(
            output.status.success(),
            "`git {}` failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let text = String::from_utf8(output.stdout).expect("git prints UTF-8");
        text.trim().to_owned()
    }

    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new("git");
        // A test that runs in a git hook inherits variables that would send git elsewhere.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GIT_") {
                command.env_remove(name);
            }
        }
        let settings = [
            ("init.defaultBranch", "main"),
            ("commit.gpgSign", "false"),
            ("core.autocrlf", "false"),
            ("user.name", "Test"),
            ("user.email", "test@example.com"),
            // Stays as it is, so that no test waits for a background process.
            ("gc.auto", "0"),
        ];
        for (key, value) in settings {
            command.arg("-c").arg(format!("{key}={value}"));
        }
        command
            .current_dir(folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("HOME", self.folder.path());
        command
    }
}

impl Default for Repository {
    fn default() -> Self {
        Self::new()
    }
}
