//! The process's own settings; everything that matters while it runs is live configuration instead.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use service_kit::settings::CommonArgs;
use service_kit::tls::ClientTlsArgs;

/// Address search spread over several map vendors by live percentages
#[derive(Debug, Parser)]
#[command(name = "location-service", version)]
pub struct Cli {
    /// What to do; `serve` if nothing is given
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Where to listen and where the configuration comes from
    #[command(flatten)]
    pub settings: Settings,
    /// Logging
    #[command(flatten)]
    pub common: CommonArgs,
}

/// What the process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Answer searches until a signal comes (the default)
    Serve,
    /// Check the settings and print them; nothing is connected
    CheckConfig,
    /// Ask a running service whether it is ready; the exit code tells
    Healthcheck,
}

/// Where to listen, and where the configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Settings {
    /// Address for searches
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_LISTEN",
        default_value = "127.0.0.1:8520",
        value_name = "IP:PORT"
    )]
    pub listen: SocketAddr,

    /// Address for health, metrics and `/location/routing`; with the searches if not given
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_ADMIN_LISTEN",
        value_name = "IP:PORT"
    )]
    pub admin_listen: Option<SocketAddr>,

    /// A config server's gRPC address; give several by commas or by repeating the flag
    #[arg(
        long = "server",
        global = true,
        env = "CHAMELEON_SERVER",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:8502",
        value_name = "URL"
    )]
    pub servers: Vec<String>,

    /// File with the token for the config server
    #[arg(long, global = true, env = "CHAMELEON_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// How the config servers' TLS is spoken.
    #[command(flatten)]
    pub tls: ClientTlsArgs,

    /// Service whose documents are read
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_SERVICE",
        default_value = "location"
    )]
    pub service: String,

    /// Profile whose documents are read, such as `dev`, `beta` or `prod`
    #[arg(long, global = true, env = "CHAMELEON_PROFILE", default_value = "dev")]
    pub profile: String,

    /// Prefix before `config/` for installations that teams share, such as `teams/payments/`
    #[arg(long, global = true, env = "CHAMELEON_PREFIX", default_value = "")]
    pub prefix: String,

    /// Folder for the last good configuration, used when no config server answers at the start
    #[arg(long, global = true, env = "CHAMELEON_CACHE_DIR", value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,

    /// Name of this instance in the fleet; host and port if not given
    #[arg(long, global = true, env = "CHAMELEON_INSTANCE_ID", value_name = "ID")]
    pub instance_id: Option<String>,

    /// Searches at a time; more are answered 503 at once
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_MAX_IN_FLIGHT",
        default_value_t = 512,
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=100_000)
    )]
    pub max_in_flight: usize,
}

impl Settings {
    /// The URL that tells whether the service with these settings is ready.
    pub fn readiness_url(&self) -> String {
        service_kit::readiness_url(self.admin_listen.unwrap_or(self.listen))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_page_tells_the_flags() {
        test_kit::flags::check(&Cli::command(), "docs/reference/location-service.md");
    }

    #[test]
    fn flags_count_before_and_after_the_command() {
        let before = Cli::parse_from([
            "x",
            "--listen",
            "0.0.0.0:1",
            "--server",
            "http://a,http://b",
            "serve",
        ]);
        let after = Cli::parse_from([
            "x",
            "serve",
            "--listen",
            "0.0.0.0:1",
            "--server",
            "http://a",
            "--server",
            "http://b",
        ]);
        assert_eq!(before.settings, after.settings);
        assert_eq!(before.settings.servers, ["http://a", "http://b"]);
        assert_eq!(
            (before.command, Cli::parse_from(["x"]).command),
            (Some(Command::Serve), None)
        );
    }

    #[test]
    fn readiness_is_asked_where_it_is_served() {
        let check = |flags: &[&str], expected: &str| {
            let cli = Cli::parse_from(std::iter::once(&"x").chain(flags));
            assert_eq!(cli.settings.readiness_url(), expected);
        };
        check(&[], "http://127.0.0.1:8520/health/ready");
        check(
            &["--listen", "0.0.0.0:80"],
            "http://127.0.0.1:80/health/ready",
        );
        check(
            &["--admin-listen", "[::]:81"],
            "http://[::1]:81/health/ready",
        );
    }
}
