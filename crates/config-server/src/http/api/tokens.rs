//! `/api/v1/tokens`: giving and taking access, with the bootstrap token only.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use chameleon_model::{Grant, Rule, Token, TokenName};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{Admitted, JsonBody, NoParameters, Parameters};
use super::problem::Problem;
use super::words::moment;
use crate::app::App;

/// The tokens that were not revoked.
#[derive(Serialize, ToSchema)]
pub(super) struct TokensAnswer {
    tokens: Vec<TokenAnswer>,
}

/// A token, without its secret.
#[derive(Serialize, ToSchema)]
struct TokenAnswer {
    name: String,
    /// What it allows.
    #[schema(example = json!(["read:config/", "write:teams/payments/"]))]
    rules: Vec<String>,
    created: String,
    /// The token that created it; empty where none was needed.
    created_by: String,
    /// When it ends; absent if never.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    /// Until when the secret of before the last rotation is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced_until: Option<String>,
}

/// A token with its secret, which nobody can tell again.
#[derive(Serialize, ToSchema)]
pub(super) struct IssuedAnswer {
    #[serde(flatten)]
    token: TokenAnswer,
    secret: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateBody {
    /// Its name, for the history and the audit; no name is given twice.
    name: String,
    /// What it allows: `read:`, `write:` or `override:`, then a key or a prefix that ends in `/`. Each
    /// right includes the ones before.
    #[schema(example = json!(["write:teams/payments/"]))]
    rules: Vec<String>,
    /// How long it lives; for ever if left out.
    lives_seconds: Option<u64>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateBody {
    /// How long the secret that it has is valid beside the new one; 0 ends it at once.
    grace_seconds: u64,
}

/// List tokens
#[utoipa::path(
    get, path = "/api/v1/tokens", tag = "tokens", operation_id = "list_tokens",
    responses(
        (status = 200, description = "The tokens, by name", body = TokensAnswer),
        (status = "default", description = "Not served", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Admitted(caller): Admitted,
    _: Parameters<NoParameters>,
) -> Result<Json<TokensAnswer>, Problem> {
    let tokens = app.tokens(&caller).await?;
    Ok(Json(TokensAnswer {
        tokens: tokens.iter().map(Into::into).collect(),
    }))
}

/// Create a token
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "tokens", operation_id = "create_token",
    request_body = CreateBody,
    responses(
        (status = 201, description = "The token with its secret, which is told this once", body = IssuedAnswer),
        (status = "default", description = "Not served", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Admitted(caller): Admitted,
    JsonBody(body): JsonBody<CreateBody>,
) -> Result<(StatusCode, Json<IssuedAnswer>), Problem> {
    let name = name(&body.name)?;
    let rules: Vec<Rule> = (body.rules.iter())
        .map(|rule| {
            rule.parse()
                .map_err(|error| Problem::invalid("rules", error))
        })
        .collect::<Result<_, _>>()?;
    let lives = body.lives_seconds.map(Duration::from_secs);
    if lives.is_some_and(|lives| lives.is_zero()) {
        let reason = "is 0; leave it out for a token that lives for ever";
        return Err(Problem::invalid("lives_seconds", reason));
    }
    let created = app.create_token(&caller, name, Grant::new(rules), lives);
    Ok((StatusCode::CREATED, Json(created.await?.into())))
}

/// Rotate a token
///
/// Gives it a new secret. Within the grace of a rotation before, the secret in between ends at once, so
/// that a rotation whose answer was lost can be repeated.
#[utoipa::path(
    post, path = "/api/v1/tokens/{name}/rotate", tag = "tokens", operation_id = "rotate_token",
    params(("name" = String, Path)),
    request_body = RotateBody,
    responses(
        (status = 200, description = "The token with its new secret, which is told this once", body = IssuedAnswer),
        (status = "default", description = "Not served", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn rotate(
    State(app): State<Arc<App>>,
    Admitted(caller): Admitted,
    Path(text): Path<String>,
    JsonBody(body): JsonBody<RotateBody>,
) -> Result<Json<IssuedAnswer>, Problem> {
    let grace = Duration::from_secs(body.grace_seconds);
    let rotated = app.rotate_token(&caller, &name(&text)?, grace).await?;
    Ok(Json(rotated.into()))
}

/// Revoke a token
///
/// Its watches end within a second or so, at all servers. Its name is never given again.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{name}", tag = "tokens", operation_id = "revoke_token",
    params(("name" = String, Path)),
    responses(
        (status = 204, description = "It has ended"),
        (status = "default", description = "Not served", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    Admitted(caller): Admitted,
    Path(text): Path<String>,
    _: Parameters<NoParameters>,
) -> Result<StatusCode, Problem> {
    app.revoke_token(&caller, &name(&text)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn name(text: &str) -> Result<TokenName, Problem> {
    TokenName::new(text).map_err(|error| Problem::invalid("name", error))
}

impl From<&Token> for TokenAnswer {
    fn from(token: &Token) -> Self {
        let rules = token.grant.rules();
        Self {
            name: token.name.to_string(),
            rules: rules.iter().map(ToString::to_string).collect(),
            created: moment(token.created),
            created_by: token.created_by.clone(),
            expires: token.expires.map(moment),
            replaced_until: token.replaced.map(|(_, until)| moment(until)),
        }
    }
}

impl From<(Token, SecretString)> for IssuedAnswer {
    fn from((token, secret): (Token, SecretString)) -> Self {
        Self {
            token: TokenAnswer::from(&token),
            secret: secret.expose_secret().to_owned(),
        }
    }
}
