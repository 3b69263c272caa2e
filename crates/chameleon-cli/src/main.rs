//! The `chameleon` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    chameleon_cli::main()
}
