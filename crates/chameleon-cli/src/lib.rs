//! chameleon-cli
