//! Who may call: with a token everybody has to show it, without one only this machine may listen.

use std::net::SocketAddr;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The shortest token that is accepted, in bytes: 128 bits in hexadecimal take 32.
const MIN_TOKEN_BYTES: usize = 16;

/// The rule by which calls are let in. Holds the token's hash only.
pub(crate) struct Access {
    hash: Option<[u8; 32]>,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessError {
    /// Anybody in the network could read and change everything.
    #[error(
        "{address} is not a loopback address, and without a token anybody who reaches it could \
         change everything; write a token of {MIN_TOKEN_BYTES} characters or more into a file and \
         name it by `--bootstrap-token-file`, or listen on 127.0.0.1"
    )]
    Exposed {
        /// Which address.
        address: SocketAddr,
    },
    /// The token can be guessed.
    #[error(
        "the token (`--bootstrap-token-file`) has {bytes} characters; use {MIN_TOKEN_BYTES} or \
         more, for example the output of `openssl rand -hex 32`"
    )]
    Short {
        /// Its length.
        bytes: usize,
    },
}

/// Why a call is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    /// No token came with it.
    #[error("a token is needed: send it as `authorization: Bearer <token>`")]
    Missing,
    /// A token came that is not known.
    #[error("the token is not known to this server")]
    Unknown,
}

impl Access {
    /// The rule for `token`; without one everybody is let in.
    pub(crate) fn new(token: Option<&SecretString>) -> Result<Self, AccessError> {
        let Some(token) = token else {
            return Ok(Self { hash: None });
        };
        let token = token.expose_secret();
        if token.len() < MIN_TOKEN_BYTES {
            return Err(AccessError::Short { bytes: token.len() });
        }
        Ok(Self {
            hash: Some(hash(token)),
        })
    }

    /// Fails for an address that others can reach unless a token is needed.
    pub(crate) fn allow_listening(
        &self,
        addresses: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<(), AccessError> {
        if self.hash.is_some() {
            return Ok(());
        }
        let exposed = (addresses.into_iter()).find(|address| !address.ip().is_loopback());
        exposed.map_or(Ok(()), |address| Err(AccessError::Exposed { address }))
    }

    /// Lets a call in that shows `token`; an empty one counts as none.
    pub(crate) fn admit(&self, token: Option<&str>) -> Result<(), Denied> {
        let Some(expected) = &self.hash else {
            return Ok(());
        };
        let token = token.filter(|token| !token.is_empty());
        let token = token.ok_or(Denied::Missing)?;
        let same: bool = hash(token).ct_eq(expected).into();
        if same { Ok(()) } else { Err(Denied::Unknown) }
    }
}

/// The token in the value of an `authorization` header; the scheme's case does not matter.
pub(crate) fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer")).then(|| token.trim())
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_token() -> Access {
        Access::new(Some(&"0123456789abcdef".into())).unwrap()
    }

    #[test]
    fn without_a_token_only_loopback_is_listened_on() {
        let access = Access::new(None).unwrap();
        let local = ["127.0.0.1:8500", "[::1]:8502", "127.8.8.8:1"];
        (access.allow_listening(local.map(|text| text.parse().unwrap()))).unwrap();
        for exposed in ["0.0.0.0:8500", "[::]:8500", "10.0.0.1:8500"] {
            let address = exposed.parse().unwrap();
            let error = access.allow_listening([address]).unwrap_err().to_string();
            assert!(
                error.starts_with(exposed)
                    && error.contains("--bootstrap-token-file")
                    && !error.contains('\n'),
                "{error}"
            );
            with_token().allow_listening([address]).unwrap();
        }
    }

    #[test]
    fn with_a_token_nobody_else_is_let_in() {
        let access = with_token();
        assert_eq!(access.admit(None), Err(Denied::Missing));
        assert_eq!(access.admit(Some("")), Err(Denied::Missing));
        for wrong in ["0123456789abcde", "0123456789abcdefg", "0123456789ABCDEF"] {
            assert_eq!(access.admit(Some(wrong)), Err(Denied::Unknown));
        }
        assert_eq!(access.admit(Some("0123456789abcdef")), Ok(()));
        assert_eq!(Access::new(None).unwrap().admit(None), Ok(()));
    }

    #[test]
    fn a_token_that_can_be_guessed_is_refused_without_telling_it() {
        let error = Access::new(Some(&"hunter2".into())).err().unwrap();
        let text = format!("{error} {error:?}");
        assert!(
            text.contains("has 7 characters") && !text.contains("hunter2"),
            "{text}"
        );
    }

    #[test]
    fn the_scheme_of_the_header_is_read_in_any_case() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("abc"), None);
    }
}
