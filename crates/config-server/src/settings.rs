//! What can be set, and the flags and variables that set it.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use chameleon_model::DEFAULT_HOLD;
use chameleon_model::document::Profile;
use secrecy::SecretString;
use service_kit::settings::CommonArgs;
use service_kit::tls::{ServerTls, TlsArgs};

/// What a server is told before it starts; listeners and the store are given beside it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The bootstrap token, which allows everything. With it every call on every face has to show this
    /// one or another; without one, only loopback addresses may be listened on.
    pub token: Option<SecretString>,
    /// The certificate by which the HTTP and the gRPC listener speak TLS; they speak plainly without.
    pub tls: Option<ServerTls>,
    /// Profiles by which writes that come from no source are checked, beside those that the sources
    /// declare.
    pub profiles: Vec<Profile>,
    /// What the store is, for people to read: `postgres` or `sqlite`.
    pub store_kind: &'static str,
    /// The file in which the newest state is kept, to start with while the store is away.
    pub snapshot: Option<PathBuf>,
    /// Which past commits are kept.
    pub keep: Keep,
    /// What this server is to the others on its database.
    pub replica: Replica,
    /// How long the hold lasts that a write puts on a key of a git source, until it counts as expired.
    pub hold_for: Duration,
    /// The server's bounds.
    pub limits: Limits,
}

impl Default for Settings {
    /// No token, no TLS, no profiles, SQLite, no snapshot on disk, all history, holds of 4 h, and the
    /// default [`Limits`].
    fn default() -> Self {
        Self {
            token: None,
            tls: None,
            profiles: Vec::new(),
            store_kind: "sqlite",
            snapshot: None,
            keep: Keep::default(),
            replica: Replica::default(),
            hold_for: DEFAULT_HOLD,
            limits: Limits::default(),
        }
    }
}

/// What of the past is kept: each commit that `history` or `revisions` asks for, and the audit. Values
/// that are live are kept in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Those that are not older than this.
    pub history: Option<Duration>,
    /// So many of the newest.
    pub revisions: Option<NonZeroU64>,
    /// Records of the audit that are not older than this.
    pub audit: Duration,
    /// How long at most between two looks at what can be forgotten.
    pub every: Duration,
}

impl Keep {
    /// Says whether any commit is ever forgotten.
    pub fn forgets(&self) -> bool {
        self.history.is_some() || self.revisions.is_some()
    }
}

impl Default for Keep {
    /// All commits, and 90 days of the audit; a look every 10 minutes.
    fn default() -> Self {
        Self {
            history: None,
            revisions: None,
            audit: Duration::from_hours(90 * 24),
            every: Duration::from_mins(10),
        }
    }
}

/// What a server is to the others on its database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// What people know it by; empty for its host and gRPC port.
    pub name: String,
    /// How long its instances count for the others after it was heard of last: a server that is killed
    /// takes back nothing. It is renewed three times as often.
    pub lease: Duration,
}

impl Default for Replica {
    /// No name, 15 s.
    fn default() -> Self {
        Self {
            name: String::new(),
            lease: Duration::from_secs(15),
        }
    }
}

/// The server's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Watches at a time over all faces, long polls included.
    pub watches: usize,
    /// Connections at a time on each listener; more wait to be accepted. Should be more than the
    /// watches, so that a client that comes too late for one is told so.
    pub connections: usize,
    /// The bytes of one transaction, as received.
    pub transaction_bytes: usize,
    /// The operations of one transaction.
    pub transaction_operations: usize,
    /// The bytes of all transactions that are being received or wait to be stored.
    pub queued_bytes: usize,
    /// How long a call of the store may take before it counts as away; reading the whole state has
    /// two minutes.
    pub store_timeout: Duration,
    /// What each client may have of them.
    pub per_client: ClientLimits,
}

/// What each client may have: whoever shows the same token, or calls from the same address where no
/// token is needed. 0 is no limit.
///
/// They keep one that is out of order from taking what the others need, and are wide enough for a fleet
/// that shares one token or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// Watches at a time, long polls included.
    pub watches: usize,
    /// Calls a second in the long run; opening a watch, and each round of a long poll, is one.
    pub requests: usize,
    /// Calls at once after a pause.
    pub burst: usize,
    /// Connections at a time on each listener. They count by address in any case, an IPv6 address by
    /// its first 64 bits.
    pub connections: usize,
}

impl ClientLimits {
    /// No limits.
    pub fn none() -> Self {
        Self {
            watches: 0,
            requests: 0,
            burst: 0,
            connections: 0,
        }
    }
}

impl Default for ClientLimits {
    /// 8,000 watches, 5,000 calls a second and 20,000 at once, 10,000 connections.
    fn default() -> Self {
        Self {
            watches: 8_000,
            requests: 5_000,
            burst: 20_000,
            connections: 10_000,
        }
    }
}

