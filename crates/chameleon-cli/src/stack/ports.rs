//! Where the parts listen.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use tokio::net::TcpListener;

use super::INSTANCES;

const HTTP: u16 = 8500;
const GRPC: u16 = 8502;
const GIT_SYNC: u16 = 8510;
const LOCATION: u16 = 8520;
const SIMULATOR: u16 = 8530;
const TMAP: u16 = 8531;
const NAVER: u16 = 8532;

/// Which ports a stack takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// The platform's fixed ports, each raised by this number.
    Offset(u16),
    /// Whatever is free.
    Free,
}

/// Where the parts of a running stack listen; all on loopback.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// The config server's Consul dialect, health and metrics.
    pub http: SocketAddr,
    /// The config server's gRPC.
    pub grpc: SocketAddr,
    /// git-sync's webhooks.
    pub git_sync: SocketAddr,
    /// The instances of the address search.
    pub locations: [SocketAddr; INSTANCES],
    /// The simulator's faults.
    pub simulator: SocketAddr,
    /// The simulated TMAP.
    pub tmap: SocketAddr,
    /// The simulated NAVER.
    pub naver: SocketAddr,
}

impl Addresses {
    /// The config server's gRPC address as clients take it.
    pub fn grpc_url(&self) -> String {
        url(self.grpc)
    }

    /// Where git-sync takes the webhooks of `source`.
    pub fn webhook(&self, source: &str) -> String {
        format!("{}{}", url(self.git_sync), git_sync::github::path(source))
    }

    /// The base addresses of the address search.
    pub fn location_urls(&self) -> Vec<String> {
        self.locations.iter().copied().map(url).collect()
    }

    pub(super) fn tmap_url(&self) -> String {
        url(self.tmap)
    }

    pub(super) fn naver_url(&self) -> String {
        url(self.naver)
    }
}

/// The bound listeners, for the parts to take.
pub(super) struct Listeners {
    pub(super) http: TcpListener,
    pub(super) grpc: TcpListener,
    pub(super) git_sync: TcpListener,
    pub(super) locations: [TcpListener; INSTANCES],
    pub(super) simulator: map_simulator::Listeners,
}

/// Binds everything before anything starts, so that a port in use leaves nothing half-started.
pub(super) fn bind(ports: Ports) -> anyhow::Result<(Addresses, Listeners)> {
    let listen = |port: u16, what: &str| {
        let port = match ports {
            Ports::Offset(offset) => port
                .checked_add(offset)
                .context("`--port-offset` leads beyond the last port; take a smaller one")?,
            Ports::Free => 0,
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        service_kit::listen(address, what, "--port-offset")
    };
    let listeners = Listeners {
        http: listen(HTTP, "config-server HTTP")?,
        grpc: listen(GRPC, "config-server gRPC")?,
        git_sync: listen(GIT_SYNC, "git-sync")?,
        locations: [
            listen(LOCATION, "location-service")?,
            listen(LOCATION + 1, "the second location-service")?,
        ],
        simulator: map_simulator::Listeners {
            control: listen(SIMULATOR, "map-simulator")?,
            tmap: listen(TMAP, "the simulated TMAP")?,
            naver: listen(NAVER, "the simulated NAVER")?,
        },
    };
    let at = |listener: &TcpListener| listener.local_addr().context("read a bound address");
    let simulator = (listeners.simulator.addresses()).context("read a bound address")?;
    let addresses = Addresses {
        http: at(&listeners.http)?,
        grpc: at(&listeners.grpc)?,
        git_sync: at(&listeners.git_sync)?,
        locations: [at(&listeners.locations[0])?, at(&listeners.locations[1])?],
        simulator: simulator.control,
        tmap: simulator.tmap,
        naver: simulator.naver,
    };
    Ok((addresses, listeners))
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}
