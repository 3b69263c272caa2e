//! Writes from many clients, each to a key of its own, as fast as they are stored.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::report::{Goal, Row, Unit};
use crate::systems::System;
use crate::turns;

const CLIENTS: usize = 64;
const WARM_UP: Duration = Duration::from_secs(1);
const TIME: Duration = Duration::from_secs(4);

pub(crate) async fn measure(runs: usize) -> anyhow::Result<Vec<Row>> {
    let work = format!("durable writes from {CLIENTS} clients");
    let goals = [Goal::ratio_over(1.0, 2.0), Goal::ratio_over(0.5, 1.0)];
    turns::durable(runs, &work, Unit::PerSecond, goals, run).await
}

async fn run(system: System) -> anyhow::Result<f64> {
    let server = system.start().await?;
    let begin = Instant::now() + WARM_UP;
    let end = begin + TIME;
    let mut tasks = JoinSet::new();
    for client in 0..CLIENTS {
        let mut writer = server.endpoint.writer().await?;
        let key = format!("bench/writes/{client}");
        tasks.spawn(async move {
            let mut count = 0_u32;
            for round in 1.. {
                writer.put(&key, round).await?;
                let now = Instant::now();
                if now >= end {
                    break;
                }
                count += u32::from(now >= begin);
            }
            anyhow::Ok(count)
        });
    }
    let mut count = 0.0;
    while let Some(counted) = tasks.join_next().await {
        count += f64::from(counted??);
    }
    Ok(count / TIME.as_secs_f64())
}
