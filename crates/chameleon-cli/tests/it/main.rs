//! The `chameleon` command and the platform that it runs.

mod bad_input;
mod commands;
mod dev;
mod export;
mod holds;
mod reference_job;
mod rig;
mod tls;
mod tokens;
