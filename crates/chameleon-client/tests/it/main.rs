//! The client against a server that speaks the real protocol over a real socket.

mod api;
mod bad_states;
mod binding;
mod fake;
mod follow;
mod shares;
mod start;
