//! The `config-server` binary; everything is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use config_server::{Cli, execute};

#[tokio::main]
async fn main() -> ExitCode {
    service_kit::main_exit(execute(Cli::parse()).await)
}
