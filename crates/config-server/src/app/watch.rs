//! Wakes whoever watches what a commit touched, and nobody else.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use chameleon_model::Key;
use futures::task::AtomicWaker;

use super::access::WatchPlace;
use super::error::Error;
use super::selection::Selection;

/// All open watches, found by key and by prefix. Holds no data: who is woken reads the newest
/// state, so a slow watcher costs nothing while it is slow.
pub(crate) struct Hub {
    registry: Mutex<Registry>,
    stopping: AtomicBool,
    limit: usize,
}

#[derive(Default)]
struct Registry {
    last_id: u64,
    count: usize,
    keys: HashMap<Key, Waiters>,
    /// By the prefixes' lengths in bytes, so that a key is looked up once for each length in use.
    prefixes: BTreeMap<usize, HashMap<Arc<str>, Waiters>>,
    sessions: Waiters,
}

type Waiters = HashMap<u64, Arc<Wake>>;

/// An open watch; dropping it ends it.
pub(crate) struct Watcher {
    hub: Arc<Hub>,
    id: u64,
    subject: Subject,
    wake: Arc<Wake>,
    /// Among those of its client.
    _place: WatchPlace,
}

/// Wakes one watcher, now or at its next look.
#[derive(Default)]
struct Wake {
    woken: AtomicBool,
    task: AtomicWaker,
}

/// What a watch is of.
enum Subject {
    Entries(Arc<Selection>),
    Sessions,
}

/// Why a watcher was woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Something watched may have changed.
    Changed,
    /// The server stops; nothing more will come.
    Stopping,
}

impl Hub {
    /// A hub for at most `limit` watches at a time.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            registry: Mutex::default(),
            stopping: AtomicBool::new(false),
            limit,
        }
    }

    /// Opens a watch. Read the state after this call, so that no change is missed.
    pub(crate) fn watch(
        self: &Arc<Self>,
        selection: Arc<Selection>,
        place: WatchPlace,
    ) -> Result<Watcher, Error> {
        self.open(Subject::Entries(selection), place)
    }

    /// Opens a watch of the sessions that are opened and end.
    pub(crate) fn watch_sessions(self: &Arc<Self>, place: WatchPlace) -> Result<Watcher, Error> {
        self.open(Subject::Sessions, place)
    }

    fn open(self: &Arc<Self>, subject: Subject, place: WatchPlace) -> Result<Watcher, Error> {
        let wake = Arc::new(Wake::default());
        let mut registry = self.lock();
        if registry.count >= self.limit {
            return Err(Error::TooManyWatches { limit: self.limit });
        }
        registry.count += 1;
        registry.last_id += 1;
        let id = registry.last_id;
        registry.add(id, &subject, &wake);
        drop(registry);
        Ok(Watcher {
            hub: Arc::clone(self),
            id,
            subject,
            wake,
            _place: place,
        })
    }

    /// Wakes the watches that see one of `keys`.
    pub(crate) fn wake<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) {
        let registry = self.lock();
        for key in keys {
            wake_each(registry.keys.get(key));
            for (length, prefixes) in registry.prefixes.range(..=key.as_str().len()) {
                // Inside a character no prefix can end.
                let start = key.as_str().get(..*length);
                wake_each(start.and_then(|start| prefixes.get(start)));
            }
        }
    }

    /// Wakes who watches the sessions.
    pub(crate) fn wake_sessions(&self) {
        wake_each([&self.lock().sessions]);
    }

    /// Wakes every watch, because the state was replaced as a whole.
    pub(crate) fn wake_all(&self) {
        let registry = self.lock();
        wake_each(registry.keys.values());
        wake_each(registry.prefixes.values().flat_map(HashMap::values));
        wake_each([&registry.sessions]);
    }

    /// Ends every watch, those that are still to be opened included.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.wake_all();
    }

    /// How many watches are open.
    pub(crate) fn count(&self) -> usize {
        self.lock().count
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    fn add(&mut self, id: u64, subject: &Subject, wake: &Arc<Wake>) {
        let selection = match subject {
            Subject::Entries(selection) => selection,
            Subject::Sessions => {
                self.sessions.insert(id, Arc::clone(wake));
                return;
            }
        };
        for key in selection.keys() {
            let waiters = self.keys.entry(key.clone()).or_default();
            waiters.insert(id, Arc::clone(wake));
        }
        for prefix in selection.prefixes() {
            let text = prefix.as_str();
            let same_length = self.prefixes.entry(text.len()).or_default();
            let waiters = same_length.entry(text.into()).or_default();
            waiters.insert(id, Arc::clone(wake));
        }
    }

    fn remove(&mut self, id: u64, subject: &Subject) {
        let selection = match subject {
            Subject::Entries(selection) => selection,
            Subject::Sessions => {
                self.sessions.remove(&id);
                return;
            }
        };
        for key in selection.keys() {
            remove(&mut self.keys, key.as_str(), id);
        }
        for prefix in selection.prefixes() {
            let length = prefix.as_str().len();
            if let Some(same_length) = self.prefixes.get_mut(&length) {
                remove(same_length, prefix.as_str(), id);
                if same_length.is_empty() {
                    self.prefixes.remove(&length);
                }
            }
        }
    }
}

