//! Starting: from the server, the last-known-good file, the defaults, or not at all.

use std::path::Path;
use std::time::Duration;

use chameleon_client::{ApiError, Chameleon, ClientState, ConnectError, Live};
use futures::future::join;

use crate::fake::{Connection, Fake, soon, stamp, state};
use crate::shares::{BETA, Shares, client, shares, until};

const SHORT: Duration = Duration::from_millis(300);

/// Runs a client once on `text` at 1.5, so that its folder holds that state.
async fn keep(folder: &Path, text: &str) {
    let mut server = Fake::start().await;
    let (chameleon, mut connection) = start(&mut server, folder, text).await;
    let _live: Live<Shares> = chameleon.bind("").unwrap();
    connection.applied(stamp(1, 5)).await;
    join(chameleon.shutdown(), connection.ended()).await;
    assert!(folder.join("location-beta.last-good").exists());
}

async fn start(server: &mut Fake, folder: &Path, text: &str) -> (Chameleon, Connection) {
    let address = server.address.clone();
    let connecting = client(&[&address]).cache_dir(folder).connect();
    let (chameleon, connection) =
        join(connecting, server.serve(stamp(1, 5), &[(BETA, text)])).await;
    (chameleon.unwrap(), connection)
}

#[tokio::test]
async fn without_a_server_the_last_good_file_serves_until_one_comes() {
    let folder = tempfile::tempdir().unwrap();
    keep(folder.path(), &shares(70)).await;
    let mut server = Fake::start().await;
    server.refuse(true);
    let address = server.address.clone();
    let builder = client(&[&address]).cache_dir(folder.path());
    let chameleon = builder.connect_timeout(SHORT).connect().await.unwrap();
    let live: Live<Shares> = chameleon.bind("").unwrap();
    assert_eq!(chameleon.state(), ClientState::Fallback);
    assert_eq!(
        (live.load().a_map_percentage, live.stamp()),
        (70, stamp(1, 5))
    );

    server.refuse(false);
    let mut connection = server.serve(stamp(1, 6), &[(BETA, &shares(20))]).await;
    connection.applied(stamp(1, 6)).await;
    until(&chameleon, |state| state == ClientState::Ready).await;
    assert_eq!(live.load().a_map_percentage, 20);
}

#[tokio::test]
async fn an_unusable_first_state_falls_back_to_the_file() {
    for (name, first, reason) in [
        ("syntax", "a: [\n", "config/location-beta.yml:"),
        (
            "type",
            "aMapPercentage: many\n",
            "aMapPercentage: must be u32",
        ),
        (
            "validation",
            "aMapPercentage: 7\n",
            "shares add up to 7, must be 100",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        keep(folder.path(), &shares(70)).await;
        let mut server = Fake::start().await;
        let address = server.address.clone();
        let connecting = client(&[&address]).cache_dir(folder.path()).connect();
        let serving = server.serve(stamp(1, 6), &[(BETA, first)]);
        let (chameleon, mut connection) = join(connecting, serving).await;
        let chameleon = chameleon.unwrap();
        let live: Live<Shares> = chameleon.bind("").unwrap();
        assert_eq!(chameleon.state(), ClientState::Fallback, "{name}");
        assert_eq!(live.load().a_map_percentage, 70, "{name}");
        let given = connection.rejected(stamp(1, 6)).await;
        assert!(given.contains(reason), "{name}: {given}");

        let good = state(stamp(1, 7), Some(stamp(1, 6)), &[(BETA, &shares(20))]);
        connection.send(good).await;
        connection.applied(stamp(1, 7)).await;
        assert_eq!(chameleon.state(), ClientState::Ready, "{name}");
        assert_eq!(live.load().a_map_percentage, 20, "{name}");
    }
}

#[tokio::test]
async fn documents_that_vanished_while_the_client_was_down_are_missed() {
    let folder = tempfile::tempdir().unwrap();
    keep(folder.path(), &shares(70)).await;
    let mut server = Fake::start().await;
    let address = server.address.clone();
    let connecting = client(&[&address]).cache_dir(folder.path()).connect();
    let (chameleon, _connection) = join(connecting, server.serve(stamp(1, 6), &[])).await;
    let chameleon = chameleon.unwrap();
    let live: Live<Shares> = chameleon.bind("").unwrap();
    assert_eq!(chameleon.state(), ClientState::Fallback);
    assert_eq!(live.load().a_map_percentage, 70);
}

#[tokio::test]
async fn a_first_state_older_than_the_file_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    keep(folder.path(), &shares(70)).await;
    let mut server = Fake::start().await;
    let address = server.address.clone();
    let connecting = client(&[&address])
        .cache_dir(folder.path())
        .connect_timeout(SHORT)
        .connect();
    let serving = async {
        let lagging = server.serve(stamp(1, 4), &[(BETA, &shares(10))]).await;
        assert_eq!(lagging.last(), None, "a complete state is asked for");
        lagging.ended().await;
    };
    let (chameleon, ()) = join(connecting, serving).await;
    let live: Live<Shares> = chameleon.unwrap().bind("").unwrap();
    assert_eq!(live.load().a_map_percentage, 70);
}

