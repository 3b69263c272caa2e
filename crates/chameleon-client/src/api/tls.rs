//! Connections within TLS, whose files are read anew for each, and whose failures say what to do.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use hyper_util::rt::TokioIo;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, Error, InvalidMessage, RootCertStore,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::Uri;
use tower::Service;

use super::ApiError;

/// How servers with an `https://` address are trusted, and what is shown to them.
///
/// The files are read anew for every connection, so that renewed ones need no restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    ca_file: Option<PathBuf>,
    certificate: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// Trusts the CAs of the system, and shows no certificate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the CA certificates of a PEM file instead of the system's.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Shows the certificate of one PEM file, with the private key of another, to servers that ask.
    #[must_use]
    pub fn certificate(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.certificate = Some((cert.into(), key.into()));
        self
    }

    /// The same from what flags say; each part may be left out.
    pub fn from_files(ca_file: Option<PathBuf>, certificate: Option<(PathBuf, PathBuf)>) -> Self {
        Self {
            ca_file,
            certificate,
        }
    }

    /// Reads the files.
    pub(super) fn config(&self) -> Result<ClientConfig, ApiError> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| ApiError::Tls(error.to_string()))?;
        let roots = match &self.ca_file {
            Some(path) => Arc::new(roots_of(path)?),
            None => system_roots(),
        };
        if roots.is_empty() {
            return Err(ApiError::Tls(
                "this system has no CA certificates; name the servers' CA by `--ca-file`"
                    .to_owned(),
            ));
        }
        let verifier: Arc<dyn ServerCertVerifier> =
            WebPkiServerVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(|error| ApiError::Tls(error.to_string()))?;
        let builder = builder
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &self.certificate {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let chain = certificates(cert)?;
                let secret = read(key)?;
                let secret = PrivateKeyDer::from_pem_slice(&secret).map_err(|_| {
                    file(key, "holds no private key: it has to be PEM, unencrypted")
                })?;
                builder
                    .with_client_auth_cert(chain, secret)
                    .map_err(|error| {
                        let reason = format!(
                            "is no certificate for the key in `{}`: {error}",
                            key.display()
                        );
                        file(cert, &reason)
                    })?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

/// Connects to a server, within TLS.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    pub(super) tls: Tls,
    pub(super) trouble: Trouble,
}

/// Why TLS broke the newest connection after its handshake. The request that meets it is told only that
/// the connection is closed, if the server's word came before the request.
#[derive(Clone, Debug, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    pub(super) fn get(&self) -> Option<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Secured>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { tls, trouble } = self.clone();
        Box::pin(async move {
            *trouble.lock() = None;
            connect(tls, trouble, &uri).await.map(TokioIo::new)
        })
    }
}

async fn connect(tls: Tls, trouble: Trouble, uri: &Uri) -> io::Result<Secured> {
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(443);
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    // Files, and at the first time the system's whole list of CAs.
    let config = tokio::task::spawn_blocking(move || tls.config());
    let config = config.await.map_err(io::Error::other)?;
    let config = config.map_err(|error| io::Error::other(told(&error)))?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    connecting
        .await
        .map(|stream| Secured { stream, trouble })
        .map_err(|error| explained(&error, host))
}

/// With its cause: who gets it as a cause himself looks no deeper.
fn told(error: &ApiError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// A connection whose failures are told in words that help: a server refuses a client's certificate
/// only after the client's handshake is done.
#[derive(Debug)]
pub(super) struct Secured {
    stream: TlsStream<TcpStream>,
    trouble: Trouble,
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        polled.map_err(|error| {
            let explained = explained(&error, "the server");
            if is_tls(&error) {
                *self.trouble.lock() = Some(explained.to_string());
            }
            explained
        })
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The same error with what to do about it, where TLS is what failed.
fn explained(error: &io::Error, host: &str) -> io::Error {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    let reason = match tls {
        Some(tls) => reason(tls, host),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the server ended the connection within the TLS handshake; if it does not speak TLS, \
             write `http://`"
                .to_owned()
        }
        None => return io::Error::new(error.kind(), error.to_string()),
    };
    io::Error::new(error.kind(), reason)
}

fn is_tls(error: &io::Error) -> bool {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    inner.is_some()
}

fn reason(error: &Error, host: &str) -> String {
    use CertificateError as Certificate;
    let fixed = match error {
        // The second where the CA has the name of a trusted one, as when it was made anew.
        Error::InvalidCertificate(Certificate::UnknownIssuer | Certificate::BadSignature) => {
            "the server's certificate is signed by a CA that is not trusted here; name the right one \
             by `--ca-file`"
        }
        Error::InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. }) => {
            "the server's certificate has expired; renew it, and check this machine's clock"
        }
        Error::InvalidCertificate(
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. },
        ) => "the server's certificate is not valid yet; check this machine's clock",
        Error::InvalidCertificate(
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. },
        ) => {
            return format!(
                "the server's certificate is not for `{host}`; use a name that it is for, or have \
                 this one added to it"
            );
        }
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the server does not speak TLS; write `http://`"
        }
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the server asks for a client certificate; give one by `--client-cert` and `--client-key`"
        }
        Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::DecryptError,
        ) => {
            "the server does not accept the client certificate (`--client-cert`); use one that the CA \
             of its `--tls-client-ca` has signed for clients"
        }
        Error::AlertReceived(AlertDescription::CertificateExpired) => {
            "the client certificate (`--client-cert`) has expired; renew it"
        }
        other => return format!("TLS failed: {other}"),
    };
    fixed.to_owned()
}

fn provider() -> Arc<CryptoProvider> {
    // The process's choice, if it has made one.
    CryptoProvider::get_default().map_or_else(
        || Arc::new(rustls::crypto::ring::default_provider()),
        Arc::clone,
    )
}

/// Read once: it takes milliseconds, and changes with the system only.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    Arc::clone(roots)
}

fn roots_of(path: &Path) -> Result<RootCertStore, ApiError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        (roots.add(certificate)).map_err(|error| {
            file(
                path,
                &format!("holds a certificate that is no CA's: {error}"),
            )
        })?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ApiError> {
    let pem = read(path)?;
    let all = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(file(
            path,
            "holds no certificate: it has to be PEM, with `-----BEGIN CERTIFICATE-----`",
        )),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ApiError> {
    std::fs::read(path).map_err(|source| ApiError::TlsFile {
        path: path.to_owned(),
        source,
    })
}

fn file(path: &Path, reason: &str) -> ApiError {
    ApiError::Tls(format!("`{}` {reason}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty");
        std::fs::write(&empty, "").unwrap();
        let missing = folder.path().join("missing");
        for (tls, text) in [
            (Tls::new().ca_file(&missing), "missing` can't be read"),
            (Tls::new().ca_file(&empty), "empty` holds no certificate"),
            (
                Tls::new().ca_file(&empty).certificate(&empty, &empty),
                "empty` holds no certificate",
            ),
        ] {
            let error = tls.config().unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
            assert!(error.is_final());
        }
    }

    #[test]
    fn what_has_no_better_words_keeps_its_own() {
        let broken = io::Error::new(io::ErrorKind::ConnectionReset, "reset");
        let error = explained(&broken, "a");
        assert_eq!(
            (error.kind(), error.to_string()),
            (broken.kind(), "reset".to_owned())
        );
        let unknown = io::Error::other(Error::General("odd".to_owned()));
        let error = explained(&unknown, "a").to_string();
        assert_eq!(error, "TLS failed: unexpected error: odd");
    }
}
