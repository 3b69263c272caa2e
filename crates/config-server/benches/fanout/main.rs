//! How fast many watchers get a change and what that costs, side by side with Consul and etcd. Run by
//! `cargo xtask bench --only fanout`, which brings both of them, a Postgres and enough open files.
//!
//! Every server is a process of its own, started anew for each run; this process is all the clients.

mod etcd;
mod files;
#[path = "../support/grpc.rs"]
mod grpc;
mod http;
mod idle;
mod latency;
mod pictures;
#[path = "../support/process.rs"]
#[expect(
    dead_code,
    reason = "shared with the benchmark of the state; each uses a part"
)]
mod process;
mod reads;
mod report;
mod rounds;
mod scale;
mod storm;
mod systems;
mod turns;
#[path = "../support/value.rs"]
mod value;
mod watchers;
mod writes;

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Parser, ValueEnum};

use crate::report::{Report, Row};
use crate::rounds::Way;

#[derive(Debug, Parser)]
struct Args {
    /// Runs of each measurement, of which the median counts
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Watchers on one key, each with a connection of its own
    #[arg(long, default_value_t = 5_000)]
    watchers: usize,
    /// Changes that they receive in each run
    #[arg(long, default_value_t = 9)]
    rounds: u64,
    /// Numbers of watchers that the part `scale` goes through
    #[arg(long, value_delimiter = ',', default_values_t = [500, 1_000, 2_000, 5_000, 10_000])]
    crowds: Vec<usize>,
    /// Watches on other keys
    #[arg(long, default_value_t = 100_000)]
    idle_watches: usize,
    /// Long polls that reconnect after a restart, beside half as many gRPC clients
    #[arg(long, default_value_t = 10_000)]
    reconnecting: usize,
    /// What to measure; all if left out
    #[arg(long, value_enum, value_delimiter = ',')]
    parts: Vec<Part>,
    /// Where the figures are written as JSON
    #[arg(long, default_value = "target/bench/fanout.json")]
    json: PathBuf,
    /// The folder for the pictures of `scale`; none are drawn if left out
    #[arg(long)]
    pictures: Option<PathBuf>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// One change to thousands of long polls: time, processor, memory
    Polls,
    /// One change to thousands of gRPC watches: time, processor, memory
    Streams,
    /// Reads of one key
    Reads,
    /// One write to one watcher
    Latency,
    /// Writes from 64 clients
    Writes,
    /// Commits beside watches of other keys
    Idle,
    /// Everybody coming back after a restart
    Storm,
    /// Time and memory by the number of watchers
    Scale,
}

impl Args {
    fn measures(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    service_kit::tls::install_provider();
    ensure!(
        args.pictures.is_none() || args.measures(Part::Scale),
        "`--pictures` are of the part `scale`, which is not among `--parts`"
    );
    let crowd = args.crowds.iter().copied().max().unwrap_or_default();
    let reconnecting = args.reconnecting + args.reconnecting / 2;
    files::check(args.watchers.max(crowd).max(reconnecting))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let (report, failed) = runtime.block_on(run(&args))?;
    // What is left are clients of servers that have ended.
    runtime.shutdown_background();
    println!("{report}");
    test_kit::bench::write(&args.json, &serde_json::to_string_pretty(&report)?)
        .with_context(|| format!("write `{}`", args.json.display()))?;
    if let (Some(folder), Some(scale)) = (&args.pictures, report.scale()) {
        for (name, picture) in [
            ("latency.svg", pictures::latency(scale)?),
            ("memory.svg", pictures::memory(scale)?),
        ] {
            let path = folder.join(name);
            test_kit::bench::write(&path, &picture)
                .with_context(|| format!("write `{}`", path.display()))?;
        }
    }
    ensure!(failed.is_empty(), "not measured: {}", failed.join("; "));
    Ok(())
}

/// What was measured, and the names of the parts that failed: the others' are not lost with them.
async fn run(args: &Args) -> anyhow::Result<(Report, Vec<String>)> {
    let (mut rows, mut failed): (Vec<Row>, Vec<String>) = Default::default();
    let mut scale = None;
    let versions = systems::versions()?;
    for part in Part::value_variants() {
        if !args.measures(*part) {
            continue;
        }
        eprintln!("measuring {part:?}");
        let measured = match part {
            Part::Polls => {
                rounds::measure(Way::LongPoll, args.runs, args.watchers, args.rounds).await
            }
            Part::Streams => {
                rounds::measure(Way::Grpc, args.runs, args.watchers, args.rounds).await
            }
            Part::Reads => reads::measure(args.runs).await,
            Part::Latency => latency::measure(args.runs).await,
            Part::Writes => writes::measure(args.runs).await,
            Part::Idle => idle::measure(args.runs, args.idle_watches).await,
            Part::Storm => storm::measure(args.runs, args.reconnecting).await,
            Part::Scale => {
                let (measured, missing) =
                    scale::measure(args.runs, &args.crowds, args.rounds).await;
                scale = Some(measured);
                failed.extend(missing);
                continue;
            }
        };
        match measured {
            Ok(measured) => rows.extend(measured),
            Err(error) => {
                eprintln!("failed to measure {part:?}: {error:#}");
                failed.push(format!("{part:?}"));
            }
        }
    }
    Ok((Report::new(versions, rows, scale), failed))
}
