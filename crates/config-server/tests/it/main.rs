//! The server over real sockets, with real stores.

mod access;
mod bad_input;
mod binary;
mod bounds;
mod consul;
mod consul_pages;
mod consul_sessions;
mod consul_txn;
mod fleet;
mod keeping;
mod pages;
mod replicas;
mod restart;
mod store_faults;
mod support;
mod tokens;
mod transactions;
mod two_teams;
mod watches;
