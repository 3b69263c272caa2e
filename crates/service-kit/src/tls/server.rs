//! A server's certificate, which follows its files.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use rustls::ServerConfig;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::files::{Contents, Loaded, TlsFiles};
use super::validity;
use crate::Lifecycle;
use crate::metrics::Registry;

/// How often the files are looked at. They are read whole each time: what Kubernetes swaps are links
/// of links, whose times and numbers tell little.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A certificate that ends so soon is warned of.
const SOON: Duration = Duration::from_hours(7 * 24);

/// What is spoken on a listener inside of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, as gRPC needs it.
    Http2,
}

/// How a server's listeners speak TLS. Clones share the certificate.
///
/// A connection keeps what it began with; those that come later get what was read last.
#[derive(Clone)]
pub struct ServerTls {
    shared: Arc<Shared>,
}

struct Shared {
    files: TlsFiles,
    current: RwLock<Current>,
    reload_failures: Counter,
}

struct Current {
    http1: Arc<ServerConfig>,
    http2: Arc<ServerConfig>,
    ends: Option<SystemTime>,
    /// What it was made of.
    contents: Arc<Contents>,
}

/// What a look at the files found, so that the same trouble is told once.
type Found = Result<Contents, String>;

impl ServerTls {
    /// Reads `files`.
    ///
    /// # Errors
    /// Names the flag and the file, and says what to do.
    pub fn load(files: TlsFiles) -> anyhow::Result<Self> {
        let contents = files.read()?;
        let current = Current::new(files.build(&contents)?, contents);
        if files.key_is_open() {
            tracing::warn!(
                "the private key in `{0}` (`--tls-key`) can be read by every user of this machine: \
                 take that away, for example by `chmod 600 {0}`",
                files.key.display()
            );
        }
        current.warn_of_its_end(&files);
        Ok(Self {
            shared: Arc::new(Shared {
                files,
                current: RwLock::new(current),
                reload_failures: Counter::default(),
            }),
        })
    }

    /// The files it follows.
    pub fn files(&self) -> &TlsFiles {
        &self.shared.files
    }

    /// What the next connection is served by.
    pub(crate) fn config(&self, protocol: Protocol) -> Arc<ServerConfig> {
        let current = self.current();
        Arc::clone(match protocol {
            Protocol::Http1 => &current.http1,
            Protocol::Http2 => &current.http2,
        })
    }

    /// Registers metrics, and follows the files as a task of `lifecycle`.
    ///
    /// What can't be used changes nothing: it is logged and counted once, when a second look finds it
    /// unchanged, because two files are rarely replaced at the same moment.
    pub fn follow(&self, registry: &Registry, lifecycle: &Lifecycle) {
        registry.register(
            "chameleon_tls_certificate_expiry_timestamp_seconds",
            "When the certificate that is served ends, in seconds since 1970",
            Expiry(self.clone()),
        );
        registry.register(
            "chameleon_tls_reload_failures",
            "Changed certificate files that could not be used; the old ones stay in force",
            self.shared.reload_failures.clone(),
        );
        let (tls, soft) = (self.clone(), lifecycle.soft());
        lifecycle.own("tls-files", async move {
            tls.look_until(soft).await;
            Ok(())
        });
    }

    async fn look_until(&self, soft: CancellationToken) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut doubtful, mut told) = (None, None);
        while soft.run_until_cancelled(ticks.tick()).await.is_some() {
            let files = self.shared.files.clone();
            let read = tokio::task::spawn_blocking(move || files.read());
            let Ok(read) = read.await else { continue };
            let found = read.map_err(|error| format!("{error:#}"));
            self.take(found, &mut doubtful, &mut told);
        }
    }

    fn take(&self, found: Found, doubtful: &mut Option<Found>, told: &mut Option<Found>) {
        let files = &self.shared.files;
        let reason = match &found {
            Ok(contents) if *contents == *self.current().contents => {
                (*doubtful, *told) = (None, None);
                return;
            }
            Ok(contents) => match files.build(contents) {
                Ok(loaded) => {
                    let Ok(contents) = found else { return };
                    let next = Current::new(loaded, contents);
                    tracing::info!(
                        "took up the changed certificate in `{}`; it serves new connections",
                        files.cert.display()
                    );
                    next.warn_of_its_end(files);
                    *(self.shared.current)
                        .write()
                        .unwrap_or_else(PoisonError::into_inner) = next;
                    (*doubtful, *told) = (None, None);
                    return;
                }
                Err(error) => format!("{error:#}"),
            },
            Err(reason) => reason.clone(),
        };
        if told.as_ref() == Some(&found) {
            return;
        }
        if doubtful.as_ref() != Some(&found) {
            *doubtful = Some(found);
            return;
        }
        self.shared.reload_failures.inc();
        tracing::warn!(
            "failed to take up changed certificate files: {reason}; the ones of before stay in force"
        );
        *told = doubtful.take();
    }

    fn current(&self) -> std::sync::RwLockReadGuard<'_, Current> {
        (self.shared.current)
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerTls")
            .field(&self.shared.files)
            .finish()
    }
}

