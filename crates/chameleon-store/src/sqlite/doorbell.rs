//! Lets a task sleep while SQLite is at work for it.
//!
//! sqlx tells the task each time that one of a query's statements is done. The task has nothing to do
//! with that, but wakes up, and takes the processor and a lock from SQLite's thread in the middle of
//! the query: a commit then takes twice as long. Nothing needs to be told before SQLite commits.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

/// Queries that end without a commit ring after so long: those that failed.
const PATIENCE: Duration = Duration::from_millis(20);

/// Rings for the task that waits for a query, but only from the commit on.
#[derive(Debug, Default)]
pub(super) struct Doorbell(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_muted: bool,
    /// It would have rung.
    has_rung: bool,
    task: Option<Waker>,
}

impl Doorbell {
    /// Rings from now on, and makes up for what was missed. Called by SQLite's thread when it commits,
    /// before it waits for the disk.
    pub(super) fn unmute(&self) {
        let mut state = self.lock();
        state.is_muted = false;
        let task = if std::mem::take(&mut state.has_rung) {
            state.task.take()
        } else {
            None
        };
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Waits for `query`, which commits at its end.
    pub(super) async fn wait_for<T>(self: &Arc<Self>, query: impl Future<Output = T>) -> T {
        self.lock().is_muted = true;
        let waker = Waker::from(Arc::clone(self));
        let mut query = pin!(query);
        let mut patience = pin!(tokio::time::sleep(PATIENCE));
        std::future::poll_fn(|context| {
            self.lock().task = Some(context.waker().clone());
            if !patience.is_elapsed() && patience.as_mut().poll(context).is_ready() {
                self.lock().is_muted = false;
            }
            query.as_mut().poll(&mut Context::from_waker(&waker))
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Doorbell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.is_muted {
            state.has_rung = true;
            return;
        }
        let task = state.task.take();
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt as _;
    use tokio::sync::Notify;

    use super::*;

    /// Counts how often a task is woken.
    #[derive(Default)]
    struct Sleeper(AtomicUsize);

    impl Wake for Sleeper {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn nobody_is_woken_before_the_commit_and_nothing_is_missed() {
        let (bell, sleeper) = (Arc::new(Doorbell::default()), Arc::new(Sleeper::default()));
        let woken = || sleeper.0.load(Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&sleeper));
        let mut context = Context::from_waker(&waker);
        let (statement, commit) = (Notify::new(), Notify::new());
        let mut query = pin!(bell.wait_for(async {
            statement.notified().await;
            commit.notified().await;
            7
        }));
        assert!(query.as_mut().poll(&mut context).is_pending());
        statement.notify_one();
        assert_eq!(woken(), 0);
        bell.unmute();
        assert_eq!(woken(), 1);
        assert!(query.as_mut().poll(&mut context).is_pending());
        commit.notify_one();
        assert_eq!(woken(), 2);
        assert_eq!(query.now_or_never(), Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_that_fails_before_its_commit_is_heard_of() {
        let bell = Arc::new(Doorbell::default());
        let failure = Notify::new();
        let query = bell.wait_for(failure.notified());
        let ((), ()) = tokio::join!(query, async { failure.notify_one() });
    }
}
