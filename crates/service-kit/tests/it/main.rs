//! The parts of the kit together, over real sockets and signals.

mod http;
mod http2;
mod signals;
