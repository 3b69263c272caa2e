//! Binding several types: all or nothing, isolated ones, frames.

use chameleon_client::{Chameleon, Configuration, Live};
use futures::future::join;

use crate::fake::{Connection, Fake, stamp, state};
use crate::shares::{BETA, Shares, client, shares};

#[derive(Debug, serde::Deserialize)]
struct Search {
    limit: u8,
}

impl Configuration for Search {}

fn text(a: u32, limit: &str) -> String {
    format!("{}search: {{ limit: {limit} }}\n", shares(a))
}

async fn started(server: &mut Fake) -> (Chameleon, Connection) {
    let address = server.address.clone();
    let connecting = client(&[&address]).connect();
    let serving = server.serve(stamp(1, 5), &[(BETA, &text(70, "5"))]);
    let (chameleon, connection) = join(connecting, serving).await;
    (chameleon.unwrap(), connection)
}

async fn change(connection: &Connection, to: u64, text: &str) {
    let change = state(stamp(1, to), Some(stamp(1, to - 1)), &[(BETA, text)]);
    connection.send(change).await;
}

#[tokio::test]
async fn a_state_is_applied_to_all_types_or_to_none() {
    let mut server = Fake::start().await;
    let (chameleon, mut connection) = started(&mut server).await;
    let shares: Live<Shares> = chameleon.bind("").unwrap();
    let search: Live<Search> = chameleon.bind("search").unwrap();
    connection.applied(stamp(1, 5)).await;
    change(&connection, 6, &text(20, "900")).await;
    let reason = connection.rejected(stamp(1, 6)).await;
    assert_eq!(
        reason,
        "config/location-beta.yml:3:18: search.limit: must be u8, is an integer out of its range"
    );
    assert_eq!(
        (shares.load().a_map_percentage, search.load().limit),
        (70, 5)
    );

    let before = chameleon.frame();
    change(&connection, 7, &text(30, "9")).await;
    connection.applied(stamp(1, 7)).await;
    assert_eq!(
        (shares.load().a_map_percentage, search.load().limit),
        (30, 9)
    );
    let after = chameleon.frame();
    for (frame, revision, a, limit) in [(before, 5, 70, 5), (after, 7, 30, 9)] {
        assert_eq!(frame.revision().0, revision);
        assert_eq!(frame.get(&shares).unwrap().a_map_percentage, a);
        assert_eq!(frame.get(&search).unwrap().limit, limit);
    }
}

#[tokio::test]
async fn an_isolated_type_neither_vetoes_nor_is_vetoed() {
    let mut server = Fake::start().await;
    let (chameleon, mut connection) = started(&mut server).await;
    let shares: Live<Shares> = chameleon.bind("").unwrap();
    let search: Live<Search> = chameleon.bind_isolated("search").unwrap();
    connection.applied(stamp(1, 5)).await;

    change(&connection, 6, &text(20, "900")).await;
    connection.applied(stamp(1, 6)).await;
    assert_eq!(
        (shares.load().a_map_percentage, search.load().limit),
        (20, 5)
    );
    assert_eq!((shares.revision().0, search.revision().0), (6, 5));

    change(&connection, 7, "aMapPercentage: 7\nsearch: { limit: 8 }\n").await;
    connection.rejected(stamp(1, 7)).await;
    assert_eq!(
        (shares.load().a_map_percentage, search.load().limit),
        (20, 8)
    );
    assert_eq!((shares.revision().0, search.revision().0), (6, 7));
}

#[tokio::test]
async fn a_type_that_fits_no_state_is_refused_with_its_reason() {
    let mut server = Fake::start().await;
    let (chameleon, mut connection) = started(&mut server).await;
    connection.applied(stamp(1, 5)).await;
    let error = chameleon.bind::<Search>("nowhere").unwrap_err();
    assert!(error.type_name.ends_with("Search"));
    let message = error.to_string();
    assert!(
        message.contains("`limit`") && message.contains("nowhere"),
        "{message}"
    );
    change(&connection, 6, &text(20, "900")).await;
    connection.applied(stamp(1, 6)).await;
}

#[tokio::test]
async fn a_frame_does_not_know_what_was_bound_later() {
    let mut server = Fake::start().await;
    let (chameleon, _connection) = started(&mut server).await;
    let before = chameleon.frame();
    let search: Live<Search> = chameleon.bind("search").unwrap();
    assert!(before.get(&search).is_none());
    assert_eq!(chameleon.frame().get(&search).unwrap().limit, 5);
}

#[derive(serde::Deserialize)]
struct Panics {}

impl Configuration for Panics {
    fn validate(&self) -> Result<(), Vec<chameleon_client::Violation>> {
        panic!("a bug of the service");
    }
}

#[tokio::test]
async fn a_check_that_panics_rejects() {
    let mut server = Fake::start().await;
    let (chameleon, _connection) = started(&mut server).await;
    let error = chameleon.bind::<Panics>("").unwrap_err().to_string();
    assert!(error.contains("panicked; see the service's log"), "{error}");
    assert!(chameleon.bind::<Search>("search").is_ok());
}
