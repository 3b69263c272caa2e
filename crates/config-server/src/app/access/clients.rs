//! How much each client asks for: requests by the second, and watches that are open.
//!
//! A client is whoever shows the same token, else what has the same network address. Its book is one
//! number for the requests and one for the watches, both atomic. The token bucket is our own ten lines
//! and not a crate's, because the same book has to tell when it can be forgotten.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use service_kit::accept::network;
use tokio::time::Instant;

use super::Peer;
use crate::settings::ClientLimits;

/// Books lie in so many maps, so that calls do not wait for one lock. Reading one takes no turn with
/// other readers in any case.
const SHARDS: usize = 64;

/// Books of one map; with all of them in use, further clients share one book.
const MOST_IN_SHARD: usize = 1_024;

/// How often a map is looked through for books that can be forgotten.
const TIDY_EVERY: Duration = Duration::from_mins(1);

/// The same for one that is full. Not at each new client: a flood of them would look through it as often.
const TIDY_FULL_EVERY: Duration = Duration::from_secs(1);

/// How long at least between two lines in the log about limits.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How soon a client should try again that has too many watches.
const WATCHES_PAUSE: Duration = Duration::from_secs(5);

/// The books of all clients.
pub(super) struct Clients {
    limits: ClientLimits,
    /// Time between two requests at the full rate; `None` without a limit.
    interval: Option<Duration>,
    shards: Vec<RwLock<Shard>>,
    hasher: RandomState,
    /// For those that came when all places were taken.
    others: Arc<Client>,
    started: Instant,
    counted: Limited,
    /// Milliseconds since the start; 0 for never.
    told: AtomicU64,
}

/// How often a limit was met.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limited {
    pub(crate) requests: Counter,
    pub(crate) watches: Counter,
}

#[derive(Default)]
struct Shard {
    books: HashMap<Name, Arc<Client>>,
    tidied: Duration,
}

/// Who a client is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Name {
    Token(Arc<str>),
    Network(IpAddr),
    Others,
}

/// One client's book.
#[derive(Debug)]
struct Client {
    name: Name,
    /// When the bucket is full again, in nanoseconds since the start: the later, the emptier it is.
    full_at: AtomicU64,
    watches: AtomicUsize,
}

/// One of a client's places for watches; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct WatchPlace(Option<Arc<Client>>);

/// A client asks for more than it may.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{who} {what}", what = self.what())]
pub(crate) struct OverLimit {
    who: String,
    limit: Limit,
    allowed: usize,
    /// When trying again may help.
    pub(crate) retry_after: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Requests,
    Watches,
}

impl OverLimit {
    fn what(&self) -> String {
        let allowed = self.allowed;
        match self.limit {
            Limit::Requests => format!(
                "sends more than {allowed} requests a second, which is the limit \
                 (`--max-requests-per-client`); send fewer, and try again later"
            ),
            Limit::Watches => format!(
                "has {allowed} watches open, which is the limit (`--max-watches-per-client`); close \
                 some, or use another server"
            ),
        }
    }
}

impl Clients {
    pub(super) fn new(limits: ClientLimits, counted: Limited) -> Self {
        let rate = u32::try_from(limits.requests).unwrap_or(u32::MAX);
        Self {
            limits,
            interval: (rate > 0).then(|| Duration::from_secs(1) / rate),
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            hasher: RandomState::new(),
            others: Arc::new(Client::new(Name::Others)),
            started: Instant::now(),
            counted,
            told: AtomicU64::new(0),
        }
    }

    /// Takes a request of a client, unless it sends too many.
    pub(super) fn request(&self, name: impl FnOnce() -> Name) -> Result<(), OverLimit> {
        let Some(interval) = self.interval else {
            return Ok(());
        };
        let now = self.started.elapsed();
        let client = self.client(name(), now);
        let burst = u32::try_from(self.limits.burst.max(1)).unwrap_or(u32::MAX);
        client.take(now, interval, burst).map_err(|retry_after| {
            self.counted.requests.inc();
            self.told_of(OverLimit {
                who: client.name.to_string(),
                limit: Limit::Requests,
                allowed: self.limits.requests,
                retry_after,
            })
        })
    }

    /// A place for a client's watch, unless it has too many.
    pub(super) fn watch(&self, name: impl FnOnce() -> Name) -> Result<WatchPlace, OverLimit> {
        let limit = self.limits.watches;
        if limit == 0 {
            return Ok(WatchPlace(None));
        }
        let client = self.client(name(), self.started.elapsed());
        let entered = (client.watches).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
            (open < limit).then_some(open + 1)
        });
        if entered.is_ok() {
            return Ok(WatchPlace(Some(client)));
        }
        self.counted.watches.inc();
        Err(self.told_of(OverLimit {
            who: client.name.to_string(),
            limit: Limit::Watches,
            allowed: limit,
            retry_after: WATCHES_PAUSE,
        }))
    }

    fn client(&self, name: Name, now: Duration) -> Arc<Client> {
        let place = self.hasher.hash_one(&name);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "any part of a hash will do"
        )]
        let shard = &self.shards[place as usize % SHARDS];
        let read = shard.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = read.books.get(&name) {
            return Arc::clone(client);
        }
        drop(read);
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        let pause = if shard.books.len() < MOST_IN_SHARD {
            TIDY_EVERY
        } else {
            TIDY_FULL_EVERY
        };
        if now.saturating_sub(shard.tidied) >= pause {
            shard.tidied = now;
            shard.books.retain(|_, client| client.is_in_use(now));
        }
        if shard.books.len() >= MOST_IN_SHARD && !shard.books.contains_key(&name) {
            return Arc::clone(&self.others);
        }
        let client = (shard.books)
            .entry(name.clone())
            .or_insert_with(|| Arc::new(Client::new(name)));
        Arc::clone(client)
    }

    /// Tells of one now and then: a flood has to be seen, and must not flood the log.
    fn told_of(&self, over: OverLimit) -> OverLimit {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let pause = u64::try_from(TELL_EVERY.as_millis()).unwrap_or(u64::MAX);
        let mine = (self.told).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |told| {
            (told == 0 || now.saturating_sub(told) >= pause).then_some(now.max(1))
        });
        if mine.is_ok() {
            tracing::warn!("a limit was met: {over}");
        }
        over
    }
}

