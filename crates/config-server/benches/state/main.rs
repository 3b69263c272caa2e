//! How a large state starts, how much memory it takes, and what a large commit costs others. Run by
//! `cargo xtask bench --only state`, which brings a Postgres that waits for the disk.

#[path = "../support/grpc.rs"]
#[expect(dead_code, reason = "shared with the fan-out, which uses more of it")]
mod grpc;
mod neighbours;
#[path = "../support/process.rs"]
#[expect(dead_code, reason = "shared with the fan-out; each uses a part")]
mod process;
mod report;
mod server;
#[path = "../support/value.rs"]
#[expect(dead_code, reason = "shared with the fan-out, which uses more of it")]
mod value;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use tokio::time::Instant;

use crate::report::{Report, Row, Unit};
use crate::server::{Backing, Entries, Server};

#[derive(Debug, Parser)]
struct Args {
    /// Runs of each measurement, of which the median counts
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Entries of the state
    #[arg(long, default_value_t = 100_000)]
    entries: usize,
    /// Bytes of each value
    #[arg(long, default_value_t = 2_000)]
    value_bytes: usize,
    /// Entries of the large commit
    #[arg(long, default_value_t = 10_000)]
    commit: usize,
    /// Watchers of a key that the large commit does not touch
    #[arg(long, default_value_t = 100)]
    watchers: usize,
    /// Where the figures are written as JSON
    #[arg(long, default_value = "target/bench/state.json")]
    json: PathBuf,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    service_kit::tls::install_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(run(&args))?;
    println!("{report}");
    test_kit::bench::write(&args.json, &serde_json::to_string_pretty(&report)?)
        .with_context(|| format!("write `{}`", args.json.display()))
}

async fn run(args: &Args) -> anyhow::Result<Report> {
    let mut report = Report::default();
    for backing in [Backing::Postgres, Backing::Sqlite] {
        report.rows.extend(measure(args, backing).await?);
    }
    Ok(report)
}

async fn measure(args: &Args, backing: Backing) -> anyhow::Result<Vec<Row>> {
    let entries = Entries {
        prefix: "bench/large/",
        count: args.entries,
        value_bytes: args.value_bytes,
    };
    eprintln!("filling {} with {} entries", backing.name(), entries.count);
    let mut server = Server::start(backing).await?;
    server.fill(&entries).await?;

    let (mut from_store, mut from_disk, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.runs {
        from_store.push(server.restart(&entries).await?);
        // After the time that it takes to come to rest, and before anybody else writes.
        memory.push(server.memory()? / entries.kibibytes());
    }
    for _ in 0..args.runs {
        from_disk.push(server.restart_without_store(&entries).await?);
    }
    server.restart(&entries).await?;

    let mut commits = Vec::new();
    for run in 0..args.runs {
        let large = Entries {
            prefix: "bench/commit/",
            count: args.commit,
            ..entries
        };
        commits.push(server.commit(&large, run).await?);
    }
    let beside = neighbours::measure(
        &mut server,
        args.runs,
        args.watchers,
        &Entries {
            prefix: "bench/commit/",
            count: args.commit,
            ..entries
        },
    )
    .await?;

    let name = backing.name();
    let (count, commit) = (args.entries, args.commit);
    let mut rows = vec![
        Row::new(
            format!("restart with {count} entries, from {name}"),
            Unit::Seconds,
            seconds(&from_store),
        )
        .at_most(3.0),
        Row::new(
            format!("restart with {count} entries, {name} away, from disk"),
            Unit::Seconds,
            seconds(&from_disk),
        )
        .at_most(1.5),
        Row::new(
            format!("memory by the size of the data, after a start from {name}"),
            Unit::Times,
            memory,
        )
        .at_most(2.0),
        Row::new(
            format!("commit of {commit} entries, {name}"),
            Unit::Seconds,
            seconds(&commits),
        )
        .at_most(1.5),
    ];
    rows.extend(beside.rows(name));
    Ok(rows)
}

fn seconds(durations: &[Duration]) -> Vec<f64> {
    durations.iter().map(Duration::as_secs_f64).collect()
}

/// How long `work` takes.
async fn timed<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<Duration> {
    let started = Instant::now();
    work.await?;
    Ok(started.elapsed())
}
