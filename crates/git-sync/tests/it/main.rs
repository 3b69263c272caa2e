//! git-sync between a real git remote and a real config server.

mod bad_pushes;
mod command;
mod holds;
mod job;
mod service;
mod support;
