//! The network between one replica and Postgres.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::io::{AsyncWriteExt as _, BufReader, BufWriter};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::framing::{Message, Requests};

/// A proxy that understands Postgres's messages, with faults to switch. Ends with its value.
pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    network: Arc<Network>,
    _accepting: JoinSet<()>,
}

struct Network {
    target: SocketAddr,
    mode: watch::Sender<Mode>,
    swallow: AtomicBool,
    swallowed: AtomicU64,
    order: Mutex<Order>,
    /// How many were.
    lost: watch::Sender<u64>,
    open: watch::Sender<HashMap<u64, CancellationToken>>,
}

/// Whether the answer to a commit is to be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    None,
    /// The next commit's.
    Next,
    /// That of the commit which this connection has sent.
    Of(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Open,
    Away,
    Paused,
}

/// What both directions of a connection share.
struct Talk {
    id: u64,
    in_transaction: AtomicBool,
}

impl Network {
    fn order(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connection `id` sends a commit.
    fn commits(&self, id: u64) {
        let mut order = self.order();
        if *order == Order::Next {
            *order = Order::Of(id);
        }
    }

    /// Says whether the answer that connection `id` gets next is lost, and the connection with it.
    fn loses(&self, id: u64) -> bool {
        *self.order() == Order::Of(id)
    }

    /// The answer that connection `id` would have got is lost.
    fn has_lost(&self, id: u64) {
        let mut order = self.order();
        if *order == Order::Of(id) {
            *order = Order::None;
        }
        self.lost.send_modify(|lost| *lost += 1);
    }

    /// Connection `id` has ended. If it did so before the answer came, the next commit's is lost.
    fn ended(&self, id: u64) {
        let mut order = self.order();
        if *order == Order::Of(id) {
            *order = Order::Next;
        }
    }
}

impl Proxy {
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let network = Arc::new(Network {
            target,
            mode: watch::Sender::new(Mode::Open),
            swallow: AtomicBool::new(false),
            swallowed: AtomicU64::new(0),
            order: Mutex::new(Order::None),
            lost: watch::Sender::new(0),
            open: watch::Sender::new(HashMap::new()),
        });
        let mut accepting = JoinSet::new();
        let addr = listener.local_addr().unwrap();
        accepting.spawn(accept(listener, Arc::clone(&network)));
        Self {
            addr,
            network,
            _accepting: accepting,
        }
    }

    /// Resets one connection, if there is any.
    pub(crate) fn cut_one(&self, random: &mut StdRng) {
        let open = self.network.open.borrow();
        let mut ids: Vec<_> = open.keys().collect();
        ids.sort_unstable();
        if !ids.is_empty() {
            open[ids[random.random_range(0..ids.len())]].cancel();
        }
    }

    /// Resets all connections.
    pub(crate) fn cut_all(&self) {
        let open = self.network.open.borrow();
        open.values().for_each(CancellationToken::cancel);
    }

    /// Resets all connections, and new ones until healed; returns when there are none.
    pub(crate) async fn take_away(&self) {
        self.network.mode.send_replace(Mode::Away);
        let mut open = self.network.open.subscribe();
        let none = open.wait_for(HashMap::is_empty);
        none.await.expect("the network lives on");
    }

    /// Holds back all bytes until healed.
    pub(crate) fn pause(&self) {
        self.network.mode.send_replace(Mode::Paused);
    }

    /// Drops the notices of commits until healed.
    pub(crate) fn swallow(&self) {
        self.network.swallow.store(true, SeqCst);
    }

    /// Has the next commit done, and then resets its connection instead of passing on the answer.
    /// The receiver counts the answers that were lost.
    pub(crate) fn lose_answer(&self) -> watch::Receiver<u64> {
        *self.network.order() = Order::Next;
        self.network.lost.subscribe()
    }