impl Default for Limits {
    /// 10,000 watches, 12,000 connections, 64 MiB and 20,000 operations a transaction, 256 MiB
    /// waiting, 5 s for the store, and the default [`ClientLimits`].
    fn default() -> Self {
        Self {
            watches: 10_000,
            connections: 12_000,
            transaction_bytes: 64 * 1024 * 1024,
            transaction_operations: 20_000,
            queued_bytes: 256 * 1024 * 1024,
            store_timeout: Duration::from_secs(5),
            per_client: ClientLimits::default(),
        }
    }
}

/// Keeps every running instance at the newest configuration.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "config-server", version)]
pub struct Cli {
    /// What to do; `serve` if left out.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The server's flags.
    #[command(flatten)]
    pub options: Options,
    /// The flags of every process.
    #[command(flatten)]
    pub common: CommonArgs,
}

/// The roles of the binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Subcommand)]
pub enum Command {
    /// Serve configuration (the default)
    Serve,
    /// Bring the store's tables up to this version and end
    Migrate,
    /// Start a new epoch in the store and end: after a restore, so that clients take an older state
    NewEpoch,
    /// Check flags, variables and files, and end
    CheckConfig,
    /// Succeed if a server with the same flags is ready
    Healthcheck,
}

/// Where the state lives. It may hold a password, so that it prints without.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreAddress(String);

impl StoreAddress {
    /// The address as it was given, password included.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `postgres` or `sqlite`; `None` for an address that no store is opened by.
    pub fn kind(&self) -> Option<&'static str> {
        match self.0.split_once(':').map(|(scheme, _)| scheme) {
            Some("postgres" | "postgresql") => Some("postgres"),
            Some("sqlite") => Some("sqlite"),
            _ => None,
        }
    }
}

impl FromStr for StoreAddress {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chameleon_store::redacted(&self.0))
    }
}

