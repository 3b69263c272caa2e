//! Everybody coming back at once after a restart, while a change is made.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::report::{Goal, Row, Series, Unit};
use crate::systems::{Endpoint, System};
use crate::value::{KEY, Sightings};
use crate::watchers::Watchers;
use crate::{grpc, http};

/// How many connect at a time at first; nothing is limited after the restart.
const CONNECTING: usize = 64;
const SETTLE: Duration = Duration::from_secs(2);

pub(crate) async fn measure(runs: usize, polls: usize) -> anyhow::Result<Vec<Row>> {
    let streams = polls / 2;
    let mut seconds = Vec::new();
    for _ in 0..runs {
        seconds.push(run(polls, streams).await?.as_secs_f64());
    }
    let work = format!("{polls} long polls and {streams} gRPC clients after a restart");
    let row = Row::new(work, Unit::Seconds, Series::of("Chameleon", seconds));
    Ok(vec![row.goal(Goal::under(5.0, 2.0))])
}

/// From the start of the new process until all have the value that was written as soon as it took
/// writes.
async fn run(polls: usize, streams: usize) -> anyhow::Result<Duration> {
    let mut server = System::ChameleonHttp.start().await?;
    let (Endpoint::Http(http), Some(Endpoint::Grpc(grpc))) =
        (server.endpoint.clone(), server.other.clone())
    else {
        bail!("the server has not both faces");
    };
    let connecting = Arc::new(Semaphore::new(CONNECTING));
    let mut watchers = Watchers::none();
    for id in 0..polls {
        let (target, connecting) = (http.clone(), Arc::clone(&connecting));
        watchers.add(|seen| poll(target, id, seen, connecting));
    }
    for id in polls..polls + streams {
        let (target, connecting) = (grpc.clone(), Arc::clone(&connecting));
        watchers.add(|seen| stream(target, id, seen, connecting));
    }
    watchers.all_see(0).await?;
    tokio::time::sleep(SETTLE).await;

    connecting.add_permits(polls + streams);
    server.process.kill().await?;
    let began = Instant::now();
    server.process.restart()?;
    while server.endpoint.write_once(1).await.is_err() {
        server.process.check()?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let times = watchers.all_see(1).await?;
    let last = times.last().context("nobody watches")?;
    Ok(last.duration_since(began))
}

async fn poll(
    target: http::Target,
    id: usize,
    seen: Sightings,
    connecting: Arc<Semaphore>,
) -> anyhow::Result<()> {
    let mut index = 0;
    loop {
        let turn = connecting.acquire().await?;
        if let Ok(watcher) = target.watch(KEY, id).await {
            drop(turn);
            let mut watcher = watcher.from(index);
            // A lost connection and a refusal alike: try again.
            let _ = watcher.follow(&seen).await;
            index = watcher.index();
        }
        pause().await;
    }
}

async fn stream(
    target: grpc::Target,
    id: usize,
    seen: Sightings,
    connecting: Arc<Semaphore>,
) -> anyhow::Result<()> {
    let mut last = None;
    loop {
        let turn = connecting.acquire().await?;
        let watcher = async { target.connect().await?.watch(KEY, id, last).await };
        if let Ok(mut watcher) = watcher.await {
            drop(turn);
            let _ = watcher.follow(&seen).await;
            last = watcher.last();
        }
        pause().await;
    }
}

/// Between two attempts: 50 to 150 ms, so that the server is found soon by all.
async fn pause() {
    let pause = Duration::from_millis(50) + Duration::from_millis(100).mul_f64(rand::random());
    tokio::time::sleep(pause).await;
}
