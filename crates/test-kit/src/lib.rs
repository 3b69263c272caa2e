//! What tests of several crates need: databases, git repositories, faults, and waiting.
//!
//! Everything panics instead of returning errors, because a test that cannot be set up has failed.

mod eventually;
pub mod git;
pub mod postgres;
pub mod proxy;

pub use eventually::eventually;
pub use proxy::FaultProxy;