impl Current {
    fn new(loaded: Loaded, contents: Contents) -> Self {
        let Loaded {
            config,
            certificate,
        } = loaded;
        let speaking = |name: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![name.to_vec()];
            Arc::new(config)
        };
        Self {
            http1: speaking(b"http/1.1"),
            http2: speaking(b"h2"),
            ends: validity::ends(&certificate),
            contents: Arc::new(contents),
        }
    }

    fn warn_of_its_end(&self, files: &TlsFiles) {
        let Some(ends) = self.ends else { return };
        let file = files.cert.display();
        match ends.duration_since(SystemTime::now()) {
            Err(_) => tracing::warn!(
                "the certificate in `{file}` (`--tls-cert`) has expired, so that clients refuse it: replace the file"
            ),
            Ok(left) if left < SOON => tracing::warn!(
                "the certificate in `{file}` (`--tls-cert`) expires in {} h: replace the file before",
                left.as_secs() / 3600
            ),
            Ok(_) => {}
        }
    }
}

/// Read when somebody asks for the metrics.
#[derive(Debug)]
struct Expiry(ServerTls);

impl EncodeMetric for Expiry {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let ends = self.0.current().ends;
        let since = ends.and_then(|ends| ends.duration_since(UNIX_EPOCH).ok());
        encoder.encode_gauge(&since.map_or(0.0, |since| since.as_secs_f64()))
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

#[cfg(test)]
mod tests {
    use test_kit::tls::{Authority, Issued};

    use super::*;

    struct Rig {
        folder: tempfile::TempDir,
        tls: ServerTls,
        doubtful: Option<Found>,
        told: Option<Found>,
    }

    impl Rig {
        fn new(issued: &Issued) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (cert, key) = issued.write(folder.path(), "server");
            let client_ca = None;
            let files = TlsFiles {
                cert,
                key,
                client_ca,
            };
            Self {
                folder,
                tls: ServerTls::load(files).unwrap(),
                doubtful: None,
                told: None,
            }
        }

        /// Looks once, and says whether another certificate is in force now.
        fn look(&mut self) -> bool {
            let before = self.tls.config(Protocol::Http2);
            let found = self.tls.files().read();
            let found = found.map_err(|error| format!("{error:#}"));
            (self.tls).take(found, &mut self.doubtful, &mut self.told);
            !Arc::ptr_eq(&before, &self.tls.config(Protocol::Http2))
        }

        fn failures(&self) -> u64 {
            self.tls.shared.reload_failures.get()
        }
    }

    #[test]
    fn each_listener_offers_what_it_speaks() {
        let rig = Rig::new(&Authority::new("ours").server(&["a"]));
        let offered = |protocol| rig.tls.config(protocol).alpn_protocols.clone();
        assert_eq!(offered(Protocol::Http1), [b"http/1.1".to_vec()]);
        assert_eq!(offered(Protocol::Http2), [b"h2".to_vec()]);
    }

    #[test]
    fn a_changed_pair_is_taken_up_at_once() {
        let authority = Authority::new("ours");
        let mut rig = Rig::new(&authority.expired_server(&["a"]));
        assert!(!rig.look());
        let before = rig.tls.current().ends;
        authority.server(&["a"]).write(rig.folder.path(), "server");
        assert!(rig.look() && !rig.look());
        assert!(rig.tls.current().ends > before);
        assert_eq!(rig.failures(), 0);
    }

    #[test]
    fn half_a_change_is_waited_for_and_a_broken_one_told_once() {
        let authority = Authority::new("ours");
        let mut rig = Rig::new(&authority.server(&["a"]));
        let next = authority.server(&["a"]);
        std::fs::write(&rig.tls.files().cert, &next.certificate).unwrap();
        assert!(!rig.look());
        assert_eq!(rig.failures(), 0);
        std::fs::write(&rig.tls.files().key, &next.key).unwrap();
        assert!(rig.look());

        for broken in ["not PEM", ""] {
            std::fs::write(&rig.tls.files().cert, broken).unwrap();
            let before = rig.failures();
            assert!(!rig.look() && !rig.look() && !rig.look() && !rig.look());
            assert_eq!(rig.failures(), before + 1);
        }
        std::fs::remove_file(&rig.tls.files().key).unwrap();
        assert!(!rig.look() && !rig.look() && !rig.look());
        assert_eq!(rig.failures(), 3);
        // What it was before is no change, and the next trouble is told again.
        next.write(rig.folder.path(), "server");
        assert!(!rig.look());
        std::fs::write(&rig.tls.files().cert, "").unwrap();
        assert!(!rig.look() && !rig.look());
        assert_eq!(rig.failures(), 4);
    }
}
