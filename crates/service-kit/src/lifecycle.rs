//! The life of a process: who owns its tasks, how they are asked to finish, and what happened.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::signals::Signals;

/// Time that tasks have to finish once they are asked to, unless a process chooses another.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(5);

/// How long tasks that were told to stop may take to reach their next `await`.
const STOP_LIMIT: Duration = Duration::from_secs(1);

/// Why a lifecycle did not end cleanly.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum LifecycleError {
    /// A task returned although nobody had asked it to finish.
    #[error("task `{task}` ended early")]
    EndedEarly {
        /// Full name of the task.
        task: String,
    },
    /// A task returned an error, before or after it was asked to finish.
    #[error("task `{task}` failed: {reason}")]
    Failed {
        /// Full name of the task.
        task: String,
        /// The error with all its causes, in one line.
        reason: String,
    },
    /// A task panicked.
    #[error("task `{task}` panicked")]
    Panicked {
        /// Full name of the task.
        task: String,
    },
    /// Tasks were stopped, because the grace was over or somebody insisted.
    #[error("stopped without having finished: {}", quoted(tasks))]
    NotFinished {
        /// Full names of the tasks.
        tasks: Vec<String>,
    },
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// Owns the tasks of a process, or of one of several services within a process.
///
/// Clones are handles to the same lifecycle. `soft` asks the tasks to finish, `hard` stops them:
/// a task is dropped at its next `await` after `hard`, so that no task can outlive its owner.
///
/// A task that ends, fails or panics before it was asked to takes the whole process down cleanly,
/// because a process that runs on with one of its parts missing is harder to notice than one that
/// is restarted.
#[derive(Clone)]
pub struct Lifecycle {
    scope: Arc<Scope>,
}

struct Scope {
    /// Ends in `/` unless it is empty.
    prefix: String,
    parent: Option<Arc<Scope>>,
    grace: Duration,
    soft: CancellationToken,
    hard: CancellationToken,
    tracker: TaskTracker,
    running: watch::Sender<Running>,
    failure: Mutex<Option<LifecycleError>>,
}

#[derive(Default)]
struct Running {
    last_id: u64,
    names: BTreeMap<u64, String>,
    /// Names of tasks that `hard` cut off.
    stopped: Vec<String>,
}

impl Lifecycle {
    /// Starts a lifecycle whose tasks have `grace` to finish once they are asked to.
    ///
    /// [`DEFAULT_GRACE`] suits every process that an orchestrator or a person stops.
    pub fn new(grace: Duration) -> Self {
        Self {
            scope: Arc::new(Scope {
                prefix: String::new(),
                parent: None,
                grace,
                soft: CancellationToken::new(),
                hard: CancellationToken::new(),
                tracker: TaskTracker::new(),
                running: watch::Sender::new(Running::default()),
                failure: Mutex::new(None),
            }),
        }
    }

    /// A lifecycle within this one, for one of several services of a process.
    ///
    /// It ends with its parent and can be shut down alone before; its tasks are named
    /// `name/task`, and one of them that ends early takes the whole process down all the same.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        let parent = &self.scope;
        Self {
            scope: Arc::new(Scope {
                prefix: format!("{}{name}/", parent.prefix),
                parent: Some(Arc::clone(parent)),
                grace: parent.grace,
                soft: parent.soft.child_token(),
                hard: parent.hard.child_token(),
                tracker: parent.tracker.clone(),
                running: watch::Sender::new(Running::default()),
                failure: Mutex::new(None),
            }),
        }
    }

    /// Runs `task` as part of the process; its early end shuts the process down.
    ///
    /// The task should end with `Ok(())` once [`soft`](Self::soft) is cancelled; it is dropped
    /// when [`hard`](Self::hard) is. A task that is given after that never runs.
    pub fn own(
        &self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let mut entry = Entry::new(&self.scope, name);
        let hard = self.hard();
        self.scope.tracker.spawn(async move {
            if let Some(result) = hard.run_until_cancelled(task).await {
                entry.end(result);
            } else {
                entry.stopped();
            }
        });
    }

    /// Asks the tasks to finish. Long loops, streams and waiting requests end when it is cancelled.
    pub fn soft(&self) -> CancellationToken {
        self.scope.soft.clone()
    }

    /// Tells the tasks to stop at once: the grace is over, or somebody insisted.
    pub fn hard(&self) -> CancellationToken {
        self.scope.hard.clone()
    }

    /// Asks the tasks of this lifecycle and of its children to finish; returns at once.
    pub fn shut_down(&self) {
        self.scope.soft.cancel();
    }

    /// Makes SIGTERM and SIGINT (Ctrl-C) shut the lifecycle down, and a second one stop it hard.
    ///
    /// The signals are caught from this call on until [`finished`](Self::finished) returns.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn signals(&self) -> anyhow::Result<()> {
        let mut signals = Signals::new()?;
        let (soft, hard) = (self.soft(), self.hard());
        // Not an entry of its own: it waits for the last of the others, nobody waits for it.
        self.scope.tracker.spawn(async move {
            let both = async {
                let name = signals.next().await;
                tracing::info!(signal = name, "received {name}: shutting down");
                soft.cancel();
                let name = signals.next().await;
                tracing::warn!(signal = name, "received {name} again: stopping at once");
            };
            if hard.run_until_cancelled(both).await.is_some() {
                hard.cancel();
            }
        });
        Ok(())
    }

    /// Waits for the shutdown and then for the tasks, and says how it went.
    ///
    /// Returns when [`soft`](Self::soft) is cancelled and all tasks of this lifecycle and of its
    /// children have ended. Tasks that still run after the grace are stopped and named in the
    /// error. Cancelling this future leaves the lifecycle as it is.
    ///
    /// # Errors
    /// The first task that ended early, failed or panicked; else the tasks that did not finish.
    pub async fn finished(&self) -> Result<(), LifecycleError> {
        let scope = &self.scope;
        scope.soft.cancelled().await;

        tokio::select! {
            () = scope.all_ended() => {}
            () = scope.hard.cancelled() => {}
            () = tokio::time::sleep(scope.grace) => {
                tracing::warn!("grace of {:?} is over: stopping the remaining tasks", scope.grace);
            }
        }
        scope.hard.cancel();
        // Only a task that blocks its thread is still there after this.
        let _ = tokio::time::timeout(STOP_LIMIT, scope.all_ended()).await;

        if let Some(failure) = scope.failure().clone() {
            return Err(failure);
        }
        let running = scope.running.borrow();
        let unfinished = running.stopped.iter().chain(running.names.values());
        let tasks: Vec<String> = unfinished.cloned().collect();
        if tasks.is_empty() {
            return Ok(());
        }
        Err(LifecycleError::NotFinished { tasks })
    }
}

