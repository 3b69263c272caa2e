//! chameleon-proto
