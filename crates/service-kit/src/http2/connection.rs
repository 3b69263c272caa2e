//! One connection and the streams on it, as one task.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::FutureExt as _;
use hyper::body::{Body, Incoming};
use hyper::rt::{Read, Write};
use hyper::server::conn::http2;
use hyper::service::Service;
use hyper::{Request, Response};
use tokio::task::JoinSet;
use tokio::task::coop::has_budget_remaining;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tower::BoxError;

use super::shared::{ARRIVED, HandOver, Parts, Shared, Stream};

/// How many streams the connection's own task polls. Clients have one or two. Of one with many more
/// the rest are tasks of their own, so that they use all cores, and none waits for the others' turns.
const OWN_STREAMS: usize = 4;

/// How many times in a row the task looks for woken parts before others get their turn.
const ROUNDS: usize = 16;

/// The other parts come after the bits of the own streams.
const CONNECTION: Parts = 1 << OWN_STREAMS;
const CLOSING: Parts = 1 << (OWN_STREAMS + 1);

/// Reads and writes for its streams.
pub(super) trait Served: Future<Output = hyper::Result<()>> + Unpin {
    /// Takes no more streams, and ends when those that are open have.
    fn close(&mut self);
}

/// Runs a connection until it ends; its place is free again when this is dropped, and its streams
/// end with it.
///
/// Streams are polled before the connection, so that it sends what they have at once.
pub(super) struct Connection<C, P> {
    served: C,
    shared: Arc<Shared>,
    waker: Waker,
    streams: [Own; OWN_STREAMS],
    /// Those beyond the own ones; most connections never have any.
    others: Option<JoinSet<()>>,
    closing: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    peer: SocketAddr,
    _place: P,
}

/// A place for a stream.
#[derive(Default)]
struct Own {
    stream: Option<Stream>,
    /// Kept for the streams to come.
    waker: Option<Waker>,
}

impl<C: Served, P> Connection<C, P> {
    /// `closing` is when no more streams are to be taken; `shared` has the executor that `served` was
    /// given.
    pub(super) fn new(
        served: C,
        shared: Arc<Shared>,
        closing: WaitForCancellationFutureOwned,
        peer: SocketAddr,
        place: P,
    ) -> Self {
        shared.wake(CONNECTION | CLOSING);
        Self {
            served,
            waker: shared.waker(CONNECTION),
            shared,
            streams: Default::default(),
            others: None,
            closing: Some(Box::pin(closing)),
            peer,
            _place: place,
        }
    }

    fn poll_closing(&mut self) {
        let Some(closing) = &mut self.closing else {
            return;
        };
        let waker = self.shared.waker(CLOSING);
        let mut context = Context::from_waker(&waker);
        if closing.as_mut().poll(&mut context).is_ready() {
            self.closing = None;
            self.served.close();
            self.shared.wake(CONNECTION);
        }
    }

    fn poll_streams(&mut self, woken: Parts) {
        for (place, own) in self.streams.iter_mut().enumerate() {
            if woken & (1 << place) == 0 {
                continue;
            }
            // The stream that was there before may have left a wake-up.
            let Some(stream) = &mut own.stream else {
                continue;
            };
            let waker = (own.waker).get_or_insert_with(|| self.shared.waker(1 << place));
            let mut context = Context::from_waker(waker);
            // A panic ends this stream only, as it ends a task only.
            match catch_unwind(AssertUnwindSafe(|| stream.as_mut().poll(&mut context))) {
                Ok(Poll::Pending) => continue,
                Ok(Poll::Ready(())) => {}
                Err(_) => panicked(self.peer),
            }
            end(own.stream.take(), self.peer);
        }
    }

