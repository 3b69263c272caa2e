//! What a connection's task shares with its parts: who was woken, and which streams are new.

use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use futures::task::AtomicWaker;
use hyper::rt::Executor;

/// A stream's future: its handler, then the sending of its answer.
pub(super) type Stream = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Parts of a task, one bit each.
pub(super) type Parts = u32;

/// The task is looking at its parts: it sees the next wake-ups without being woken.
const LOOKING: Parts = 1 << 31;

/// New streams were handed over.
pub(super) const ARRIVED: Parts = 1 << 30;

/// The wake-ups of a task's parts, so that it polls no other, and the streams handed to it.
pub(super) struct Shared {
    woken: AtomicU32,
    task: AtomicWaker,
    /// How often the connection has had its turn.
    turns: AtomicU32,
    /// `None` when nobody takes them any more.
    arrived: Mutex<Option<Vec<Stream>>>,
}

/// Hands the streams of a connection to the connection's task.
#[derive(Clone)]
pub(super) struct HandOver(Arc<Shared>);

struct Part {
    shared: Arc<Shared>,
    part: Parts,
}

impl Shared {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            woken: AtomicU32::new(0),
            task: AtomicWaker::new(),
            turns: AtomicU32::new(0),
            arrived: Mutex::new(Some(Vec::new())),
        })
    }

    pub(super) fn executor(self: &Arc<Self>) -> HandOver {
        HandOver(Arc::clone(self))
    }

    /// What wakes `part`.
    pub(super) fn waker(self: &Arc<Self>, part: Parts) -> Waker {
        Waker::from(Arc::new(Part {
            shared: Arc::clone(self),
            part,
        }))
    }

    pub(super) fn wake(&self, part: Parts) {
        // Whoever set a bit before has woken the task, which has not looked since.
        if self.woken.fetch_or(part, Ordering::AcqRel) == 0 {
            self.task.wake();
        }
    }

    /// Begins to look: `task` is woken from now on.
    pub(super) fn look(&self, task: &Waker) {
        self.task.register(task);
        self.woken.fetch_or(LOOKING, Ordering::AcqRel);
    }

    /// Takes the parts that were woken. `None` if there are none, which ends the look: the next one
    /// wakes the task.
    pub(super) fn take_woken(&self) -> Option<Parts> {
        loop {
            let woken = self.woken.swap(LOOKING, Ordering::AcqRel) & !LOOKING;
            if woken != 0 {
                return Some(woken);
            }
            let ended =
                (self.woken).compare_exchange(LOOKING, 0, Ordering::AcqRel, Ordering::Acquire);
            if ended.is_ok() {
                return None;
            }
        }
    }

    /// Takes the wake-up of one part, if there is one.
    pub(super) fn take(&self, part: Parts) -> bool {
        self.woken.fetch_and(!part, Ordering::AcqRel) & part != 0
    }

    /// Ends the look although parts may be woken: the task comes back by itself.
    pub(super) fn pause(&self) {
        self.woken.fetch_and(!LOOKING, Ordering::AcqRel);
    }

    /// The connection has its turn, after the streams.
    pub(super) fn next_turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells the connection's turns apart.
    pub(super) fn turn(&self) -> u32 {
        self.turns.load(Ordering::Relaxed)
    }

    /// The streams that were handed over since the last call.
    pub(super) fn arrivals(&self) -> Vec<Stream> {
        self.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The same for the last time: later ones are dropped.
    pub(super) fn close(&self) -> Vec<Stream> {
        self.lock().take().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Stream>>> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Part {
    fn wake(self: Arc<Self>) {
        self.shared.wake(self.part);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.shared.wake(self.part);
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for HandOver {
    fn execute(&self, stream: F) {
        let stream: Stream = Box::pin(stream);
        match &mut *self.0.lock() {
            Some(arrived) => arrived.push(stream),
            None => return,
        }
        self.0.wake(ARRIVED);
    }
}
