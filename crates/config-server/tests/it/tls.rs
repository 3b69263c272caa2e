//! The listeners within TLS: who is let in, and certificates that change while the server runs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chameleon_client::{Api, ApiSettings, Chameleon, Configuration, Selection, Tls};
use config_server::{Limits, Listeners, Settings};
use reqwest::{Certificate, Identity, StatusCode};
use service_kit::tls::{ServerTls, TlsFiles};
use service_kit::{Lifecycle, listen};
use tempfile::TempDir;
use test_kit::eventually;
use test_kit::tls::{Authority, Issued};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::support::{Server, Watch, free_listener, subscribe};

const HERE: &[&str] = &["127.0.0.1"];

/// Certificates in a folder, as an operator has them.
struct Files {
    folder: TempDir,
    authority: Authority,
}

impl Files {
    fn new() -> Self {
        let files = Self {
            folder: tempfile::tempdir().unwrap(),
            authority: Authority::new("ours"),
        };
        files.install(&files.authority, &files.authority.server(HERE));
        files
    }

    /// Puts another certificate, and the CA that clients trust, where the old ones are.
    fn install(&self, authority: &Authority, issued: &Issued) {
        issued.write(self.folder.path(), "server");
        std::fs::write(self.path("ca.crt"), authority.pem()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn settings(&self, asks_clients: bool) -> Settings {
        let tls = ServerTls::load(TlsFiles {
            cert: self.path("server.crt"),
            key: self.path("server.key"),
            client_ca: asks_clients.then(|| self.path("ca.crt")),
        });
        Settings {
            tls: Some(tls.unwrap()),
            ..Settings::default()
        }
    }

    fn trusting(&self) -> Tls {
        Tls::new().ca_file(self.path("ca.crt"))
    }

    /// Trusts, and shows what `issued` is.
    fn showing(&self, issued: &Issued) -> Tls {
        let (cert, key) = issued.write(self.folder.path(), "client");
        self.trusting().certificate(cert, key)
    }

    /// An HTTP client that knows the authority of now.
    fn http(&self, shown: Option<&Issued>) -> reqwest::Client {
        service_kit::tls::install_provider();
        let ca = std::fs::read(self.path("ca.crt")).unwrap();
        let mut builder = reqwest::Client::builder()
            .tls_certs_only([Certificate::from_pem(&ca).unwrap()])
            .timeout(Duration::from_secs(30));
        if let Some(issued) = shown {
            let pem = format!("{}{}", issued.certificate, issued.key);
            builder = builder.identity(Identity::from_pem(pem.as_bytes()).unwrap());
        }
        builder.build().unwrap()
    }
}

fn api(address: String, tls: Tls) -> Api {
    Api::connect(ApiSettings {
        servers: vec![address],
        tls,
        ..ApiSettings::default()
    })
    .unwrap()
}

/// What a client is told that can't get through.
async fn failure(address: String, tls: Tls) -> String {
    let error = api(address, tls).status().await.unwrap_err();
    format!("{:#}", anyhow::Error::new(error))
}

/// A counter's value in the text of the metrics; 0 where it has no line yet.
async fn metric(client: &reqwest::Client, url: &str, name: &str) -> f64 {
    let text = client.get(url).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0.0, |value| value.trim().parse().unwrap())
}

#[tokio::test]
async fn both_faces_are_served_within_tls() {
    let files = Files::new();
    let server = Server::with(files.settings(false)).await;
    let client = files.http(None);
    let url = format!("https://{}/v1/kv/a", server.http);
    let put = client.put(&url).body("x").send().await.unwrap();
    assert_eq!(put.status(), StatusCode::OK);

    let api = api(format!("https://{}", server.grpc), files.trusting());
    let state = api.read(&Selection::all(), None).await.unwrap();
    assert_eq!(&state.entries[0].value[..], b"x");

    let metrics = format!("https://{}/metrics", server.http);
    let name = "chameleon_tls_certificate_expiry_timestamp_seconds";
    assert!(metric(&client, &metrics, name).await > 4e9);
    server.stop().await;
}

#[tokio::test]
async fn what_goes_wrong_says_what_to_do() {
    let files = Files::new();
    let server = Server::with(files.settings(false)).await;
    let (grpc, port) = (server.grpc, server.grpc.port());

    let text = failure(format!("http://{grpc}"), Tls::new()).await;
    assert!(text.ends_with("speaks TLS; write `https://`"), "{text}");
    let plain = format!("http://{}/v1/kv/a", server.http);
    let answer = reqwest::get(plain).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let text = answer.text().await.unwrap();
    assert_eq!(text, "this port speaks TLS: use https://\n");

    let foreign = Files::new();
    let text = failure(format!("https://{grpc}"), foreign.trusting()).await;
    assert!(
        text.contains("not trusted here; name the right one by `--ca-file`"),
        "{text}"
    );
    let text = failure(format!("https://localhost:{port}"), files.trusting()).await;
    assert!(text.contains("is not for `localhost`"), "{text}");

    let old = Files::new();
    old.install(&old.authority, &old.authority.expired_server(HERE));
    let expired = Server::with(old.settings(false)).await;
    let text = failure(format!("https://{}", expired.grpc), old.trusting()).await;
    assert!(text.contains("has expired; renew it"), "{text}");

    let without = Server::start().await;
    let text = failure(format!("https://{}", without.grpc), files.trusting()).await;
    assert!(text.contains("write `http://`"), "{text}");
}

#[tokio::test]
async fn clients_have_to_show_a_certificate_of_the_right_authority() {
    let files = Files::new();
    let server = Server::with(files.settings(true)).await;
    let grpc = format!("https://{}", server.grpc);
    let ours = files.authority.client("ours");
    api(grpc.clone(), files.showing(&ours))
        .status()
        .await
        .unwrap();

    let text = failure(grpc.clone(), files.trusting()).await;
    assert!(
        text.contains("asks for a client certificate; give one by `--client-cert`"),
        "{text}"
    );
    for foreign in [
        Authority::new("ours").client("ours"),
        // One of ours that is for servers.
        files.authority.server(HERE),
    ] {
        let text = failure(grpc.clone(), files.showing(&foreign)).await;
        assert!(
            text.contains("does not accept the client certificate"),
            "{text}"
        );
    }

    let url = format!("https://{}/metrics", server.http);
    assert!(files.http(None).get(&url).send().await.is_err());
    let client = files.http(Some(&ours));
    for (listener, reason) in [
        ("grpc", "no_client_certificate"),
        ("grpc", "client_certificate"),
        ("http", "no_client_certificate"),
    ] {
        let name = format!(
            "chameleon_connections_refused_total{{listener=\"{listener}\",reason=\"{reason}\"}}"
        );
        assert!(metric(&client, &url, &name).await >= 1.0, "{name}");
    }
}

#[tokio::test]
async fn a_changed_certificate_serves_new_connections_and_a_broken_one_none() {
    let files = Files::new();
    let server = Server::with(files.settings(false)).await;
    let grpc = format!("https://{}", server.grpc);
    let metrics = format!("https://{}/metrics", server.http);
    let (before, old) = (files.http(None), api(grpc.clone(), files.trusting()));
    let mut watch = old.watch(&Selection::all(), None, None);
    watch.next().await.unwrap();

    // Of another authority, so that it can't be taken for the one of before.
    let next = Authority::new("next");
    files.install(&next, &next.server(HERE));
    eventually("a new connection gets the new certificate", async || {
        let new = api(grpc.clone(), files.trusting());
        new.status().await.ok()
    })
    .await;
    let url = format!("https://{}/v1/kv/a", server.http);
    // By the connection from before, and seen by the watch from before.
    let opened = before.get(&metrics).send().await;
    assert!(opened.is_err(), "a new connection with the old authority");
    let client = files.http(None);
    client.put(&url).body("x").send().await.unwrap();
    let update = watch.next().await.unwrap();
    assert_eq!(&update.puts[0].value[..], b"x");

    std::fs::write(files.path("server.crt"), "broken").unwrap();
    eventually("the broken file is counted", async || {
        let failures = metric(&client, &metrics, "chameleon_tls_reload_failures_total").await;
        (failures >= 1.0).then_some(())
    })
    .await;
    let new = api(grpc, files.trusting());
    new.status().await.unwrap();
    client.put(&url).body("y").send().await.unwrap();
    assert_eq!(&watch.next().await.unwrap().puts[0].value[..], b"y");
}

async fn start_at(
    settings: Settings,
    grpc: SocketAddr,
    store: std::sync::Arc<dyn chameleon_store::Store>,
) -> Lifecycle {
    let lifecycle = Lifecycle::default();
    let listeners = Listeners {
        http: free_listener(),
        grpc: listen(grpc, "tests", "none").unwrap(),
        admin: None,
    };
    config_server::start(settings, store, listeners, &lifecycle)
        .await
        .unwrap();
    lifecycle
}

#[derive(serde::Deserialize)]
struct Shop {
    limit: u64,
}

impl Configuration for Shop {}

#[tokio::test]
async fn a_client_comes_back_to_a_server_with_another_authority() {
    let files = Files::new();
    let store = chameleon_store::open("sqlite::memory:").await.unwrap();
    let grpc = free_listener().local_addr().unwrap();
    let first = start_at(files.settings(false), grpc, store.clone()).await;
    let address = format!("https://{grpc}");
    let put = async |text: &'static str| {
        let put = chameleon_model::Operation::Put {
            key: chameleon_model::Key::new("config/shop-dev.yml").unwrap(),
            value: text.into(),
            flags: 0,
        };
        let transaction = chameleon_model::Transaction {
            operations: vec![put],
            ..chameleon_model::Transaction::default()
        };
        let api = api(address.clone(), files.trusting());
        api.commit(transaction).await.unwrap();
    };
    put("limit: 1\n").await;
    let chameleon = Chameleon::builder("shop", "dev")
        .servers([&address])
        .tls(files.trusting())
        .connect()
        .await
        .unwrap();
    let shop = chameleon.bind::<Shop>("").unwrap();
    assert_eq!(shop.load().limit, 1);

    first.shut_down();
    first.finished().await.unwrap();
    let next = Authority::new("next");
    files.install(&next, &next.server(HERE));
    let second = start_at(files.settings(false), grpc, store).await;
    put("limit: 2\n").await;
    eventually("the new value arrives", async || {
        (shop.load().limit == 2).then_some(())
    })
    .await;
    second.shut_down();
}

#[tokio::test]
async fn who_says_nothing_loses_its_place_soon() {
    let files = Files::new();
    let server = Server::with(Settings {
        limits: Limits {
            connections: 1,
            ..Limits::default()
        },
        ..files.settings(false)
    })
    .await;
    for address in [server.http, server.grpc] {
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut received = Vec::new();
        // Ended by the server, as nothing is sent by either.
        silent.read_to_end(&mut received).await.unwrap();
        assert!(received.is_empty());
    }
    let url = format!("https://{}/health/ready", server.http);
    let answer = files.http(None).get(&url).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_plain_watch_is_served_as_before() {
    let server = Server::start().await;
    server.write("a", "x").await;
    let watch = Watch::open(&server, subscribe(&[], &[""])).await;
    assert_eq!(watch.value("a"), Some("x"));
}