impl Client {
    fn new(name: Name) -> Self {
        Self {
            name,
            full_at: AtomicU64::new(0),
            watches: AtomicUsize::new(0),
        }
    }

    /// Takes one from the bucket, which holds `burst` and gains one each `interval`; or tells how long
    /// it takes until there is one.
    fn take(&self, now: Duration, interval: Duration, burst: u32) -> Result<(), Duration> {
        let (now, one) = (nanos(now), nanos(interval));
        let whole = one.saturating_mul(u64::from(burst));
        let taken = (self.full_at).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
            let next = full_at.max(now) + one;
            (next <= now + whole).then_some(next)
        });
        match taken {
            Ok(_) => Ok(()),
            Err(full_at) => Err(Duration::from_nanos(
                (full_at + one).saturating_sub(now + whole),
            )),
        }
    }

    /// Says whether the book tells more than a new one would. Its map is locked, so that nobody takes
    /// a hold of it meanwhile.
    fn is_in_use(self: &Arc<Self>, now: Duration) -> bool {
        Arc::strong_count(self) > 1 || self.full_at.load(Ordering::Relaxed) > nanos(now)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}

impl WatchPlace {
    /// A place that counts for nobody.
    #[cfg(test)]
    pub(crate) fn uncounted() -> Self {
        Self(None)
    }
}

impl Drop for WatchPlace {
    fn drop(&mut self) {
        if let Some(client) = &self.0 {
            client.watches.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Name {
    /// Whoever is at the other end, as far as the address tells.
    pub(super) fn of_peer(peer: Peer) -> Self {
        peer.address
            .map_or(Self::Others, |address| Self::Network(network(address)))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(name) => write!(f, "the client with token `{name}`"),
            Self::Network(address) => write!(f, "the client at {address}"),
            Self::Others => f.write_str("one of too many clients"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(watches: usize, requests: usize, burst: usize) -> Clients {
        let limits = ClientLimits {
            watches,
            requests,
            burst,
            ..ClientLimits::default()
        };
        Clients::new(limits, Limited::default())
    }

    fn token(name: &str) -> impl FnOnce() -> Name {
        let name = Name::Token(name.into());
        move || name
    }

    fn books(clients: &Clients) -> usize {
        let shards = clients.shards.iter();
        shards.map(|shard| shard.read().unwrap().books.len()).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_taken_and_then_the_rate() {
        let clients = clients(0, 10, 5);
        let taken = || {
            (0..100)
                .filter(|_| clients.request(token("a")).is_ok())
                .count()
        };
        assert_eq!(taken(), 5);
        assert_eq!(taken(), 0);
        tokio::time::advance(Duration::from_millis(300)).await;
        assert_eq!(taken(), 3);
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(taken(), 5);
        let error = clients.request(token("a")).unwrap_err();
        assert_eq!(error.retry_after, Duration::from_millis(100));
        assert_eq!(
            error.to_string(),
            "the client with token `a` sends more than 10 requests a second, which is the limit \
             (`--max-requests-per-client`); send fewer, and try again later"
        );
        // Another client has a bucket of its own.
        assert!(clients.request(token("b")).is_ok());
        assert_eq!(clients.counted.requests.get(), 100 - 5 + 100 + 97 + 95 + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn places_for_watches_are_given_back() {
        let clients = clients(2, 0, 0);
        let places = [clients.watch(token("a")), clients.watch(token("a"))];
        let error = clients.watch(token("a")).unwrap_err();
        assert!(
            (error.to_string()).starts_with("the client with token `a` has 2 watches open"),
            "{error}"
        );
        assert!(clients.watch(token("b")).is_ok());
        drop(places);
        assert!(clients.watch(token("a")).is_ok());
        assert_eq!(clients.counted.watches.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn without_limits_nothing_is_kept() {
        let clients = clients(0, 0, 0);
        for _ in 0..100 {
            clients.request(|| unreachable!()).unwrap();
            clients.watch(|| unreachable!()).unwrap();
        }
        assert_eq!(books(&clients), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn books_of_idle_clients_are_forgotten_and_those_in_use_are_not() {
        let clients = clients(1, 1, 2);
        let kept = clients.watch(token("watching")).unwrap();
        for n in 0..5_000 {
            clients.request(token(&n.to_string())).unwrap();
        }
        assert_eq!(books(&clients), 5_001);
        tokio::time::advance(TIDY_EVERY).await;
        for n in 0..1_000 {
            clients.request(token(&format!("new {n}"))).unwrap();
        }
        assert_eq!(books(&clients), 1_001);
        assert!(clients.watch(token("watching")).is_err());
        drop(kept);
        assert!(clients.watch(token("watching")).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_clients_share_one_book() {
        let clients = clients(0, 1, 1);
        let most = SHARDS * MOST_IN_SHARD;
        let refused = (0..most * 2)
            .filter(|n| clients.request(token(&n.to_string())).is_err())
            .count();
        assert!(books(&clients) <= most);
        // One of them has taken what the shared book gives; those in books of their own are served.
        assert!(refused >= most - 1 && refused < most * 2, "{refused}");
        let others = clients.request(token("0"));
        assert!(others.is_err());
    }
}
