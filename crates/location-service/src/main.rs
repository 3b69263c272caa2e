//! The `location-service` binary; everything is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use location_service::{Cli, execute};

#[tokio::main]
async fn main() -> ExitCode {
    service_kit::main_exit(execute(Cli::parse()).await)
}
