//! What every Chameleon process needs: lifecycle, telemetry, settings, listeners, health, metrics.
//!
//! This crate owns how a process starts, is watched and ends. It knows nothing of keys, stores or
//! vendors, and the client SDK does not depend on it.
//!
//! A process is a library function that is given its settings, its listeners and a [`Lifecycle`].
//! Its `main.rs` does, in this order: read the settings, [`telemetry::init`],
//! [`tls::install_provider`], [`net::listen`], run, [`main_exit`].

pub mod accept;
pub mod admin;
pub mod backoff;
mod exit;
pub mod health;
pub mod http;
pub mod http2;
pub mod http_client;
pub mod lifecycle;
pub mod metrics;
pub mod net;
pub mod settings;
mod signals;
pub mod telemetry;
pub mod tls;

pub use backoff::Backoff;
pub use exit::{healthcheck, healthcheck_by_tls, main_exit, readiness_url};
pub use health::Health;
pub use lifecycle::Lifecycle;
pub use net::listen;
