//! From a commit at one replica to the new value in a client of the other.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use chameleon_client::{Api, ApiSettings, Chameleon, Configuration};
use chameleon_model::{Key, Operation, Transaction};
use serde::Deserialize;
use service_kit::Lifecycle;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::figures::Figure;

const WARM_UP: u64 = 20;

#[derive(Deserialize)]
struct Counter {
    n: u64,
}

impl Configuration for Counter {}

pub(crate) async fn measure(commits: usize) -> anyhow::Result<Vec<Figure>> {
    let database = test_kit::postgres::database().await;
    let lifecycle = Lifecycle::default();
    let writer = replica(database.url(), &lifecycle).await?;
    let api = Api::connect(ApiSettings {
        servers: vec![writer],
        ..ApiSettings::default()
    })?;
    put(&api, 0).await?;
    // Started after the first commit, so that it has a document to begin with.
    let reader = replica(database.url(), &lifecycle).await?;
    let chameleon = Chameleon::builder("bench", "prod")
        .servers([reader])
        .connect()
        .await?;
    let mut changes = chameleon.bind::<Counter>("")?.subscribe();

    let (mut seen, mut stored) = (Vec::new(), Vec::new());
    for n in 1..=WARM_UP + u64::try_from(commits)? {
        let began = Instant::now();
        let commit = async {
            put(&api, n).await?;
            anyhow::Ok(began.elapsed())
        };
        let arrival = async {
            loop {
                let change = changes.next().await.context("the client has ended")?;
                if change.new.n == n {
                    return anyhow::Ok(began.elapsed());
                }
            }
        };
        let (answered, arrived): (Duration, Duration) = tokio::try_join!(commit, arrival)?;
        if n > WARM_UP {
            stored.push(answered);
            seen.push(arrived);
        }
    }
    chameleon.shutdown().await;
    lifecycle.shut_down();
    lifecycle.finished().await?;

    let whole = Figure::of(
        "commit to applied at the other replica (Postgres, fsync)",
        seen,
    );
    let part = Figure::of("  commit answered to the writer", stored).part_of(&whole);
    Ok(vec![whole.under(8.0), part])
}

async fn replica(database: &str, lifecycle: &Lifecycle) -> anyhow::Result<String> {
    let store = chameleon_store::open(database).await?;
    let grpc = TcpListener::bind("127.0.0.1:0").await?;
    let address = grpc.local_addr()?;
    let listeners = config_server::Listeners {
        http: TcpListener::bind("127.0.0.1:0").await?,
        grpc,
        admin: None,
    };
    let settings = config_server::Settings {
        store_kind: "postgres",
        ..config_server::Settings::default()
    };
    config_server::start(settings, Arc::clone(&store), listeners, lifecycle).await?;
    Ok(format!("http://{address}"))
}

async fn put(api: &Api, n: u64) -> anyhow::Result<()> {
    let transaction = Transaction {
        operations: vec![Operation::Put {
            key: Key::new("config/bench-prod.yml")?,
            value: Bytes::from(format!("n: {n}\n")),
            flags: 0,
        }],
        ..Transaction::default()
    };
    api.commit(transaction).await?;
    Ok(())
}
