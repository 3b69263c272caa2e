//! A network that breaks on demand.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A TCP proxy in front of an address, on a port of its own, with faults that can be switched.
///
/// Ends with its value, connections included.
#[derive(Debug)]
pub struct FaultProxy {
    addr: SocketAddr,
    fault: watch::Sender<Fault>,
    open: watch::Receiver<usize>,
    /// Dropping it ends the accepting task, which owns the connections.
    _accepting: JoinSet<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Cut,
    Stall,
    Delay(Duration),
}

impl FaultProxy {
    /// Starts a healthy proxy to `target`, such as `127.0.0.1:5432` or `(host, port)`.
    ///
    /// # Panics
    /// If no port of the loopback address can be bound, or `target` has no address.
    pub async fn start(target: impl tokio::net::ToSocketAddrs) -> Self {
        let target = tokio::net::lookup_host(target)
            .await
            .expect("the proxy's target can be resolved")
            .next()
            .expect("the proxy's target has an address");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a loopback port is free");
        let addr = listener
            .local_addr()
            .expect("a bound listener has an address");
        let (fault, faults) = watch::channel(Fault::None);
        let (opened, open) = watch::channel(0);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, target, faults, opened));
        Self {
            addr,
            fault,
            open,
            _accepting: accepting,
        }
    }

    /// The address to connect to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Resets all connections, and every new one as soon as it is made, until [`heal`](Self::heal).
    ///
    /// Returns when the connections there were are gone.
    pub async fn cut(&self) {
        self.fault.send_replace(Fault::Cut);
        let mut open = self.open.clone();
        open.wait_for(|open| *open == 0)
            .await
            .expect("the accepting task lives as long as the proxy");
    }

    /// Holds back all bytes in both directions without closing anything, until healed.
    ///
    /// Bytes that are just being passed on may still arrive.
    pub fn stall(&self) {
        self.fault.send_replace(Fault::Stall);
    }

    /// Passes on everything `delay` later, each way, until healed.
    pub fn delay(&self, delay: Duration) {
        self.fault.send_replace(Fault::Delay(delay));
    }

    /// Ends the fault; stalled bytes are passed on, cut connections stay cut.
    pub fn heal(&self) {
        self.fault.send_replace(Fault::None);
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    faults: watch::Receiver<Fault>,
    opened: watch::Sender<usize>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {
                opened.send_replace(connections.len());
            }
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                connections.spawn(connection(client, target, faults.clone()));
                opened.send_replace(connections.len());
            }
        }
    }
}

async fn connection(client: TcpStream, target: SocketAddr, mut faults: watch::Receiver<Fault>) {
    // A reset instead of an orderly end, whichever way the connection is dropped.
    let _ = client.set_zero_linger();
    let passing = faults.clone();
    tokio::select! {
        biased;
        _ = faults.wait_for(|fault| *fault == Fault::Cut) => {}
        _ = pass(client, target, passing) => {}
    }
}

async fn pass(
    client: TcpStream,
    target: SocketAddr,
    faults: watch::Receiver<Fault>,
) -> std::io::Result<()> {
    let server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    tokio::try_join!(
        pump(client_read, server_write, faults.clone()),
        pump(server_read, client_write, faults),
    )?;
    Ok(())
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut faults: watch::Receiver<Fault>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        let fault = faults
            .wait_for(|fault| *fault != Fault::Stall)
            .await
            .map(|fault| *fault);
        let delay = match fault {
            Ok(Fault::Delay(delay)) => delay,
            Ok(_) => Duration::ZERO,
            // The proxy is going.
            Err(_) => return Ok(()),
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
    }
}
