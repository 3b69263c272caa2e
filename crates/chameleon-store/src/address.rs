//! The addresses that stores are opened by.

use std::sync::Arc;

use crate::{PostgresSettings, PostgresStore, SqliteStore, Store, StoreError};

/// Opens the store at `address` and brings its tables up to date.
///
/// `postgres://user:password@host:5432/database` (or `postgresql://`), `sqlite://path/to/file.db`
/// (`sqlite:///` for an absolute path), or `sqlite::memory:`.
///
/// # Errors
/// [`StoreError::Address`] says what is wrong with the address or the file,
/// [`StoreError::Unavailable`] that the database does not answer.
pub async fn open(address: &str) -> Result<Arc<dyn Store>, StoreError> {
    open_listening(address, None).await
}

/// As [`open`]; Postgres is listened to at `listen`, if that is given. See
/// [`PostgresSettings::listen_url`].
///
/// # Errors
/// As [`open`].
pub async fn open_listening(
    address: &str,
    listen: Option<&str>,
) -> Result<Arc<dyn Store>, StoreError> {
    match Kind::of(address)? {
        Kind::Postgres => {
            let settings = PostgresSettings {
                listen_url: listen.map(str::to_owned),
                ..PostgresSettings::new(address)
            };
            Ok(Arc::new(PostgresStore::connect(&settings).await?))
        }
        Kind::Sqlite => Ok(Arc::new(SqliteStore::open(address).await?)),
    }
}

/// Brings the tables of the store at `address` up to date, without opening it for use.
///
/// # Errors
/// As [`open`].
pub async fn migrate(address: &str) -> Result<(), StoreError> {
    match Kind::of(address)? {
        Kind::Postgres => PostgresStore::migrate(&PostgresSettings::new(address)).await,
        Kind::Sqlite => SqliteStore::open(address).await.map(drop),
    }
}

/// `address` without its password, for people and logs.
pub fn redacted(address: &str) -> String {
    let (base, query) = match address.split_once('?') {
        Some((base, query)) => (base, Some(query)),
        None => (address, None),
    };
    let mut shown = match (base.split_once("://"), base.rfind('@')) {
        // Up to the last `@`, since passwords with a bare `/` or `@` are a common mistake.
        (Some((scheme, _)), Some(end)) => {
            let userinfo = &base[scheme.len() + 3..end];
            let (user, mask) = match userinfo.split_once(':') {
                Some((user, _)) => (user, ":***"),
                None => (userinfo, ""),
            };
            format!("{scheme}://{user}{mask}{}", &base[end..])
        }
        _ => base.to_owned(),
    };
    if let Some(query) = query {
        let kept: Vec<_> = (query.split('&'))
            .map(|pair| match pair.split_once('=') {
                Some((name, _)) if name.to_ascii_lowercase().contains("password") => {
                    format!("{name}=***")
                }
                _ => pair.to_owned(),
            })
            .collect();
        shown = format!("{shown}?{}", kept.join("&"));
    }
    shown
}

enum Kind {
    Postgres,
    Sqlite,
}

impl Kind {
    fn of(address: &str) -> Result<Self, StoreError> {
        if address.starts_with("postgres://") || address.starts_with("postgresql://") {
            return Ok(Self::Postgres);
        }
        if address.starts_with("sqlite:") {
            return Ok(Self::Sqlite);
        }
        // Only the scheme is shown: what follows may hold a password in any place.
        let shown = match address.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://..."),
            None => "...".to_owned(),
        };
        Err(StoreError::Address(format!(
            "store `{shown}` is not supported; use `postgres://...` or `sqlite://...`"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for (address, shown) in [
            (
                "postgres://ada:secret@db:5432/chameleon",
                "postgres://ada:***@db:5432/chameleon",
            ),
            (
                "postgres://ada:se/cr@t@db/chameleon",
                "postgres://ada:***@db/chameleon",
            ),
            ("postgres://ada@db/chameleon", "postgres://ada@db/chameleon"),
            ("postgres://db/chameleon", "postgres://db/chameleon"),
            (
                "postgres://db/x?user=ada&password=secret&sslmode=require",
                "postgres://db/x?user=ada&password=***&sslmode=require",
            ),
            ("sqlite://data/chameleon.db", "sqlite://data/chameleon.db"),
        ] {
            assert_eq!(redacted(address), shown);
        }
    }

    #[tokio::test]
    async fn other_addresses_are_refused_without_showing_them() {
        for (address, message) in [
            (
                "mysql://ada:secret@db/x",
                "store `mysql://...` is not supported; use `postgres://...` or `sqlite://...`",
            ),
            (
                "host=db password=secret",
                "store `...` is not supported; use `postgres://...` or `sqlite://...`",
            ),
        ] {
            let Err(error) = open(address).await else {
                panic!("{address} was opened");
            };
            assert_eq!(error.to_string(), message);
        }
    }
}
