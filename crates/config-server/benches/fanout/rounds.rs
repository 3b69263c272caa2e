//! One change to thousands of watchers: how long until nearly all have it, and what it costs.

use std::time::Duration;

use serde::Serialize;

use crate::report::{Goal, Row, Series, Unit, median};
use crate::systems::System;
use crate::turns;
use crate::value::KEY;
use crate::watchers::Watchers;

/// The first changes find cold caches.
const WARM_UP: u64 = 2;

/// For outcomes, new polls and whatever else follows a delivery.
const SETTLE: Duration = Duration::from_millis(500);

/// How watchers are served, by ours and by the system that it is compared with.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    LongPoll,
    /// With outcomes.
    Grpc,
}

/// What a run showed.
#[derive(Serialize)]
pub(crate) struct Figures {
    pub(crate) p99_ms: f64,
    pub(crate) cpu_us: f64,
    pub(crate) idle_kib: f64,
    pub(crate) used_kib: f64,
}

impl Way {
    pub(crate) const ALL: [Self; 2] = [Self::LongPoll, Self::Grpc];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LongPoll => "long poll",
            Self::Grpc => "gRPC",
        }
    }

    /// Ours, and the other.
    pub(crate) fn systems(self) -> [System; 2] {
        match self {
            Self::LongPoll => [System::ChameleonHttp, System::Consul],
            Self::Grpc => [System::ChameleonGrpc, System::Etcd],
        }
    }

    /// Of p99, processor time and memory.
    fn goals(self) -> [Goal; 3] {
        match self {
            Self::LongPoll => [
                Goal::ratio_under(0.85, 0.7),
                Goal::ratio_under(0.35, 0.25),
                Goal::under(18.0, 12.0),
            ],
            Self::Grpc => [
                Goal::ratio_under(0.85, 0.7),
                Goal::ratio_under(0.6, 0.45),
                Goal::under(30.0, 20.0),
            ],
        }
    }
}

pub(crate) async fn measure(
    way: Way,
    runs: usize,
    watchers: usize,
    rounds: u64,
) -> anyhow::Result<Vec<Row>> {
    let systems = way.systems();
    let figures = turns::take(runs, systems, async |system| {
        run(system, watchers, rounds).await
    });
    let figures = figures.await?;
    let row = |work: String, unit, figure: fn(&Figures) -> f64| {
        let [ours, other] = [0, 1].map(|which| {
            let figures = figures[which].iter().map(figure).collect();
            Series::of(systems[which].name(), figures)
        });
        Row::new(work, unit, ours).against(other)
    };
    let name = way.name();
    let [p99, cpu, memory] = way.goals();
    Ok(vec![
        row(
            format!("{watchers} watchers, p99, {name}"),
            Unit::Milliseconds,
            |figures| figures.p99_ms,
        )
        .goal(p99),
        row(
            format!("server CPU per delivery, {name}"),
            Unit::Microseconds,
            |figures| figures.cpu_us,
        )
        .goal(cpu),
        row(
            format!("memory per idle watcher, {name}"),
            Unit::Kibibytes,
            |figures| figures.idle_kib,
        )
        .goal(memory),
        row(
            String::from("  the same after the deliveries"),
            Unit::Kibibytes,
            |figures| figures.used_kib,
        ),
    ])
}

/// One run, with a server of its own.
pub(crate) async fn run(system: System, count: usize, rounds: u64) -> anyhow::Result<Figures> {
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
    Ok(Figures {
        p99_ms: median(&p99s),
        cpu_us: cpu.as_secs_f64() * 1e6 / count / rounds,
        idle_kib: (idle - empty) / count,
        used_kib: (used - empty) / count,
    })
}
