//! What tests and benchmarks of several crates need: databases, poolers, git repositories, faults, and waiting.
//!
//! Everything for tests panics instead of returning errors, because a test that cannot be set up has
//! failed.

pub mod bench;
mod eventually;
pub mod flags;
pub mod git;
#[cfg(unix)]
pub mod pgbouncer;
pub mod postgres;
pub mod proxy;
pub mod tls;

pub use eventually::eventually;
pub use proxy::FaultProxy;
