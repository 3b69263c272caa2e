//! Writers that retry under the same request id until they are told what became of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chameleon_model::{Operation, RequestId, Stamp, Transaction};
use chameleon_proto::v1::commit_response::Outcome;
use chameleon_proto::v1::config_client::ConfigClient;
use chameleon_proto::{commit_requests, v1};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{sleep, timeout};
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use crate::content;
use crate::shared::Shared;

/// Beyond the servers' own limit, so that it is their answer that counts.
const ANSWER_LIMIT: Duration = Duration::from_secs(4);
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// What a writer is told, other than that its transaction is stored.
const REFUSED: &str = "a transaction without preconditions was refused";

/// A client of one replica; connects again by itself.
pub(crate) fn client(grpc: SocketAddr) -> ConfigClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{grpc}")).expect("an address is a URL");
    let endpoint = endpoint.connect_timeout(CONNECT_LIMIT).tcp_nodelay(true);
    ConfigClient::new(endpoint.connect_lazy())
}

/// A writer, with all that it draws following from its seed.
pub(crate) struct Writer {
    name: String,
    first: u64,
    count: u64,
    random: StdRng,
    servers: Vec<ConfigClient<Channel>>,
    shared: Arc<Shared>,
}

impl Writer {
    /// The writer that counts its transactions from `index` millions.
    pub(crate) fn new(seed: u64, index: u64, grpc: &[SocketAddr], shared: &Arc<Shared>) -> Self {
        Self {
            name: format!("{index}"),
            first: index * 1_000_000,
            count: 0,
            random: StdRng::seed_from_u64(seed.wrapping_add(index)),
            servers: grpc.iter().copied().map(client).collect(),
            shared: Arc::clone(shared),
        }
    }

    /// Writes without end.
    pub(crate) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            let turn = shared.gate.read().await;
            let number = self.number();
            let operations = content::draw(&mut self.random, &self.name, number);
            let mut servers: Vec<_> = (0..self.servers.len()).collect();
            servers.shuffle(&mut self.random);
            self.write(number, operations, &servers).await;
            drop(turn);
            let pace = self.random.random_range(5..30);
            sleep(Duration::from_millis(pace)).await;
        }
    }

    /// Writes what every reader sees, through `server` and no other.
    pub(crate) async fn write_to_all(&mut self, server: usize) -> Stamp {
        let number = self.number();
        let operations = content::seen_by_all(number);
        self.write(number, operations, &[server]).await
    }

    fn number(&mut self) -> u64 {
        self.count += 1;
        self.first + self.count
    }

    /// Sends one transaction to one server after the other until one acknowledges it.
    async fn write(&mut self, number: u64, operations: Vec<Operation>, servers: &[usize]) -> Stamp {
        let id = RequestId(Uuid::from_u128(self.random.random()));
        let transaction = Transaction {
            request_id: Some(id),
            operations,
            ..Transaction::default()
        };
        let requests = commit_requests(transaction);
        for &server in servers.iter().cycle() {
            let shared = &self.shared;
            shared.ledger.send(id, number, shared.promotions());
            let mut client = self.servers[server].clone();
            let call = client.commit(futures::stream::iter(requests.clone()));
            let answer = timeout(ANSWER_LIMIT, call).await;
            shared.tried();
            if let Ok(Ok(response)) = answer {
                match told(response.into_inner()) {
                    Ok(stamp) => {
                        shared.ledger.acknowledge(id, stamp);
                        return stamp;
                    }
                    Err(complaint) => shared.complaints.add(format!("{complaint} ({number})")),
                }
            }
            // Who is away or being killed is not asked in a tight loop.
            sleep(Duration::from_millis(self.random.random_range(5..20))).await;
        }
        unreachable!("a cycle has no end")
    }
}

fn told(response: v1::CommitResponse) -> Result<Stamp, String> {
    match response.outcome {
        Some(Outcome::Committed(stamp)) => Ok(stamp.into()),
        Some(Outcome::Unchanged(_)) => Err("a transaction changed nothing".to_owned()),
        Some(Outcome::Refused(refused)) => Err(format!("{REFUSED}: {:?}", refused.reasons)),
        None => Err("the answer to a commit has no outcome".to_owned()),
    }
}