impl fmt::Debug for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The server's flags; each has a variable of the same meaning.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where Consul's KV API, health and metrics are served
    #[arg(
        long,
        global = true,
        default_value = "127.0.0.1:8500",
        env = "CHAMELEON_HTTP_LISTEN",
        value_name = "ADDRESS"
    )]
    pub http_listen: SocketAddr,

    /// Where `chameleon.v1` is served
    #[arg(
        long,
        global = true,
        default_value = "127.0.0.1:8502",
        env = "CHAMELEON_GRPC_LISTEN",
        value_name = "ADDRESS"
    )]
    pub grpc_listen: SocketAddr,

    /// Where health and metrics are served instead, without a token
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_ADMIN_LISTEN",
        value_name = "ADDRESS"
    )]
    pub admin_listen: Option<SocketAddr>,

    /// Where the state lives: `postgres://...` or `sqlite://FILE`
    #[arg(
        long,
        global = true,
        default_value = "sqlite://chameleon.db",
        env = "CHAMELEON_STORE",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub store: StoreAddress,

    /// Where Postgres is listened to, if `--store` is a pooler: the database's own address
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_STORE_LISTEN",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub store_listen: Option<StoreAddress>,

    /// A file for the newest state, served read-only when started while the store is away
    #[arg(long, global = true, env = "CHAMELEON_SNAPSHOT", value_name = "FILE")]
    pub snapshot: Option<PathBuf>,

    /// A file with the token that allows everything and makes others; calls then need a token
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_BOOTSTRAP_TOKEN_FILE",
        value_name = "FILE"
    )]
    pub bootstrap_token_file: Option<PathBuf>,

    /// How the HTTP and the gRPC listener speak TLS.
    #[command(flatten)]
    pub tls: TlsArgs,

    /// Profiles by which writes from outside of git are checked, beside the sources': `dev,beta,prod`
    #[arg(
        long,
        global = true,
        value_delimiter = ',',
        value_parser = profile,
        env = "CHAMELEON_PROFILES",
        value_name = "NAMES"
    )]
    pub profiles: Vec<Profile>,

    /// Keeps commits for so long, such as `30d`; for ever without this and `--keep-revisions`
    #[arg(long, global = true, value_parser = humantime::parse_duration,
          env = "CHAMELEON_KEEP_HISTORY", value_name = "DURATION")]
    pub keep_history: Option<Duration>,

    /// Keeps so many of the newest commits, however old they are
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_KEEP_REVISIONS",
        value_name = "COUNT"
    )]
    pub keep_revisions: Option<NonZeroU64>,

    /// Keeps the audit for so long
    #[arg(
        long,
        global = true,
        default_value = "90d",
        value_parser = humantime::parse_duration,
        env = "CHAMELEON_KEEP_AUDIT",
        value_name = "DURATION"
    )]
    pub keep_audit: Duration,
    /// How long a write to a git source's key holds it before it counts as expired, such as `4h`
    #[arg(long, global = true, default_value = "4h", value_parser = humantime::parse_duration,
          env = "CHAMELEON_HOLD_FOR", value_name = "DURATION")]
    pub hold_for: Duration,

    /// Watches at a time, long polls included
    #[arg(long, global = true, default_value_t = Limits::default().watches,
          env = "CHAMELEON_MAX_WATCHES", value_name = "COUNT")]
    pub max_watches: usize,

    /// Connections at a time on each listener; more wait until others end
    #[arg(long, global = true, default_value_t = Limits::default().connections,
          env = "CHAMELEON_MAX_CONNECTIONS", value_name = "COUNT")]
    pub max_connections: usize,

    /// Watches at a time of one client: of one token, or of one address without tokens; 0 for any
    #[arg(long, global = true, default_value_t = ClientLimits::default().watches,
          env = "CHAMELEON_MAX_WATCHES_PER_CLIENT", value_name = "COUNT")]
    pub max_watches_per_client: usize,

    /// Calls a second of one client in the long run; 0 for any
    #[arg(long, global = true, default_value_t = ClientLimits::default().requests,
          env = "CHAMELEON_MAX_REQUESTS_PER_CLIENT", value_name = "COUNT")]
    pub max_requests_per_client: usize,

    /// Calls at once of one client that has paused
    #[arg(long, global = true, default_value_t = ClientLimits::default().burst,
          env = "CHAMELEON_MAX_BURST_PER_CLIENT", value_name = "COUNT")]
    pub max_burst_per_client: usize,

    /// Connections at a time of one address on each listener; 0 for any
    #[arg(long, global = true, default_value_t = ClientLimits::default().connections,
          env = "CHAMELEON_MAX_CONNECTIONS_PER_ADDRESS", value_name = "COUNT")]
    pub max_connections_per_address: usize,

    /// Bytes of one transaction
    #[arg(long, global = true, default_value_t = Limits::default().transaction_bytes,
          env = "CHAMELEON_MAX_TRANSACTION_BYTES", value_name = "BYTES")]
    pub max_transaction_bytes: usize,

    /// Operations of one transaction
    #[arg(long, global = true, default_value_t = Limits::default().transaction_operations,
          env = "CHAMELEON_MAX_TRANSACTION_OPERATIONS", value_name = "COUNT")]
    pub max_transaction_operations: usize,

    /// Bytes of all transactions that wait to be stored
    #[arg(long, global = true, default_value_t = Limits::default().queued_bytes,
          env = "CHAMELEON_MAX_QUEUED_BYTES", value_name = "BYTES")]
    pub max_queued_bytes: usize,

    /// What `chameleon fleet` calls this server; its host and gRPC port if not given
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_REPLICA_NAME",
        value_name = "NAME"
    )]
    pub replica_name: Option<String>,

    /// How long this server's instances count for other servers if it dies: `1s` or more
    #[arg(long, global = true, default_value = "15s", value_parser = lease,
          env = "CHAMELEON_REPLICA_LEASE", value_name = "DURATION")]
    pub replica_lease: Duration,

    /// How long the store may take to answer, such as `5s`
    #[arg(
        long,
        global = true,
        default_value = "5s",
        value_parser = humantime::parse_duration,
        env = "CHAMELEON_STORE_TIMEOUT",
        value_name = "DURATION"
    )]
    pub store_timeout: Duration,
}

impl Options {
    /// The settings that these flags ask for, with the token read from its file.
    ///
    /// # Errors
    /// The token's file can't be read or is empty, the same for those of TLS, or the store's address has an unknown scheme.
    pub fn settings(&self) -> anyhow::Result<Settings> {
        let file = self.bootstrap_token_file.as_deref();
        let token = service_kit::settings::secret_from(None, file, "--bootstrap-token")?;
        let store_kind = self
            .store
            .kind()
            .context("`--store` is not understood: write `postgres://...` or `sqlite://FILE`")?;
        if let Some(listen) = &self.store_listen
            && (store_kind, listen.kind()) != ("postgres", Some("postgres"))
        {
            bail!(
                "`--store-listen` is for Postgres: write `postgres://...` there and in `--store`"
            );
        }
        Ok(Settings {
            token,
            tls: self.tls.load()?,
            profiles: self.profiles.clone(),
            store_kind,
            snapshot: self.snapshot.clone(),
            keep: Keep {
                history: self.keep_history,
                revisions: self.keep_revisions,
                audit: self.keep_audit,
                ..Keep::default()
            },
            replica: Replica {
                name: self.replica_name.clone().unwrap_or_default(),
                lease: self.replica_lease,
            },
            hold_for: self.hold_for,
            limits: Limits {
                watches: self.max_watches,
                connections: self.max_connections,
                transaction_bytes: self.max_transaction_bytes,
                transaction_operations: self.max_transaction_operations,
                queued_bytes: self.max_queued_bytes,
                store_timeout: self.store_timeout,
                per_client: ClientLimits {
                    watches: self.max_watches_per_client,
                    requests: self.max_requests_per_client,
                    burst: self.max_burst_per_client,
                    connections: self.max_connections_per_address,
                },
            },
        })
    }

