//! What a scenario tells while it runs, with the time since it began.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Instant;

/// The lines of one scenario: printed as they come, and kept for a run that fails.
pub(crate) struct Story {
    folder: PathBuf,
    began: Instant,
    lines: Mutex<Vec<String>>,
}

impl Story {
    /// Begins a story whose evidence goes into `folder`, if there is to be any; what an earlier run
    /// left there is removed.
    pub(crate) fn begin(folder: PathBuf) -> anyhow::Result<Self> {
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove `{}`", folder.display()));
            }
            _ => {}
        }
        Ok(Self {
            folder,
            began: Instant::now(),
            lines: Mutex::default(),
        })
    }

    /// Tells the next step.
    pub(crate) fn tell(&self, text: impl AsRef<str>) {
        for line in text.as_ref().lines() {
            let line = format!("{:6.1} s  {line}", self.took().as_secs_f64());
            println!("  {line}");
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push(line);
        }
    }

    /// How long it has been going on.
    pub(crate) fn took(&self) -> Duration {
        self.began.elapsed()
    }

    /// The folder of the evidence, made if it is not there, with the story so far in it.
    pub(crate) fn keep(&self) -> anyhow::Result<&Path> {
        let text = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        std::fs::create_dir_all(&self.folder)
            .and_then(|()| std::fs::write(self.folder.join("story.txt"), text.join("\n") + "\n"))
            .with_context(|| format!("write into `{}`", self.folder.display()))?;
        Ok(&self.folder)
    }
}
