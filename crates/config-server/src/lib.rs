//! config-server
