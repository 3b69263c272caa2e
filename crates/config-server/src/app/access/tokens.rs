//! Keeps the known tokens up to date, and the watches of those that end from going on.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chameleon_model::Timestamp;
use chameleon_store::{Notice, Store, StoreError};
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::Access;
use crate::app::watch::Hub;

/// The least time between two looks.
const PAUSE: Duration = Duration::from_millis(500);

impl Access {
    /// Reads all tokens, and wakes the watches if one has ended, so that they look whether they may
    /// go on.
    pub(crate) async fn read(&self, store: &dyn Store, hub: &Hub) -> Result<(), StoreError> {
        let _reading = self.reading.lock().await;
        let tokens = store.tokens().await?;
        if self.replace(tokens, SystemTime::now().into()) {
            hub.wake_all();
        }
        Ok(())
    }

    /// Follows the store's tokens until `soft` is cancelled. While the store is away the last known
    /// ones go on, and end in their time.
    pub(crate) async fn follow(
        self: Arc<Self>,
        store: Arc<dyn Store>,
        hub: Arc<Hub>,
        soft: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut notices = store.notifications();
        loop {
            let ended = tokio::select! {
                () = soft.cancelled() => return Ok(()),
                () = end(self.next_end()) => true,
                notice = notices.next() => match notice {
                    // A commit changes no token.
                    Some(Notice::Head(_)) => continue,
                    Some(Notice::Look) => false,
                    None => anyhow::bail!("follow the tokens: the store's notices have ended"),
                },
            };
            if ended {
                self.end_expired(&hub).await;
                continue;
            }
            // The follower of the state says that the store is away; the next look leads on.
            if let Err(error) = self.read(&*store, &hub).await {
                tracing::debug!("failed to read the tokens: {error}; the last known ones go on");
            }
            tokio::select! {
                () = soft.cancelled() => return Ok(()),
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    async fn end_expired(&self, hub: &Hub) {
        let _reading = self.reading.lock().await;
        if self.expire(SystemTime::now().into()) {
            hub.wake_all();
        }
    }
}

/// Waits until `at`, for ever if there is none.
async fn end(at: Option<Timestamp>) {
    match at {
        Some(at) => tokio::time::sleep(Timestamp::from(SystemTime::now()).until(at)).await,
        None => std::future::pending().await,
    }
}