    /// Gives the streams that have come a place each.
    fn take_in(&mut self) {
        for stream in self.shared.arrivals() {
            let free = (self.streams.iter_mut().enumerate()).find(|(_, own)| own.stream.is_none());
            if let Some((place, own)) = free {
                own.stream = Some(stream);
                self.shared.wake(1 << place);
                continue;
            }
            let others = self.others.get_or_insert_default();
            while others.try_join_next().is_some() {}
            let peer = self.peer;
            others.spawn(async move {
                if AssertUnwindSafe(stream).catch_unwind().await.is_err() {
                    panicked(peer);
                }
            });
        }
    }
}

impl<C: Served, P: Unpin> Future for Connection<C, P> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.shared.look(context.waker());
        for _ in 0..ROUNDS {
            // Without a budget every part would only say that it has none.
            if !has_budget_remaining() {
                break;
            }
            let Some(woken) = this.shared.take_woken() else {
                return Poll::Pending;
            };
            if woken & CLOSING != 0 {
                this.poll_closing();
            }
            this.poll_streams(woken);
            // What the streams gave it to send is sent by the same call.
            if this.shared.take(CONNECTION) || woken & CONNECTION != 0 {
                this.shared.next_turn();
                let mut context = Context::from_waker(&this.waker);
                if let Poll::Ready(result) = Pin::new(&mut this.served).poll(&mut context) {
                    if let Err(error) = result {
                        // The other end went away or sent nonsense, which is its affair.
                        tracing::debug!(peer = %this.peer, "failed to serve a connection: {error}");
                    }
                    return Poll::Ready(());
                }
            }
            if this.shared.take(ARRIVED) || woken & ARRIVED != 0 {
                this.take_in();
            }
        }
        this.shared.pause();
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<C, P> Drop for Connection<C, P> {
    fn drop(&mut self) {
        let own = self.streams.iter_mut().map(|own| own.stream.take());
        // Those that have arrived hold what they would be found in.
        let arrived = self.shared.close().into_iter().map(Some);
        for stream in own.chain(arrived) {
            end(stream, self.peer);
        }
    }
}

/// Drops a stream. Where that panics, nothing else is dropped in the middle of it: a second panic would
/// end the process.
fn end(stream: Option<Stream>, peer: SocketAddr) {
    if catch_unwind(AssertUnwindSafe(|| drop(stream))).is_err() {
        panicked(peer);
    }
}

impl<I, S, B> Served for http2::Connection<I, S, HandOver>
where
    I: Read + Write + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>>,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    fn close(&mut self) {
        Pin::new(self).graceful_shutdown();
    }
}

