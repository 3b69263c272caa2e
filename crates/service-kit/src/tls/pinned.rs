//! A client that knows its server by the very certificate.

use std::sync::Arc;

use anyhow::Context as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use super::files::{TlsFiles, certificates, private_key};
use super::provider;

/// Trusts the certificate in `files` and no other, whatever its name, and shows the same one: a
/// server's question to itself, on an address for which the certificate may not be.
pub(crate) fn pinned_client(files: &TlsFiles) -> anyhow::Result<ClientConfig> {
    let read = |path: &std::path::Path, flag: &str| {
        std::fs::read(path).with_context(|| format!("read `{}` (`{flag}`)", path.display()))
    };
    let chain = read(&files.cert, "--tls-cert")?;
    let chain = certificates(&chain, &files.cert, "--tls-cert")?;
    let verifier = Pinned {
        certificate: chain[0].clone(),
        provider: provider(),
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .context("set up TLS")?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    if files.client_ca.is_none() {
        return Ok(builder.with_no_client_auth());
    }
    let key = read(&files.key, "--tls-key")?;
    let key = private_key(&key, &files.key, "--tls-key")?;
    (builder.with_client_auth_cert(chain, key)).context("use `--tls-cert` with `--tls-key`")
}

#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.certificate {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
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
