//! The folder of a stack's data, held by one process at a time.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};

/// A folder that no other process uses as long as this value lives.
///
/// Two stacks on one folder would share the clone and replace each other's hook, so that a push
/// reached only one of them.
pub(super) struct Folder {
    path: PathBuf,
    /// Unlocked when it is closed, also by the death of the process.
    _lock: File,
}

impl Folder {
    /// Makes the folder if it is not there, and takes it.
    ///
    /// # Errors
    /// If it can't be written, or another process has it; tells which.
    pub(super) fn take(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        std::fs::create_dir_all(path).map_err(|error| {
            anyhow!("make the folder `{shown}`: {error}; choose another with `--dir`")
        })?;
        let path =
            std::path::absolute(path).with_context(|| format!("find the folder `{shown}`"))?;
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join("lock"))
            .map_err(|error| {
                anyhow!("write into the folder `{shown}`: {error}; choose another with `--dir`")
            })?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // Without its number the sentence is still true.
                let _ = file.read_to_string(&mut owner);
                let owner = match owner.trim() {
                    "" => String::new(),
                    pid => format!(" (pid {pid})"),
                };
                bail!(
                    "the folder `{shown}` is in use by another `chameleon`{owner}; end that one, or \
                     run beside it with `--dir` and `--port-offset`"
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("lock the folder `{shown}`"));
            }
        }
        let pid = std::process::id().to_string();
        (file.set_len(0))
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(pid.as_bytes()))
            .with_context(|| format!("write into the folder `{shown}`"))?;
        Ok(Self { path, _lock: file })
    }

    /// Its absolute path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_has_one_owner_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let folder = Folder::take(&path).unwrap();
        assert!(folder.path().is_absolute());

        let error = Folder::take(&path).err().unwrap().to_string();
        let pid = std::process::id();
        assert_eq!(
            error,
            format!(
                "the folder `{}` is in use by another `chameleon` (pid {pid}); end that one, or \
                 run beside it with `--dir` and `--port-offset`",
                path.display()
            )
        );
        drop(folder);
        // A child of another test has all descriptors until it becomes its program.
        test_kit::eventually("the folder is free", async || Folder::take(&path).ok()).await;
    }
}
