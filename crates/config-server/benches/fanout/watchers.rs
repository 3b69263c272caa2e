//! A crowd of watchers, and waiting until all of them have seen something.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::systems::Endpoint;
use crate::value::{KEY, Seen, Sightings};

/// How many connect at a time.
const CONNECTING: usize = 64;

/// How long all may take to see one value.
const LIMIT: Duration = Duration::from_mins(2);

/// Watchers that run; they end with this value.
pub(crate) struct Watchers {
    tasks: JoinSet<anyhow::Result<()>>,
    seen: mpsc::UnboundedReceiver<Seen>,
    sender: Sightings,
    count: usize,
}

impl Watchers {
    pub(crate) fn none() -> Self {
        let (sender, seen) = mpsc::unbounded_channel();
        Self {
            tasks: JoinSet::new(),
            seen,
            sender,
            count: 0,
        }
    }

    /// Connects `count` watchers of the key, and returns when all have its value.
    pub(crate) async fn of(endpoint: &Endpoint, count: usize) -> anyhow::Result<Self> {
        let mut watchers = Self::none();
        let connecting = Arc::new(Semaphore::new(CONNECTING));
        for id in 0..count {
            let endpoint = endpoint.clone();
            let connecting = Arc::clone(&connecting);
            watchers.add(|seen| async move {
                let turn = connecting.acquire().await?;
                let watcher = endpoint.watch(KEY, id).await?;
                drop(turn);
                watcher.follow(seen).await
            });
        }
        watchers.all_see(0).await?;
        Ok(watchers)
    }

    /// Adds one, which tells what it sees under the next number.
    pub(crate) fn add<F>(&mut self, watcher: impl FnOnce(Sightings) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.count += 1;
        self.tasks.spawn(watcher(self.sender.clone()));
    }

    /// Waits until all have the value of `round`, and returns when each had it, in order.
    pub(crate) async fn all_see(&mut self, round: u64) -> anyhow::Result<Vec<Instant>> {
        let mut who = vec![false; self.count];
        let mut times = Vec::with_capacity(self.count);
        let deadline = Instant::now() + LIMIT;
        while times.len() < self.count {
            tokio::select! {
                biased;
                seen = self.seen.recv() => {
                    let seen = seen.context("all watchers have ended")?;
                    if seen.round == round && !std::mem::replace(&mut who[seen.watcher], true) {
                        times.push(seen.at);
                    }
                }
                Some(ended) = self.tasks.join_next() => {
                    ended?.context("a watcher has failed")?;
                    bail!("a watcher has ended");
                }
                () = tokio::time::sleep_until(deadline) => {
                    let (count, all) = (times.len(), self.count);
                    bail!("only {count} of {all} watchers have seen round {round} after {LIMIT:?}");
                }
            }
        }
        times.sort_unstable();
        Ok(times)
    }
}
