//! The `config-server` binary; everything is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use config_server::{Cli, execute};
use mimalloc::MiMalloc;

/// Thousands of small buffers come and go with every change: the system's allocator took a quarter
/// of a long poll's time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    service_kit::main_exit(execute(Cli::parse()).await)
}
