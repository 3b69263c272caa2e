//! Databases are apart from each other, and gone with their value.

use sqlx::{Connection as _, PgConnection, Row as _};
use test_kit::{FaultProxy, postgres};

async fn names(connection: &mut PgConnection) -> Vec<String> {
    let rows = sqlx::query("SELECT datname FROM pg_database")
        .fetch_all(connection)
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn databases_are_apart_and_gone_with_their_value() {
    let (one, two) = (postgres::database().await, postgres::database().await);
    let mut in_one = PgConnection::connect(one.url()).await.unwrap();
    let mut in_two = PgConnection::connect(two.url()).await.unwrap();
    sqlx::query("CREATE TABLE thing (id bigint)")
        .execute(&mut in_one)
        .await
        .unwrap();
    assert!(
        sqlx::query("SELECT * FROM thing")
            .execute(&mut in_two)
            .await
            .is_err()
    );
    assert!(names(&mut in_two).await.contains(&one.name().to_owned()));

    let name = one.name().to_owned();
    // A connection is still open; it has to go as well.
    drop(one);
    assert!(!names(&mut in_two).await.contains(&name));
    assert!(in_one.ping().await.is_err());
}

#[tokio::test]
async fn a_database_can_be_reached_through_a_proxy() {
    let database = postgres::database().await;
    let proxy = FaultProxy::start(database.server_address()).await;
    let mut connection = PgConnection::connect(&database.url_through(&proxy))
        .await
        .unwrap();
    connection.ping().await.unwrap();
    proxy.cut().await;
    assert!(connection.ping().await.is_err());
}