impl Default for Lifecycle {
    /// A lifecycle with [`DEFAULT_GRACE`].
    fn default() -> Self {
        Self::new(DEFAULT_GRACE)
    }
}

impl Scope {
    async fn all_ended(&self) {
        let mut running = self.running.subscribe();
        // The sender lives in `self`, so the channel cannot be closed while this waits.
        let _ = running.wait_for(|running| running.names.is_empty()).await;
    }

    fn failure(&self) -> std::sync::MutexGuard<'_, Option<LifecycleError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lineage(self: &Arc<Self>) -> impl Iterator<Item = Arc<Self>> + use<> {
        std::iter::successors(Some(Arc::clone(self)), |scope| scope.parent.clone())
    }
}

/// A running task in the books of its lifecycle and of all lifecycles above.
struct Entry {
    name: String,
    places: Vec<(Arc<Scope>, u64)>,
    outcome: Option<Outcome>,
}

enum Outcome {
    Finished,
    Stopped,
    Failed(LifecycleError),
}

impl Entry {
    fn new(scope: &Arc<Scope>, name: &str) -> Self {
        let name = format!("{}{name}", scope.prefix);
        let places = scope
            .lineage()
            .map(|scope| {
                let mut id = 0;
                scope.running.send_modify(|running| {
                    running.last_id += 1;
                    id = running.last_id;
                    running.names.insert(id, name.clone());
                });
                (scope, id)
            })
            .collect();
        Self {
            name,
            places,
            outcome: None,
        }
    }

    fn end(&mut self, result: anyhow::Result<()>) {
        let task = self.name.clone();
        let asked = self.places[0].0.soft.is_cancelled();
        self.outcome = Some(match result {
            Ok(()) if asked => Outcome::Finished,
            Ok(()) => Outcome::Failed(LifecycleError::EndedEarly { task }),
            Err(error) => Outcome::Failed(LifecycleError::Failed {
                task,
                reason: format!("{error:#}"),
            }),
        });
    }

    fn stopped(&mut self) {
        self.outcome = Some(Outcome::Stopped);
    }

    /// A task that was dropped without an outcome panicked, or its runtime came to an end.
    fn dropped(&self) -> Outcome {
        if std::thread::panicking() {
            Outcome::Failed(LifecycleError::Panicked {
                task: self.name.clone(),
            })
        } else {
            Outcome::Stopped
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let task = &self.name;
        let outcome = self.outcome.take().unwrap_or_else(|| self.dropped());
        match &outcome {
            Outcome::Finished => tracing::debug!(task, "task `{task}` finished"),
            Outcome::Stopped => tracing::debug!(task, "task `{task}` was stopped"),
            Outcome::Failed(error) => {
                tracing::error!(task, "{error}");
                for (scope, _) in &self.places {
                    scope.failure().get_or_insert_with(|| error.clone());
                    scope.soft.cancel();
                }
            }
        }
        for (scope, id) in &self.places {
            scope.running.send_modify(|running| {
                let name = running.names.remove(id);
                if matches!(outcome, Outcome::Stopped) {
                    running.stopped.extend(name);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests;
