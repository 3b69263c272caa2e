//! Commits beside very many watches of other keys, which should cost nothing.
//!
//! A commit is a chain of short waits. On processors that others keep busy, each may last until the
//! kernel's next tick, and such spells go on for a hundred commits: two phases of seconds compare the spells
//! they met. So two servers of the same age are asked by short turns, and each turn is compared with its
//! neighbour.

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

/// How long the processor time of a server is taken that is asked for nothing.
const QUIET: Duration = Duration::from_secs(5);

/// Enough for `SQLite`'s log to be copied back once: from then on it is written over, not extended.
const WARM_UP: usize = 500;
const PAIRS: usize = 50;
/// Commits of one turn.
const TURN: usize = 20;

/// What a run showed.
struct Figures {
    alone_ms: f64,
    beside_ms: f64,
    ratio: f64,
    quiet_ms: f64,
}

pub(crate) async fn measure(runs: usize, watches: usize) -> anyhow::Result<Vec<Row>> {
    let mut figures = Vec::new();
    for _ in 0..runs {
        figures.push(run(watches).await?);
    }
    let all = |figure: fn(&Figures) -> f64| figures.iter().map(figure).collect::<Vec<_>>();
    let row = |work, unit, figures| Row::new(work, unit, Series::of("Chameleon", figures));
    let beside = row(
        format!("commit with {watches} idle watches on other keys"),
        Unit::Milliseconds,
        all(|figures| figures.beside_ms),
    )
    .against(Series::of("without them", all(|figures| figures.alone_ms)))
    .ratio(median(&all(|figures| figures.ratio)))
    .goal(Goal::ratio_under(1.2, 1.05));
    let quiet = row(
        String::from("  server CPU that they take in a quiet second"),
        Unit::Milliseconds,
        all(|figures| figures.quiet_ms),
    );
    Ok(vec![beside, quiet])
}

async fn run(watches: usize) -> anyhow::Result<Figures> {
    let alone = System::ChameleonGrpc.start().await?;
    let crowded = System::ChameleonGrpc.start().await?;
    let _watchers = idle(&crowded.endpoint, watches).await?;
    tokio::time::sleep(SETTLE).await;
    // What the watches took all the time, the other server's turns would feel too.
    let cpu = crowded.process.cpu()?;
    tokio::time::sleep(QUIET).await;
    let cpu = crowded.process.cpu()?.saturating_sub(cpu);

    let mut writers = [
        alone.endpoint.writer().await?,
        crowded.endpoint.writer().await?,
    ];
    for writer in &mut writers {
        commits(writer, WARM_UP).await?;
    }
    let mut times = [Vec::new(), Vec::new()];
    let mut ratios = Vec::new();
    for pair in 0..PAIRS {
        let mut medians = [0.0; 2];
        // Neither is always the first.
        for which in [pair % 2, 1 - pair % 2] {
            let turn = commits(&mut writers[which], TURN).await?;
            medians[which] = median(&turn);
            times[which].extend(turn);
        }
        ratios.push(medians[1] / medians[0]);
    }
    Ok(Figures {
        alone_ms: median(&times[0]),
        beside_ms: median(&times[1]),
        ratio: median(&ratios),
        quiet_ms: cpu.as_secs_f64() * 1e3 / QUIET.as_secs_f64(),
    })
}

/// Opens watches, each of a key of its own that is never written.
async fn idle(endpoint: &Endpoint, count: usize) -> anyhow::Result<Watchers> {
    let Endpoint::Grpc(target) = endpoint else {
        bail!("the server has no gRPC");
    };
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
    Ok(watchers)
}

/// How long each of some commits took, in milliseconds.
async fn commits(writer: &mut Writer, count: usize) -> anyhow::Result<Vec<f64>> {
    let mut times = Vec::with_capacity(count);
    for round in (1..).take(count) {
        let began = Instant::now();
        writer.put(KEY, round).await?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}
