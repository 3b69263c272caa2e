//! Who calls, and what they may do.
//!
//! With a bootstrap token everybody has to show a token, and may do what it allows; without one only
//! this machine may listen, and everybody may do everything. A check costs a hash and a look into a
//! map: it never waits for the database, and goes on without it.

pub(crate) mod audit;
mod caller;
mod clients;
mod tokens;

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use chameleon_model::{Timestamp, Token, TokenHash};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::audit::Trail;

pub(crate) use caller::{Caller, Forbidden};
use caller::{Principal, Proof};
use clients::{Clients, Name};
pub(crate) use clients::{Limited, OverLimit, WatchPlace};

use crate::settings::ClientLimits;

/// The shortest token that is accepted, in bytes: 128 bits in hexadecimal take 32.
const MIN_TOKEN_BYTES: usize = 16;

/// What the token is called that a server is started with.
pub(super) const BOOTSTRAP: &str = "bootstrap";

/// The rule by which calls are let in. Holds the hashes of tokens only.
pub(crate) struct Access {
    /// Who may do everything: whoever shows the bootstrap token, or everybody where there is none.
    all: Arc<Principal>,
    bootstrap: Option<Secret>,
    known: ArcSwap<HashMap<Secret, Known>>,
    /// All that were not revoked, as they were read last.
    tokens: ArcSwap<Vec<Token>>,
    clients: Clients,
    /// Held while the tokens are read, so that an older list never replaces a newer one.
    reading: tokio::sync::Mutex<()>,
    trail: Arc<Trail>,
}

/// Whom a secret stands for, and until when.
#[derive(Clone)]
struct Known {
    principal: Arc<Principal>,
    until: Option<Timestamp>,
}

/// A secret's hash, compared in constant time.
#[derive(Clone, Copy)]
struct Secret(TokenHash);

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
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    /// No token came with it.
    #[error("a token is needed: send it as `authorization: Bearer <token>`")]
    Missing,
    /// A token came that is not known, or not any more.
    #[error("the token is not valid here: it was revoked, has expired, or never was")]
    Unknown,
    /// The client calls too often.
    #[error(transparent)]
    Limited(OverLimit),
}

/// Where a call comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// The dialect it is spoken in: `grpc`, `consul` or `http`.
    pub(crate) dialect: &'static str,
    /// The other end of the connection.
    pub(crate) address: Option<IpAddr>,
}

impl Access {
    /// The rule for the bootstrap token `token`; without one everybody is let in.
    pub(crate) fn new(token: Option<&SecretString>) -> Result<Self, AccessError> {
        let bootstrap = token.map(ExposeSecret::expose_secret);
        if let Some(token) = bootstrap
            && token.len() < MIN_TOKEN_BYTES
        {
            return Err(AccessError::Short { bytes: token.len() });
        }
        let trail = Arc::new(Trail::new());
        let name = bootstrap.map(|_| BOOTSTRAP);
        Ok(Self {
            all: Arc::new(Principal::all(name, Arc::clone(&trail))),
            bootstrap: bootstrap.map(Secret::of),
            known: ArcSwap::default(),
            tokens: ArcSwap::default(),
            clients: Clients::new(ClientLimits::none(), Limited::default()),
            reading: tokio::sync::Mutex::default(),
            trail,
        })
    }

    /// Where what callers do and are refused is told.
    pub(crate) fn trail(&self) -> &Arc<Trail> {
        &self.trail
    }

    /// The same with limits for each client, which are counted in `limited` where they are met.
    pub(crate) fn with_limits(mut self, limits: ClientLimits, limited: Limited) -> Self {
        self.clients = Clients::new(limits, limited);
        self
    }

