//! From the remote's ref update to the new value in two instances.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use chameleon_cli::stack::{Ports, Settings, Stack};
use chameleon_client::{Chameleon, Changes, Configuration, HistoryQuery};
use chameleon_model::Stage::{Applied, Delivered};
use serde::Deserialize;
use service_kit::Lifecycle;

use crate::figures::Figure;

/// The first pushes find cold caches.
const WARM_UP: usize = 3;

/// Which store the config server has.
#[derive(Clone, Copy)]
pub(crate) enum Backing {
    Sqlite,
    Postgres,
}

#[derive(Deserialize)]
struct Shares {
    b_map_percentage: u8,
}

impl Configuration for Shares {}

/// Two instances of the address search run as well, so that four instances apply each push.
pub(crate) async fn measure(pushes: usize, backing: Backing) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let lifecycle = Lifecycle::default();
    let database = match backing {
        Backing::Sqlite => None,
        Backing::Postgres => Some(test_kit::postgres::database().await),
    };
    let settings = Settings {
        program: env!("CARGO_BIN_EXE_chameleon").into(),
        store: database.as_ref().map(|database| database.url().to_owned()),
        ..Settings::new(folder.path(), Ports::Free)?
    };
    let stack = Stack::start(settings, &lifecycle).await?;
    let (one, mut ones) = watcher(&stack, "bench-1").await?;
    let (other, mut others) = watcher(&stack, "bench-2").await?;

    let mut totals = Vec::new();
    let mut stages: BTreeMap<_, Vec<Duration>> = BTreeMap::new();
    for n in 0..WARM_UP + pushes {
        // Never what the sample begins with: a push that changes no value wakes nobody.
        let share = 1 + n % 99;
        let text = format!("aMapPercentage: {}\nbMapPercentage: {share}\n", 100 - share);
        let push = stack
            .repository()
            .push("config/location-prod.yml", &text, "Move the traffic");
        let seen = futures::future::join(until(share, &mut ones), until(share, &mut others));
        let (done, (first, second)) = tokio::join!(push, seen);
        done?;
        let last = first.max(second);
        if n < WARM_UP {
            continue;
        }
        totals.push(last.duration_since(ref_updated(&stack)?)?);
        let query = HistoryQuery {
            limit: Some(1),
            ..HistoryQuery::default()
        };
        let newest = stack
            .api()
            .history(query)
            .await?
            .pop()
            .context("no history")?;
        for time in newest.origin.stages {
            stages
                .entry((time.stage, time.stage.name()))
                .or_default()
                .push(time.took);
        }
        for delivery in newest.deliveries {
            stages
                .entry((Delivered, "delivered"))
                .or_default()
                .push(delivery.delivered);
            stages
                .entry((Applied, "applied"))
                .or_default()
                .push(delivery.applied);
        }
    }
    one.shutdown().await;
    other.shutdown().await;
    lifecycle.shut_down();
    lifecycle.finished().await?;

    let store = match backing {
        Backing::Sqlite => "SQLite",
        Backing::Postgres => "Postgres, fsync",
    };
    let whole = Figure::of(
        format!("push to applied on two instances ({store})"),
        totals,
    );
    let parts = stages
        .into_iter()
        .map(|((_, name), times)| Figure::of(format!("  {name}"), times).part_of(&whole));
    let parts: Vec<_> = parts.collect();
    Ok(std::iter::once(whole.under(150.0)).chain(parts).collect())
}

async fn watcher(stack: &Stack, name: &str) -> anyhow::Result<(Chameleon, Changes<Shares>)> {
    let chameleon = Chameleon::builder("location", "prod")
        .servers([stack.addresses().grpc_url()])
        .environment(|_| Some(String::from("http://unused.invalid")))
        .instance(name)
        .connect()
        .await?;
    let changes = chameleon.bind::<Shares>("")?.subscribe();
    Ok((chameleon, changes))
}

/// Waits for a share and tells when it was there.
async fn until(share: usize, changes: &mut Changes<Shares>) -> SystemTime {
    while let Some(change) = changes.next().await {
        if usize::from(change.new.b_map_percentage) == share {
            break;
        }
    }
    SystemTime::now()
}

/// When git wrote the branch: its file's time, which lags by up to a tick of the kernel's clock.
fn ref_updated(stack: &Stack) -> anyhow::Result<SystemTime> {
    let path = stack.repository().remote().join("refs/heads/main");
    Ok(std::fs::metadata(path)?.modified()?)
}
