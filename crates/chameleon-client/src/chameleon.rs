//! The handle that a service holds.

use std::fmt;
use std::sync::Arc;

use chameleon_model::document::Fault;
use futures::Stream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::engine::{ClientState, Engine, Rejection, Verdict, faults_line};
use crate::follow::Follower;
use crate::{Builder, Configuration, Frame, Live};

/// A running client: the configuration of one service in one profile, kept at its newest.
///
/// Cloning shares it. It owns one background task, which ends when the last clone is dropped or
/// [`Self::shutdown`] is called; [`Live`] values then stay as they are.
#[derive(Clone)]
pub struct Chameleon(Arc<Shared>);

struct Shared {
    engine: Arc<Engine>,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
    tasks: Mutex<JoinSet<()>>,
}

/// A type does not fit the configuration as it is.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{type_name}` can't be bound: {}", faults_line(.faults))]
pub struct BindError {
    /// The type's name.
    pub type_name: &'static str,
    /// Everything that is wrong, each with file, line and path.
    pub faults: Vec<Fault>,
}

impl Chameleon {
    /// Starts to describe a client for `service` in `profile`.
    pub fn builder(service: impl Into<String>, profile: impl Into<String>) -> Builder {
        Builder::new(service.into(), profile.into())
    }

    pub(crate) fn start(follower: Follower) -> Self {
        let stop = CancellationToken::new();
        let engine = Arc::clone(&follower.engine);
        let mut tasks = JoinSet::new();
        tasks.spawn(follower.run(stop.clone()));
        Self(Arc::new(Shared {
            engine,
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
            tasks: Mutex::new(tasks),
        }))
    }

    /// Binds the value at `path` to a type; the empty path is the whole configuration.
    ///
    /// All types bound so move together: a state that one of them rejects is applied to none. If
    /// the state in use does not fit, all go back to the last-known-good file's state or, if the
    /// builder allows them, to the defaults.
    ///
    /// # Errors
    /// Everything that is wrong, if there is no state that fits.
    pub fn bind<T: Configuration>(&self, path: &str) -> Result<Live<T>, BindError> {
        self.bind_as(path, false)
    }

    /// Binds like [`Self::bind`], but alone: the value keeps its own last good, no other type can
    /// veto its changes, and it vetoes nobody's.
    ///
    /// A state that only this type rejects counts as applied; the reason is in the log.
    ///
    /// # Errors
    /// Everything that is wrong, if there is no state that fits.
    pub fn bind_isolated<T: Configuration>(&self, path: &str) -> Result<Live<T>, BindError> {
        self.bind_as(path, true)
    }

    fn bind_as<T: Configuration>(&self, path: &str, alone: bool) -> Result<Live<T>, BindError> {
        (self.0.engine.bind(path, alone)).map_err(|faults| BindError {
            type_name: std::any::type_name::<T>(),
            faults,
        })
    }

    /// All bound values at one revision; isolated ones are at their own.
    pub fn frame(&self) -> Frame {
        self.0.engine.frame()
    }

    /// How the client stands to its servers.
    pub fn state(&self) -> ClientState {
        *self.0.engine.states().borrow()
    }

    /// The state now and after each change of it; a slow reader skips to the newest.
    pub fn states(&self) -> impl Stream<Item = ClientState> + Send + Unpin + use<> {
        WatchStream::new(self.0.engine.states())
    }

    /// Why the newest state that a server has sent is not in use; `None` if it is.
    pub fn rejection(&self) -> Option<Rejection> {
        match self.0.engine.verdict()? {
            Verdict::Applied(_) => None,
            Verdict::Rejected(rejection) => Some(rejection),
        }
    }

    /// Ends the background task: sends the last outcome, keeps the last good state, and returns when
    /// both are done. Other clones see no changes any more.
    ///
    /// Cancelling it leaves the task to end by itself or with the last clone.
    pub async fn shutdown(self) {
        self.0.stop.cancel();
        let mut tasks = self.0.tasks.lock().await;
        while tasks.join_next().await.is_some() {}
    }
}

impl fmt::Debug for Chameleon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chameleon")
            .field("state", &self.state())
            .field("frame", &self.frame())
            .finish_non_exhaustive()
    }
}
