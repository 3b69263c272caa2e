//! Runs of several systems that take turns, so that what changes on the machine meets all of them.

use crate::report::{Goal, Row, Series, Unit};
use crate::systems::System;

/// What `run` says of each system, `runs` times.
pub(crate) async fn take<const N: usize, T>(
    runs: usize,
    systems: [System; N],
    run: impl AsyncFn(System) -> anyhow::Result<T>,
) -> anyhow::Result<[Vec<T>; N]> {
    let mut results = [const { Vec::new() }; N];
    for _ in 0..runs {
        for (system, results) in systems.into_iter().zip(&mut results) {
            results.push(run(system).await?);
        }
    }
    Ok(results)
}

/// What both must make durable: ours on SQLite, and on Postgres if there is one, against etcd.
pub(crate) async fn durable(
    runs: usize,
    work: &str,
    unit: Unit,
    [sqlite, postgres]: [Goal; 2],
    run: impl AsyncFn(System) -> anyhow::Result<f64>,
) -> anyhow::Result<Vec<Row>> {
    let row = |store: &str, ours: Vec<f64>, theirs: Vec<f64>| {
        let row = Row::new(
            format!("{work}, {store}"),
            unit,
            Series::of("Chameleon", ours),
        );
        row.against(Series::of("etcd", theirs))
    };
    if !System::has_postgres() {
        let systems = [System::ChameleonGrpc, System::Etcd];
        let [ours, theirs] = take(runs, systems, run).await?;
        return Ok(vec![row("SQLite", ours, theirs).goal(sqlite)]);
    }
    let systems = [
        System::ChameleonGrpc,
        System::Etcd,
        System::ChameleonPostgres,
    ];
    let [ours, theirs, on_postgres] = take(runs, systems, run).await?;
    Ok(vec![
        row("SQLite", ours, theirs.clone()).goal(sqlite),
        row("Postgres", on_postgres, theirs).goal(postgres),
    ])
}
