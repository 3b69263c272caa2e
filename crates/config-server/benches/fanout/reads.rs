//! Reads of one key as fast as they are answered.

use std::time::Duration;

use anyhow::bail;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::report::{Goal, Row, Series, Unit};
use crate::systems::{Endpoint, System};
use crate::turns;
use crate::value::KEY;

const CONNECTIONS: usize = 64;
const WARM_UP: Duration = Duration::from_secs(1);
const TIME: Duration = Duration::from_secs(4);

pub(crate) async fn measure(runs: usize) -> anyhow::Result<Vec<Row>> {
    let systems = [System::ChameleonHttp, System::Consul];
    let [ours, theirs] = turns::take(runs, systems, run).await?;
    let row = Row::new(
        format!("GET of one raw key, {CONNECTIONS} connections"),
        Unit::PerSecond,
        Series::of("Chameleon", ours),
    );
    let row = row.against(Series::of("Consul", theirs));
    Ok(vec![row.goal(Goal::ratio_over(2.0, 2.3))])
}

async fn run(system: System) -> anyhow::Result<f64> {
    let server = system.start().await?;
    let Endpoint::Http(target) = &server.endpoint else {
        bail!("{system:?} is not read by HTTP");
    };
    let begin = Instant::now() + WARM_UP;
    let end = begin + TIME;
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let mut connection = target.connect().await?;
        let request = target.raw_get(KEY);
        tasks.spawn(async move {
            let mut count = 0_u32;
            loop {
                connection.expect_ok(&request).await?;
                let now = Instant::now();
                if now >= end {
                    return anyhow::Ok(count);
                }
                count += u32::from(now >= begin);
            }
        });
    }
    let mut count = 0.0;
    while let Some(counted) = tasks.join_next().await {
        count += f64::from(counted??);
    }
    Ok(count / TIME.as_secs_f64())
}
