//! Migrations run while the version before still serves.

use chameleon_model::Revision;

use crate::place::{Place, Replica, content, newer};
use crate::write::*;

const TABLES: [&str; 12] = [
    "head",
    "epochs",
    "transactions",
    "changes",
    "latest",
    "session_changes",
    "sessions",
    "sources",
    "requests",
    "tokens",
    "lock_delays",
    "audit",
];

/// A column in each table, and a table, by a migration that these stores do not know: what they have
/// prepared goes on, and so does what they prepare from then on.
pub(crate) async fn what_a_later_version_adds_disturbs_no_store_that_serves(place: &impl Place) {
    let mut serving = Replica::at(place).await;
    let holder = session("holder");
    let work = async |replica: &mut Replica, value: &str| {
        let id = new_request();
        replica.apply(request(id, put("a", value))).await;
        replica.apply(only(put(value, "x"))).await;
        replica.look().await;
        let store = &replica.store;
        store.renew_session(holder.id).await.unwrap();
        store.tokens().await.unwrap();
        store.sources().await.unwrap();
        let newest = Revision(replica.state.stamp().revision.0);
        store.snapshot_at(newest).await.unwrap();
        store.compact(newest).await.unwrap();
        let loaded = store.load().await.unwrap();
        assert_eq!(loaded.stamp(), replica.state.stamp());
    };
    serving.apply(only(open_session(&holder))).await;
    serving.apply(only(lock("held", holder.id))).await;
    work(&mut serving, "before").await;

    let columns = TABLES.iter().map(|table| {
        format!("ALTER TABLE {table} ADD COLUMN added_later TEXT NOT NULL DEFAULT 'x'")
    });
    let table = "CREATE TABLE added_later (id BIGINT PRIMARY KEY)".to_owned();
    let migration: Vec<_> = columns.chain([table, newer(9_998, "9998_adds")]).collect();
    place.execute(&migration).await;

    work(&mut serving, "after").await;
    let mut started_later = Replica::at(place).await;
    work(&mut started_later, "later").await;
    serving.look().await;
    assert_eq!(serving.state.stamp(), started_later.state.stamp());
    let loaded = Replica::at(place).await;
    assert_eq!(content(&loaded.state), content(&started_later.state));
}
