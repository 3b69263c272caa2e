//! A client for a process's question to itself.
//!
//! It takes whatever certificate the server shows. What it asks is no secret, nor is the answer, and it
//! asks on its own machine; a certificate to compare with could only come from files, and a server goes
//! on with the pair of before while what the files hold now can't be used.

use std::sync::Arc;

use anyhow::Context as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use super::files::{TlsFiles, certificates, private_key};
use super::provider;

/// Takes any certificate that it is shown, and shows `own` if it is asked.
pub(crate) fn client_to_itself(own: Option<Pair>) -> anyhow::Result<ClientConfig> {
    let verifier = Whatever {
        provider: provider(),
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .context("set up TLS")?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    match own {
        None => Ok(builder.with_no_client_auth()),
        Some(Pair { chain, key }) => {
            (builder.with_client_auth_cert(chain, key)).context("use `--tls-cert` with `--tls-key`")
        }
    }
}

/// A certificate with those between it and its CA, and its key. Has no `Debug`: one is a private key.
pub(crate) struct Pair {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// The server's own pair as `files` hold it now, to show to a server that asks clients for one.
///
/// # Errors
/// The files can't be read.
pub(crate) fn own_pair(files: &TlsFiles) -> anyhow::Result<Pair> {
    let read = |path: &std::path::Path, flag: &str| {
        std::fs::read(path).with_context(|| format!("read `{}` (`{flag}`)", path.display()))
    };
    let chain = read(&files.cert, "--tls-cert")?;
    let chain = certificates(&chain, &files.cert, "--tls-cert")?;
    let key = read(&files.key, "--tls-key")?;
    let key = private_key(&key, &files.key, "--tls-key")?;
    Ok(Pair { chain, key })
}

#[derive(Debug)]
struct Whatever {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Whatever {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        (self.provider)
            .signature_verification_algorithms
            .supported_schemes()
    }
}
