//! The parts of the stack.

/// One container of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Postgres,
    Config1,
    Config2,
    GitServer,
    GitSync,
    Simulator,
    Location1,
    Location2,
}

/// How a part tells that it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// By `/health/ready` at this port.
    Health(u16),
    /// By any answer at this port.
    Answer(u16),
    /// By `pg_isready` over TCP; while its database is prepared it has a socket file only.
    Postgres,
}

/// The config server's ports.
pub(crate) const CONFIG_HTTP: u16 = 8500;
pub(crate) const CONFIG_GRPC: u16 = 8502;
pub(crate) const CONFIG_ADMIN: u16 = 9500;
/// The git server's port.
pub(crate) const GIT_HTTP: u16 = 8080;
/// git-sync's ports.
pub(crate) const GIT_SYNC: u16 = 8510;
pub(crate) const GIT_SYNC_ADMIN: u16 = 9510;
/// The address search's ports.
pub(crate) const LOCATION: u16 = 8520;
pub(crate) const LOCATION_ADMIN: u16 = 9520;
/// The simulator's ports.
pub(crate) const CONTROL: u16 = 8530;
pub(crate) const TMAP: u16 = 8531;
pub(crate) const NAVER: u16 = 8532;

impl Role {
    /// The config servers.
    pub(crate) const CONFIG_SERVERS: [Self; 2] = [Self::Config1, Self::Config2];

    /// The instances of the address search.
    pub(crate) const LOCATIONS: [Self; 2] = [Self::Location1, Self::Location2];

    /// Its name, in the names of containers and of logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Config1 => "config-1",
            Self::Config2 => "config-2",
            Self::GitServer => "git-server",
            Self::GitSync => "git-sync",
            Self::Simulator => "map-simulator",
            Self::Location1 => "location-1",
            Self::Location2 => "location-2",
        }
    }

    /// The name and the tag of the image that it runs.
    pub(crate) fn image(self) -> (&'static str, &'static str) {
        match self {
            Self::Postgres => ("postgres", "15"),
            Self::Config1 | Self::Config2 => ("chameleon-config-server", "dev"),
            Self::GitServer => ("chameleon-git-server", "dev"),
            Self::GitSync => ("chameleon-git-sync", "dev"),
            Self::Simulator => ("chameleon-map-simulator", "dev"),
            Self::Location1 | Self::Location2 => ("chameleon-location-service", "dev"),
        }
    }

    /// The ports that are reached from outside of the network.
    pub(crate) fn ports(self) -> &'static [u16] {
        match self {
            Self::Postgres => &[],
            Self::Config1 | Self::Config2 => &[CONFIG_HTTP, CONFIG_GRPC, CONFIG_ADMIN],
            Self::GitServer => &[GIT_HTTP],
            Self::GitSync => &[GIT_SYNC_ADMIN],
            Self::Simulator => &[CONTROL],
            Self::Location1 | Self::Location2 => &[LOCATION, LOCATION_ADMIN],
        }
    }

    /// How it tells that it is ready.
    pub(crate) fn readiness(self) -> Readiness {
        match self {
            Self::Postgres => Readiness::Postgres,
            Self::Config1 | Self::Config2 => Readiness::Health(CONFIG_ADMIN),
            Self::GitServer => Readiness::Answer(GIT_HTTP),
            Self::GitSync => Readiness::Health(GIT_SYNC_ADMIN),
            Self::Simulator => Readiness::Health(CONTROL),
            Self::Location1 | Self::Location2 => Readiness::Health(LOCATION_ADMIN),
        }
    }
}
