//! The kit against real sockets, a real git and a real Postgres.

mod git;
mod postgres;
mod proxy;
