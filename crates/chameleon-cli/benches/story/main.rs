//! How fast a change travels: from git to the instances, and from one replica to the other's
//! client. Run by `cargo xtask bench`, which brings a Postgres that waits for the disk.

mod figures;
mod push;
mod replicas;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;

use crate::figures::Report;

#[derive(Debug, Parser)]
struct Args {
    /// Pushes to measure.
    #[arg(long, default_value_t = 25)]
    pushes: usize,
    /// Commits to measure.
    #[arg(long, default_value_t = 300)]
    commits: usize,
    /// Where the figures are written as JSON.
    #[arg(long, default_value = "target/bench/story.json")]
    json: PathBuf,
    /// Given by `cargo bench`.
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
    let mut figures = Vec::new();
    figures.extend(push::measure(args.pushes, push::Backing::Sqlite).await?);
    figures.extend(push::measure(args.pushes, push::Backing::Postgres).await?);
    figures.extend(replicas::measure(args.commits).await?);
    Ok(Report {
        machine: test_kit::bench::machine(),
        figures,
    })
}
