//! chameleon-client
