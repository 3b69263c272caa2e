//! Where the state lives: the [`Store`] contract and its two implementations.
//!
//! The store keeps every commit and the newest state, and holds nothing in memory. The caller
//! holds the state as a [`Snapshot`](chameleon_model::Snapshot) and hands it to [`Store::commit`],
//! which decides on it ([`chameleon_model::decide()`]) and moves the head from there, in one round
//! trip. Where others were quicker, it catches up with them and decides under the database's lock.
//!
//! [`open`] takes any address that is understood; [`PostgresStore`] and [`SqliteStore`] have more
//! to set.

mod address;
mod audit;
mod backend;
mod board;
mod clean;
mod contract;
mod failure;
mod migrations;
mod news;
mod postgres;
mod read;
mod records;
mod requests;
mod rows;
mod sqlite;
mod steps;
mod tokens;
mod verbs;

use std::time::Duration;

pub use address::{migrate, open, open_listening, redacted};
pub use board::{
    BOARD_DELIVERIES, BOARD_INSTANCES, BOARD_SOURCES, Board, BoardInstance, BoardWays, Posted,
    PostedDelivery, PostedIdentity, PostedInstance, PostedStored, PostedSync, REPORT_ROWS,
    ReplicaId, Report, Watched,
};
pub use contract::{
    Changes, Committed, HistoryQuery, NewToken, Notice, Notifications, Store, StoreError,
};
pub use postgres::{PostgresSettings, PostgresStore};
pub use sqlite::SqliteStore;

/// How long the first outcome of a request is known to its retries, at least.
pub const REQUEST_MEMORY: Duration = Duration::from_hours(24);

/// The most commits that are handed out one by one, by [`Store::changes_since`] and by
/// [`Store::commit`] to a caller that is behind.
pub const REPLAY_LIMIT: u64 = 10_000;
