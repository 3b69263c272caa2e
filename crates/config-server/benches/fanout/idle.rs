//! Commits beside very many watches of other keys, which should cost nothing.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::report::{Goal, Row, Series, Unit, median};
use crate::systems::{Endpoint, System, Writer};
use crate::value::KEY;
use crate::watchers::Watchers;

/// A server takes 1,000 streams a connection.
const STREAMS: usize = 800;
const OPENING: usize = 256;
const SETTLE: Duration = Duration::from_secs(3);

const WARM_UP: u64 = 50;
const WRITES: u64 = 400;

pub(crate) async fn measure(runs: usize, watches: usize) -> anyhow::Result<Vec<Row>> {
    let (mut beside, mut alone) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let [without, with] = run(watches).await?;
        alone.push(without);
        beside.push(with);
    }
    let work = format!("commit with {watches} idle watches on other keys");
    let row = Row::new(work, Unit::Milliseconds, Series::of("Chameleon", beside));
    let row = row.against(Series::of("without them", alone));
    Ok(vec![row.goal(Goal::ratio_under(1.2, 1.05))])
}

/// The median time of a commit, first without and then with the watches.
async fn run(count: usize) -> anyhow::Result<[f64; 2]> {
    let server = System::ChameleonGrpc.start().await?;
    let Endpoint::Grpc(target) = &server.endpoint else {
        bail!("the server has no gRPC");
    };
    let mut writer = server.endpoint.writer().await?;
    let alone = commits(&mut writer).await?;

    let mut watchers = Watchers::none();
    let opening = Arc::new(Semaphore::new(OPENING));
    for first in (0..count).step_by(STREAMS) {
        let client = target.connect().await?;
        for id in first..count.min(first + STREAMS) {
            let client = client.clone();
            let opening = Arc::clone(&opening);
            watchers.add(|seen| async move {
                let turn = opening.acquire().await?;
                let mut watcher = client.watch(&format!("bench/idle/{id}"), id, None).await?;
                drop(turn);
                watcher.follow(&seen).await
            });
        }
    }
    watchers.all_see(0).await?;
    tokio::time::sleep(SETTLE).await;
    Ok([alone, commits(&mut writer).await?])
}

async fn commits(writer: &mut Writer) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for round in 1..=WARM_UP + WRITES {
        let began = Instant::now();
        writer.put(KEY, round).await?;
        if round > WARM_UP {
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok(median(&times))
}
