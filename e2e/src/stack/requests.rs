//! What each container is made of.

use testcontainers::core::{AccessMode, IntoContainerPort as _, Mount};
use testcontainers::{ContainerRequest, GenericImage, ImageExt as _};

use super::role::{CONFIG_GRPC, GIT_HTTP, GIT_SYNC, NAVER, Role, TMAP};
use crate::cure::Cure;
use crate::run::{Run, TOKEN_FILE, WEBHOOK_FILE};

/// The git source's name.
pub(crate) const SOURCE: &str = "config";

/// The repository's path at the git server.
pub(super) const REPOSITORY: &str = "/config.git";

/// A port that nobody listens at.
const NOBODY: u16 = 9;

/// Where the secrets are in each container.
const SECRETS: &str = "/run/secrets";

type Request = ContainerRequest<GenericImage>;

/// The request for the container of `role`.
pub(super) fn request(run: &Run, role: Role) -> Request {
    let request = labelled(run, role);
    match role {
        Role::Postgres => postgres(run, request),
        Role::Config1 | Role::Config2 => config_server(run, request),
        Role::GitServer => git_server(run, request),
        Role::GitSync => git_sync(run, request),
        Role::Simulator => sealed(request),
        Role::Location1 | Role::Location2 => location(run, role, request),
    }
}

fn labelled(run: &Run, role: Role) -> Request {
    let (name, tag) = role.image();
    let image = GenericImage::new(name, tag);
    let image =
        (role.ports().iter()).fold(image, |image, port| image.with_exposed_port(port.tcp()));
    image
        .with_container_name(run.host(role))
        .with_network(run.network())
        .with_label(Run::LABEL, run.id())
}

fn postgres(run: &Run, request: Request) -> Request {
    request
        .with_env_var("POSTGRES_USER", "chameleon")
        .with_env_var("POSTGRES_DB", "chameleon")
        .with_env_var("POSTGRES_PASSWORD", run.password())
}

fn config_server(run: &Run, request: Request) -> Request {
    let database = run.host(Role::Postgres);
    let store = format!(
        "postgres://chameleon:{}@{database}:5432/chameleon?sslmode=disable",
        run.password()
    );
    with_secrets(run, sealed(request))
        .with_env_var("CHAMELEON_STORE", store)
        .with_env_var(
            "CHAMELEON_BOOTSTRAP_TOKEN_FILE",
            format!("{SECRETS}/{TOKEN_FILE}"),
        )
}

fn git_server(run: &Run, request: Request) -> Request {
    let git_sync = run.host(Role::GitSync);
    let port = if run.lacks(Cure::Webhook) {
        NOBODY
    } else {
        GIT_SYNC
    };
    with_secrets(run, request)
        .with_env_var(
            "WEBHOOK_URL",
            format!("http://{git_sync}:{port}/webhook/github/{SOURCE}"),
        )
        .with_env_var("WEBHOOK_SECRET_FILE", format!("{SECRETS}/{WEBHOOK_FILE}"))
        .with_env_var("SOURCE", SOURCE)
        .with_env_var("CHAMELEON_SERVER", servers(run))
}

fn git_sync(run: &Run, request: Request) -> Request {
    let git_server = run.host(Role::GitServer);
    let poll_interval = if run.lacks(Cure::Poll) { "1h" } else { "2s" };
    with_secrets(run, sealed(request))
        .with_env_var("CHAMELEON_SERVER", servers(run))
        .with_env_var("CHAMELEON_SOURCE", SOURCE)
        .with_env_var(
            "CHAMELEON_WEBHOOK_SECRET_FILE",
            format!("{SECRETS}/{WEBHOOK_FILE}"),
        )
        .with_env_var(
            "CHAMELEON_REPOSITORY",
            format!("http://{git_server}:{GIT_HTTP}{REPOSITORY}"),
        )
        .with_env_var("CHAMELEON_POLL_INTERVAL", poll_interval)
}

fn location(run: &Run, role: Role, request: Request) -> Request {
    let simulator = run.host(Role::Simulator);
    with_secrets(run, sealed(request))
        .with_env_var("CHAMELEON_SERVER", servers(run))
        .with_env_var("CHAMELEON_PROFILE", "prod")
        .with_env_var("CHAMELEON_INSTANCE_ID", role.name())
        .with_env_var("APP_TMAP_URL", format!("http://{simulator}:{TMAP}"))
        .with_env_var("APP_TMAP_KEY", "simulated")
        .with_env_var("APP_NAVER_URL", format!("http://{simulator}:{NAVER}"))
        .with_env_var("APP_NAVER_ID", "simulated")
        .with_env_var("APP_NAVER_SECRET", "simulated")
}

/// The config servers that everybody knows, as a flag takes them.
fn servers(run: &Run) -> String {
    let all = Role::CONFIG_SERVERS;
    let known = if run.lacks(Cure::SecondServer) {
        &all[..1]
    } else {
        &all
    };
    let addresses =
        (known.iter()).map(|server| format!("http://{}:{CONFIG_GRPC}", run.host(*server)));
    addresses.collect::<Vec<_>>().join(",")
}

/// Our own images need nothing that they could write to or gain.
fn sealed(request: Request) -> Request {
    request
        .with_readonly_rootfs(true)
        .with_cap_drop("ALL")
        .with_security_opt("no-new-privileges")
}

fn with_secrets(run: &Run, request: Request) -> Request {
    let secrets = run.secrets().display().to_string();
    let mount = Mount::bind_mount(secrets, SECRETS).with_access_mode(AccessMode::ReadOnly);
    request
        .with_mount(mount)
        .with_env_var("CHAMELEON_TOKEN_FILE", format!("{SECRETS}/{TOKEN_FILE}"))
}
