//! One write to one watcher, when nothing else happens.

use tokio::time::Instant;

use crate::report::{Goal, Row, Series, Unit, median};
use crate::systems::System;
use crate::value::KEY;
use crate::watchers::Watchers;

const WARM_UP: u64 = 50;
const WRITES: u64 = 400;

pub(crate) async fn measure(runs: usize) -> anyhow::Result<Vec<Row>> {
    let (mut ours, mut postgres, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        ours.push(run(System::ChameleonGrpc).await?);
        theirs.push(run(System::Etcd).await?);
        if System::has_postgres() {
            postgres.push(run(System::ChameleonPostgres).await?);
        }
    }
    let row = |store: &str, ours: Vec<f64>| {
        let work = format!("one watcher, put to received, durable, {store}");
        let row = Row::new(work, Unit::Milliseconds, Series::of("Chameleon", ours));
        row.against(Series::of("etcd", theirs.clone()))
    };
    let mut rows = vec![row("SQLite", ours).goal(Goal::ratio_under(1.0, 0.8))];
    if !postgres.is_empty() {
        rows.push(row("Postgres", postgres).goal(Goal::ratio_under(1.3, 1.0)));
    }
    Ok(rows)
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
