//! What can be typed after `chameleon`.

use std::path::PathBuf;
use std::time::Duration;

use chameleon_model::Rule;
use clap::{Args, Parser, Subcommand, ValueEnum};
use service_kit::tls::ClientTlsArgs;

/// Real-time service configuration: from git to every running instance.
#[derive(Debug, Parser)]
#[command(name = "chameleon", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// A config server's gRPC address; several may be given and are tried in turn.
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_SERVER",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:8502"
    )]
    pub(crate) server: Vec<String>,
    /// A file with the access token.
    #[arg(long, global = true, env = "CHAMELEON_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tls: ClientTlsArgs,
    /// How answers are printed.
    #[arg(long, short, global = true, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// When colours are used; `NO_COLOR` is obeyed too.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
    /// What is logged, as `tracing` directives: `warn`, `info,sqlx=warn`.
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_LOG",
        default_value = "warn",
        value_name = "FILTER"
    )]
    pub(crate) log: String,
    /// How log lines look.
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_LOG_FORMAT",
        value_enum,
        default_value = "human",
        value_name = "FORMAT"
    )]
    pub(crate) log_format: service_kit::telemetry::LogFormat,
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Tables and sentences, for people.
    Table,
    /// One JSON value; one for each line where answers keep coming.
    Json,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal.
    Auto,
    /// Also into a file or a pipe.
    Always,
    /// Not at all.
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole platform on this machine, to play and to develop with.
    Dev(DevArgs),
    /// Show by itself that a push moves the traffic and a vendor's outage does not stop it.
    Demo(DemoArgs),
    /// Print the value of a key.
    Get {
        /// The key, for example `config/location-prod.yml`.
        key: String,
        /// The value as it was at this revision.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        revision: Option<u64>,
    },
    /// Write the value of a key.
    Put(PutArgs),
    /// Delete a key; nothing happens if it is not there.
    Delete(DeleteArgs),
    /// List keys.
    Ls {
        /// Only keys that begin so.
        #[arg(default_value = "")]
        prefix: String,
    },
    /// Print a key's or prefix's changes as they happen.
    Watch {
        /// A key, or a prefix that ends in `/`.
        key: String,
        /// Stop after so many changes.
        #[arg(long)]
        count: Option<usize>,
    },
    /// List past changes: who, when, why, and how long each took to reach the instances.
    History(HistoryArgs),
    /// Tell what differs between two revisions.
    Diff(DiffArgs),
    /// Bring keys to how they were at a revision, as one new change.
    Rollback(RollbackArgs),
    /// List the running instances and what they have applied.
    Fleet {
        /// Only instances of this service.
        #[arg(long)]
        service: Option<String>,
        /// Only instances of this profile.
        #[arg(long)]
        profile: Option<String>,
    },
    /// Tell how the server, the sources and the fleet are.
    Status,
    /// List the git sources: what is applied of each, and what was rejected.
    Source,
    /// Write keys with their values as text, all as they were at one revision.
    Export(ExportArgs),
    /// Bring keys to what an export says.
    Import(ImportArgs),
    /// Keep keys of a git source as they are; without a key, list what is held.
    Hold(HoldArgs),
    /// End the holds on keys, and put back what git has.
    Release(ReleaseArgs),
    /// Create, list, rotate and revoke tokens; takes the bootstrap token.
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// List who did what, or was refused it, and from where.
    Audit(AuditArgs),
    /// Search for an address, and tell which vendor served it.
    Search {
        /// A place or an address.
        query: String,
        /// The instance of the address search to ask.
        #[arg(long, default_value = "http://127.0.0.1:8520")]
        at: String,
    },
    /// Check a folder of configuration files as git-sync would, without a server.
    Validate(ValidateArgs),
    /// Print a completion script for a shell.
    Completion {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Tell git-sync of a push; what a repository's post-receive hook calls.
    #[command(hide = true)]
    PushHook(PushHookArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Create a token, and print its secret; it is shown this once.
    Create(TokenCreateArgs),
    /// List the tokens with what they allow, never their secrets.
    List,
    /// Give a token a new secret, and print it; it is shown this once.
    Rotate {
        /// The token's name.
        name: String,
        /// How long the secret that it has is valid beside the new one; `0s` ends it at once.
        #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
        grace: Duration,
    },
    /// End a token; its watches end within a second or so.
    Revoke {
        /// The token's name.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TokenCreateArgs {
    /// Its name, for the history and the audit; no name is given twice.
    pub(crate) name: String,
    /// What it allows: `read:`, `write:` or `override:`, then a key or a prefix that ends in `/`.
    ///
    /// Each right includes the ones before; `override` is for keys that a git source owns.
    #[arg(long, required = true, value_name = "RULE", value_parser = rule)]
    pub(crate) allow: Vec<Rule>,
    /// When it ends, such as `90d`; never if left out.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) expires: Option<Duration>,
}

fn rule(text: &str) -> Result<Rule, String> {
    (text.parse::<Rule>()).map_err(|error| error.to_string())
}

#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// The folder of its data.
    #[arg(long, default_value = ".chameleon")]
    pub(crate) dir: PathBuf,
    /// Adds this to every port, to run beside another one.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=57_000))]
    pub(crate) port_offset: u16,
    /// Keeps the configuration here instead of in a SQLite file in the folder.
    ///
    /// For example `postgres://user@host/database`. It has no variable, so that no server's own
    /// database is taken by accident.
    #[arg(long)]
    pub(crate) store: Option<config_server::StoreAddress>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Searches a second, over both instances.
    #[arg(long, default_value_t = 80, value_parser = clap::value_parser!(u32).range(50..=1000))]
    pub(crate) rate: u32,
    /// Keep the demo's folder and say where it is.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Break one step on purpose, to show that the demo notices.
    #[arg(long, value_enum, hide = true)]
    pub(crate) sabotage: Option<Sabotage>,
}

/// Ways to break the demo, each at another step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sabotage {
    /// The push has shares that do not add up.
    BadPush,
    /// Vendor A is down together with vendor B.
    BothVendors,
    /// The second instance is stopped before the push.
    LostInstance,
}

