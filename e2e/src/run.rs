//! What tells one run from another: its names and its secrets.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use futures::future::join_all;
use testcontainers::bollard::Docker;
use testcontainers::bollard::query_parameters::{
    ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
};
use uuid::Uuid;

use crate::cure::Cure;
use crate::stack::Role;

/// One run of this program. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Run(Arc<Inner>);

struct Inner {
    docker: Docker,
    id: String,
    network: String,
    token: String,
    password: String,
    folder: PathBuf,
    without: Option<Cure>,
}

/// The files of [`Run::secrets`].
pub(crate) const TOKEN_FILE: &str = "token";
pub(crate) const WEBHOOK_FILE: &str = "webhook";

impl Run {
    /// The label of every container that we start; its value is the run's id.
    pub(crate) const LABEL: &str = "io.chameleon.e2e";

    /// A run whose secrets are files below `folder`; [`sweep`](Self::sweep) removes them.
    pub(crate) fn new(
        docker: Docker,
        folder: &Path,
        without: Option<Cure>,
    ) -> anyhow::Result<Self> {
        let mut id = Uuid::new_v4().simple().to_string();
        id.truncate(8);
        let secret = || Uuid::new_v4().simple().to_string();
        let run = Self(Arc::new(Inner {
            docker,
            network: format!("chameleon-e2e-{id}"),
            folder: folder.join(format!("run-{id}")),
            id,
            token: secret(),
            password: secret(),
            without,
        }));
        run.write_secrets(&secret())
            .with_context(|| format!("write into `{}`", run.0.folder.display()))?;
        Ok(run)
    }

    pub(crate) fn docker(&self) -> &Docker {
        &self.0.docker
    }

    pub(crate) fn id(&self) -> &str {
        &self.0.id
    }

    /// The network's name.
    pub(crate) fn network(&self) -> &str {
        &self.0.network
    }

    /// The name by which the container of `role` is found in the network.
    pub(crate) fn host(&self, role: Role) -> String {
        format!("{}-{}", self.0.network, role.name())
    }

    /// The token that the config servers ask for.
    pub(crate) fn token(&self) -> &str {
        &self.0.token
    }

    /// The folder of secrets that containers share.
    pub(crate) fn secrets(&self) -> PathBuf {
        self.0.folder.join("secrets")
    }

    /// The database's password.
    pub(crate) fn password(&self) -> &str {
        &self.0.password
    }

    /// Says whether everything is to be done without `cure`.
    pub(crate) fn lacks(&self, cure: Cure) -> bool {
        self.0.without == Some(cure)
    }

    /// Removes whatever there still is of this run, such as a container whose start was cut short.
    ///
    /// # Errors
    /// If Docker does not answer; with the command that removes the rest by hand.
    pub(crate) async fn sweep(&self) -> anyhow::Result<()> {
        let by_hand = || format!("remove what is left, or do so by `{}`", self.removal());
        self.remove_all().await.with_context(by_hand)
    }

    /// The command that removes this run's containers, network and files.
    pub(crate) fn removal(&self) -> String {
        let filter = format!("label={}={}", Self::LABEL, self.id());
        format!(
            "docker rm --force --volumes $(docker ps --all --quiet --filter {filter}); \
             docker network rm {}; rm -r {}",
            self.network(),
            self.0.folder.display()
        )
    }

    /// Nobody else on this machine gets into the outer folder. The inner one is what the containers
    /// see, where their user is another one.
    fn write_secrets(&self, webhook: &str) -> std::io::Result<()> {
        let secrets = self.secrets();
        std::fs::create_dir_all(&secrets)?;
        std::fs::set_permissions(&self.0.folder, Permissions::from_mode(0o700))?;
        std::fs::set_permissions(&secrets, Permissions::from_mode(0o755))?;
        for (file, text) in [(TOKEN_FILE, self.token()), (WEBHOOK_FILE, webhook)] {
            let path = secrets.join(file);
            std::fs::write(&path, text)?;
            std::fs::set_permissions(&path, Permissions::from_mode(0o644))?;
        }
        Ok(())
    }

    async fn remove_all(&self) -> anyhow::Result<()> {
        let label = format!("{}={}", Self::LABEL, self.id());
        let filters = [("label", vec![label.as_str()])].into();
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        let left = self.docker().list_containers(Some(options)).await?;
        let remove = left
            .iter()
            .filter_map(|container| container.id.as_deref())
            .map(|id| {
                let options = RemoveContainerOptionsBuilder::new()
                    .force(true)
                    .v(true)
                    .build();
                self.docker().remove_container(id, Some(options))
            });
        for removed in join_all(remove).await {
            removed?;
        }
        if self
            .docker()
            .inspect_network(self.network(), None)
            .await
            .is_ok()
        {
            self.docker().remove_network(self.network()).await?;
        }
        match std::fs::remove_dir_all(&self.0.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}
