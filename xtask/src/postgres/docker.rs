//! A server in a container.

use anyhow::Context as _;
use testcontainers::core::wait::LogWaitStrategy;
use testcontainers::core::{IntoContainerPort as _, WaitFor};
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, GenericImage, ImageExt as _};

use super::{Durability, Kind, SETTINGS, Server, password};

const IMAGE: &str = "postgres";
const TAG: &str = "17-alpine";

pub(crate) type Container = ContainerAsync<GenericImage>;

/// Starts a server in a container, on a loopback port that Docker chooses.
///
/// # Errors
/// If Docker does not answer, or the image can neither be found nor fetched.
pub(crate) async fn start(durability: Durability) -> anyhow::Result<Server> {
    let password = password()?;
    let mut command = vec!["postgres"];
    for setting in SETTINGS.iter().chain(durability.settings()) {
        command.extend(["-c", setting]);
    }
    // It says so twice: first for the private server that prepares the database.
    let ready = LogWaitStrategy::stdout_or_stderr("database system is ready to accept connections")
        .with_times(2);
    let container = GenericImage::new(IMAGE, TAG)
        .with_exposed_port(5432.tcp())
        .with_wait_for(WaitFor::log(ready))
        .with_env_var("POSTGRES_PASSWORD", &password)
        .with_cmd(command)
        .start()
        .await
        .with_context(|| format!("start a container of `{IMAGE}:{TAG}`"))?;
    let host = container.get_host().await.context("find the container")?;
    let port = container
        .get_host_port_ipv4(5432)
        .await
        .context("find the container's port")?;
    Ok(Server {
        url: format!("postgres://postgres:{password}@{host}:{port}/postgres?sslmode=disable"),
        origin: format!("{IMAGE}:{TAG} in a container"),
        kind: Kind::Docker(Box::new(container)),
    })
}
