//! What watchers of other keys notice of large commits.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::grpc;
use crate::report::{Row, Unit, percentile};
use crate::server::{Entries, Server};
use crate::value::{self, Seen};

/// The key that is watched.
const KEY: &str = "bench/small/watched.yml";

/// How often it is changed.
const PACE: Duration = Duration::from_millis(25);

/// How many changes are counted before the large commits, and how many beside them.
const CHANGES: usize = 100;

/// What was seen in each run, in milliseconds.
#[derive(Default)]
pub(crate) struct Beside {
    idle: Vec<f64>,
    meanwhile: Vec<f64>,
    ratios: Vec<f64>,
    written_idle: Vec<f64>,
    written_meanwhile: Vec<f64>,
}

/// Changes one key that `watchers` watch, alone and while `large` is committed over and over.
pub(crate) async fn measure(
    server: &mut Server,
    runs: usize,
    watchers: usize,
    large: &Entries,
) -> anyhow::Result<Beside> {
    let mut client = server.connect().await?;
    client.put(KEY, value::of_round(0)).await?;
    let (seen, mut sightings) = mpsc::unbounded_channel();
    let mut watching = JoinSet::new();
    for id in 0..watchers {
        let client = server.connect().await?;
        let mut watcher = client.watch(KEY, id, None).await?;
        let seen = seen.clone();
        watching.spawn(async move { watcher.follow(&seen).await });
    }
    let mut beside = Beside::default();
    let mut round = 0;
    for _ in 0..runs {
        let (idle, written) = changes(&mut client, &mut round, &mut sightings, watchers).await?;
        let end = CancellationToken::new();
        let large = server.commit_over_and_over(large, end.clone())?;
        let changed = changes(&mut client, &mut round, &mut sightings, watchers).await;
        end.cancel();
        let commits = tokio::task::spawn_blocking(move || large.join()).await?;
        let commits = commits.map_err(|_| anyhow::anyhow!("the large commits have failed"))??;
        anyhow::ensure!(commits > 0, "no large commit was done meanwhile");
        let (meanwhile, delayed) = changed?;
        beside.ratios.push(meanwhile / idle);
        beside.idle.push(idle);
        beside.meanwhile.push(meanwhile);
        beside.written_idle.push(written);
        beside.written_meanwhile.push(delayed);
    }
    Ok(beside)
}

/// Changes the key at its pace, and tells the 99th percentiles of the deliveries, from a write's answer
/// until a watcher has the value, and of the writes.
async fn changes(
    client: &mut grpc::Client,
    round: &mut u64,
    sightings: &mut mpsc::UnboundedReceiver<Seen>,
    watchers: usize,
) -> anyhow::Result<(f64, f64)> {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut writes, mut answered) = (Vec::new(), HashMap::new());
    for _ in 0..CHANGES {
        pace.tick().await;
        *round += 1;
        let started = Instant::now();
        client.put(KEY, value::of_round(*round)).await?;
        writes.push(millis(started.elapsed()));
        answered.insert(*round, Instant::now());
    }
    let (mut deliveries, mut left) = (Vec::new(), watchers);
    while left > 0 {
        let seen = sightings.recv().await.context("the watchers have ended")?;
        if let Some(answered) = answered.get(&seen.round) {
            // A watcher may have it before the writer has its answer.
            deliveries.push(millis(seen.at.saturating_duration_since(*answered)));
        }
        left -= usize::from(seen.round == *round);
    }
    Ok((percentile(&deliveries, 99), percentile(&writes, 99)))
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

impl Beside {
    pub(crate) fn rows(self, store: &str) -> Vec<Row> {
        let row = |what: &str, unit, runs| Row::new(format!("{what}, {store}"), unit, runs);
        vec![
            row(
                "p99 of a small delivery, alone",
                Unit::Milliseconds,
                self.idle,
            ),
            row(
                "p99 of a small delivery beside large commits",
                Unit::Milliseconds,
                self.meanwhile,
            ),
            row("the same, as a ratio", Unit::Times, self.ratios).at_most(2.0),
            row(
                "p99 of a small write, alone",
                Unit::Milliseconds,
                self.written_idle,
            ),
            row(
                "p99 of a small write behind large commits",
                Unit::Milliseconds,
                self.written_meanwhile,
            ),
        ]
    }
}
