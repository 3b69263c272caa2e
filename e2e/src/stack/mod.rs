//! The whole platform on one Docker network, from images that are there already.

mod part;
mod requests;
mod role;
mod view;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use futures::future::join_all;
use service_kit::http_client::{self, HttpClientSettings};
use test_kit::eventually;

use crate::cure::Cure;
use crate::engineer::Engineer;
use crate::run::Run;
use crate::seed;
use crate::story::Story;
use part::Part;
pub(crate) use requests::SOURCE;
pub(crate) use role::Role;
use role::{CONFIG_HTTP, GIT_HTTP, LOCATION};

/// The running parts.
pub(crate) struct Stack {
    run: Run,
    http: reqwest::Client,
    parts: BTreeMap<Role, Part>,
}

impl Stack {
    /// A stack without any part yet.
    pub(crate) fn new(run: &Run) -> anyhow::Result<Self> {
        Ok(Self {
            run: run.clone(),
            http: http_client::new(&HttpClientSettings::new("chameleon-e2e"))?,
            parts: BTreeMap::new(),
        })
    }

    /// Starts all parts, each as soon as what it needs is there, and pushes the first configuration.
    ///
    /// # Errors
    /// With what a part has said last; the parts that were started are still there, with their logs.
    pub(crate) async fn start(&mut self, story: &Story) -> anyhow::Result<()> {
        self.bring(&[Role::Postgres, Role::GitServer, Role::Simulator])
            .await?;
        self.bring(&Role::CONFIG_SERVERS).await?;
        self.bring(&[Role::GitSync]).await?;
        story.tell("Postgres, two config-servers, git server and git-sync run");
        self.restore_configuration().await?;
        self.bring(&Role::LOCATIONS).await?;
        story.tell("two instances of the address search have their configuration");
        Ok(())
    }

    /// Brings everything to where a scenario begins: the first configuration in force everywhere.
    pub(crate) async fn settle(&self) -> anyhow::Result<()> {
        self.restore_configuration().await?;
        self.shares_become(100.0, 0.0).await;
        Ok(())
    }

    /// A running part.
    pub(crate) fn part(&self, role: Role) -> anyhow::Result<&Part> {
        let part = self.parts.get(&role);
        part.with_context(|| format!("`{}` was not started", role.name()))
    }

    /// Says whether this stack was made without `cure`.
    pub(crate) fn lacks(&self, cure: Cure) -> bool {
        self.run.lacks(cure)
    }

    /// An engineer with a fresh clone of the configuration's repository.
    pub(crate) async fn engineer(&self, name: &str) -> anyhow::Result<Engineer> {
        let server = self.part(Role::GitServer)?.url(GIT_HTTP).await?;
        Engineer::with_clone(name, &format!("{server}{}", requests::REPOSITORY)).await
    }

    /// The text of the vendors' file that this stack begins with.
    pub(crate) fn vendors(&self) -> &'static str {
        seed::vendors(&self.run)
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Writes what every part has printed into `folder`; where that fails, it is why.
    pub(crate) async fn keep_logs(&self, folder: &Path) -> anyhow::Result<()> {
        for (role, part) in &self.parts {
            let path = folder.join(format!("{}.log", role.name()));
            let log = part.logs().await;
            let log = log.unwrap_or_else(|error| format!("{error:#}\n").into_bytes());
            std::fs::write(&path, log).with_context(|| format!("write `{}`", path.display()))?;
        }
        Ok(())
    }

    /// Removes all containers; their network goes with the last one.
    ///
    /// What cannot be removed is told, and left to [`Run::sweep`].
    pub(crate) async fn remove(self) {
        for removed in join_all(self.parts.into_values().map(Part::remove)).await {
            if let Err(error) = removed {
                eprintln!("warning: failed to {error:#}");
            }
        }
    }

    /// Leaves the containers as they are; returns how to reach them.
    pub(crate) async fn leave(self) -> String {
        let mut lines = Vec::new();
        for (role, port) in [
            (Role::Config1, CONFIG_HTTP),
            (Role::Config2, CONFIG_HTTP),
            (Role::GitServer, GIT_HTTP),
            (Role::Location1, LOCATION),
            (Role::Location2, LOCATION),
        ] {
            if let Ok(url) = async { self.part(role)?.url(port).await }.await {
                lines.push(format!("{:<14} {url}", role.name()));
            }
        }
        lines.push(format!("{:<14} {}", "token", self.run.token()));
        // Dropping them would remove them.
        std::mem::forget(self.parts);
        lines.join("\n")
    }

    fn run(&self) -> &Run {
        &self.run
    }

    async fn bring(&mut self, roles: &[Role]) -> anyhow::Result<()> {
        let start = |role: &Role| {
            let request = requests::request(&self.run, *role);
            Part::start(*role, request, self.run.network(), self.run.docker())
        };
        let started = join_all(roles.iter().map(start)).await;
        let mut failed = None;
        for (role, part) in roles.iter().zip(started) {
            match part {
                Ok(part) => drop(self.parts.insert(*role, part)),
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        for role in roles {
            self.part(*role)?.until_ready(&self.http).await?;
        }
        Ok(())
    }

    /// Pushes the first configuration, unless it is the newest, and waits until it is applied.
    async fn restore_configuration(&self) -> anyhow::Result<()> {
        let engineer = self.engineer("Base").await?;
        seed::write(engineer.folder(), &self.run)?;
        if engineer
            .commit("Begin with all searches at vendor A")
            .await?
            .is_some()
        {
            let pushed = engineer.push(&[]).await?;
            pushed.map_err(|refused| anyhow::anyhow!("git refused the push: {}", refused.0))?;
        }
        let head = engineer.head().await?;
        eventually(
            "the first configuration is applied on both servers",
            async || {
                for server in Role::CONFIG_SERVERS {
                    let source = self.source(server).await.ok()?;
                    if source.commit.is_none_or(|commit| *commit.0 != *head) {
                        return None;
                    }
                }
                Some(())
            },
        )
        .await;
        Ok(())
    }
}
