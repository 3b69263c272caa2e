//! Signatures over a request's raw body.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use crate::hex::{from_hex, hex};

/// A claimed HMAC-SHA256 of a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signature([u8; 32]);

/// A body whose sender knows the secret. Only [`Signature::verify`] makes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verified<'a>(&'a [u8]);

impl Signature {
    /// Reads 64 hexadecimal digits.
    pub(super) fn from_hex(text: &str) -> Option<Self> {
        from_hex(text).map(Self)
    }

    /// Signs `body`.
    pub(super) fn of(secret: &SecretString, body: &[u8]) -> Self {
        Self(mac(secret, body).finalize().into_bytes().into())
    }

    /// The body, if this is its signature; compared in constant time.
    pub(super) fn verify<'a>(&self, secret: &SecretString, body: &'a [u8]) -> Option<Verified<'a>> {
        let good = mac(secret, body).verify_slice(&self.0).is_ok();
        good.then_some(Verified(body))
    }

    /// The signature in lower-case hexadecimal.
    pub(super) fn to_hex(self) -> String {
        hex(&self.0)
    }
}

impl<'a> Verified<'a> {
    /// The body's bytes.
    pub(super) fn bytes(self) -> &'a [u8] {
        self.0
    }
}

fn mac(secret: &SecretString, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
        .expect("HMAC takes keys of any length");
    mac.update(body);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNATURE: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    #[test]
    fn githubs_own_example_is_verified() {
        let secret = SecretString::from("It's a Secret to Everybody");
        let signature = Signature::from_hex(SIGNATURE).unwrap();
        let verified = signature.verify(&secret, b"Hello, World!").unwrap();
        assert_eq!(verified.bytes(), b"Hello, World!");
        assert!(signature.verify(&secret, b"Hello, World?").is_none());
        assert!(
            signature
                .verify(&"other".into(), b"Hello, World!")
                .is_none()
        );
        assert_eq!(Signature::of(&secret, b"Hello, World!").to_hex(), SIGNATURE);
    }

    #[test]
    fn what_is_no_signature_is_none() {
        for text in ["", "7571", &SIGNATURE[1..], &SIGNATURE.replace('7', "g")] {
            assert!(Signature::from_hex(text).is_none(), "{text}");
        }
    }
}