#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// The key, for example `config/location-prod.yml`.
    pub(crate) key: String,
    /// The value; without it the value comes from `--file` or standard input.
    pub(crate) value: Option<String>,
    /// A file with the value.
    #[arg(long, short, conflicts_with = "value")]
    pub(crate) file: Option<PathBuf>,
    /// Only if the key's last change is this revision; 0: only if it does not exist.
    #[arg(long)]
    pub(crate) if_revision: Option<u64>,
    /// Why, for the history.
    #[arg(long, short, default_value = "")]
    pub(crate) message: String,
}

#[derive(Debug, Args)]
pub(crate) struct HoldArgs {
    /// The keys, for example `config/location-prod.yml`.
    pub(crate) keys: Vec<String>,
    /// How long before somebody should look, such as `4h`; the server's setting if left out.
    #[arg(
        long = "for",
        value_name = "DURATION",
        value_parser = humantime::parse_duration,
        requires = "keys",
        conflicts_with = "as_commit"
    )]
    pub(crate) hold_for: Option<Duration>,
    /// Why, for whoever lists the holds, and for the history.
    #[arg(
        long,
        short = 'm',
        alias = "message",
        default_value = "",
        requires = "keys",
        conflicts_with = "as_commit"
    )]
    pub(crate) reason: String,
    /// Print the patch that brings git to what is live, for `git am` or `git apply`; of these keys, or
    /// of all that are held.
    #[arg(long)]
    pub(crate) as_commit: bool,
    /// The folder of the repository whose files the source applies, for the paths in the patch.
    #[arg(long, default_value = "config", requires = "as_commit")]
    pub(crate) folder: String,
}

