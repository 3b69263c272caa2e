//! The files that TLS is set up from, the flags that name them, and what can be wrong with them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};

use super::provider;
use super::server::ServerTls;

/// The flags by which listeners speak TLS, to be flattened by `#[command(flatten)]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct TlsArgs {
    /// The server's certificate and those between it and its CA, as PEM; listeners then speak TLS
    #[arg(long, global = true, env = "CHAMELEON_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// The private key of `--tls-cert`, as PEM
    #[arg(long, global = true, env = "CHAMELEON_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// CA certificates as PEM: clients then have to show a certificate that one of them has signed
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_TLS_CLIENT_CA",
        value_name = "FILE"
    )]
    pub tls_client_ca: Option<PathBuf>,
}

/// The flags by which a client trusts servers and shows who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct ClientTlsArgs {
    /// CA certificates as PEM that sign the servers' `https://` addresses; the system's if left out
    #[arg(long, global = true, env = "CHAMELEON_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,

    /// The certificate to show to servers that ask for one, as PEM
    #[arg(
        long,
        global = true,
        env = "CHAMELEON_CLIENT_CERT",
        value_name = "FILE"
    )]
    pub client_cert: Option<PathBuf>,

    /// The private key of `--client-cert`, as PEM
    #[arg(long, global = true, env = "CHAMELEON_CLIENT_KEY", value_name = "FILE")]
    pub client_key: Option<PathBuf>,
}

/// The files of a server's TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Who signs the clients' certificates; they need none if `None`.
    pub client_ca: Option<PathBuf>,
}

/// What the files hold. Has no `Debug`: one of them is a private key.
#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// What was made of them.
pub(super) struct Loaded {
    pub(super) config: ServerConfig,
    pub(super) certificate: CertificateDer<'static>,
}

impl TlsArgs {
    /// The files that the flags name; `None` if there should be no TLS.
    ///
    /// # Errors
    /// One flag is given without another that it needs.
    pub fn files(&self) -> anyhow::Result<Option<TlsFiles>> {
        let client_ca = self.tls_client_ca.clone();
        match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Ok(Some(TlsFiles {
                cert: cert.clone(),
                key: key.clone(),
                client_ca,
            })),
            (None, None) if client_ca.is_none() => Ok(None),
            (None, None) => {
                bail!("`--tls-client-ca` needs TLS: give `--tls-cert` and `--tls-key` as well")
            }
            (Some(_), None) => bail!("`--tls-cert` is given without `--tls-key`: give both"),
            (None, Some(_)) => bail!("`--tls-key` is given without `--tls-cert`: give both"),
        }
    }

    /// Reads the files that the flags name; `None` if there should be no TLS.
    ///
    /// # Errors
    /// Names the flag and the file, and says what to do.
    pub fn load(&self) -> anyhow::Result<Option<ServerTls>> {
        self.files()?.map(ServerTls::load).transpose()
    }
}

impl ClientTlsArgs {
    /// The client's certificate and key, if it has some.
    ///
    /// # Errors
    /// One is given without the other.
    pub fn certificate(&self) -> anyhow::Result<Option<(PathBuf, PathBuf)>> {
        match (&self.client_cert, &self.client_key) {
            (Some(cert), Some(key)) => Ok(Some((cert.clone(), key.clone()))),
            (None, None) => Ok(None),
            (Some(_), None) => bail!("`--client-cert` is given without `--client-key`: give both"),
            (None, Some(_)) => bail!("`--client-key` is given without `--client-cert`: give both"),
        }
    }
}

impl TlsFiles {
    /// Reads them as they are now.
    pub(super) fn read(&self) -> anyhow::Result<Contents> {
        Ok(Contents {
            cert: read(&self.cert, "--tls-cert")?,
            key: read(&self.key, "--tls-key")?,
            client_ca: (self.client_ca.as_deref())
                .map(|path| read(path, "--tls-client-ca"))
                .transpose()?,
        })
    }

    /// Makes a configuration of what they hold, without protocols.
    pub(super) fn build(&self, contents: &Contents) -> anyhow::Result<Loaded> {
        let chain = certificates(&contents.cert, &self.cert, "--tls-cert")?;
        let key = private_key(&contents.key, &self.key, "--tls-key")?;
        let certificate = chain[0].clone();
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .context("set up TLS")?;
        let builder = match (&contents.client_ca, &self.client_ca) {
            (Some(bytes), Some(path)) => {
                let mut roots = RootCertStore::empty();
                for ca in certificates(bytes, path, "--tls-client-ca")? {
                    roots.add(ca).with_context(|| {
                        format!(
                            "use `{}` (`--tls-client-ca`): it holds a certificate that is no CA's",
                            path.display()
                        )
                    })?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
                builder.with_client_cert_verifier(verifier.build().context("set up TLS")?)
            }
            _ => builder.with_no_client_auth(),
        };
        let config = builder.with_single_cert(chain, key);
        let config = config.map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => anyhow::anyhow!(
                "the key in `{}` (`--tls-key`) does not belong to the certificate in `{}` (`--tls-cert`): give the pair that was made together",
                self.key.display(),
                self.cert.display()
            ),
            error => anyhow::Error::new(error).context(format!(
                "use `{}` (`--tls-cert`) with `{}` (`--tls-key`)",
                self.cert.display(),
                self.key.display()
            )),
        })?;
        Ok(Loaded {
            config,
            certificate,
        })
    }

    /// What should be said of the key's permissions.
    pub(super) fn key_is_open(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::metadata(&self.key).is_ok_and(|file| file.permissions().mode() & 0o007 != 0)
        }
        #[cfg(not(unix))]
        false
    }
}

