//! How a process ends, and how an orchestrator asks whether it is well.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::http_client::{self, HttpClientSettings};
use crate::tls::{TlsFiles, client_to_itself, own_pair};

/// Time for a health check as a whole.
const HEALTHCHECK_LIMIT: Duration = Duration::from_secs(2);

/// Turns the result of a process into its exit code: 0, or 1 after one line on stderr.
///
/// The line is `error: ` and the error with all its causes.
pub fn main_exit(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", error_line(&error));
            ExitCode::FAILURE
        }
    }
}

fn error_line(error: &anyhow::Error) -> String {
    format!("error: {}", in_one_line(error))
}

fn in_one_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.join(" ")
}

/// The URL that tells whether a process that listens on `address` is ready, as seen from its own
/// machine: "every address" can be listened on, but not connected to.
pub fn readiness_url(address: SocketAddr) -> String {
    format!("http://{}/health/ready", from_here(address))
}

fn from_here(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Succeeds if a GET of `url` answers 2xx within 2 s: the work of every `healthcheck` sub-command.
///
/// # Errors
/// If nobody answers in time, or the answer is another status; the error carries its first line.
pub async fn healthcheck(url: &str) -> anyhow::Result<()> {
    check(http_client::new(&client_settings())?, url).await
}

/// The same where the port at `address` speaks TLS by `files`. Whatever certificate the server shows is
/// taken: it may be one that the files no longer hold, as it stays in force while they hold none that
/// can be used.
///
/// Where clients have to show a certificate, the server's own is shown as the files hold it. While they
/// can't be used, a server that answers in TLS passes, with a word on stderr: whether it is ready can't be
/// asked.
///
/// # Errors
/// As of [`healthcheck`]; and if the server takes its own certificate for no client's.
pub async fn healthcheck_by_tls(address: SocketAddr, files: &TlsFiles) -> anyhow::Result<()> {
    let url = readiness_url(address).replacen("http", "https", 1);
    let ask = async |tls| check(http_client::with_tls(&client_settings(), tls)?, &url).await;
    if files.client_ca.is_none() {
        return ask(client_to_itself(None)?).await;
    }
    match own_pair(files).and_then(|own| client_to_itself(Some(own))) {
        Ok(tls) => ask(tls).await.context(
            "clients have to show a certificate (`--tls-client-ca`), for which this check has only \
             the server's own; give `--admin-listen`, where it needs none",
        ),
        Err(error) => {
            greet(address, client_to_itself(None)?).await?;
            let error = error.context("checked only that it answers in TLS");
            eprintln!("warning: {}", in_one_line(&error));
            Ok(())
        }
    }
}

/// Succeeds if who listens at `address` speaks TLS.
async fn greet(address: SocketAddr, tls: ClientConfig) -> anyhow::Result<()> {
    let address = from_here(address);
    let greeted = timeout(HEALTHCHECK_LIMIT, async {
        let stream = TcpStream::connect(address).await?;
        let connector = TlsConnector::from(Arc::new(tls));
        connector.connect(address.ip().into(), stream).await
    });
    let greeted = greeted
        .await
        .context("no answer in time")
        .and_then(|done| Ok(done?));
    greeted.with_context(|| format!("check `{address}`"))?;
    Ok(())
}

fn client_settings() -> HttpClientSettings {
    HttpClientSettings {
        user_agent: concat!("chameleon-healthcheck/", env!("CARGO_PKG_VERSION")).to_owned(),
        connect_timeout: HEALTHCHECK_LIMIT,
        timeout: HEALTHCHECK_LIMIT,
    }
}

async fn check(client: reqwest::Client, url: &str) -> anyhow::Result<()> {
    let response = client
        .get(url)
        .send()
        .await
        .map_err(reqwest::Error::without_url)
        .with_context(|| format!("check `{url}`"))?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let body = response.text().await.unwrap_or_default();
    let first_line = body.lines().next().unwrap_or_default();
    bail!("`{url}` answered {status}: {first_line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_asked_at_an_address_that_can_be_connected_to() {
        for (listened, asked) in [
            ("0.0.0.0:80", "http://127.0.0.1:80/health/ready"),
            ("[::]:81", "http://[::1]:81/health/ready"),
            ("10.0.0.7:82", "http://10.0.0.7:82/health/ready"),
        ] {
            assert_eq!(readiness_url(listened.parse().unwrap()), asked);
        }
    }

    #[test]
    fn an_error_with_causes_is_one_line() {
        let error = anyhow::anyhow!("first\n  second").context("load vendors");
        assert_eq!(error_line(&error), "error: load vendors: first second");
    }
}