impl Watcher {
    /// Waits until something watched may have changed since the last call. May be cancelled.
    pub(crate) async fn woken(&self) -> Woken {
        poll_fn(|context| self.poll_woken(context)).await
    }

    /// The same for who is polled; only the last task that asked is woken.
    pub(crate) fn poll_woken(&self, context: &mut Context<'_>) -> Poll<Woken> {
        // Whoever opened a watch before the stop is in the registry and has been woken.
        if !self.hub.stopping.load(Ordering::Acquire) {
            ready!(self.wake.poll(context));
        }
        if self.hub.stopping.load(Ordering::Acquire) {
            Poll::Ready(Woken::Stopping)
        } else {
            Poll::Ready(Woken::Changed)
        }
    }
}

impl Wake {
    fn wake(&self) {
        // Whoever was first wakes the task, which looks at what is there by then.
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.task.wake();
        }
    }

    fn poll(&self, context: &Context<'_>) -> Poll<()> {
        if self.woken.swap(false, Ordering::AcqRel) {
            return Poll::Ready(());
        }
        self.task.register(context.waker());
        // It may have been woken before the task was known.
        if self.woken.swap(false, Ordering::AcqRel) {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut registry = self.hub.lock();
        registry.count -= 1;
        registry.remove(self.id, &self.subject);
    }
}

fn wake_each<'a>(groups: impl IntoIterator<Item = &'a Waiters>) {
    for wake in groups.into_iter().flat_map(HashMap::values) {
        wake.wake();
    }
}

fn remove<K: Borrow<str> + Hash + Eq>(map: &mut HashMap<K, Waiters>, text: &str, id: u64) {
    if let Some(waiters) = map.get_mut(text) {
        waiters.remove(&id);
        if waiters.is_empty() {
            map.remove(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use chameleon_model::Prefix;
    use futures::FutureExt as _;

    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    fn of_key(text: &str) -> Arc<Selection> {
        Arc::new(Selection::key(key(text)))
    }

    fn under(text: &str) -> Arc<Selection> {
        Arc::new(Selection::prefix(Prefix::new(text)))
    }

    fn free() -> WatchPlace {
        WatchPlace::uncounted()
    }

    fn woken(watcher: &Watcher) -> bool {
        watcher.woken().now_or_never() == Some(Woken::Changed)
    }

    #[test]
    fn only_touched_watches_wake_and_only_once() {
        let hub = Arc::new(Hub::new(10));
        let one = hub.watch(of_key("config/a.yml"), free()).unwrap();
        let folder = hub.watch(under("config/"), free()).unwrap();
        let all = hub.watch(under(""), free()).unwrap();
        let other = hub.watch(under("configs"), free()).unwrap();

        hub.wake([&key("config/a.yml"), &key("config/b.yml")]);
        assert!(woken(&one) && woken(&folder) && woken(&all) && !woken(&other));
        assert!(!woken(&one) && !woken(&folder) && !woken(&all));

        hub.wake([&key("config/b.yml")]);
        assert!(!woken(&one) && woken(&folder));
        // `ç` takes two bytes: the prefix lengths in use fall inside of it.
        hub.wake([&key("configç")]);
        assert!(!woken(&folder) && !woken(&other) && woken(&all));
        hub.wake_all();
        assert!(woken(&one) && woken(&folder) && woken(&all) && woken(&other));
    }

    #[test]
    fn places_are_bounded_and_given_back() {
        let hub = Arc::new(Hub::new(2));
        let one = hub.watch(of_key("a"), free()).unwrap();
        let two = hub.watch(under("a"), free()).unwrap();
        let error = hub.watch_sessions(free()).err().unwrap();
        assert!(error.to_string().contains("2 watches are open"), "{error}");
        drop((one, two));
        assert_eq!(hub.count(), 0);
        let registry = hub.lock();
        assert!(registry.keys.is_empty() && registry.prefixes.is_empty());
    }

    #[test]
    fn sessions_are_watched_for_themselves() {
        let hub = Arc::new(Hub::new(2));
        let entries = hub.watch(under(""), free()).unwrap();
        let sessions = hub.watch_sessions(free()).unwrap();
        hub.wake_sessions();
        assert!(!woken(&entries) && woken(&sessions));
        hub.wake([&key("a")]);
        assert!(woken(&entries) && !woken(&sessions));
        hub.wake_all();
        assert!(woken(&entries) && woken(&sessions));
        drop(sessions);
        assert_eq!(hub.count(), 1);
    }

    #[test]
    fn a_stop_ends_watches_that_wait_and_those_to_come() {
        let hub = Arc::new(Hub::new(2));
        let before = hub.watch(of_key("a"), free()).unwrap();
        let mut waiting = Box::pin(before.woken());
        assert_eq!(waiting.as_mut().now_or_never(), None);
        hub.stop();
        assert_eq!(waiting.now_or_never(), Some(Woken::Stopping));
        let after = hub.watch(of_key("a"), free()).unwrap();
        for watcher in [&before, &before, &after, &after] {
            assert_eq!(watcher.woken().now_or_never(), Some(Woken::Stopping));
        }
    }
}
