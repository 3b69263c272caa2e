//! `chameleon token`: who may do what.

use chameleon_client::{Api, IssuedToken, TokenInfo};
use chameleon_model::{Timestamp, TokenName};
use serde::Serialize;

use super::Moment;
use crate::args::{TokenCommand, TokenCreateArgs};
use crate::screen::{Answer, Screen, Tone, trimmed};

#[derive(Serialize)]
struct Row {
    name: String,
    rules: Vec<String>,
    created: Moment,
    created_by: String,
    expires: Option<Moment>,
    expired: bool,
    /// Until when the secret of before the last rotation is valid.
    replaced_until: Option<Moment>,
}

impl From<TokenInfo> for Row {
    fn from(token: TokenInfo) -> Self {
        let now = Timestamp::from(std::time::SystemTime::now());
        Self {
            name: token.name.to_string(),
            rules: token.rules.iter().map(ToString::to_string).collect(),
            created: token.created.into(),
            created_by: token.created_by,
            expires: token.expires.map(Moment::from),
            expired: token.expires.is_some_and(|at| at <= now),
            replaced_until: token
                .replaced_until
                .filter(|until| *until > now)
                .map(Moment::from),
        }
    }
}

#[derive(Serialize)]
struct Listing {
    tokens: Vec<Row>,
}

impl Answer for Listing {
    fn text(&self, screen: Screen) -> String {
        if self.tokens.is_empty() {
            return "no tokens but the bootstrap token".to_owned();
        }
        let mut table = screen.table(["token", "allows", "created", "by", "expires"]);
        for row in &self.tokens {
            let expires = match &row.expires {
                None => "never".to_owned(),
                Some(at) if row.expired => screen.paint(Tone::Bad, format!("{at}, expired")),
                Some(at) => at.to_string(),
            };
            table.add_row([
                row.name.clone(),
                row.rules.join(" "),
                row.created.to_string(),
                row.created_by.clone(),
                expires,
            ]);
        }
        trimmed(&table)
    }
}

/// A token with its secret, which for people is all that is printed: it goes into a file.
#[derive(Serialize)]
struct Issued {
    #[serde(flatten)]
    token: Row,
    secret: String,
}

impl From<IssuedToken> for Issued {
    fn from(issued: IssuedToken) -> Self {
        Self {
            token: issued.token.into(),
            secret: issued.secret.expose().to_owned(),
        }
    }
}

impl Answer for Issued {
    fn text(&self, _screen: Screen) -> String {
        self.secret.clone()
    }
}

#[derive(Serialize)]
struct Revoked {
    revoked: String,
}

impl Answer for Revoked {
    fn text(&self, screen: Screen) -> String {
        let revoked = format!("revoked token `{}`; its watches end", self.revoked);
        screen.paint(Tone::Good, revoked)
    }
}

/// Does what is asked of tokens.
pub(crate) async fn run(api: &Api, command: TokenCommand, screen: Screen) -> anyhow::Result<()> {
    match command {
        TokenCommand::Create(args) => create(api, &args, screen).await,
        TokenCommand::List => {
            let tokens = screen
                .waiting("asking for the tokens", api.tokens())
                .await?;
            screen.show(&Listing {
                tokens: tokens.into_iter().map(Row::from).collect(),
            })
        }
        TokenCommand::Rotate { name, grace } => {
            let name = TokenName::new(&name)?;
            let rotated = api.rotate_token(&name, grace);
            let rotated = screen.waiting("rotating the token", rotated).await?;
            screen.show(&Issued::from(rotated))
        }
        TokenCommand::Revoke { name } => {
            let name = TokenName::new(&name)?;
            let revoked = api.revoke_token(&name);
            screen.waiting("revoking the token", revoked).await?;
            let revoked = name.to_string();
            screen.show(&Revoked { revoked })
        }
    }
}

async fn create(api: &Api, args: &TokenCreateArgs, screen: Screen) -> anyhow::Result<()> {
    let name = TokenName::new(&args.name)?;
    let created = api.create_token(&name, &args.allow, args.expires);
    let created = screen.waiting("creating the token", created).await?;
    screen.show(&Issued::from(created))
}
