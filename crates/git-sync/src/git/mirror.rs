//! A bare clone of one source's branch.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chameleon_model::CommitId;
use secrecy::ExposeSecret as _;

use super::{Address, CommitObject, Found, Git, GitError, Objects, commit_object};

/// Where the newest fetched commit of the branch stands in the clone.
const HEAD: &str = "refs/chameleon/head";

/// Packs loose objects if there are many, before anybody waits for a push.
const TIDY: [&str; 7] = [
    "-c",
    "gc.auto=6700",
    "-c",
    "gc.autoDetach=false",
    "gc",
    "--auto",
    "--quiet",
];

/// No commit needs more.
const MAX_COMMIT_BYTES: u64 = 1024 * 1024;

/// A clone with one branch and no work tree. It is a cache: deleting it costs a fetch.
pub(crate) struct Mirror {
    git: Arc<Git>,
    dir: PathBuf,
    address: Address,
    branch: String,
}

/// How a branch's head stands to the applied commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// The head is not behind: it follows the applied commit, or replaces it.
    Ahead,
    /// The head is an ancestor of the applied commit.
    Behind,
    /// The clone does not know the applied commit.
    Unknown,
}

impl Mirror {
    /// The clone of `branch` in `dir`; nothing is touched yet.
    pub(crate) fn new(git: Arc<Git>, dir: PathBuf, address: Address, branch: &str) -> Self {
        Self {
            git,
            dir,
            address,
            branch: branch.to_owned(),
        }
    }

    /// Makes the clone if it is not there, and tidies it if it is.
    pub(crate) async fn prepare(&self) -> Result<(), GitError> {
        std::fs::create_dir_all(&self.dir).map_err(|source| self.not_writable(source))?;
        if self.dir.join("HEAD").exists() {
            return self.call("gc", &TIDY).await;
        }
        self.call("init", &["init", "--quiet", "--bare", "--template="])
            .await
    }

    /// Brings the newest commit of the branch here.
    pub(crate) async fn fetch(&self) -> Result<(), GitError> {
        let _slot = self.git.fetches.acquire().await;
        let mut command = self.git.command(&self.dir);
        if let Some(header) = self.address.authorization() {
            command
                .env("GIT_CONFIG_COUNT", "1")
                .env("GIT_CONFIG_KEY_0", "http.extraHeader")
                .env("GIT_CONFIG_VALUE_0", header.expose_secret());
        }
        command.args([
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-recurse-submodules",
            "--end-of-options",
            self.address.shown(),
            &format!("+refs/heads/{}:{HEAD}", self.branch),
        ]);
        let output = self.git.output(&mut command).await?;
        if output.status.success() {
            return Ok(());
        }
        let shown = self.address.shown();
        Err(self.sorted(GitError::of_fetch(&output.stderr, shown, &self.branch)))
    }

    /// Throws the clone away, so that [`prepare`](Self::prepare) starts it anew.
    pub(crate) fn discard(&self) -> Result<(), GitError> {
        std::fs::remove_dir_all(&self.dir).map_err(|source| self.not_writable(source))
    }

    /// Opens the clone's objects.
    pub(crate) fn objects(&self) -> Result<Objects, GitError> {
        Objects::open(&self.git, &self.dir)
    }

    /// The newest commit that was fetched.
    pub(crate) async fn head(&self, objects: &mut Objects) -> Result<CommitObject, GitError> {
        let found = objects
            .get(&format!("{HEAD}^{{commit}}"), MAX_COMMIT_BYTES)
            .await?;
        let commit = match &found {
            Found::Object { id, bytes, .. } => commit_object(id, bytes),
            Found::TooLarge { .. } | Found::Missing => None,
        };
        commit.ok_or_else(|| self.damaged(format!("`{HEAD}` is no commit")))
    }

    /// How `head` stands to the `applied` commit.
    pub(crate) async fn relation(
        &self,
        objects: &mut Objects,
        head: &CommitObject,
        applied: &CommitId,
    ) -> Result<Relation, GitError> {
        // Nearly every push adds to the applied commit; that needs no process.
        if head.id == *applied || head.parents.contains(applied) {
            return Ok(Relation::Ahead);
        }
        if !is_id(applied) {
            return Ok(Relation::Unknown);
        }
        let name = format!("{applied}^{{commit}}");
        if objects.get(&name, MAX_COMMIT_BYTES).await? == Found::Missing {
            return Ok(Relation::Unknown);
        }
        let mut command = self.git.command(&self.dir);
        command.args(["merge-base", "--is-ancestor", &head.id.0, &applied.0]);
        let output = self.git.output(&mut command).await?;
        match output.status.code() {
            Some(0) => Ok(Relation::Behind),
            Some(1) => Ok(Relation::Ahead),
            _ => Err(self.sorted(GitError::of_call("merge-base", &output.stderr))),
        }
    }

    /// Tells damage of the clone from other failures.
    fn sorted(&self, error: GitError) -> GitError {
        match error {
            GitError::Failed { reason, .. } if is_damage(&reason) => self.damaged(reason),
            error => error,
        }
    }

    /// The error of an object that should be there and is not.
    pub(crate) fn damaged(&self, reason: String) -> GitError {
        GitError::Damaged {
            path: self.dir.clone(),
            reason,
        }
    }

    async fn call(&self, verb: &'static str, args: &[&str]) -> Result<(), GitError> {
        let output = (self.git)
            .output(self.git.command(&self.dir).args(args))
            .await?;
        if output.status.success() {
            return Ok(());
        }
        Err(self.sorted(GitError::of_call(verb, &output.stderr)))
    }

    fn not_writable(&self, source: std::io::Error) -> GitError {
        let path = self.dir.parent().unwrap_or(Path::new(".")).to_owned();
        GitError::WorkDir { path, source }
    }
}

/// Says whether git complains about its own files: a crash can leave them half written.
fn is_damage(reason: &str) -> bool {
    let words = [
        "bad object",
        "corrupt",
        "object file",
        "not a git repository",
        "unable to read",
        "did not send all necessary objects",
        "missing blob",
        "missing tree",
        // A git that was killed leaves its locks behind, and no other git removes them.
        ".lock': File exists",
    ];
    words.iter().any(|word| reason.contains(word))
}

fn is_id(commit: &CommitId) -> bool {
    matches!(commit.0.len(), 40 | 64) && commit.0.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Makes the folder of all clones, and makes sure that files can be written there.
pub(crate) fn prepare_work_dir(path: &Path) -> Result<(), GitError> {
    let probe = path.join(format!(".probe-{}", std::process::id()));
    std::fs::create_dir_all(path)
        .and_then(|()| std::fs::write(&probe, b""))
        .and_then(|()| std::fs::remove_file(&probe))
        .map_err(|source| GitError::WorkDir {
            path: path.to_owned(),
            source,
        })
}
