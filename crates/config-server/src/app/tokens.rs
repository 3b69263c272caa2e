//! Creating, listing, rotating and revoking tokens.

use std::time::Duration;

use chameleon_model::{AuditAction, Grant, Token, TokenHash, TokenName};
use chameleon_store::NewToken;
use secrecy::SecretString;

use super::App;
use super::access::{Access, BOOTSTRAP, Caller, audit};
use super::error::Error;

/// How many rules a token may have: each call looks through them.
const MAX_RULES: usize = 100;

impl App {
    /// Creates a token, and returns it with its secret, which nobody can tell again.
    pub(crate) async fn create_token(
        &self,
        caller: &Caller,
        name: TokenName,
        grant: Grant,
        lives: Option<Duration>,
    ) -> Result<(Token, SecretString), Error> {
        caller.may_manage_tokens()?;
        if name.as_str() == BOOTSTRAP {
            let reason = "is what the token is called that the server is started with";
            return Err(Error::Invalid(format!("name: `{name}` {reason}")));
        }
        if grant.rules().is_empty() {
            let reason = "is missing; a token without a rule allows nothing";
            return Err(Error::Invalid(format!("rules: {reason}")));
        }
        if grant.rules().len() > MAX_RULES {
            let given = grant.rules().len();
            let reason = format!("{given} are given, {MAX_RULES} are allowed");
            return Err(Error::Invalid(format!("rules: {reason}")));
        }
        let (secret, hash) = new_secret();
        let token = NewToken {
            name: name.clone(),
            hash,
            grant,
            lives,
            created_by: caller.name().to_owned(),
        };
        let Some(token) = self.store.create_token(token).await? else {
            return Err(Error::Invalid(format!(
                "name: a token `{name}` exists or has existed, and no name is given twice; rotate \
                 it for a new secret, or choose another name"
            )));
        };
        audit::managed(caller, AuditAction::CreateToken, &name);
        self.learn_tokens().await;
        Ok((token, secret))
    }

    /// All tokens that were not revoked, by name; those that have expired too.
    pub(crate) async fn tokens(&self, caller: &Caller) -> Result<Vec<Token>, Error> {
        caller.may_manage_tokens()?;
        Ok(self.store.tokens().await?)
    }

    /// Gives a token a new secret; the one that it had is valid for `grace` more.
    pub(crate) async fn rotate_token(
        &self,
        caller: &Caller,
        name: &TokenName,
        grace: Duration,
    ) -> Result<(Token, SecretString), Error> {
        caller.may_manage_tokens()?;
        let (secret, hash) = new_secret();
        let rotated = self.store.rotate_token(name, hash, grace).await?;
        let token = rotated.ok_or_else(|| no_such(name))?;
        audit::managed(caller, AuditAction::RotateToken, name);
        self.learn_tokens().await;
        Ok((token, secret))
    }

    /// Ends a token; its watches end within a second or so.
    pub(crate) async fn revoke_token(
        &self,
        caller: &Caller,
        name: &TokenName,
    ) -> Result<(), Error> {
        caller.may_manage_tokens()?;
        if !self.store.revoke_token(name).await? {
            return Err(no_such(name));
        }
        audit::managed(caller, AuditAction::RevokeToken, name);
        self.learn_tokens().await;
        Ok(())
    }

    /// Takes over at once what this server has changed; the others hear of it from the store, and so
    /// does this one if it fails.
    async fn learn_tokens(&self) {
        if let Err(error) = self.access.read(&*self.store, self.replica.hub()).await {
            tracing::debug!("failed to read the tokens: {error}; the next notice leads on");
        }
    }
}

fn new_secret() -> (SecretString, TokenHash) {
    let (one, other): (u128, u128) = rand::random();
    let secret = format!("cham_{one:032x}{other:032x}");
    let hash = Access::hash(&secret);
    (secret.into(), hash)
}

fn no_such(name: &TokenName) -> Error {
    Error::Invalid(format!(
        "name: there is no token `{name}` that could be used; see `chameleon token list`"
    ))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn secrets_are_long_and_never_the_same() {
        let (one, hash) = new_secret();
        let (other, _) = new_secret();
        let text = one.expose_secret();
        assert!(
            text.starts_with("cham_") && text.len() == 5 + 64,
            "{}",
            text.len()
        );
        assert_ne!(text, other.expose_secret());
        assert_eq!(hash, Access::hash(text));
    }
}
