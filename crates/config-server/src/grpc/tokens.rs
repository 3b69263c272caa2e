//! The methods that manage tokens.

use std::sync::Arc;
use std::time::Duration;

use chameleon_model::{Grant, Rule, Token, TokenName};
use chameleon_proto::v1;
use secrecy::ExposeSecret as _;
use tonic::{Request, Response, Status};

use super::error::invalid;
use super::{caller, counted};
use crate::app::App;
use crate::app::error::Error;

/// The service as tonic calls it.
pub(super) struct Tokens {
    app: Arc<App>,
}

impl Tokens {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app }
    }

    fn counted<T>(
        &self,
        method: &'static str,
        answer: Result<T, Error>,
    ) -> Result<Response<T>, Status> {
        counted(&self.app, method, answer.map_err(Status::from))
    }

    async fn created(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<v1::CreateTokenResponse, Error> {
        let caller = caller(&request);
        let request = request.into_inner();
        let lives = Some(Duration::from_millis(request.lives_ms)).filter(|lives| !lives.is_zero());
        let (name, grant) = (name(&request.name)?, grant(&request.rules)?);
        let (token, secret) = self.app.create_token(&caller, name, grant, lives).await?;
        Ok(v1::CreateTokenResponse {
            token: Some(told(&token)),
            secret: secret.expose_secret().to_owned(),
        })
    }

    async fn rotated(
        &self,
        request: Request<v1::RotateTokenRequest>,
    ) -> Result<v1::RotateTokenResponse, Error> {
        let caller = caller(&request);
        let request = request.into_inner();
        let (name, grace) = (
            name(&request.name)?,
            Duration::from_millis(request.grace_ms),
        );
        let (token, secret) = self.app.rotate_token(&caller, &name, grace).await?;
        Ok(v1::RotateTokenResponse {
            token: Some(told(&token)),
            secret: secret.expose_secret().to_owned(),
        })
    }
}

#[tonic::async_trait]
impl v1::tokens_server::Tokens for Tokens {
    async fn create(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        let answer = self.created(request).await;
        self.counted("CreateToken", answer)
    }

    async fn list(
        &self,
        request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        let tokens = self.app.tokens(&caller(&request)).await;
        let answer = tokens.map(|tokens| v1::ListTokensResponse {
            tokens: tokens.iter().map(told).collect(),
        });
        self.counted("ListTokens", answer)
    }

    async fn rotate(
        &self,
        request: Request<v1::RotateTokenRequest>,
    ) -> Result<Response<v1::RotateTokenResponse>, Status> {
        let answer = self.rotated(request).await;
        self.counted("RotateToken", answer)
    }

    async fn revoke(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let caller = caller(&request);
        let answer = match name(&request.into_inner().name) {
            Ok(name) => self.app.revoke_token(&caller, &name).await,
            Err(error) => Err(error),
        };
        self.counted("RevokeToken", answer.map(|()| v1::RevokeTokenResponse {}))
    }
}

fn name(text: &str) -> Result<TokenName, Error> {
    TokenName::new(text).map_err(|error| invalid("name", error))
}

fn grant(rules: &[String]) -> Result<Grant, Error> {
    let rules: Vec<Rule> = (rules.iter())
        .map(|rule| rule.parse().map_err(|error| invalid("rules", error)))
        .collect::<Result<_, _>>()?;
    Ok(Grant::new(rules))
}

fn told(token: &Token) -> v1::Token {
    v1::Token {
        name: token.name.to_string(),
        rules: token
            .grant
            .rules()
            .iter()
            .map(ToString::to_string)
            .collect(),
        created_us: token.created.0,
        created_by: token.created_by.clone(),
        expires_us: token.expires.map_or(0, |at| at.0),
        replaced_until_us: token.replaced.map_or(0, |(_, until)| until.0),
    }
}
