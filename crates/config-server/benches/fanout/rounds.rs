//! One change to thousands of watchers: how long until nearly all have it, and what it costs.

use std::time::Duration;

use crate::report::{Goal, Row, Series, Unit, median};
use crate::systems::System;
use crate::value::KEY;
use crate::watchers::Watchers;

/// The first changes find cold caches.
const WARM_UP: u64 = 2;

/// For outcomes, new polls and whatever else follows a delivery.
const SETTLE: Duration = Duration::from_millis(500);

/// What a system showed, one figure a run.
#[derive(Default)]
struct Figures {
    p99_ms: Vec<f64>,
    cpu_us: Vec<f64>,
    idle_kib: Vec<f64>,
    used_kib: Vec<f64>,
}

/// By long polls, against Consul.
pub(crate) async fn polls(runs: usize, watchers: usize, rounds: u64) -> anyhow::Result<Vec<Row>> {
    let [ours, theirs] = both(
        [System::ChameleonHttp, System::Consul],
        runs,
        watchers,
        rounds,
    )
    .await?;
    let goals = [
        Goal::ratio_under(0.85, 0.7),
        Goal::ratio_under(0.35, 0.25),
        Goal::under(18.0, 12.0),
    ];
    Ok(rows("long poll", "Consul", watchers, ours, theirs, goals))
}

/// By gRPC with outcomes, against etcd.
pub(crate) async fn streams(runs: usize, watchers: usize, rounds: u64) -> anyhow::Result<Vec<Row>> {
    let [ours, theirs] = both(
        [System::ChameleonGrpc, System::Etcd],
        runs,
        watchers,
        rounds,
    )
    .await?;
    let goals = [
        Goal::ratio_under(0.85, 0.7),
        Goal::ratio_under(0.6, 0.45),
        Goal::under(30.0, 20.0),
    ];
    Ok(rows("gRPC", "etcd", watchers, ours, theirs, goals))
}

async fn both(
    systems: [System; 2],
    runs: usize,
    watchers: usize,
    rounds: u64,
) -> anyhow::Result<[Figures; 2]> {
    let mut figures = [Figures::default(), Figures::default()];
    for _ in 0..runs {
        for (system, figures) in systems.iter().zip(&mut figures) {
            run(*system, watchers, rounds, figures).await?;
        }
    }
    Ok(figures)
}

async fn run(
    system: System,
    count: usize,
    rounds: u64,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let server = system.start().await?;
    let process = &server.process;
    let mut writer = server.endpoint.writer().await?;
    tokio::time::sleep(SETTLE).await;
    let empty = process.memory()?;
    let mut watchers = Watchers::of(&server.endpoint, count).await?;
    tokio::time::sleep(4 * SETTLE).await;
    let idle = process.memory()?;

    let mut cpu = process.cpu()?;
    let mut p99s = Vec::new();
    for round in 1..=WARM_UP + rounds {
        if round == WARM_UP + 1 {
            cpu = process.cpu()?;
        }
        let began = tokio::time::Instant::now();
        writer.put(KEY, round).await?;
        let times = watchers.all_see(round).await?;
        let p99 = times[(times.len() * 99).div_ceil(100) - 1].duration_since(began);
        if round > WARM_UP {
            p99s.push(p99.as_secs_f64() * 1e3);
        }
        tokio::time::sleep(SETTLE).await;
    }
    let cpu = process.cpu()?.saturating_sub(cpu);
    let used = process.memory()?;
    #[expect(clippy::cast_precision_loss, reason = "counts of what is measured")]
    let (count, rounds) = (count as f64, rounds as f64);
    figures.p99_ms.push(median(&p99s));
    (figures.cpu_us).push(cpu.as_secs_f64() * 1e6 / count / rounds);
    figures.idle_kib.push((idle - empty) / count);
    figures.used_kib.push((used - empty) / count);
    Ok(())
}

fn rows(
    face: &str,
    peer: &'static str,
    watchers: usize,
    ours: Figures,
    theirs: Figures,
    [p99, cpu, memory]: [Goal; 3],
) -> Vec<Row> {
    let row = |work: String, unit, ours: Vec<f64>, theirs: Vec<f64>| {
        Row::new(work, unit, Series::of("Chameleon", ours)).against(Series::of(peer, theirs))
    };
    vec![
        row(
            format!("{watchers} watchers, p99, {face}"),
            Unit::Milliseconds,
            ours.p99_ms,
            theirs.p99_ms,
        )
        .goal(p99),
        row(
            format!("server CPU per delivery, {face}"),
            Unit::Microseconds,
            ours.cpu_us,
            theirs.cpu_us,
        )
        .goal(cpu),
        row(
            format!("memory per idle watcher, {face}"),
            Unit::Kibibytes,
            ours.idle_kib,
            theirs.idle_kib,
        )
        .goal(memory),
        row(
            String::from("  the same after the deliveries"),
            Unit::Kibibytes,
            ours.used_kib,
            theirs.used_kib,
        ),
    ]
}
