//! What can be chosen about the simulator, and the flags that choose it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::bail;
use secrecy::SecretString;
use service_kit::settings::secret_from;
use tokio::net::TcpListener;

pub use crate::naver::NaverClient;

/// Which keys the simulated vendors accept. By default it is any that is not empty.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The only `appKey` that TMAP accepts.
    pub tmap_key: Option<SecretString>,
    /// The only application that NAVER accepts.
    pub naver_client: Option<NaverClient>,
}

/// Where the simulator listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Faults, statistics, health and metrics.
    pub control: SocketAddr,
    /// TMAP.
    pub tmap: SocketAddr,
    /// All of NAVER's products.
    pub naver: SocketAddr,
}

impl Default for Addresses {
    /// Ports 8530 to 8532 of the loopback interface.
    fn default() -> Self {
        Self {
            control: SocketAddr::from((Ipv4Addr::LOCALHOST, 8530)),
            tmap: SocketAddr::from((Ipv4Addr::LOCALHOST, 8531)),
            naver: SocketAddr::from((Ipv4Addr::LOCALHOST, 8532)),
        }
    }
}

impl Addresses {
    /// Free ports of the loopback interface, chosen by the system.
    pub fn free() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            control: any,
            tmap: any,
            naver: any,
        }
    }

    /// Listens on all of them, or on none. Has to be called within a tokio runtime.
    ///
    /// # Errors
    /// One line that names the address, the flag that changes it, and who has the port if it is
    /// in use.
    pub fn listen(self) -> anyhow::Result<Listeners> {
        Ok(Listeners {
            control: service_kit::listen(self.control, "control", "--control-listen")?,
            tmap: service_kit::listen(self.tmap, "TMAP", "--tmap-listen")?,
            naver: service_kit::listen(self.naver, "NAVER", "--naver-listen")?,
        })
    }
}

/// The open listeners of a simulator.
#[derive(Debug)]
pub struct Listeners {
    /// Faults, statistics, health and metrics.
    pub control: TcpListener,
    /// TMAP's API.
    pub tmap: TcpListener,
    /// NAVER's APIs.
    pub naver: TcpListener,
}

impl Listeners {
    /// Where they listen, with the ports that the system chose.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn addresses(&self) -> std::io::Result<Addresses> {
        Ok(Addresses {
            control: self.control.local_addr()?,
            tmap: self.tmap.local_addr()?,
            naver: self.naver.local_addr()?,
        })
    }
}

/// The simulator's flags; each has an environment twin.
#[derive(Clone, Debug, clap::Args)]
pub struct SimulatorArgs {
    /// Address for faults, statistics, health and metrics
    #[arg(long, global = true, env = "CHAMELEON_CONTROL_LISTEN", value_name = "ADDRESS",
          default_value_t = Addresses::default().control)]
    control_listen: SocketAddr,

    /// Address of the simulated TMAP
    #[arg(long, global = true, env = "CHAMELEON_TMAP_LISTEN", value_name = "ADDRESS",
          default_value_t = Addresses::default().tmap)]
    tmap_listen: SocketAddr,

    /// Address of the simulated NAVER
    #[arg(long, global = true, env = "CHAMELEON_NAVER_LISTEN", value_name = "ADDRESS",
          default_value_t = Addresses::default().naver)]
    naver_listen: SocketAddr,

    /// The only key that TMAP accepts [default: any]
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_TMAP_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    tmap_key: Option<SecretString>,

    /// File with the only key that TMAP accepts
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_TMAP_KEY_FILE",
        value_name = "FILE"
    )]
    tmap_key_file: Option<PathBuf>,

    /// The only client id that NAVER accepts [default: any]
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_NAVER_CLIENT_ID",
        value_name = "ID"
    )]
    naver_client_id: Option<String>,

    /// The secret that belongs to the client id
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_NAVER_CLIENT_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    naver_client_secret: Option<SecretString>,

    /// File with the secret that belongs to the client id
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_NAVER_CLIENT_SECRET_FILE",
        value_name = "FILE"
    )]
    naver_client_secret_file: Option<PathBuf>,
}

impl SimulatorArgs {
    /// Where to listen.
    pub fn addresses(&self) -> Addresses {
        Addresses {
            control: self.control_listen,
            tmap: self.tmap_listen,
            naver: self.naver_listen,
        }
    }

    /// The settings, with secrets read from their files.
    ///
    /// # Errors
    /// One line that names the flag, if a file cannot be read or flags do not go together.
    pub fn settings(self) -> anyhow::Result<Settings> {
        let tmap_key = secret_from(self.tmap_key, self.tmap_key_file.as_deref(), "--tmap-key")?;
        let secret = secret_from(
            self.naver_client_secret,
            self.naver_client_secret_file.as_deref(),
            "--naver-client-secret",
        )?;
        let naver_client = match (self.naver_client_id, secret) {
            (Some(id), Some(secret)) => Some(NaverClient { id, secret }),
            (None, None) => None,
            (Some(_), None) => {
                bail!("`--naver-client-id` needs `--naver-client-secret` (or its file)")
            }
            (None, Some(_)) => bail!("`--naver-client-secret` needs `--naver-client-id`"),
        };
        Ok(Settings {
            tmap_key,
            naver_client,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Args {
        #[command(flatten)]
        simulator: SimulatorArgs,
    }

    #[test]
    fn the_flags_are_consistent_and_default_to_the_fixed_ports() {
        Args::command().debug_assert();
        let args = Args::parse_from(["x"]).simulator;
        assert_eq!(args.addresses(), Addresses::default());
        let settings = args.settings().unwrap();
        assert!(settings.tmap_key.is_none() && settings.naver_client.is_none());
    }

    #[test]
    fn an_id_and_its_secret_go_together() {
        let settings = |flags: &[&str]| {
            let flags = [&["x"], flags].concat();
            Args::parse_from(flags).simulator.settings()
        };
        let id = ["--naver-client-id", "id"];
        let secret = ["--naver-client-secret", "secret"];
        assert!(
            settings(&[id, secret].concat())
                .unwrap()
                .naver_client
                .is_some()
        );
        assert_eq!(
            settings(&id).unwrap_err().to_string(),
            "`--naver-client-id` needs `--naver-client-secret` (or its file)"
        );
        assert_eq!(
            settings(&secret).unwrap_err().to_string(),
            "`--naver-client-secret` needs `--naver-client-id`"
        );
    }
}
