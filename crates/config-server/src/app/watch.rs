//! Wakes whoever watches what a commit touched, and nobody else.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chameleon_model::Key;
use tokio::sync::{Notify, watch};

use super::error::Error;
use super::selection::Selection;

/// All open watches, found by key and by prefix. Holds no data: who is woken reads the newest
/// state, so a slow watcher costs nothing while it is slow.
pub(crate) struct Hub {
    registry: Mutex<Registry>,
    sessions: watch::Sender<()>,
    limit: usize,
}

#[derive(Default)]
struct Registry {
    last_id: u64,
    count: usize,
    keys: HashMap<Arc<str>, Waiters>,
    /// By the prefixes' lengths in bytes, so that a key is looked up once for each length in use.
    prefixes: BTreeMap<usize, HashMap<Arc<str>, Waiters>>,
}

type Waiters = HashMap<u64, Arc<Notify>>;

/// An open watch; dropping it ends it.
pub(crate) struct Watcher {
    hub: Arc<Hub>,
    id: u64,
    selection: Selection,
    wake: Arc<Notify>,
}

impl Hub {
    /// A hub for at most `limit` watches at a time.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            registry: Mutex::default(),
            sessions: watch::Sender::new(()),
            limit,
        }
    }

    /// Opens a watch. Read the state after this call, so that no change is missed.
    pub(crate) fn watch(self: &Arc<Self>, selection: Selection) -> Result<Watcher, Error> {
        let wake = Arc::new(Notify::new());
        let mut registry = self.lock();
        if registry.count >= self.limit {
            return Err(Error::TooManyWatches { limit: self.limit });
        }
        registry.count += 1;
        registry.last_id += 1;
        let id = registry.last_id;
        for key in selection.keys() {
            let waiters = registry.keys.entry(key.as_str().into()).or_default();
            waiters.insert(id, Arc::clone(&wake));
        }
        for prefix in selection.prefixes() {
            let text = prefix.as_str();
            let same_length = registry.prefixes.entry(text.len()).or_default();
            let waiters = same_length.entry(text.into()).or_default();
            waiters.insert(id, Arc::clone(&wake));
        }
        drop(registry);
        Ok(Watcher {
            hub: Arc::clone(self),
            id,
            selection,
            wake,
        })
    }

    /// Wakes the watches that see one of `keys`.
    pub(crate) fn wake<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) {
        let registry = self.lock();
        let wake_all = |waiters: Option<&Waiters>| {
            for wake in waiters.into_iter().flat_map(HashMap::values) {
                wake.notify_one();
            }
        };
        for key in keys {
            wake_all(registry.keys.get(key.as_str()));
            for (length, prefixes) in registry.prefixes.range(..=key.as_str().len()) {
                // Inside a character no prefix can end.
                let start = key.as_str().get(..*length);
                wake_all(start.and_then(|start| prefixes.get(start)));
            }
        }
    }

    /// Hears of sessions that are opened or end; bounded by who asks, and read the state after
    /// this call.
    pub(crate) fn watch_sessions(&self) -> watch::Receiver<()> {
        self.sessions.subscribe()
    }

    /// Wakes who watches the sessions.
    pub(crate) fn wake_sessions(&self) {
        self.sessions.send_replace(());
    }

    /// Wakes every watch, because the state was replaced as a whole.
    pub(crate) fn wake_all(&self) {
        self.wake_sessions();
        let registry = self.lock();
        let under = registry.prefixes.values().flat_map(HashMap::values);
        for wake in (registry.keys.values().chain(under)).flat_map(HashMap::values) {
            wake.notify_one();
        }
    }

    /// How many watches are open.
    pub(crate) fn count(&self) -> usize {
        self.lock().count
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher {
    /// Waits until something selected may have changed since the last call. May be cancelled.
    pub(crate) async fn changed(&self) {
        self.wake.notified().await;
    }

    pub(crate) fn selection(&self) -> &Selection {
        &self.selection
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut registry = self.hub.lock();
        registry.count -= 1;
        for key in self.selection.keys() {
            remove(&mut registry.keys, key.as_str(), self.id);
        }
        for prefix in self.selection.prefixes() {
            let length = prefix.as_str().len();
            if let Some(same_length) = registry.prefixes.get_mut(&length) {
                remove(same_length, prefix.as_str(), self.id);
                if same_length.is_empty() {
                    registry.prefixes.remove(&length);
                }
            }
        }
    }
}

fn remove(map: &mut HashMap<Arc<str>, Waiters>, text: &str, id: u64) {
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

    fn woken(watcher: &Watcher) -> bool {
        watcher.changed().now_or_never().is_some()
    }

    #[test]
    fn only_touched_watches_wake_and_only_once() {
        let hub = Arc::new(Hub::new(10));
        let one = hub.watch(Selection::key(key("config/a.yml"))).unwrap();
        let folder = hub
            .watch(Selection::prefix(Prefix::new("config/")))
            .unwrap();
        let all = hub.watch(Selection::prefix(Prefix::all())).unwrap();
        let other = hub
            .watch(Selection::prefix(Prefix::new("configs")))
            .unwrap();

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
        let one = hub.watch(Selection::key(key("a"))).unwrap();
        let two = hub.watch(Selection::prefix(Prefix::new("a"))).unwrap();
        let error = hub.watch(Selection::key(key("b"))).err().unwrap();
        assert!(error.to_string().contains("2 watches are open"), "{error}");
        drop((one, two));
        assert_eq!(hub.count(), 0);
        let registry = hub.lock();
        assert!(registry.keys.is_empty() && registry.prefixes.is_empty());
    }
}
