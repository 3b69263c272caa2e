//! The `git-sync` binary; everything is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use git_sync::{Cli, execute};

#[tokio::main]
async fn main() -> ExitCode {
    execute(Cli::parse()).await
}
