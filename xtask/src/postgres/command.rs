//! `cargo xtask postgres`.

use std::process::ExitCode;

use super::{Durability, Source, VARIABLE, bring};
use crate::shell;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where Postgres comes from
    #[arg(long, value_enum, default_value = "auto")]
    postgres: Source,

    /// Let commits wait for the disk, as in production
    #[arg(long)]
    fsync: bool,
}

/// Keeps a server running for tests that are started by hand, until Ctrl-C.
pub(crate) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let durability = if args.fsync {
        Durability::Full
    } else {
        Durability::Unsafe
    };
    let interruption = shell::interruption()?;
    let server = bring(args.postgres, durability).await?;
    eprintln!("postgres: {}; Ctrl-C ends it", server.origin());
    println!("export {VARIABLE}='{}'", server.url());
    interruption.await;
    server.remove().await;
    Ok(ExitCode::SUCCESS)
}
