//! chameleon-store