    /// Fails for an address that others can reach unless a token is needed.
    pub(crate) fn allow_listening(
        &self,
        addresses: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<(), AccessError> {
        if self.is_guarded() {
            return Ok(());
        }
        let exposed = (addresses.into_iter()).find(|address| !address.ip().is_loopback());
        exposed.map_or(Ok(()), |address| Err(AccessError::Exposed { address }))
    }

    /// Says whether a token is needed.
    pub(crate) fn is_guarded(&self) -> bool {
        self.bootstrap.is_some()
    }

    /// Lets a call in that shows `token`, and says whose it is; an empty one counts as none.
    ///
    /// Calls without a valid token count for their address, so that guessing has a limit as well.
    pub(crate) fn admit(&self, token: Option<&str>, peer: Peer) -> Result<Caller, Denied> {
        let (principal, proof) = match self.find(token, SystemTime::now().into()) {
            Ok(found) => found,
            Err(denied) => {
                let counted = self.clients.request(|| Name::of_peer(peer));
                counted.map_err(Denied::Limited)?;
                audit::turned_away(&self.trail, "", peer, &denied);
                return Err(denied);
            }
        };
        let caller = Caller::new(principal, proof, peer);
        let counted = self.clients.request(|| self.client(&caller));
        counted.map_err(Denied::Limited)?;
        Ok(caller)
    }

    /// A place for one more watch of `caller`.
    ///
    /// # Errors
    /// It has all that one client may have.
    pub(crate) fn watch_place(&self, caller: &Caller) -> Result<WatchPlace, OverLimit> {
        self.clients.watch(|| self.client(caller))
    }

    /// Whose limits count for `caller`: its token's, or its address's where no token is needed.
    fn client(&self, caller: &Caller) -> Name {
        if self.is_guarded() {
            Name::Token(caller.who())
        } else {
            Name::of_peer(caller.peer())
        }
    }

    /// Fails once the token that `caller` was let in with is not valid any more.
    pub(crate) fn still_admits(&self, caller: &Caller) -> Result<(), Denied> {
        let Some(Proof(hash)) = caller.proof() else {
            return Ok(());
        };
        let valid = self.valid(&Secret(hash), SystemTime::now().into());
        if valid.is_none() {
            let denied = Denied::Unknown;
            audit::turned_away(&self.trail, caller.name(), caller.peer(), &denied);
            return Err(Denied::Unknown);
        }
        Ok(())
    }

    /// What is kept of a secret.
    pub(super) fn hash(secret: &str) -> TokenHash {
        Secret::of(secret).0
    }

    fn find(
        &self,
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<(Arc<Principal>, Option<Proof>), Denied> {
        let Some(bootstrap) = &self.bootstrap else {
            return Ok((Arc::clone(&self.all), None));
        };
        let token = token.filter(|token| !token.is_empty());
        let shown = Secret::of(token.ok_or(Denied::Missing)?);
        if shown == *bootstrap {
            return Ok((Arc::clone(&self.all), None));
        }
        let principal = self.valid(&shown, now).ok_or(Denied::Unknown)?;
        Ok((principal, Some(Proof(shown.0))))
    }

    fn valid(&self, secret: &Secret, now: Timestamp) -> Option<Arc<Principal>> {
        let known = self.known.load();
        let found = known.get(secret)?;
        found.is_valid(now).then(|| Arc::clone(&found.principal))
    }

    /// The tokens that are known, with those that have expired.
    pub(crate) fn tokens(&self) -> Arc<Vec<Token>> {
        self.tokens.load_full()
    }

    /// Knows `tokens`, which were kept on disk, until the store's are read. Those that have expired
    /// since are not let in; where no token is needed, none is known.
    pub(crate) fn restore(&self, tokens: Vec<Token>) {
        if self.is_guarded() {
            self.replace(tokens, SystemTime::now().into());
        }
    }

    /// Takes over what tokens there are, and says whether a secret has ended.
    fn replace(&self, tokens: Vec<Token>, now: Timestamp) -> bool {
        let mut next = HashMap::new();
        for token in &tokens {
            let principal = Arc::new(Principal::of(token, Arc::clone(&self.trail)));
            let mut add = |hash, until| {
                let known = Known {
                    principal: Arc::clone(&principal),
                    until,
                };
                if known.is_valid(now) {
                    next.insert(Secret(hash), known);
                }
            };
            add(token.hash, token.expires);
            if let Some((hash, until)) = token.replaced {
                add(hash, Some(token.expires.map_or(until, |at| at.min(until))));
            }
        }
        let ended = |secret: &Secret| !next.contains_key(secret);
        let some_ended = self.known.load().keys().any(ended);
        self.known.store(Arc::new(next));
        self.tokens.store(Arc::new(tokens));
        some_ended
    }

    /// Takes out what has ended by now, and says whether anything has.
    fn expire(&self, now: Timestamp) -> bool {
        let known = self.known.load();
        if known.values().all(|known| known.is_valid(now)) {
            return false;
        }
        let mut left = HashMap::clone(&known);
        left.retain(|_, known| known.is_valid(now));
        self.known.store(Arc::new(left));
        true
    }

    /// When the next secret ends.
    fn next_end(&self) -> Option<Timestamp> {
        self.known
            .load()
            .values()
            .filter_map(|known| known.until)
            .min()
    }
}

impl Known {
    fn is_valid(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl Secret {
    fn of(token: &str) -> Self {
        Self(TokenHash(Sha256::digest(token.as_bytes()).into()))
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.0.ct_eq(&other.0.0).into()
    }
}

impl Eq for Secret {}

impl Hash for Secret {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// The token in the value of an `authorization` header; the scheme's case does not matter.
pub(crate) fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer")).then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use chameleon_model::{Grant, Key, Right, TokenName};

    use super::*;

    const NOW: Timestamp = Timestamp(1_000);

    fn with_token() -> Access {
        Access::new(Some(&"0123456789abcdef".into())).unwrap()
    }

    fn token(name: &str, secret: &str) -> Token {
        Token {
            name: TokenName::new(name).unwrap(),
            grant: Grant::new(["write:team-a/".parse().unwrap()]),
            hash: Secret::of(secret).0,
            replaced: None,
            created: Timestamp(1),
            created_by: BOOTSTRAP.to_owned(),
            expires: None,
        }
    }

    /// The name of whom `secret` is found to stand for at a time.
    fn found(access: &Access, secret: &str, now: Timestamp) -> Result<String, Denied> {
        let (principal, _) = access.find(Some(secret), now)?;
        Ok(principal.name().to_owned())
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
        let denied = |token| access.find(token, NOW).err();
        assert_eq!(denied(None), Some(Denied::Missing));
        assert_eq!(denied(Some("")), Some(Denied::Missing));
        for wrong in ["0123456789abcde", "0123456789abcdefg", "0123456789ABCDEF"] {
            assert_eq!(denied(Some(wrong)), Some(Denied::Unknown));
        }
        assert_eq!(found(&access, "0123456789abcdef", NOW).unwrap(), BOOTSTRAP);
        assert!(Access::new(None).unwrap().find(None, NOW).is_ok());
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
    fn a_token_is_known_until_it_ends() {
        let access = with_token();
        let short = Token {
            expires: Some(NOW.after(std::time::Duration::from_micros(5))),
            ..token("short", "one")
        };
        assert!(!access.replace(vec![short, token("long", "two")], NOW));
        assert_eq!(found(&access, "one", NOW).unwrap(), "short");
        assert_eq!(access.next_end(), Some(Timestamp(1_005)));
        // Also where nobody takes it out, as while the database is away.
        assert_eq!(
            found(&access, "one", Timestamp(1_005)),
            Err(Denied::Unknown)
        );
        assert!(!access.expire(Timestamp(1_004)) && access.expire(Timestamp(1_005)));
        assert_eq!(access.next_end(), None);
        assert_eq!(found(&access, "two", Timestamp(i64::MAX)).unwrap(), "long");
        assert!(access.replace(Vec::new(), NOW));
        assert_eq!(found(&access, "two", NOW), Err(Denied::Unknown));
    }

    #[test]
    fn a_replaced_secret_is_valid_for_its_grace_and_never_longer_than_the_token() {
        let access = with_token();
        let until = |replaced, expires| Token {
            replaced: Some((Secret::of("old").0, Timestamp(replaced))),
            expires: Some(Timestamp(expires)),
            ..token("team-a", "new")
        };
        access.replace(vec![until(1_500, 2_000)], NOW);
        for (secret, at, valid) in [
            ("old", 1_499, true),
            ("old", 1_500, false),
            ("new", 1_999, true),
            ("new", 2_000, false),
        ] {
            let found = found(&access, secret, Timestamp(at)).is_ok();
            assert_eq!(found, valid, "{secret} {at}");
        }
        access.replace(vec![until(3_000, 2_000)], NOW);
        assert!(found(&access, "old", Timestamp(2_000)).is_err());
    }

    #[test]
    fn who_was_let_in_stays_until_the_token_ends() {
        let access = with_token();
        let peer = Peer {
            dialect: "grpc",
            address: None,
        };
        access.replace(vec![token("team-a", "one")], NOW);
        let caller = access.admit(Some("one"), peer).unwrap();
        let bootstrap = access.admit(Some("0123456789abcdef"), peer).unwrap();
        assert!(caller.sees(Right::Write, &Key::new("team-a/x").unwrap()));
        assert_eq!(access.still_admits(&caller), Ok(()));
        access.replace(vec![token("team-a", "two")], NOW);
        assert_eq!(access.still_admits(&caller), Err(Denied::Unknown));
        assert_eq!(access.still_admits(&bootstrap), Ok(()));
    }

    #[test]
    fn the_scheme_of_the_header_is_read_in_any_case() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("abc"), None);
    }
}
