//! The two servers: a real Consul as a process of its own, and ours in this one.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use config_server::{Listeners, Settings};
use service_kit::{Lifecycle, listen};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::exchange::{self, Answer};
use crate::script::Step;
use crate::seen::{self, Seen};

/// The variable by which `cargo xtask compare` names the folder whose `bin` has Consul.
const VARIABLE: &str = "CHAMELEON_PEERS";
/// As long as our node's name, so that the columns of tables are equally wide.
const NODE: &str = "reference";
/// The id of our node: commands show its beginning.
const NODE_ID: &str = "c4a3e1e0-0000-4000-8000-000000000001";
/// A port that somebody else took meanwhile costs a try.
const TRIES: usize = 3;

/// A running server with an address and a folder for the files of commands.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
    /// Texts of its own, and what they stand for.
    own: Vec<(String, &'static str)>,
    running: Running,
}

enum Running {
    Ours(Lifecycle),
    Consul(Child),
}

/// Consul's program: the one of `CHAMELEON_PEERS`, else the one in `PATH`.
pub(crate) fn program() -> PathBuf {
    match std::env::var_os(VARIABLE).filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder).join("bin/consul"),
        None => PathBuf::from("consul"),
    }
}

impl Peer {
    /// Ours, with a database file of its own.
    pub(crate) async fn ours() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("chameleon.db");
        let store = format!("sqlite:{}", database.display());
        let free = || listen((Ipv4Addr::LOCALHOST, 0).into(), "tests", "none").unwrap();
        let listeners = Listeners {
            http: free(),
            grpc: free(),
            admin: None,
        };
        let address = listeners.http.local_addr().unwrap();
        let lifecycle = Lifecycle::default();
        let store = chameleon_store::open(&store)
            .await
            .expect("the database file is made");
        config_server::start(Settings::default(), store, listeners, &lifecycle)
            .await
            .expect("the server starts");
        let mut peer = Self {
            address,
            folder,
            own: vec![(address.to_string(), "<leader>")],
            running: Running::Ours(lifecycle),
        };
        peer.learn_node().await;
        peer
    }

    /// A real Consul.
    ///
    /// # Panics
    /// If there is none: this test is about it.
    pub(crate) async fn consul() -> Self {
        for _ in 0..TRIES {
            if let Some(peer) = Self::try_consul().await {
                return peer;
            }
        }
        panic!("`consul agent` did not become a leader in {TRIES} tries");
    }

    async fn try_consul() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let [http, server, serf] = free_ports();
        let settings = serde_json::json!({
            "server": true,
            "bootstrap": true,
            "node_name": NODE,
            "node_id": NODE_ID,
            "data_dir": folder.path().join("data"),
            "ports": { "http": http, "server": server, "serf_lan": serf, "serf_wan": -1, "dns": -1, "grpc": -1 },
            "performance": { "raft_multiplier": 1 },
            "disable_update_check": true,
            "log_level": "ERR",
        });
        let file = folder.path().join("consul.json");
        std::fs::write(&file, settings.to_string()).unwrap();
        let mut command = Command::new(program());
        command
            .args(["agent", "-bind", "127.0.0.1", "-config-file"])
            .arg(&file)
            .env_remove("CONSUL_HTTP_ADDR")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        let child = command.spawn().unwrap_or_else(|error| {
            panic!(
                "failed to start `{}`: {error}; this test needs Consul 1.8: run it by \
                 `cargo xtask compare`, or set {VARIABLE} to a folder with `bin/consul`",
                program().display()
            )
        });
        let address = (Ipv4Addr::LOCALHOST, http).into();
        let leader = SocketAddr::from((Ipv4Addr::LOCALHOST, server));
        let mut peer = Self {
            address,
            folder,
            own: vec![
                (leader.to_string(), "<leader>"),
                (
                    SocketAddr::from((Ipv4Addr::LOCALHOST, http)).to_string(),
                    "<address>",
                ),
            ],
            running: Running::Consul(child),
        };
        peer.until_it_leads().await?;
        peer.learn_node().await;
        Some(peer)
    }

    /// Waits until writes are taken and the own node stands in the catalog as it stays.
    async fn until_it_leads(&mut self) -> Option<()> {
        for _ in 0..300 {
            if let Running::Consul(child) = &mut self.running
                && child.try_wait().unwrap().is_some()
            {
                return None;
            }
            let listens = tokio::net::TcpStream::connect(self.address).await.is_ok();
            if listens
                && self
                    .get("/v1/catalog/nodes")
                    .await
                    .body
                    .contains("lan_ipv4")
            {
                return Some(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        None
    }

    async fn learn_node(&mut self) {
        let agent = self.get("/v1/agent/self").await.body;
        let agent: serde_json::Value = serde_json::from_str(&agent).expect("the agent answers");
        let name = agent["Config"]["NodeName"].as_str().expect("it has a node");
        self.own.push((name.to_owned(), "<node>"));
    }

    async fn get(&self, path: &str) -> Answer {
        let step = Step::call("GET", path, "");
        exchange::send(self.address, &step).await
    }

    /// What was seen of this server, without what only it has.
    pub(crate) fn normal(&self, seen: Vec<Seen>) -> Vec<Seen> {
        seen::normal(seen, &self.own)
    }

    pub(crate) async fn stop(&mut self) {
        match &mut self.running {
            Running::Ours(lifecycle) => {
                lifecycle.shut_down();
                lifecycle
                    .finished()
                    .await
                    .expect("the server stops cleanly");
            }
            Running::Consul(child) => child.kill().await.expect("it ran until now"),
        }
    }
}

/// Ports that nobody listens on; all are held until all are known, so that they differ.
fn free_ports() -> [u16; 3] {
    let held = [(); 3].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}
