//! Keeps the newest state on disk, and gives it back at the next start.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chameleon_model::{Stamp, Token};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Replica;
use super::disk::{Kept, SnapshotFile};
use crate::app::access::Access;

/// How long at least between two writes.
const PAUSE: Duration = Duration::from_secs(5);

/// A large state is written less often, so that it takes no more than this part of the time.
const SHARE: u32 = 20;

/// How long to wait after a failure: a full disk is not empty again in a moment.
const FAILED_PAUSE: Duration = Duration::from_mins(1);

/// Writes the served state and the known tokens to disk from time to time, if they have changed.
pub(crate) struct Keeper {
    replica: Arc<Replica>,
    access: Arc<Access>,
    file: SnapshotFile,
    /// What is in the file.
    saved: Option<Saved>,
}

/// What names a file's content.
#[derive(PartialEq)]
struct Saved {
    stamp: Stamp,
    tokens: Arc<Vec<Token>>,
}

/// The state that was kept in the file at `path`, if there is one that can be used.
pub(crate) async fn kept(path: &Path) -> Option<Kept> {
    let file = SnapshotFile::new(path);
    let read = tokio::task::spawn_blocking(move || file.load()).await;
    match read.expect("reading a file does not panic") {
        Ok(Some(kept)) => {
            let (stamp, age) = (kept.contents.snapshot.stamp(), kept.age.as_secs());
            tracing::info!(
                %stamp, age_seconds = age,
                "read the state {stamp} from snapshot `{}`", path.display()
            );
            Some(kept)
        }
        Ok(None) => None,
        Err(unusable) => {
            tracing::error!("{unusable}");
            None
        }
    }
}

impl Keeper {
    /// A keeper of `replica` and of `access` in the file at `path`, which holds the state `kept` and
    /// the tokens that `access` knows now.
    pub(crate) fn new(
        replica: Arc<Replica>,
        access: Arc<Access>,
        path: &Path,
        kept: Option<Stamp>,
    ) -> Self {
        let tokens = access.tokens();
        Self {
            replica,
            access,
            file: SnapshotFile::new(path),
            saved: kept.map(|stamp| Saved { stamp, tokens }),
        }
    }

    /// Runs until `settled` is cancelled, when the state changes no more; then writes the last.
    pub(crate) async fn run(mut self, settled: CancellationToken) -> anyhow::Result<()> {
        loop {
            let pause = self.keep().await;
            tokio::select! {
                () = settled.cancelled() => break,
                () = sleep(pause) => {}
            }
        }
        self.keep().await;
        Ok(())
    }

    /// Brings the file up to date, and says how long to wait before the next time.
    async fn keep(&mut self) -> Duration {
        let snapshot = self.replica.snapshot();
        let link = self.replica.link();
        let now = Saved {
            stamp: snapshot.stamp(),
            tokens: self.access.tokens(),
        };
        let changed = self.saved.as_ref() != Some(&now);
        if !changed && !link.is_available() {
            return PAUSE;
        }
        let (file, sources, age) = (self.file.clone(), self.replica.sources(), link.age());
        let (started, tokens) = (Instant::now(), Arc::clone(&now.tokens));
        let kept = tokio::task::spawn_blocking(move || {
            if changed {
                file.save(&snapshot, &sources, &tokens)?;
            }
            file.confirm(age)
        });
        match kept.await.expect("writing a file does not panic") {
            Ok(()) => {
                self.saved = Some(now);
                PAUSE.max(started.elapsed() * SHARE)
            }
            Err(error) => {
                // Whatever is there now, it is written again.
                self.saved = None;
                let path = self.file.path().display();
                tracing::warn!("failed to keep the state in snapshot `{path}`: {error}");
                FAILED_PAUSE
            }
        }
    }
}
