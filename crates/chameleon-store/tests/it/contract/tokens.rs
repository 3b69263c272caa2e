use std::time::Duration;

use chameleon_model::{Grant, Scope, Timestamp, Token, TokenHash, TokenName};
use chameleon_store::{HistoryQuery, NewToken, Store};
use futures::StreamExt as _;

use crate::place::{Place, Replica};
use crate::write::*;

const HOUR: Duration = Duration::from_hours(1);

fn name(text: &str) -> TokenName {
    TokenName::new(text).unwrap()
}

fn hash(byte: u8) -> TokenHash {
    TokenHash([byte; 32])
}

fn new(text: &str, byte: u8) -> NewToken {
    let rules = ["read:shared/", "write:team-a/", "override:team-a/one.yml"];
    NewToken {
        name: name(text),
        hash: hash(byte),
        grant: Grant::new(rules.map(|rule| rule.parse().unwrap())),
        lives: None,
        created_by: "ada".to_owned(),
    }
}

async fn only_token(store: &dyn Store) -> Token {
    let tokens = store.tokens().await.unwrap();
    let [token] = <[_; 1]>::try_from(tokens).unwrap();
    token
}

pub(crate) async fn a_token_is_kept_as_it_was_created(place: &impl Place) {
    let store = place.open().await;
    assert_eq!(store.tokens().await.unwrap(), []);
    let before = store.load().await.unwrap().stamp();
    let asked = NewToken {
        lives: Some(HOUR),
        ..new("team-a", 1)
    };
    let created = store.create_token(asked.clone()).await.unwrap().unwrap();
    assert_eq!(
        (&created.name, created.hash, &created.grant),
        (&asked.name, asked.hash, &asked.grant)
    );
    assert_eq!(created.expires, Some(created.created.after(HOUR)));
    assert_eq!(
        (created.created_by.as_str(), created.replaced),
        ("ada", None)
    );
    let other = place.open().await;
    assert_eq!(only_token(&*other).await, created);
    assert_eq!(store.load().await.unwrap().stamp(), before);
}

pub(crate) async fn a_name_is_given_once(place: &impl Place) {
    let store = place.open().await;
    store.create_token(new("team-a", 1)).await.unwrap().unwrap();
    assert_eq!(store.create_token(new("team-a", 2)).await.unwrap(), None);
    assert_eq!(only_token(&*store).await.hash, hash(1));
    assert!(store.revoke_token(&name("team-a")).await.unwrap());
    assert!(!store.revoke_token(&name("team-a")).await.unwrap());
    assert_eq!(store.create_token(new("team-a", 3)).await.unwrap(), None);
    assert_eq!(store.tokens().await.unwrap(), []);
    let rotated = store.rotate_token(&name("team-a"), hash(4), HOUR).await;
    assert_eq!(rotated.unwrap(), None);
}

pub(crate) async fn a_replaced_secret_is_known_for_its_grace(place: &impl Place) {
    let store = place.open().await;
    store.create_token(new("team-a", 1)).await.unwrap().unwrap();
    let rotate = async |byte, grace| {
        let rotated = store.rotate_token(&name("team-a"), hash(byte), grace).await;
        let token = rotated.unwrap().unwrap();
        assert_eq!(only_token(&*store).await, token);
        token
    };
    let token = rotate(2, HOUR).await;
    let (replaced, until) = token.replaced.unwrap();
    assert_eq!((token.hash, replaced), (hash(2), hash(1)));
    assert!(until > token.created.after(HOUR / 2));

    // Repeated, as after a lost answer: what is in use stays.
    let again = rotate(3, HOUR).await;
    assert_eq!((again.hash, again.replaced.unwrap().0), (hash(3), hash(1)));
    // At once: nothing but the new one is valid.
    let now = rotate(4, Duration::ZERO).await;
    assert!(now.replaced.unwrap().1 <= until);
    let next = rotate(5, HOUR).await;
    assert_eq!((next.hash, next.replaced.unwrap().0), (hash(5), hash(4)));

    let gone = store.rotate_token(&name("nobody"), hash(6), HOUR).await;
    assert_eq!(gone.unwrap(), None);
}

pub(crate) async fn an_expired_token_is_not_rotated(place: &impl Place) {
    let store = place.open().await;
    let short = NewToken {
        lives: Some(Duration::from_micros(1)),
        ..new("short", 1)
    };
    let created = store.create_token(short).await.unwrap().unwrap();
    place
        .execute(&["UPDATE tokens SET expires_micros = 1".to_owned()])
        .await;
    let rotated = store.rotate_token(&created.name, hash(2), HOUR).await;
    assert_eq!(rotated.unwrap(), None);
    assert_eq!(only_token(&*store).await.expires, Some(Timestamp(1)));
}

pub(crate) async fn a_change_of_tokens_wakes_every_follower(place: &impl Place) {
    let store = place.open().await;
    let mut here = store.notifications();
    here.next().await;
    store.create_token(new("team-a", 1)).await.unwrap().unwrap();
    assert!(here.next().await.is_some());
    assert_eq!(only_token(&*place.open().await).await.hash, hash(1));
}

pub(crate) async fn history_keeps_to_its_scopes(place: &impl Place) {
    let mut writer = Replica::at(place).await;
    let a = writer.apply(only(put("team-a/x", "1"))).await.revision;
    let b = writer.apply(only(put("team-b/x", "1"))).await.revision;
    let both = writer
        .apply(all([put("team-a/y", "1"), put("team-b/y", "1")]))
        .await
        .revision;
    let one = writer.apply(only(put("one.yml", "1"))).await.revision;
    for (scopes, expected) in [
        (&["team-a/"][..], &[both, a][..]),
        (&["team-b/", "one.yml"], &[one, both, b]),
        (&["team-a/x"], &[a]),
        (&["team-"], &[]),
        (&[], &[]),
    ] {
        let query = HistoryQuery {
            within: Some(
                scopes
                    .iter()
                    .map(|text| Scope::new(text).unwrap())
                    .collect(),
            ),
            limit: 10,
            ..HistoryQuery::default()
        };
        let found = writer.store.history(&query).await.unwrap();
        let found: Vec<_> = found.iter().map(|commit| commit.stamp.revision).collect();
        assert_eq!(found, expected, "{scopes:?}");
    }
}
