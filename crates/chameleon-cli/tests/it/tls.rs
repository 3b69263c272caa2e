//! The command against a server that speaks TLS and asks who its clients are.

use std::path::Path;
use std::process::Output;

use config_server::Settings;
use service_kit::tls::{ServerTls, TlsFiles};
use test_kit::tls::Authority;

use crate::rig::{chameleon, config_server};

async fn run(server: &str, folder: &Path, arguments: &[&str]) -> Output {
    let mut command = chameleon(arguments);
    command.env("CHAMELEON_SERVER", server).current_dir(folder);
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true).output().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_trust_by_a_file_and_show_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let authority = Authority::new("ours");
    std::fs::write(folder.join("ca.crt"), authority.pem()).unwrap();
    let (cert, key) = authority.server(&["127.0.0.1"]).write(folder, "server");
    authority.client("ada").write(folder, "ada");
    let files = TlsFiles {
        cert,
        key,
        client_ca: Some(folder.join("ca.crt")),
    };
    let settings = Settings {
        tls: Some(ServerTls::load(files).unwrap()),
        ..Settings::default()
    };
    let store = chameleon_store::open("sqlite::memory:").await.unwrap();
    let (plain, _lifecycle) = config_server(settings, store).await;
    let server = plain.replacen("http", "https", 1);

    let trusting = ["--ca-file", "ca.crt"];
    let showing = ["--client-cert", "ada.crt", "--client-key", "ada.key"];
    let all = [&["put", "a", "x"], &trusting[..], &showing].concat();
    let output = run(&server, folder, &all).await;
    assert!(output.status.success(), "{output:?}");

    let half = [&["get", "a"], &trusting[..], &showing[..2]].concat();
    let only_trusting = [&["get", "a"], &trusting[..]].concat();
    let absent = ["get", "a", "--ca-file", "absent.crt"];
    for (server, arguments, text) in [
        (
            &server,
            &half[..],
            "`--client-cert` is given without `--client-key`",
        ),
        (&server, &only_trusting, "give one by `--client-cert`"),
        (&server, &absent, "TLS file `absent.crt` can't be read: "),
        (&plain, &["get", "a"], "write `https://`"),
    ] {
        let output = run(server, folder, arguments).await;
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains(text), "{error}");
    }
}