    /// All addresses to listen on.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        [self.http_listen, self.grpc_listen]
            .into_iter()
            .chain(self.admin_listen)
    }
}

fn lease(text: &str) -> Result<Duration, String> {
    let lease = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    // A shorter one would end between two renewals of a server that is only busy.
    if lease < Duration::from_secs(1) {
        return Err("use 1s or more".to_owned());
    }
    Ok(lease)
}

fn profile(name: &str) -> Result<Profile, String> {
    Profile::new(name).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_page_tells_the_flags() {
        test_kit::flags::check(&Cli::command(), "docs/reference/config-server.md");
    }

    #[test]
    fn the_service_unit_sets_variables_that_there_are() {
        for file in ["config-server.service", "config-server.env"] {
            test_kit::flags::check_variables(&Cli::command(), &format!("deploy/systemd/{file}"));
        }
    }

    #[test]
    fn flags_stand_before_or_after_the_sub_command() {
        let before = Cli::parse_from(["x", "--profiles", "dev,beta", "serve"]);
        let after = Cli::parse_from(["x", "serve", "--profiles", "dev,beta"]);
        for cli in [before, after] {
            assert_eq!(cli.command, Some(Command::Serve));
            assert_eq!(cli.options.profiles.len(), 2);
        }
        assert_eq!(Cli::parse_from(["x"]).command, None);
    }

    #[test]
    fn what_is_not_said_has_the_documented_default() {
        let settings = Cli::parse_from(["x"]).options.settings().unwrap();
        assert_eq!(settings.limits, Limits::default());
        assert_eq!(settings.keep, Keep::default());
        assert_eq!(settings.hold_for, DEFAULT_HOLD);
        assert_eq!(settings.store_kind, "sqlite");
        assert!(settings.token.is_none());
    }

    #[test]
    fn history_is_kept_by_age_and_by_count() {
        let settings = |flags: &[&str]| {
            let cli = Cli::parse_from([&["x"], flags].concat());
            cli.options.settings().unwrap()
        };
        assert!(!settings(&[]).keep.forgets());
        let keep = settings(&["--keep-history", "30d", "--keep-revisions", "1000"]).keep;
        assert_eq!(keep.history, Some(Duration::from_hours(30 * 24)));
        assert_eq!(keep.revisions, NonZeroU64::new(1000));
        assert!(Cli::try_parse_from(["x", "--keep-revisions", "0"]).is_err());
    }

    #[test]
    fn the_stores_password_is_never_shown() {
        let cli = Cli::parse_from(["x", "--store", "postgres://ada:secret@db/x"]);
        assert!(!format!("{cli:?}").contains("secret"));
        assert_eq!(cli.options.store.expose(), "postgres://ada:secret@db/x");
        assert_eq!(cli.options.settings().unwrap().store_kind, "postgres");
    }

    #[test]
    fn bad_settings_are_one_clear_line() {
        let error = |flags: &[&str]| {
            let cli = Cli::try_parse_from([&["x"], flags].concat());
            let error = cli.map(|cli| cli.options.settings());
            match error {
                Ok(settings) => format!("{:#}", settings.unwrap_err()),
                Err(error) => error.to_string(),
            }
        };
        assert_eq!(
            error(&["--store", "mysql://x"]),
            "`--store` is not understood: write `postgres://...` or `sqlite://FILE`"
        );
        assert_eq!(
            error(&["--store-listen", "postgres://db/x"]),
            "`--store-listen` is for Postgres: write `postgres://...` there and in `--store`"
        );
        let text = error(&["--bootstrap-token-file", "/nowhere/token"]);
        assert!(
            text.starts_with("read `/nowhere/token` (`--bootstrap-token-file`): "),
            "{text}"
        );
        let text = error(&["--profiles", "Not this"]);
        assert!(
            text.contains("`Not this` is no name of a profile"),
            "{text}"
        );
        let text = error(&["--replica-lease", "10ms"]);
        assert!(text.contains("use 1s or more"), "{text}");
        let text = error(&["--http-listen", "8500"]);
        assert!(text.contains("--http-listen"), "{text}");
    }
}
