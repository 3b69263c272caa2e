//! Connections that were not taken: why, how many, and a word in the log now and then.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use rustls::{AlertDescription, CertificateError, Error};
use tokio::time::Instant;

use crate::metrics::Registry;

/// How long at least between two lines in the log about refused connections of one listener.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Counts the refused connections of all listeners of a process.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Family<Labels, Counter>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    listener: &'static str,
    reason: &'static str,
}

impl Refusals {
    /// Registers the metric.
    pub fn new(registry: &Registry) -> Self {
        let refusals = Self::default();
        registry.register(
            "chameleon_connections_refused",
            "Connections that were closed before a request: too many of one address, or no TLS handshake",
            refusals.0.clone(),
        );
        refusals
    }

    pub(super) fn count(&self, listener: &'static str, refusal: &Refusal) {
        let reason = refusal.name();
        let labels = Labels { listener, reason };
        self.0.get_or_create(&labels).inc();
    }
}

/// Why a connection was not taken.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The address has all the connections that it may have.
    TooManyOfPeer,
    /// The client did not end the handshake in time.
    Slow,
    /// The client does not speak TLS.
    NotTls,
    /// The client showed no certificate.
    NoCertificate,
    /// The client showed a certificate that is not good here.
    Certificate(CertificateError),
    /// The client does not like the server's certificate, or says so.
    Alert(AlertDescription),
    /// The client went away.
    Gone,
    /// Anything else that TLS knows.
    Handshake(String),
}

impl Refusal {
    /// What a failed handshake was about.
    pub(super) fn of(error: &std::io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
        match tls {
            Some(Error::NoCertificatesPresented) => Self::NoCertificate,
            Some(Error::InvalidCertificate(error)) => Self::Certificate(error.clone()),
            Some(Error::AlertReceived(alert)) => Self::Alert(*alert),
            None => Self::Gone,
            Some(error) => Self::Handshake(error.to_string()),
        }
    }

    /// Its name in metrics.
    fn name(&self) -> &'static str {
        match self {
            Self::TooManyOfPeer => "too_many_of_peer",
            Self::Slow => "slow_handshake",
            Self::NotTls => "not_tls",
            Self::NoCertificate => "no_client_certificate",
            Self::Certificate(_) => "client_certificate",
            Self::Alert(_) => "client_alert",
            Self::Gone => "gone",
            Self::Handshake(_) => "handshake",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyOfPeer => f.write_str("its address has all that one may have"),
            Self::Slow => f.write_str("the TLS handshake did not end in time"),
            Self::NotTls => f.write_str("it does not speak TLS; its client has to use `https://`"),
            Self::NoCertificate => {
                f.write_str("it shows no client certificate, which `--tls-client-ca` asks for")
            }
            Self::Certificate(error) => {
                let error = Error::InvalidCertificate(error.clone());
                write!(f, "its client certificate is not good here: {error}")
            }
            Self::Alert(AlertDescription::UnknownCA) => {
                f.write_str("it does not know the CA of the server's certificate")
            }
            Self::Alert(alert) => write!(f, "its TLS ended with the alert {alert:?}"),
            Self::Gone => f.write_str("it went away during the TLS handshake"),
            Self::Handshake(error) => write!(f, "the TLS handshake failed: {error}"),
        }
    }
}

/// Keeps the log short while many are refused.
#[derive(Debug, Default)]
pub(super) struct Teller {
    last: Option<Instant>,
    untold: u64,
}

impl Teller {
    /// How many were not told since the last that was; `None` if this one should not be either.
    pub(super) fn may_tell(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self.last.is_some_and(|last| now - last < TELL_EVERY) {
            self.untold += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_told_now_and_then_with_its_size() {
        let mut teller = Teller::default();
        assert_eq!(teller.may_tell(), Some(0));
        for _ in 0..1_000 {
            assert_eq!(teller.may_tell(), None);
        }
        tokio::time::advance(TELL_EVERY).await;
        assert_eq!(teller.may_tell(), Some(1_000));
        assert_eq!(teller.may_tell(), None);
    }
}
