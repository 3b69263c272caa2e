//! TLS: the one provider of the process, and how its listeners speak it.

mod files;
mod itself;
mod server;
mod validity;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use files::{ClientTlsArgs, TlsArgs, TlsFiles};
pub(crate) use itself::{client_to_itself, own_pair};
pub use server::{Protocol, ServerTls};

/// Makes `ring` the provider of every TLS connection of this process; later calls change nothing.
///
/// A provider that the process installed itself before is left in place.
pub fn install_provider() {
    if CryptoProvider::get_default().is_none() {
        // Lost only to a concurrent call, which installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

fn provider() -> Arc<CryptoProvider> {
    install_provider();
    let provider = CryptoProvider::get_default();
    Arc::clone(provider.expect("it was just installed"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_second_installation_is_harmless() {
        super::install_provider();
        super::install_provider();
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
}
