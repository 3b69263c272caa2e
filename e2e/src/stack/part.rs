//! One running container, and the faults that can happen to it.

use anyhow::{Context as _, anyhow, ensure};
use futures::{FutureExt as _, StreamExt as _};
use test_kit::eventually;
use testcontainers::bollard::Docker;
use testcontainers::bollard::models::{NetworkConnectRequest, NetworkDisconnectRequest};
use testcontainers::bollard::query_parameters::{KillContainerOptions, LogsOptionsBuilder};
use testcontainers::core::ExecCommand;
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage};

use super::role::{Readiness, Role};

/// How long a container may take to stop by itself.
const STOP_SECONDS: i32 = 10;

/// A container of the stack; removed with this value.
pub(crate) struct Part {
    role: Role,
    docker: Docker,
    network: String,
    container: ContainerAsync<GenericImage>,
}

impl Part {
    /// Creates and starts a container; it need not be ready yet.
    pub(super) async fn start(
        role: Role,
        request: ContainerRequest<GenericImage>,
        network: &str,
        docker: &Docker,
    ) -> anyhow::Result<Self> {
        let container = request.start().await.with_context(|| {
            let (name, tag) = role.image();
            format!(
                "start `{}` from `{name}:{tag}`, which `cargo xtask images` makes",
                role.name()
            )
        })?;
        Ok(Self {
            role,
            docker: docker.clone(),
            network: network.to_owned(),
            container,
        })
    }

    /// Its address as seen from here; another one after each start.
    pub(crate) async fn url(&self, port: u16) -> anyhow::Result<String> {
        let address = async {
            let host = self.container.get_host().await?;
            let port = self.container.get_host_port_ipv4(port).await?;
            anyhow::Ok(format!("http://{host}:{port}"))
        };
        address
            .await
            .with_context(|| format!("find port {port} of `{}`", self.role.name()))
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// As soon as it has ended, with its last words.
    pub(crate) async fn until_ready(&self, http: &reqwest::Client) -> anyhow::Result<()> {
        let what = format!("`{}` is ready", self.role.name());
        eventually(&what, async || match self.container.is_running().await {
            Ok(true) => self.is_ready(http).await.then_some(Ok(())),
            Ok(false) => Some(Err(self.ended().await)),
            Err(_) => None,
        })
        .await
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(&self) -> anyhow::Result<()> {
        let stopped = self.container.stop_with_timeout(Some(STOP_SECONDS)).await;
        stopped.with_context(|| format!("stop `{}`", self.role.name()))
    }

    /// Ends it without a last word.
    pub(crate) async fn kill(&self) -> anyhow::Result<()> {
        let options = KillContainerOptions::default();
        let killed = self
            .docker
            .kill_container(self.container.id(), Some(options))
            .await;
        killed.with_context(|| format!("kill `{}`", self.role.name()))
    }

    /// Starts it again after [`stop`](Self::stop) or [`kill`](Self::kill), with the data it had.
    pub(crate) async fn start_again(&self, http: &reqwest::Client) -> anyhow::Result<()> {
        let started = self.container.start().await;
        started.with_context(|| format!("start `{}` again", self.role.name()))?;
        self.until_ready(http).await
    }

    /// Cuts it off from all other parts.
    pub(crate) async fn disconnect(&self) -> anyhow::Result<()> {
        let request = NetworkDisconnectRequest {
            container: self.container.id().to_owned(),
            force: None,
        };
        let cut = self.docker.disconnect_network(&self.network, request).await;
        cut.with_context(|| format!("cut `{}` off from the network", self.role.name()))
    }

    /// Ends the cut.
    pub(crate) async fn connect(&self) -> anyhow::Result<()> {
        let request = NetworkConnectRequest {
            container: self.container.id().to_owned(),
            endpoint_config: None,
        };
        let connected = self.docker.connect_network(&self.network, request).await;
        connected.with_context(|| format!("connect `{}` to the network", self.role.name()))
    }

    /// All that it has printed, with times.
    pub(super) async fn logs(&self) -> anyhow::Result<Vec<u8>> {
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .build();
        let mut lines = Box::pin(self.docker.logs(self.container.id(), Some(options)));
        let mut text = Vec::new();
        while let Some(line) = lines.next().await {
            let line = line.with_context(|| format!("read the log of `{}`", self.role.name()))?;
            text.extend_from_slice(&line.into_bytes());
        }
        Ok(text)
    }

    /// Removes the container and its data.
    pub(super) async fn remove(self) -> anyhow::Result<()> {
        let name = self.role.name();
        self.container
            .rm()
            .await
            .with_context(|| format!("remove `{name}`"))
    }

    async fn is_ready(&self, http: &reqwest::Client) -> bool {
        let ready = async {
            match self.role.readiness() {
                Readiness::Health(port) => {
                    let url = format!("{}/health/ready", self.url(port).await?);
                    http.get(url).send().await?.error_for_status()?;
                }
                Readiness::Answer(port) => {
                    http.get(self.url(port).await?).send().await?;
                }
                Readiness::Postgres => {
                    let command = ["pg_isready", "--quiet", "--host", "127.0.0.1"];
                    let mut asked = self.container.exec(ExecCommand::new(command)).await?;
                    asked.stdout_to_vec().await?;
                    ensure!(asked.exit_code().await? == Some(0), "not ready");
                }
            }
            anyhow::Ok(())
        };
        ready.map(|ready| ready.is_ok()).await
    }

    async fn ended(&self) -> anyhow::Error {
        let log = self.logs().await.unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let last = log.lines().last().unwrap_or("nothing");
        anyhow!("`{}` has ended; its last words: {last}", self.role.name())
    }
}
