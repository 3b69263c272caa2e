//! The one way to make an HTTP client: with time limits, our TLS provider and no redirects.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::redirect::Policy;

use crate::tls;

/// Connections to one host that are kept open while nobody uses them.
const IDLE_PER_HOST: usize = 32;
/// Below the 60 s after which common load balancers close idle connections.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// What differs between the HTTP clients of our processes.
#[derive(Clone, Debug)]
pub struct HttpClientSettings {
    /// Sent with every request, such as `git-sync/0.1.0`.
    pub user_agent: String,
    /// Time for DNS, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Time for a whole request, from connecting to the last byte of the body.
    pub timeout: Duration,
}

impl HttpClientSettings {
    /// Settings for a client that names itself `user_agent`: 1 s to connect, 10 s in all.
    pub fn new(user_agent: impl Into<String>) -> Self {
        Self {
            user_agent: user_agent.into(),
            connect_timeout: Duration::from_secs(1),
            timeout: Duration::from_secs(10),
        }
    }
}

/// Makes a client that never follows redirects, so that no header reaches a host we did not name.
///
/// On a machine without any certificate authority the client is made all the same, with a warning:
/// plain HTTP works, and an HTTPS request fails with `UnknownIssuer`.
///
/// # Errors
/// If the user agent is not a valid header value, or TLS cannot be set up.
pub fn new(settings: &HttpClientSettings) -> anyhow::Result<reqwest::Client> {
    tls::install_provider();
    let failed = match builder(settings).build() {
        Ok(client) => return Ok(client),
        Err(error) => error,
    };
    // The platform's verifier is only refused if it found no certificate authority at all.
    let client = builder(settings)
        .tls_certs_only([])
        .build()
        .with_context(|| format!("set up the HTTP client `{}`", settings.user_agent))?;
    tracing::warn!(
        "HTTPS requests will fail: {:#}",
        anyhow::Error::new(failed).context("load the system's certificate authorities")
    );
    Ok(client)
}

/// Makes a client that trusts whom `tls` says.
pub(crate) fn with_tls(
    settings: &HttpClientSettings,
    tls: rustls::ClientConfig,
) -> anyhow::Result<reqwest::Client> {
    (builder(settings).tls_backend_preconfigured(tls).build())
        .with_context(|| format!("set up the HTTP client `{}`", settings.user_agent))
}

fn builder(settings: &HttpClientSettings) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(&settings.user_agent)
        .redirect(Policy::none())
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.timeout)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .tcp_nodelay(true)
}
