//! `cargo xtask`: the project's own commands, with nothing to install but cargo.

mod apt;
mod bench;
mod compare;
mod e2e;
mod faults;
mod images;
mod lint;
mod peers;
mod poolers;
mod postgres;
mod shell;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The project's own commands", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring a Postgres and run all tests
    Test(test::Args),
    /// Bring a Postgres with fsync and measure how fast the platform is
    Bench(bench::Args),
    /// Ask a real Consul and ours the same, and hold the differences against the documented ones
    Compare(compare::Args),
    /// Break a Postgres and three servers on it in all ways, and see that nothing is lost
    Faults(faults::Args),
    /// Bring a Postgres and a `PgBouncer`, and run the tests that need both
    Poolers(poolers::Args),
    /// Bring a Postgres for tests run by hand, until Ctrl-C
    Postgres(postgres::Args),
    /// Build the Docker images of the platform, and provide the public ones that it needs
    Images(images::Args),
    /// Build the images and run the whole platform in containers, with faults; needs Docker
    E2e(e2e::Args),
    /// Check formatting, clippy, the rules of `tidy`, and licences and bans if cargo-deny is there
    Lint,
    /// Check what no other tool knows: the crates' edges, the documented dependencies
    Tidy,
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Test(args) => test::run(&args).await,
        Command::Bench(args) => bench::run(&args).await,
        Command::Compare(args) => compare::run(&args),
        Command::Faults(args) => faults::run(&args),
        Command::Poolers(args) => poolers::run(&args).await,
        Command::Postgres(args) => postgres::run(&args).await,
        Command::Images(args) => images::run(&args),
        Command::E2e(args) => e2e::run(&args),
        Command::Lint => lint::run(),
        Command::Tidy => tidy::run(),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }
}
