//! The news that something was pushed, and the bell that carries it to a source's task.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// When a push was heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// The webhook's arrival.
    pub(crate) arrived: Instant,
    /// How long before that the remote's ref was updated, where the remote tells.
    pub(crate) notified: Option<Duration>,
}

/// Holds the newest notice until it is taken: pushes that come faster than they are applied become
/// one.
#[derive(Default)]
pub(crate) struct Doorbell {
    newest: Mutex<Option<Notice>>,
    rung: Notify,
}

impl Doorbell {
    /// Leaves `notice`, in the place of one that was not taken yet.
    pub(crate) fn ring(&self, notice: Notice) {
        *self.newest() = Some(notice);
        self.rung.notify_one();
    }

    /// Waits for a notice and takes it. Nothing is lost if the future is dropped.
    pub(crate) async fn answer(&self) -> Notice {
        loop {
            if let Some(notice) = self.newest().take() {
                return notice;
            }
            self.rung.notified().await;
        }
    }

    fn newest(&self) -> std::sync::MutexGuard<'_, Option<Notice>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn many_rings_are_one_notice_the_newest() {
        let bell = Doorbell::default();
        let notice = |millis| Notice {
            arrived: Instant::now(),
            notified: Some(Duration::from_millis(millis)),
        };
        bell.ring(notice(1));
        bell.ring(notice(2));
        let heard = bell.answer().await;
        assert_eq!(heard.notified, Some(Duration::from_millis(2)));
        let silent = tokio::time::timeout(Duration::from_millis(1), bell.answer()).await;
        assert!(silent.is_err());
    }
}
