//! What SQLite adds: a file, and nudges within the process.

use std::path::PathBuf;
use std::sync::Arc;

use chameleon_model::{AuditQuery, AuditReader};
use chameleon_store::{Notice, SqliteStore, Store, StoreError, open};
use futures::{FutureExt as _, StreamExt as _};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection};

use crate::contract::audit::many;
use crate::place::{Place, Replica, content, newer};
use crate::write::*;

pub(crate) struct SqlitePlace(tempfile::TempDir);

impl SqlitePlace {
    fn file(&self) -> PathBuf {
        self.0.path().join("data/chameleon.db")
    }

    fn address(&self) -> String {
        format!("sqlite://{}", self.file().display())
    }
}

impl Place for SqlitePlace {
    async fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    async fn open(&self) -> Arc<dyn Store> {
        open(&self.address()).await.expect("opens")
    }

    async fn open_narrow(&self) -> Arc<dyn Store> {
        // One connection writes anyway, and readers cannot disturb it.
        self.open().await
    }

    async fn execute(&self, statements: &[String]) {
        let mut connection = SqliteConnection::connect(&self.address())
            .await
            .expect("connects");
        for statement in statements {
            let statement = AssertSqlSafe(statement.as_str());
            connection.execute(statement).await.expect("is executed");
        }
        connection.close().await.expect("closes");
    }
}

#[tokio::test]
async fn tables_that_are_newer_are_refused_only_if_they_break_this_program() {
    let place = SqlitePlace::new().await;
    drop(place.open().await);
    place.execute(&[newer(9_998, "9998_adds_something")]).await;
    Replica::at(&place).await.apply(only(put("a", "1"))).await;
    place.execute(&[newer(9_999, "9999_breaking_less")]).await;
    let Err(StoreError::TooNew { migration }) = open(&place.address()).await.map(drop) else {
        panic!("it was opened");
    };
    assert_eq!(migration, "9999_breaking_less");
}

#[tokio::test]
async fn a_commit_wakes_followers_before_it_returns() {
    let place = SqlitePlace::new().await;
    let mut writer = Replica::at(&place).await;
    let mut nudges = writer.store.notifications();
    while nudges.next().now_or_never().is_some() {}
    let head = writer.apply(only(put("a", "1"))).await;
    assert_eq!(nudges.next().now_or_never(), Some(Some(Notice::Head(head))));

    // What commits nothing does not.
    writer.outcome(request(new_request(), put("a", "1"))).await;
    assert_eq!(nudges.next().now_or_never(), None);
}

#[tokio::test]
async fn a_commit_that_fails_halfway_leaves_nothing_behind() {
    let place = SqlitePlace::new().await;
    let mut writer = Replica::at(&place).await;
    let before = writer.apply(only(put("a", "1"))).await;
    // `FAIL` ends the query, and keeps what it has done.
    let fail = "CREATE TRIGGER fail BEFORE INSERT ON latest BEGIN SELECT RAISE(FAIL, 'full'); END";
    place.execute(&[fail.to_owned()]).await;
    let failed = writer
        .store
        .commit(&writer.state, vec![only(put("b", "1"))])
        .await;
    assert!(failed.is_err(), "{failed:?}");

    // By another connection, which needs the file's lock.
    place.execute(&["DROP TRIGGER fail".to_owned()]).await;
    assert_eq!(Replica::at(&place).await.state.stamp(), before);
    writer.apply(only(put("b", "2"))).await;
    assert_eq!(writer.state.stamp().revision.0, before.revision.0 + 1);
}

#[tokio::test]
async fn an_append_to_the_audit_that_fails_halfway_leaves_nothing_behind() {
    let place = SqlitePlace::new().await;
    let mut writer = Replica::at(&place).await;
    let mut records = many(250);
    "full".clone_into(&mut records[200].detail);
    let fail = "CREATE TRIGGER fail BEFORE INSERT ON audit WHEN NEW.detail = 'full' \
                BEGIN SELECT RAISE(FAIL, 'full'); END";
    place.execute(&[fail.to_owned()]).await;
    let failed = writer.store.append_audit(&records).await;
    assert!(failed.is_err(), "{failed:?}");

    // By another connection, which needs the file's lock.
    place.execute(&["DROP TRIGGER fail".to_owned()]).await;
    let query = AuditQuery {
        limit: 1_000,
        ..AuditQuery::default()
    };
    let kept = writer.store.audit(&query, &AuditReader::All).await;
    assert_eq!(kept.unwrap(), []);
    writer.apply(only(put("a", "1"))).await;
    writer.store.append_audit(&records).await.unwrap();
}

#[tokio::test]
async fn a_store_carries_on_with_its_file() {
    let place = SqlitePlace::new().await;
    let mut first = Replica::at(&place).await;
    first.apply(only(put("a", "1"))).await;
    let kept = first.state.clone();
    drop(first);
    let mut second = Replica::at(&place).await;
    assert_eq!(content(&second.state), content(&kept));
    second.apply(only(put("a", "2"))).await;
}

#[tokio::test]
async fn memory_holds_a_store_as_long_as_it_lives() {
    let store = open("sqlite::memory:").await.unwrap();
    let mut replica = Replica {
        state: store.load().await.unwrap(),
        store,
    };
    let stamp = replica.apply(only(put("a", "1"))).await;
    assert_eq!(replica.store.load().await.unwrap().stamp(), stamp);
    let other = open("sqlite::memory:").await.unwrap();
    assert!(other.load().await.unwrap().is_empty());
}

#[cfg(unix)]
#[tokio::test]
async fn others_may_not_read_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = SqlitePlace::new().await;
    let mut replica = Replica::at(&place).await;
    replica.apply(only(put("a", "secret"))).await;
    for file in ["chameleon.db", "chameleon.db-wal"] {
        let path = place.file().with_file_name(file);
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[tokio::test]
async fn a_path_that_cannot_be_used_is_named() {
    let place = SqlitePlace::new().await;
    let file = place.0.path().join("file");
    std::fs::write(&file, "").unwrap();
    let under_a_file = file.join("folder/chameleon.db");
    for path in [under_a_file.as_path(), place.0.path()] {
        let address = format!("sqlite://{}", path.display());
        let Err(StoreError::Address(message)) = open(&address).await.map(drop) else {
            panic!("{address} was opened");
        };
        let start = format!("cannot write to `{}`: ", path.display());
        assert!(message.starts_with(&start), "{message}");
    }
}

#[tokio::test]
async fn a_file_of_something_else_is_refused() {
    let place = SqlitePlace::new().await;
    let file = place.0.path().join("notes.txt");
    std::fs::write(
        &file,
        "milk, bread, and a letter that is long enough for a header".repeat(99),
    )
    .unwrap();
    let error = SqliteStore::open(file.to_str().unwrap())
        .await
        .map(drop)
        .unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error:?}");
    assert!(error.to_string().contains("notes.txt"), "{error}");
}
