//! The flags of the command, each with its environment twin.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use chameleon_client::{ApiSettings, Tls, Token};
use secrecy::SecretString;
use service_kit::tls::{ClientTlsArgs, TlsArgs};

use super::{Settings, SourceSettings, Sources, read_sources};

/// The flags from which [`Settings`] are made; several sources need a file, one can do without.
#[derive(Clone, Debug, clap::Args)]
pub struct SyncArgs {
    /// A YAML file that lists the sources
    #[arg(long, global = true, env = "CHAMELEON_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Where webhooks arrive
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_LISTEN",
        default_value = "127.0.0.1:8510",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,

    /// Where health and metrics are served, if not beside the webhooks
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_ADMIN_LISTEN",
        value_name = "ADDRESS"
    )]
    pub admin_listen: Option<SocketAddr>,

    /// A config server's gRPC address; give several to have them tried in turn
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_SERVER",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:8502",
        value_name = "URL"
    )]
    pub server: Vec<String>,

    /// A file with the access token for the config servers
    #[arg(long, global = true, env = "CHAMELEON_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// How the webhooks' listener speaks TLS.
    #[command(flatten)]
    pub tls: TlsArgs,

    /// How the config servers' TLS is spoken.
    #[command(flatten)]
    pub client_tls: ClientTlsArgs,

    /// Where the clones of the repositories are kept
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_WORK_DIR",
        default_value = ".chameleon/git-sync",
        value_name = "FOLDER"
    )]
    pub work_dir: PathBuf,

    /// The only source's repository, instead of `--config`
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_REPOSITORY",
        conflicts_with = "config",
        value_name = "URL"
    )]
    pub repository: Option<String>,

    /// The only source's name
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_SOURCE",
        default_value = "config",
        value_name = "NAME"
    )]
    pub name: String,

    /// The only source's branch
    #[arg(long, global = true, env = "CHAMELEON_BRANCH", default_value = "main")]
    pub branch: String,

    /// The only source's folder in the repository
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_FOLDER",
        default_value = "config"
    )]
    pub folder: String,

    /// What stands before `config/` in the keys; ends in `/`
    #[arg(long, global = true, env = "CHAMELEON_PREFIX", default_value = "")]
    pub prefix: String,

    /// The profiles that file names may end in
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_PROFILES",
        value_delimiter = ',',
        default_value = "dev,beta,prod"
    )]
    pub profiles: Vec<String>,

    /// Apply the files of these profiles and those without one
    #[arg(long, global = true, env = "CHAMELEON_ONLY", value_delimiter = ',')]
    pub only: Option<Vec<String>>,

    /// A file with the webhook's secret
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_WEBHOOK_SECRET_FILE",
        value_name = "FILE"
    )]
    pub webhook_secret_file: Option<PathBuf>,

    /// The webhook's secret; a file does not show in the list of processes
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_WEBHOOK_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub webhook_secret: Option<SecretString>,

    /// How often the repository is looked at without a webhook
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_POLL_INTERVAL",
        value_parser = humantime::parse_duration,
        default_value = "30s",
        value_name = "TIME"
    )]
    pub poll_interval: Duration,
}

impl SyncArgs {
    /// Checks the flags and reads the files that they name.
    ///
    /// # Errors
    /// Names the flag, or the file and line, and what would be right.
    pub fn settings(&self) -> anyhow::Result<Settings> {
        Ok(Settings {
            sources: self.sources()?,
            api: ApiSettings {
                servers: self.server.clone(),
                token: self.token_file.clone().map(Token::file),
                tls: Tls::from_files(
                    self.client_tls.ca_file.clone(),
                    self.client_tls.certificate()?,
                ),
                ..ApiSettings::default()
            },
            work_dir: self.work_dir.clone(),
            tls: self.tls.load()?,
        })
    }

    fn sources(&self) -> anyhow::Result<Sources> {
        if let Some(path) = &self.config {
            return Ok(read_sources(path)?);
        }
        let Some(repository) = self.repository.clone() else {
            bail!("no source is named: give `--repository`, or a file of sources with `--config`");
        };
        Ok(Sources::new([SourceSettings {
            name: self.name.clone(),
            repository,
            branch: self.branch.clone(),
            folder: self.folder.clone(),
            prefix: self.prefix.clone(),
            profiles: self.profiles.clone(),
            only: self.only.clone(),
            secret: self.webhook_secret.clone(),
            secret_file: self.webhook_secret_file.clone(),
            poll_interval: self.poll_interval,
        }])?)
    }
}
