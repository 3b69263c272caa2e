//! How fast a change travels: from git to the instances, and from one replica to the other's
//! client. Run by `cargo xtask bench`, which brings a Postgres that waits for the disk.

mod figures;
mod push;
mod replicas;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;

use crate::figures::{Report, machine};

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
    // `cargo bench` runs us in the package's folder.
    let json = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(&args.json);
    let folder = json.parent().context("`--json` names no file")?;
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&json, serde_json::to_string_pretty(&report)?))
        .with_context(|| format!("write `{}`", json.display()))
}

async fn run(args: &Args) -> anyhow::Result<Report> {
    let mut figures = Vec::new();
    figures.extend(push::measure(args.pushes, push::Backing::Sqlite).await?);
    figures.extend(push::measure(args.pushes, push::Backing::Postgres).await?);
    figures.extend(replicas::measure(args.commits).await?);
    Ok(Report {
        machine: machine(),
        figures,
    })
}
