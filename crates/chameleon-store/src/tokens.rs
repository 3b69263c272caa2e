//! The tokens: who may do what. None of it takes a revision; changes wake the followers.

use std::time::Duration;

use chameleon_model::{Timestamp, Token, TokenHash, TokenName};
use uuid::Uuid;

use crate::backend::{Argument, Backend, Tx};
use crate::contract::NewToken;
use crate::rows::{TokenRow, stored_rules};
use crate::{Notice, StoreError, read};

macro_rules! tokens {
    ($where:literal) => {
        concat!(
            "SELECT name, hash, rules, created_micros, created_by, expires_micros, replaced_hash, \
             replaced_until_micros FROM tokens WHERE revoked_micros IS NULL",
            $where
        )
    };
}

pub(crate) async fn all(store: &impl Backend) -> Result<Vec<Token>, StoreError> {
    let mut tx = store.begin_read().await?;
    let rows: Vec<TokenRow> = tx.rows(tokens!(" ORDER BY name"), Vec::new()).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

pub(crate) async fn create(
    store: &impl Backend,
    token: NewToken,
) -> Result<Option<Token>, StoreError> {
    let mut tx = store.begin_beside().await?;
    let now = read::head(&mut tx).await?.now;
    let expires = token.lives.map(|lives| now.after(lives));
    let row = vec![
        Argument::Id(Uuid::new_v4()),
        Argument::Text(token.name.as_str().to_owned()),
        Argument::Bytes(token.hash.0.to_vec()),
        Argument::Rules(stored_rules(&token.grant)),
        Argument::Number(now.0),
        Argument::Text(token.created_by),
        Argument::MaybeNumber(expires.map(|expires| expires.0)),
    ];
    let insert = "INSERT INTO tokens \
                  (id, name, hash, rules, created_micros, created_by, expires_micros) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (name) DO NOTHING";
    if tx.run(insert, row).await? == 0 {
        return Ok(None);
    }
    let created = named(&mut tx, &token.name).await?;
    publish(store, tx).await?;
    Ok(created)
}

pub(crate) async fn rotate(
    store: &impl Backend,
    name: &TokenName,
    hash: TokenHash,
    grace: Duration,
) -> Result<Option<Token>, StoreError> {
    let mut tx = store.begin_beside().await?;
    let now = read::head(&mut tx).await?.now;
    let Timestamp(until) = now.after(grace);
    // The secret that is in use stays valid also where a rotation's answer was lost, and is repeated.
    let rotate = "UPDATE tokens SET hash = $1, replaced_until_micros = $2, replaced_hash = \
                  CASE WHEN replaced_until_micros > $3 THEN replaced_hash ELSE hash END \
                  WHERE name = $4 AND revoked_micros IS NULL \
                  AND (expires_micros IS NULL OR expires_micros > $3)";
    let arguments = vec![
        Argument::Bytes(hash.0.to_vec()),
        Argument::Number(until),
        Argument::Number(now.0),
        Argument::Text(name.as_str().to_owned()),
    ];
    if tx.run(rotate, arguments).await? == 0 {
        return Ok(None);
    }
    let rotated = named(&mut tx, name).await?;
    publish(store, tx).await?;
    Ok(rotated)
}

pub(crate) async fn revoke(store: &impl Backend, name: &TokenName) -> Result<bool, StoreError> {
    let mut tx = store.begin_beside().await?;
    let now = read::head(&mut tx).await?.now;
    // The row stays, so that nobody else gets the name that the history tells.
    let revoke = "UPDATE tokens SET revoked_micros = $1 WHERE name = $2 AND revoked_micros IS NULL";
    let arguments = vec![
        Argument::Number(now.0),
        Argument::Text(name.as_str().to_owned()),
    ];
    if tx.run(revoke, arguments).await? == 0 {
        return Ok(false);
    }
    publish(store, tx).await?;
    Ok(true)
}

async fn named<T: Tx>(tx: &mut T, name: &TokenName) -> Result<Option<Token>, StoreError> {
    let name = Argument::Text(name.as_str().to_owned());
    let rows: Vec<TokenRow> = tx.rows(tokens!(" AND name = $1"), vec![name]).await?;
    rows.into_iter().next().map(TryInto::try_into).transpose()
}

async fn publish<B: Backend>(store: &B, mut tx: B::Tx) -> Result<(), StoreError> {
    tx.notify().await?;
    tx.commit().await?;
    store.wake(Notice::Look);
    Ok(())
}