#[tokio::test]
async fn a_damaged_file_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    keep(folder.path(), &shares(70)).await;
    let file = folder.path().join("location-beta.last-good");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("70", "80")).unwrap();
    let server = Fake::start().await;
    server.refuse(true);
    let builder = client(&[&server.address]).cache_dir(folder.path());
    let error = builder.connect_timeout(SHORT).connect().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no state within 300ms, and no last-known-good file to start with"
    );
    let ConnectError::Unreachable { source, .. } = error else {
        panic!("{error}");
    };
    assert!(
        matches!(source, Some(ApiError::Unavailable(_))),
        "{source:?}"
    );
}

#[tokio::test]
async fn the_file_keeps_what_was_proven_by_the_bound_types() {
    let folder = tempfile::tempdir().unwrap();
    keep(folder.path(), &shares(70)).await;
    let mut server = Fake::start().await;
    let address = server.address.clone();
    let connecting = client(&[&address]).cache_dir(folder.path()).connect();
    let serving = server.serve(stamp(1, 6), &[(BETA, "aMapPercentage: 7\n")]);
    let (chameleon, connection) = join(connecting, serving).await;
    // Nothing was bound, so nothing is known of the state but that it is YAML.
    join(chameleon.unwrap().shutdown(), connection.ended()).await;
    let text = std::fs::read_to_string(folder.path().join("location-beta.last-good")).unwrap();
    assert!(text.contains("aMapPercentage: 70"), "{text}");
}

#[tokio::test]
async fn defaults_serve_only_if_they_are_allowed() {
    let server = Fake::start().await;
    server.refuse(true);
    let builder = || client(&[&server.address]).connect_timeout(SHORT);
    assert!(builder().connect().await.is_err());
    let chameleon = builder()
        .defaults_if_unreachable(true)
        .connect()
        .await
        .unwrap();
    let live: Live<Shares> = chameleon.bind("").unwrap();
    assert_eq!(chameleon.state(), ClientState::Fallback);
    assert_eq!((live.load().a_map_percentage, live.revision().0), (100, 0));
}

#[tokio::test]
async fn an_unusable_first_state_without_a_file_fails_with_its_place() {
    let mut server = Fake::start().await;
    let address = server.address.clone();
    let connecting = client(&[&address]).connect();
    let serving = server.serve(stamp(1, 6), &[(BETA, "ok: 1\non: 2\n")]);
    let (chameleon, _connection) = join(connecting, serving).await;
    let error = chameleon.unwrap_err().to_string();
    assert_eq!(
        error,
        "revision 6 is not usable, and there is no last-known-good file to start with: \
         config/location-beta.yml:2:1: plain `on` is a boolean to some readers and text to others; \
         quote it"
    );
}

#[tokio::test]
async fn settings_that_cannot_work_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let in_the_way = folder.path().join("file");
    std::fs::write(&in_the_way, "").unwrap();
    let server = Fake::start().await;
    let address = server.address.as_str();
    let unwritable = format!(
        "cache folder `{}` can't be written; give the service a folder of its own",
        in_the_way.display()
    );
    for (builder, message) in [
        (
            client(&[]),
            "no server is named; give at least one, for example `http://127.0.0.1:8502`",
        ),
        (
            client(&[address]).prefix("teams"),
            "prefix `teams` must end in `/`",
        ),
        (client(&[address]).cache_dir(&in_the_way), &unwritable),
        (
            Chameleon::builder("Location", "beta").servers([address]),
            "`Location` is no name of a service; use lower-case letters, digits and `-`, and start \
             with a letter or digit",
        ),
    ] {
        let error = builder.connect().await.unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[tokio::test]
async fn a_wrong_token_fails_at_once_and_a_rotated_one_works() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "old\n").unwrap();
    let mut server = Fake::start().await;
    *server.shared.token.lock().await = Some("Bearer new".to_owned());
    let address = server.address.clone();
    let builder = || client(&[&address]).token_file(&file);
    let error = soon(builder().connect()).await.unwrap_err();
    assert_eq!(error.to_string(), "denied: the token is not known");
    std::fs::write(&file, "new\n").unwrap();
    let (chameleon, _connection) = join(builder().connect(), server.serve(stamp(1, 5), &[])).await;
    assert_eq!(chameleon.unwrap().state(), ClientState::Ready);
}