fn read(path: &Path, flag: &str) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("read `{}` (`{flag}`)", path.display()))
}

/// All certificates of a file; at least one.
pub(super) fn certificates(
    pem: &[u8],
    path: &Path,
    flag: &str,
) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let all = all.with_context(|| format!("read `{}` (`{flag}`) as PEM", path.display()))?;
    if all.is_empty() {
        bail!(
            "`{}` (`{flag}`) holds no certificate: it has to be PEM, with `-----BEGIN CERTIFICATE-----`",
            path.display()
        );
    }
    Ok(all)
}

/// The key of a file. What is wrong with it is not told in the parser's words, which could quote it.
pub(super) fn private_key(
    pem: &[u8],
    path: &Path,
    flag: &str,
) -> anyhow::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        anyhow::anyhow!(
            "`{}` (`{flag}`) holds no private key: it has to be PEM, unencrypted, with `-----BEGIN PRIVATE KEY-----`",
            path.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use test_kit::tls::Authority;

    use super::*;

    fn args(cert: Option<&str>, key: Option<&str>, client_ca: Option<&str>) -> TlsArgs {
        TlsArgs {
            tls_cert: cert.map(Into::into),
            tls_key: key.map(Into::into),
            tls_client_ca: client_ca.map(Into::into),
        }
    }

    #[test]
    fn flags_that_lack_another_say_which() {
        assert_eq!(args(None, None, None).files().unwrap(), None);
        for (args, text) in [
            (
                args(Some("a"), None, None),
                "`--tls-cert` is given without `--tls-key`: give both",
            ),
            (
                args(None, Some("a"), None),
                "`--tls-key` is given without `--tls-cert`: give both",
            ),
            (
                args(None, None, Some("a")),
                "`--tls-client-ca` needs TLS: give `--tls-cert` and `--tls-key` as well",
            ),
        ] {
            assert_eq!(args.files().unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn files_that_cannot_be_used_are_named_in_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let authority = Authority::new("ours");
        let (cert, key) = authority.server(&["a"]).write(folder.path(), "a");
        let (_, other) = authority.server(&["b"]).write(folder.path(), "b");
        std::fs::write(path("empty"), "").unwrap();
        let (cert, key, other) = (
            cert.to_str().unwrap(),
            key.to_str().unwrap(),
            other.to_str().unwrap(),
        );
        for (args, text) in [
            (
                args(Some(&path("none")), Some(key), None),
                format!("read `{}` (`--tls-cert`): No such file", path("none")),
            ),
            (
                args(Some(cert), Some(&path("none")), None),
                format!("read `{}` (`--tls-key`): No such file", path("none")),
            ),
            (
                args(Some(&path("empty")), Some(key), None),
                format!(
                    "`{}` (`--tls-cert`) holds no certificate: it has to be PEM",
                    path("empty")
                ),
            ),
            (
                args(Some(cert), Some(cert), None),
                format!(
                    "`{cert}` (`--tls-key`) holds no private key: it has to be PEM, unencrypted"
                ),
            ),
            (
                args(Some(cert), Some(other), None),
                format!("the key in `{other}` (`--tls-key`) does not belong to the certificate"),
            ),
            (
                args(Some(cert), Some(key), Some(key)),
                format!("`{key}` (`--tls-client-ca`) holds no certificate"),
            ),
        ] {
            let error = format!("{:#}", args.load().unwrap_err());
            assert!(error.starts_with(&text), "{error}");
            assert!(
                !error.contains('\n') && !error.contains("BEGIN EC"),
                "{error}"
            );
        }
        assert!(args(Some(cert), Some(key), None).load().unwrap().is_some());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_noticed() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = Authority::new("ours")
            .server(&["a"])
            .write(folder.path(), "a");
        let files = args(cert.to_str(), key.to_str(), None).files();
        let files = files.unwrap().unwrap();
        for (mode, open) in [(0o600, false), (0o440, false), (0o644, true)] {
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(files.key_is_open(), open, "{mode:o}");
        }
    }
}
