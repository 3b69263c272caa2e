//! The `config-server` binary; everything is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use config_server::{Cli, execute};
use mimalloc::MiMalloc;

/// Thousands of small buffers come and go with every change: the system's allocator took a quarter
/// of a delivery's time, and kept more of the memory afterwards.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    service_kit::main_exit(execute(Cli::parse()).await)
}
