//! The one TLS provider of the process.

/// Makes `ring` the provider of every TLS connection of this process; later calls change nothing.
///
/// A provider that the process installed itself before is left in place.
pub fn install_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Lost only to a concurrent call, which installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
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
