//! The servers that are tried in turn, and the connections to them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use chameleon_proto::v1::audit_client::AuditClient;
use chameleon_proto::v1::config_client::ConfigClient;
use chameleon_proto::v1::tokens_client::TokensClient;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use super::error::Failure;
use super::tls::{Connector, Trouble};
use super::{ApiError, ApiSettings, Tls, Token};

/// How often all servers are tried before a call gives up.
const ROUNDS: usize = 3;
/// An idle or silent connection is asked for a sign of life so often, and given so long to answer.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest message taken: a long history or a difference is one message.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// The configured servers; the one that answered last is asked first.
#[derive(Debug)]
pub(super) struct Servers {
    all: Vec<Server>,
    preferred: AtomicUsize,
    token: Option<Token>,
    call_timeout: Duration,
    connect_timeout: Duration,
}

#[derive(Debug)]
struct Server {
    address: String,
    endpoint: Endpoint,
    /// For an `https://` address.
    tls: Option<Tls>,
    trouble: Trouble,
    // Made at the first call, because a channel needs the runtime that it will run on.
    channel: OnceLock<Channel>,
}

impl Servers {
    pub(super) fn new(settings: ApiSettings) -> Result<Self, ApiError> {
        let all: Vec<_> = (settings.servers.iter())
            .map(|address| Server::new(address, &settings.tls, settings.connect_timeout))
            .collect::<Result<_, _>>()?;
        if all.is_empty() {
            return Err(ApiError::NoServers);
        }
        Ok(Self {
            all,
            preferred: AtomicUsize::new(0),
            token: settings.token,
            call_timeout: settings.call_timeout,
            connect_timeout: settings.connect_timeout,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn addresses(&self) -> Vec<String> {
        (self.all.iter())
            .map(|server| server.address.clone())
            .collect()
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// The server that answered last.
    pub(super) fn preferred(&self) -> usize {
        self.preferred.load(Ordering::Relaxed)
    }

    pub(super) fn prefer(&self, index: usize) {
        self.preferred.store(index, Ordering::Relaxed);
    }

    /// A try at server `index`, counted around.
    pub(super) async fn attempt(&self, index: usize) -> Result<Try, ApiError> {
        let token = match &self.token {
            None => None,
            Some(token) => Some(token.header().await?),
        };
        let server = &self.all[index % self.all.len()];
        let channel = server.channel.get_or_init(|| match &server.tls {
            None => server.endpoint.connect_lazy(),
            Some(tls) => (server.endpoint).connect_with_connector_lazy(Connector {
                tls: tls.clone(),
                trouble: server.trouble.clone(),
            }),
        });
        let client = ConfigClient::new(channel.clone());
        Ok(Try {
            client: client.max_decoding_message_size(MAX_MESSAGE_BYTES),
            tokens: TokensClient::new(channel.clone()),
            audit: AuditClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES),
            server: server.address.clone(),
            trouble: server.trouble.clone(),
            token,
        })
    }

    /// Makes a call at one server after the other until one answers.
    ///
    /// Servers that are not there are tried for a few rounds; one that answers that it is
    /// unavailable is passed over, and the round ends the call.
    pub(super) async fn call<M, T, F>(
        &self,
        limit: Option<Duration>,
        message: M,
        call: impl Fn(Try, M) -> F,
    ) -> Result<T, ApiError>
    where
        M: Clone,
        F: Future<Output = Result<T, Failure>>,
    {
        let limit = limit.unwrap_or(self.call_timeout);
        let deadline = Instant::now() + limit;
        let mut pauses = pauses();
        let mut failure = Failure::TimedOut;
        for round in 0..ROUNDS {
            if round > 0 {
                sleep(pauses.next().unwrap_or_default()).await;
            }
            let first = self.preferred();
            let mut unavailable = None;
            for offset in 0..self.len() {
                let index = (first + offset) % self.len();
                let is_last = offset + 1 == self.len();
                let now = Instant::now();
                if now >= deadline {
                    return Err(failure.into_error(self.addresses(), limit));
                }
                // A silent server must leave time for asking the next one.
                let until = if is_last {
                    deadline
                } else {
                    now + (deadline - now) / 2
                };
                let attempt = self.attempt(index).await?;
                match timeout_at(until, call(attempt, message.clone())).await {
                    Ok(Ok(answer)) => {
                        self.prefer(index);
                        return Ok(answer);
                    }
                    Ok(Err(Failure::Final(error))) => return Err(error),
                    Ok(Err(Failure::Unavailable(message))) => unavailable = Some(message),
                    Ok(Err(other)) => failure = other.because_of(&self.all[index].trouble),
                    Err(_) => failure = Failure::TimedOut,
                }
            }
            if let Some(message) = unavailable {
                return Err(ApiError::Unavailable(message));
            }
        }
        Err(failure.into_error(self.addresses(), limit))
    }
}

/// One try at one server.
#[derive(Debug)]
pub(super) struct Try {
    pub(super) client: ConfigClient<Channel>,
    pub(super) tokens: TokensClient<Channel>,
    pub(super) audit: AuditClient<Channel>,
    pub(super) server: String,
    pub(super) trouble: Trouble,
    token: Option<MetadataValue<Ascii>>,
}

impl Try {
    /// A request that carries the token.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        request
    }
}

impl Server {
    fn new(address: &str, tls: &Tls, connect_timeout: Duration) -> Result<Self, ApiError> {
        let wrong = |reason: &str| ApiError::Address {
            address: address.to_owned(),
            reason: reason.to_owned(),
        };
        let full = if address.contains("://") {
            address.to_owned()
        } else {
            format!("http://{address}")
        };
        let expected = "is no address; write it like `http://127.0.0.1:8502`";
        let endpoint = Endpoint::from_shared(full.clone()).map_err(|_| wrong(expected))?;
        let tls = match endpoint.uri().scheme_str() {
            Some("http") => None,
            Some("https") => Some(tls.clone()),
            _ => return Err(wrong(expected)),
        };
        if endpoint.uri().host().is_none() {
            return Err(wrong(expected));
        }
        // Read again for each connection; here so that what can't work is told at once.
        tls.as_ref().map(Tls::config).transpose()?;
        let agent = concat!("chameleon-client/", env!("CARGO_PKG_VERSION"));
        let endpoint = (endpoint.user_agent(agent))
            .map_err(|_| wrong(expected))?
            .connect_timeout(connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        Ok(Self {
            address: full,
            endpoint,
            tls,
            trouble: Trouble::default(),
            channel: OnceLock::new(),
        })
    }
}

/// Growing pauses with jitter, without end.
pub(super) fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(5))
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_before_anything_is_sent() {
        for address in [
            "http://config-1:8502",
            "127.0.0.1:8502",
            "http://[::1]:8502/",
        ] {
            assert!(
                Server::new(address, &Tls::new(), Duration::ZERO).is_ok(),
                "{address}"
            );
        }
        for (address, message) in [
            (
                "ftp://config",
                "server `ftp://config`: is no address; write it like `http://127.0.0.1:8502`",
            ),
            (
                "a b",
                "server `a b`: is no address; write it like `http://127.0.0.1:8502`",
            ),
        ] {
            let error = Server::new(address, &Tls::new(), Duration::ZERO).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        let error = Servers::new(ApiSettings::default()).unwrap_err();
        assert!(matches!(error, ApiError::NoServers));
    }

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let pauses: Vec<_> = pauses().take(12).collect();
        assert!(pauses[0] >= Duration::from_millis(50) && pauses[0] < Duration::from_millis(200));
        assert!(pauses[11] >= Duration::from_secs(5) && pauses[11] <= Duration::from_secs(10));
    }
}