fn panicked(peer: SocketAddr) {
    tracing::error!(%peer, "failed to serve a stream: its handler panicked");
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::task::AtomicWaker;
    use hyper::rt::Executor as _;
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// A part that notes when it is polled, and is woken by the test.
    #[derive(Clone, Default)]
    struct Probe {
        name: &'static str,
        polls: Arc<Mutex<Vec<&'static str>>>,
        waker: Arc<AtomicWaker>,
    }

    impl Probe {
        fn poll(&self, context: &Context<'_>) {
            self.waker.register(context.waker());
            self.polls.lock().unwrap().push(self.name);
        }
    }

    /// A connection that only notes its polls.
    struct Fake(Probe);

    impl Future for Fake {
        type Output = hyper::Result<()>;

        fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
            self.0.poll(context);
            Poll::Pending
        }
    }

    impl Served for Fake {
        fn close(&mut self) {}
    }

    /// Never closes.
    fn fake(probe: Probe, shared: Arc<Shared>) -> Connection<Fake, ()> {
        let closing = CancellationToken::new().cancelled_owned();
        Connection::new(Fake(probe), shared, closing, ([127, 0, 0, 1], 1).into(), ())
    }

    /// A stream that does nothing, and panics when it is dropped.
    struct Grenade;

    impl Future for Grenade {
        type Output = ();

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }

    impl Drop for Grenade {
        fn drop(&mut self) {
            panic!("a test's panic, not a fault");
        }
    }

    #[test]
    fn streams_that_panic_when_they_are_dropped_take_nobody_along() {
        let shared = Shared::new();
        let executor = shared.executor();
        for _ in 0..3 {
            executor.execute(Grenade);
        }
        let mut driven = fake(Probe::default(), shared);
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut driven).poll(&mut context).is_pending());
        // These have no place yet, or come too late.
        executor.execute(Grenade);
        drop(driven);
        executor.execute(async {});
    }

    /// Counts how often the task is woken.
    #[derive(Default)]
    struct Task(AtomicUsize);

    impl std::task::Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn only_what_was_woken_is_polled_and_the_connection_comes_last() {
        let polls = Arc::default();
        let probe = |name| Probe {
            name,
            polls: Arc::clone(&polls),
            waker: Arc::default(),
        };
        let polled = || std::mem::take(&mut *polls.lock().unwrap());
        let (connection, one, other) = (probe("connection"), probe("one"), probe("other"));
        let shared = Shared::new();
        let executor = shared.executor();
        let mut driven = fake(connection.clone(), shared);
        let task = Arc::new(Task::default());
        let waker = Waker::from(Arc::clone(&task));
        let mut turn = || {
            let mut context = Context::from_waker(&waker);
            assert!(Pin::new(&mut driven).poll(&mut context).is_pending());
            task.0.swap(0, Ordering::SeqCst)
        };
        turn();
        assert_eq!(polled(), ["connection"]);
        for stream in [&one, &other] {
            let (stream, connection) = (stream.clone(), connection.clone());
            executor.execute(std::future::poll_fn(move |context| {
                stream.poll(context);
                connection.waker.wake();
                Poll::<()>::Pending
            }));
        }
        turn();
        assert_eq!(polled(), ["one", "other", "connection"]);

        other.waker.wake();
        assert_eq!(task.0.load(Ordering::SeqCst), 1);
        connection.waker.wake();
        // Woken once for both, and not by what the stream has to send.
        assert_eq!(turn(), 1);
        assert_eq!(polled(), ["other", "connection"]);
        connection.waker.wake();
        assert_eq!(turn(), 1);
        assert_eq!(polled(), ["connection"]);
        assert_eq!(turn(), 0);
        assert_eq!(polled(), [""; 0]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_wake_up_from_another_thread_is_lost() {
        const MESSAGES: usize = 5_000;
        let shared = Shared::new();
        let executor = shared.executor();
        let (mut senders, mut ended) = (JoinSet::new(), Vec::new());
        for _ in 0..OWN_STREAMS + 2 {
            // Room for one, so that the sender and the stream wake each other for each.
            let (sender, mut messages) = tokio::sync::mpsc::channel(1);
            let (end, seen) = tokio::sync::oneshot::channel();
            executor.execute(async move {
                let mut count = 0;
                while let Some(()) = messages.recv().await {
                    count += 1;
                }
                end.send(count).unwrap();
            });
            senders.spawn(async move {
                for _ in 0..MESSAGES {
                    sender.send(()).await.unwrap();
                }
            });
            ended.push(seen);
        }
        let mut driver = JoinSet::new();
        driver.spawn(fake(Probe::default(), shared));
        for seen in ended {
            let limit = std::time::Duration::from_secs(30);
            let count = tokio::time::timeout(limit, seen).await;
            assert_eq!(count.expect("every message wakes"), Ok(MESSAGES));
        }
    }

    #[test]
    fn a_part_that_wakes_itself_lets_others_have_their_turn() {
        let shared = Shared::new();
        let executor = shared.executor();
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&polls);
        executor.execute(std::future::poll_fn(move |context| {
            counted.fetch_add(1, Ordering::SeqCst);
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        }));
        let mut driven = fake(Probe::default(), shared);
        let task = Arc::new(Task::default());
        let waker = Waker::from(Arc::clone(&task));
        let mut context = Context::from_waker(&waker);
        for turn in 1..4 {
            assert!(Pin::new(&mut driven).poll(&mut context).is_pending());
            assert_eq!(polls.load(Ordering::SeqCst), turn * ROUNDS - 1);
            assert!(task.0.swap(0, Ordering::SeqCst) >= 1);
        }
    }
}