#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// The keys; one that ends in `/` stands for all held keys under it.
    #[arg(required = true)]
    pub(crate) keys: Vec<String>,
    /// Why, for the history.
    #[arg(long, short = 'm', alias = "message", default_value = "")]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// A key, or a prefix that ends in `/`; everything if left out.
    pub(crate) key: Option<String>,
    /// At most so many changes.
    #[arg(long, short = 'n', default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Only changes before this revision.
    #[arg(long)]
    pub(crate) before: Option<u64>,
    /// Draw how long each stage took on each instance.
    #[arg(long)]
    pub(crate) waterfall: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// The key, for example `scratch/x`.
    pub(crate) key: String,
    /// Only if the key's last change is this revision.
    #[arg(long)]
    pub(crate) if_revision: Option<u64>,
    /// Why, for the history.
    #[arg(long, short, default_value = "")]
    pub(crate) message: String,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The one revision.
    pub(crate) from: u64,
    /// The other revision; the newest if left out.
    pub(crate) to: Option<u64>,
    /// Only this key, or keys under this prefix that ends in `/`.
    #[arg(long, short, default_value = "", value_name = "KEY")]
    pub(crate) key: String,
}

#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// The revision whose state comes back.
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) revision: u64,
    /// A key, or a prefix that ends in `/`.
    #[arg(required_unless_present = "all")]
    pub(crate) key: Option<String>,
    /// All keys.
    #[arg(long, conflicts_with = "key")]
    pub(crate) all: bool,
    /// Only tell what would change.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Why, for the history; the revision if left out.
    #[arg(long, short, default_value = "")]
    pub(crate) message: String,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Only what this token did or was refused.
    #[arg(long, value_name = "NAME")]
    pub(crate) who: Option<String>,
    /// Only what concerns this key, also through a prefix.
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Only what concerns keys that begin so.
    #[arg(long)]
    pub(crate) prefix: Option<String>,
    /// Only what was refused.
    #[arg(long)]
    pub(crate) refused: bool,
    /// Only what happened within so long, such as `2h`.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) since: Option<Duration>,
    /// Only records before this one, by its id.
    #[arg(long, value_name = "ID")]
    pub(crate) before: Option<String>,
    /// At most so many records; a server answers up to 1,000.
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Only keys that begin so.
    #[arg(default_value = "")]
    pub(crate) prefix: String,
    /// The file to write, readable by its owner only; standard output if left out.
    #[arg(long, short)]
    pub(crate) file: Option<PathBuf>,
    /// The state as it was at this revision.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) revision: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The file to read; standard input if left out.
    #[arg(long, short)]
    pub(crate) file: Option<PathBuf>,
    /// Only tell what would change.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Also delete the keys under the file's prefix that it does not have.
    #[arg(long)]
    pub(crate) replace: bool,
    /// Why, for the history.
    #[arg(long, short, default_value = "")]
    pub(crate) message: String,
}

#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// The folder with the `{service}-{profile}.yml` files.
    #[arg(default_value = "config")]
    pub(crate) folder: PathBuf,
    /// The profiles that file names may end in.
    #[arg(long, value_delimiter = ',', default_value = "dev,beta,prod")]
    pub(crate) profiles: Vec<String>,
    /// Faults of other profiles only warn.
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Option<Vec<String>>,
}

#[derive(Debug, Args)]
pub(crate) struct PushHookArgs {
    /// Where git-sync listens for this source's webhook.
    #[arg(long)]
    pub(crate) url: String,
    /// A file with the webhook's secret.
    #[arg(long)]
    pub(crate) secret_file: PathBuf,
    /// The source's name, to wait for its outcome.
    #[arg(long)]
    pub(crate) source: String,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_page_tells_the_commands_and_flags() {
        let command = Cli::command();
        command.clone().debug_assert();
        test_kit::flags::check(&command, "docs/reference/chameleon.md");
    }
}
