//! Each fault, as seen from both ends.

use std::time::Duration;

use test_kit::FaultProxy;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Answers every byte with itself.
async fn echo() -> (std::net::SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let mut owner = JoinSet::new();
    owner.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            connections.spawn(async move {
                let (mut read, mut write) = stream.split();
                // The other end's reset is what these tests are about.
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    (addr, owner)
}

async fn echoed(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"x").await?;
    stream.read_u8().await.map(|byte| assert_eq!(byte, b'x'))
}

#[tokio::test]
async fn a_healthy_proxy_passes_everything_on() {
    let (target, _echo) = echo().await;
    let proxy = FaultProxy::start(target).await;
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    echoed(&mut stream).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_cut_resets_old_and_new_connections_until_it_heals() {
    let (target, _echo) = echo().await;
    let proxy = FaultProxy::start(target).await;
    let mut old = TcpStream::connect(proxy.addr()).await.unwrap();
    echoed(&mut old).await.unwrap();
    proxy.cut().await;
    assert!(echoed(&mut old).await.is_err());
    let mut new = TcpStream::connect(proxy.addr()).await.unwrap();
    assert!(echoed(&mut new).await.is_err());

    proxy.heal();
    let mut healed = TcpStream::connect(proxy.addr()).await.unwrap();
    echoed(&mut healed).await.unwrap();
}

#[tokio::test]
async fn a_stall_holds_bytes_back_and_loses_none() {
    let (target, _echo) = echo().await;
    let proxy = FaultProxy::start(target).await;
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    echoed(&mut stream).await.unwrap();
    proxy.stall();
    stream.write_all(b"y").await.unwrap();
    let early = timeout(Duration::from_millis(50), stream.read_u8()).await;
    assert!(early.is_err(), "a stalled byte arrived");
    proxy.heal();
    assert_eq!(stream.read_u8().await.unwrap(), b'y');
}

#[tokio::test]
async fn a_delay_is_added_each_way() {
    let (target, _echo) = echo().await;
    let proxy = FaultProxy::start(target).await;
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    proxy.delay(Duration::from_millis(20));
    let before = Instant::now();
    echoed(&mut stream).await.unwrap();
    assert!(before.elapsed() >= Duration::from_millis(40));
}

#[tokio::test]
async fn a_dropped_proxy_leaves_nothing_behind() {
    let (target, _echo) = echo().await;
    let proxy = FaultProxy::start(target).await;
    let addr = proxy.addr();
    let mut stream = TcpStream::connect(addr).await.unwrap();
    echoed(&mut stream).await.unwrap();
    drop(proxy);
    assert!(echoed(&mut stream).await.is_err());
    test_kit::eventually("the proxy's port refuses", async || {
        TcpStream::connect(addr).await.err()
    })
    .await;
}
