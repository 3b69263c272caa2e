//! Reading objects from a clone through one `git cat-file` process.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};

use super::{Git, GitError};

/// An open reader of a clone's objects. It sees objects that are fetched while it is open, and its
/// process ends with it.
pub(crate) struct Objects {
    dir: PathBuf,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Killed when dropped.
    _process: Child,
}

/// The answer to one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// An object.
    Object {
        /// Its id in hexadecimal.
        id: String,
        /// `commit`, `tree`, `blob` or `tag`.
        kind: String,
        /// What it holds.
        bytes: Bytes,
    },
    /// An object that is larger than was asked for.
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// There is none of that name.
    Missing,
}

impl Objects {
    pub(super) fn open(git: &Git, dir: &Path) -> Result<Self, GitError> {
        let mut command = git.command(dir);
        command.args(["cat-file", "--batch"]);
        command.stdin(std::process::Stdio::piped());
        command.stderr(std::process::Stdio::null());
        let mut process = command
            .spawn()
            .map_err(|source| GitError::NotRun { source })?;
        let input = process.stdin.take().expect("the input is piped");
        let output = process.stdout.take().expect("the output is piped");
        Ok(Self {
            dir: dir.to_owned(),
            input,
            output: BufReader::new(output),
            _process: process,
        })
    }

    /// Reads the object of one name, such as `HEAD:config`, if it has at most `limit` bytes.
    pub(crate) async fn get(&mut self, name: &str, limit: u64) -> Result<Found, GitError> {
        let found = self.get_all(&[name], limit).await?;
        Ok(found.into_iter().next().expect("one name has one answer"))
    }

    /// Reads objects in the order of their names, which must not hold line breaks.
    ///
    /// Cancelling it leaves the reader unusable.
    pub(crate) async fn get_all(
        &mut self,
        names: &[impl AsRef<str>],
        limit: u64,
    ) -> Result<Vec<Found>, GitError> {
        let request: String = (names.iter())
            .flat_map(|name| [name.as_ref(), "\n"])
            .collect();
        let Self { input, output, .. } = self;
        // Both at once: git stops reading names while nobody reads its answers.
        let written = async {
            input.write_all(request.as_bytes()).await?;
            input.flush().await
        };
        let read = async {
            let mut found = Vec::with_capacity(names.len());
            for _ in names {
                found.push(answer(output, limit).await?);
            }
            Ok(found)
        };
        let (written, read) = tokio::join!(written, read);
        read.and_then(|found| written.map(|()| found))
            .map_err(|error: std::io::Error| GitError::Damaged {
                path: self.dir.clone(),
                reason: error.to_string(),
            })
    }
}

async fn answer(output: &mut BufReader<ChildStdout>, limit: u64) -> std::io::Result<Found> {
    let mut line = String::new();
    if output.read_line(&mut line).await? == 0 {
        return Err(std::io::Error::other("`git cat-file` has ended"));
    }
    let line = line.trim_end_matches('\n');
    if line.ends_with(" missing") || line.ends_with(" ambiguous") {
        return Ok(Found::Missing);
    }
    let odd = || std::io::Error::other(format!("`git cat-file` said `{line}`"));
    let mut words = line.split(' ');
    let (Some(id), Some(kind), Some(size)) = (words.next(), words.next(), words.next()) else {
        return Err(odd());
    };
    let size: u64 = size.parse().map_err(|_| odd())?;
    if size > limit {
        let mut ignored = output.take(size + 1);
        tokio::io::copy(&mut ignored, &mut tokio::io::sink()).await?;
        return Ok(Found::TooLarge { bytes: size });
    }
    let mut bytes = vec![0; usize::try_from(size).map_err(|_| odd())? + 1];
    output.read_exact(&mut bytes).await?;
    bytes.pop();
    Ok(Found::Object {
        id: id.to_owned(),
        kind: kind.to_owned(),
        bytes: bytes.into(),
    })
}
