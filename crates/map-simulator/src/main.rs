//! The `map-simulator` command.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use map_simulator::{Simulator, SimulatorArgs};
use service_kit::lifecycle::DEFAULT_GRACE;
use service_kit::settings::CommonArgs;
use service_kit::{Lifecycle, healthcheck, main_exit, readiness_url, telemetry, tls};

/// Simulates the map vendors over a small gazetteer, with faults that can be switched on.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    simulator: SimulatorArgs,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Clone, Copy, Debug, Default, Subcommand)]
enum Command {
    /// Serve until a signal (the default)
    #[default]
    Serve,
    /// Check the flags and the files that they name, and exit
    CheckConfig,
    /// Ask a running simulator whether it is ready, and exit
    Healthcheck,
}

#[tokio::main]
async fn main() -> ExitCode {
    main_exit(run(Args::parse()).await)
}

async fn run(args: Args) -> anyhow::Result<()> {
    let addresses = args.simulator.addresses();
    match args.command.unwrap_or_default() {
        Command::CheckConfig => {
            args.simulator.settings()?;
            println!("ok");
            Ok(())
        }
        Command::Healthcheck => healthcheck(&readiness_url(addresses.control)).await,
        Command::Serve => {
            let settings = args.simulator.settings()?;
            telemetry::init(&args.common.telemetry())?;
            tls::install_provider();
            let listeners = addresses.listen()?;
            let lifecycle = Lifecycle::new(DEFAULT_GRACE);
            lifecycle.signals()?;
            Simulator::start(settings, listeners, &lifecycle)?;
            Ok(lifecycle.finished().await?)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_page_tells_the_flags() {
        test_kit::flags::check(&Args::command(), "docs/reference/map-simulator.md");
    }
}
