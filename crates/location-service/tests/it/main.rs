//! The service as its clients and its vendors see it.

mod equality;
mod failover;
mod input;
mod live;
mod support;
mod vendors;