    /// Ends all faults; connections that were cut stay so.
    pub(crate) fn heal(&self) {
        *self.network.order() = Order::None;
        self.network.swallow.store(false, SeqCst);
        self.network.mode.send_replace(Mode::Open);
    }

    /// How many notices were dropped, and how many answers.
    pub(crate) fn losses(&self) -> (u64, u64) {
        let lost = *self.network.lost.borrow();
        (self.network.swallowed.load(SeqCst), lost)
    }
}

async fn accept(listener: TcpListener, network: Arc<Network>) {
    let mut connections = JoinSet::new();
    let mut next_id = 0;
    loop {
        tokio::select! {
            Some(ended) = connections.join_next() => {
                let id = ended.expect("a connection does not panic");
                network.ended(id);
                network.open.send_modify(|open| drop(open.remove(&id)));
            }
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                // A reset instead of an orderly end, whichever way it is dropped.
                let _ = client.set_zero_linger();
                if *network.mode.borrow() == Mode::Away {
                    continue;
                }
                next_id += 1;
                let (id, token) = (next_id, CancellationToken::new());
                network.open.send_modify(|open| drop(open.insert(id, token.clone())));
                let network = Arc::clone(&network);
                connections.spawn(async move {
                    let mut modes = network.mode.subscribe();
                    tokio::select! {
                        biased;
                        () = token.cancelled() => {}
                        _ = modes.wait_for(|mode| *mode == Mode::Away) => {}
                        _ = pass(client, &network, id) => {}
                    }
                    id
                });
            }
        }
    }
}

async fn pass(client: TcpStream, network: &Network, id: u64) -> io::Result<()> {
    let server = TcpStream::connect(network.target).await?;
    let _ = server.set_zero_linger();
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let talk = Talk {
        id,
        in_transaction: AtomicBool::new(false),
    };
    tokio::try_join!(
        requests(client_read, server_write, network, &talk),
        answers(server_read, client_write, network, &talk),
    )?;
    Ok(())
}

async fn requests(
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    network: &Network,
    talk: &Talk,
) -> io::Result<()> {
    let (mut from, mut to) = (BufReader::new(from), BufWriter::new(to));
    let mut modes = network.mode.subscribe();
    let mut requests = Requests::default();
    to.write_all(&Message::first(&mut from).await?.bytes)
        .await?;
    to.flush().await?;
    while let Some(message) = Message::next(&mut from).await? {
        running(&mut modes).await?;
        let idle = !talk.in_transaction.load(SeqCst);
        if requests.commits(&message, idle) {
            network.commits(talk.id);
        }
        to.write_all(&message.bytes).await?;
        if from.buffer().is_empty() {
            to.flush().await?;
        }
    }
    to.shutdown().await
}

async fn answers(
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    network: &Network,
    talk: &Talk,
) -> io::Result<()> {
    let (mut from, mut to) = (BufReader::new(from), BufWriter::new(to));
    let mut modes = network.mode.subscribe();
    let mut losing = false;
    while let Some(message) = Message::next(&mut from).await? {
        running(&mut modes).await?;
        let ready = message.ready();
        if let Some(idle) = ready {
            talk.in_transaction.store(!idle, SeqCst);
        }
        // Also if the fault is ended meanwhile: half an answer is none.
        losing |= network.loses(talk.id);
        if losing {
            if ready.is_some() {
                network.has_lost(talk.id);
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            continue;
        }
        if message.is_notice_of_commit() && network.swallow.load(SeqCst) {
            network.swallowed.fetch_add(1, SeqCst);
        } else {
            to.write_all(&message.bytes).await?;
        }
        if from.buffer().is_empty() {
            to.flush().await?;
        }
    }
    to.shutdown().await
}

async fn running(modes: &mut watch::Receiver<Mode>) -> io::Result<()> {
    let running = modes.wait_for(|mode| *mode != Mode::Paused).await;
    running.map(drop).map_err(io::Error::other)
}
