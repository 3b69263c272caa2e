//! One write to one watcher, when nothing else happens.

use tokio::time::Instant;

use crate::report::{Goal, Row, Unit, median};
use crate::systems::System;
use crate::turns;
use crate::value::KEY;
use crate::watchers::Watchers;

const WARM_UP: u64 = 50;
const WRITES: u64 = 400;

pub(crate) async fn measure(runs: usize) -> anyhow::Result<Vec<Row>> {
    let work = "one watcher, put to received, durable";
    let goals = [Goal::ratio_under(1.0, 0.8), Goal::ratio_under(1.3, 1.0)];
    turns::durable(runs, work, Unit::Milliseconds, goals, run).await
}

async fn run(system: System) -> anyhow::Result<f64> {
    let server = system.start().await?;
    let mut writer = server.endpoint.writer().await?;
    let mut watcher = Watchers::of(&server.endpoint, 1).await?;
    let mut times = Vec::new();
    for round in 1..=WARM_UP + WRITES {
        let began = Instant::now();
        writer.put(KEY, round).await?;
        let seen = watcher.all_see(round).await?;
        if round > WARM_UP {
            times.push(seen[0].duration_since(began).as_secs_f64() * 1e3);
        }
    }
    Ok(median(&times))
}
