//! The server's API: reading, watching and changing what it holds.

mod convert;
mod error;
mod servers;
mod state;
mod tls;
mod token;
mod types;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use chameleon_model::{
    AuditQuery, AuditRecord, Hold, Operation, Origin, RequestId, Revision, Rule, Stamp, TokenName,
    Transaction,
};
use chameleon_proto::{commit_requests, v1};
use futures::TryStreamExt as _;

use convert::key_change;
use error::Failure;
use servers::Servers;
use state::{Assembly, Broken, Mirror, parse_key};

pub use error::ApiError;
pub use state::Update;
pub use tls::Tls;
pub use token::Token;
pub use types::{
    CommitEffects, CommitOutcome, CommitRecord, Delivery, Difference, EntryDiff, Fleet, HeldKey,
    HistoryQuery, HoldChange, Identity, Instance, IssuedToken, KeyChange, RolledBack, Secret,
    Selection, ServerStatus, Source, State, SyncReport, TokenInfo,
};
pub use watch::Watch;
pub(crate) use watch::WatchEvent;

/// A commit may carry 64 MiB, so it gets more time than other calls.
const COMMIT_TIMEOUT: Duration = Duration::from_mins(1);

/// How to reach the servers.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// Their gRPC addresses, for example `http://config-1:8502`, or `https://` for TLS; tried in turn.
    pub servers: Vec<String>,
    /// The access token; a server on loopback may do without.
    pub token: Option<Token>,
    /// How `https://` addresses are trusted, and what is shown to them.
    pub tls: Tls,
    /// The limit of one call over all its tries. A commit has at least a minute.
    pub call_timeout: Duration,
    /// The limit for opening one connection.
    pub connect_timeout: Duration,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            token: None,
            tls: Tls::new(),
            call_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(2),
        }
    }
}

/// Calls a method that has one message each way.
macro_rules! unary {
    ($api:ident, $method:ident($message:expr)) => {
        unary!($api.client, $method($message))
    };
    ($api:ident.$client:ident, $method:ident($message:expr)) => {
        $api.servers
            .call(None, $message, |mut attempt, message| async move {
                let request = attempt.request(message);
                let server = attempt.server;
                match attempt.$client.$method(request).await {
                    Ok(response) => Ok(Answer {
                        message: response.into_inner(),
                        server,
                    }),
                    Err(status) => Err(Failure::of(status, &server)),
                }
            })
    };
}
/// A client of the config servers. Cloning shares the connections.
///
/// A call asks the server that answered last, then the others in turn; servers that are not there
/// are tried a few times with growing pauses. Cancelling a call is safe: a commit may or may not
/// have been applied then, which a retry under the same request id finds out.
///
/// ```no_run
/// use chameleon_client::{Api, ApiSettings, Selection};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let api = Api::connect(ApiSettings {
///     servers: vec!["http://127.0.0.1:8502".into()],
///     ..ApiSettings::default()
/// })?;
/// let state = api.read(&Selection::all(), None).await?;
/// println!("{} entries at revision {}", state.entries.len(), state.stamp.revision);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Api {
    servers: Arc<Servers>,
}

impl Api {
    /// Checks the settings; connections are made when they are needed.
    pub fn connect(settings: ApiSettings) -> Result<Self, ApiError> {
        let servers = Arc::new(Servers::new(settings)?);
        Ok(Self { servers })
    }

    /// The selected entries, at the newest revision or at an older one.
    pub async fn read(
        &self,
        selection: &Selection,
        revision: Option<Revision>,
    ) -> Result<State, ApiError> {
        let (keys, prefixes) = selection.names();
        let message = v1::ReadRequest {
            keys,
            prefixes,
            revision: revision.map_or(0, |revision| revision.0),
            consistent: false,
        };
        self.servers
            .call(None, message, |mut attempt, message| async move {
                let request = attempt.request(message);
                let server = attempt.server;
                let response = attempt.client.read(request).await;
                let chunks = response.map_err(|status| Failure::of(status, &server))?;
                collect(chunks.into_inner(), &server).await
            })
            .await
    }

    /// Applies a transaction whole or not at all.
    ///
    /// A transaction without a request id is given one, and a lost connection is answered by
    /// sending it again under the same id, so that it is applied once.
    ///
    /// # Errors
    /// A transaction that the server refuses is no error but [`CommitOutcome::Refused`].
    pub async fn commit(&self, transaction: Transaction) -> Result<CommitOutcome, ApiError> {
        Ok(self.commit_with_effects(transaction).await?.outcome)
    }

    /// As [`commit`](Self::commit), and tells what the transaction did to holds.
    pub async fn commit_with_effects(
        &self,
        mut transaction: Transaction,
    ) -> Result<CommitEffects, ApiError> {
        let is_session =
            |op: &Operation| matches!(op, Operation::OpenSession(_) | Operation::EndSession(_));
        if (transaction.operations.iter()).any(|op| matches!(op, Operation::Restore { .. })) {
            let reason = "a file that git has no more is brought back by a rollback only";
            return Err(ApiError::Invalid(reason.to_owned()));
        }
        if transaction.operations.iter().any(is_session) {
            let reason = "sessions are opened and ended through the Consul dialect only";
            return Err(ApiError::Invalid(reason.to_owned()));
        }
        transaction
            .request_id
            .get_or_insert_with(RequestId::generate);
        let requests = commit_requests(transaction);
        self.servers
            .call(
                Some(COMMIT_TIMEOUT),
                requests,
                |mut attempt, requests| async move {
                    let request = attempt.request(futures::stream::iter(requests));
                    let server = attempt.server;
                    let response = attempt.client.commit(request).await;
                    let response = response.map_err(|status| Failure::of(status, &server))?;
                    commit_effects(response.into_inner(), server).map_err(Failure::Final)
                },
            )
            .await
    }

    /// Past commits, newest first.
    pub async fn history(&self, query: HistoryQuery) -> Result<Vec<CommitRecord>, ApiError> {
        let message = v1::HistoryRequest::from(query);
        let answer = unary!(self, history(message)).await?;
        answer.convert(|history| history.commits.into_iter().map(TryFrom::try_from).collect())
    }

    /// What differs in `selection` between two revisions; `to` is the newest if `None`.
    pub async fn diff(
        &self,
        from: Revision,
        to: Option<Revision>,
        selection: &Selection,
    ) -> Result<Difference, ApiError> {
        let (keys, prefixes) = selection.names();
        let message = v1::DiffRequest {
            from: from.0,
            to: to.map_or(0, |revision| revision.0),
            prefixes,
            keys,
        };
        let answer = unary!(self, diff(message)).await?;
        answer.convert(Difference::try_from)
    }

    /// Brings the selected keys to how they were at revision `to`, as one new transaction.
    ///
    /// A lost connection is answered by asking again under the same request id, so that it is done
    /// once.
    ///
    /// # Errors
    /// As of [`commit`](Self::commit); [`CommitOutcome::Refused`] also if somebody changes one of the
    /// keys meanwhile.
    pub async fn roll_back(
        &self,
        to: Revision,
        selection: &Selection,
        origin: Origin,
    ) -> Result<RolledBack, ApiError> {
        let (keys, prefixes) = selection.names();
        let message = v1::RollbackRequest {
            request_id: RequestId::generate().0.to_string(),
            to: to.0,
            keys,
            prefixes,
            origin: Some(origin.into()),
        };
        let answer = unary!(self, rollback(message)).await?;
        let response = answer.message;
        let changes = (response.changes.iter())
            .map(|change| key_change("rollback.changes.key", change))
            .collect::<Result<_, _>>()
            .map_err(|invalid| ApiError::Protocol {
                server: answer.server.clone(),
                reason: invalid.to_string(),
            })?;
        Ok(RolledBack {
            effects: commit_effects(response.outcome.unwrap_or_default(), answer.server)?,
            changes,
            changed: response.changed,
        })
    }

    /// The running instances of a service in a profile, or of all.
    pub async fn fleet(
        &self,
        service: Option<&str>,
        profile: Option<&str>,
    ) -> Result<Fleet, ApiError> {
        let message = v1::FleetRequest {
            service: service.unwrap_or_default().to_owned(),
            profile: profile.unwrap_or_default().to_owned(),
        };
        let answer = unary!(self, fleet(message)).await?;
        Ok(answer.message.into())
    }

    /// The git sources with their applied commits.
    pub async fn sources(&self) -> Result<Vec<Source>, ApiError> {
        let answer = unary!(self, sources(v1::SourcesRequest {})).await?;
        answer.convert(|list| list.sources.into_iter().map(TryInto::try_into).collect())
    }

    /// The keys that are held against their git source, by key, as far as they may be read.
    pub async fn holds(&self) -> Result<Vec<Hold>, ApiError> {
        self.servers
            .call(None, (), |mut attempt, ()| async move {
                let request = attempt.request(v1::HoldsRequest {});
                let server = attempt.server;
                let response = attempt.client.holds(request).await;
                let stream = response.map_err(|status| Failure::of(status, &server))?;
                let messages: Vec<_> = (stream.into_inner().try_collect().await)
                    .map_err(|status| Failure::of(status, &server))?;
                let holds = messages.into_iter().map(Hold::try_from);
                (holds.collect::<Result<_, _>>()).map_err(|invalid| {
                    Failure::Final(ApiError::Protocol {
                        server: server.clone(),
                        reason: invalid.to_string(),
                    })
                })
            })
            .await
    }

    /// Tells the server what became of a source's newest commit, for people to read.
    pub async fn report_sync(&self, report: SyncReport) -> Result<(), ApiError> {
        let message = v1::ReportSyncRequest {
            report: Some(report.into()),
        };
        unary!(self, report_sync(message)).await?;
        Ok(())
    }

    /// How the server is that answers first.
    pub async fn status(&self) -> Result<ServerStatus, ApiError> {
        let answer = unary!(self, status(v1::StatusRequest {})).await?;
        Ok(answer.message.into())
    }

    /// Creates a token that allows what `rules` say, for so long or for ever.
    ///
    /// # Errors
    /// The caller's token is not the bootstrap token, or the name was given to a token before; where
    /// the answer to a first try was lost, that one, whose secret [`rotate_token`](Self::rotate_token)
    /// replaces.
    pub async fn create_token(
        &self,
        name: &TokenName,
        rules: &[Rule],
        lives: Option<Duration>,
    ) -> Result<IssuedToken, ApiError> {
        let message = v1::CreateTokenRequest {
            name: name.to_string(),
            rules: rules.iter().map(ToString::to_string).collect(),
            lives_ms: lives.map_or(0, |lives| millis(lives).max(1)),
        };
        let answer = unary!(self.tokens, create(message)).await?;
        answer.convert(TryInto::try_into)
    }

    /// The tokens that were not revoked, by name.
    pub async fn tokens(&self) -> Result<Vec<TokenInfo>, ApiError> {
        let answer = unary!(self.tokens, list(v1::ListTokensRequest {})).await?;
        answer.convert(|list| list.tokens.into_iter().map(TryInto::try_into).collect())
    }

    /// Gives a token a new secret; the one that is in use is valid for `grace` more.
    pub async fn rotate_token(
        &self,
        name: &TokenName,
        grace: Duration,
    ) -> Result<IssuedToken, ApiError> {
        let message = v1::RotateTokenRequest {
            name: name.to_string(),
            grace_ms: millis(grace),
        };
        let answer = unary!(self.tokens, rotate(message)).await?;
        answer.convert(TryInto::try_into)
    }

    /// Ends a token; its watches end within a second or so, at all servers.
    pub async fn revoke_token(&self, name: &TokenName) -> Result<(), ApiError> {
        let name = name.to_string();
        unary!(self.tokens, revoke(v1::RevokeTokenRequest { name })).await?;
        Ok(())
    }

    /// Who did what, or was refused it, newest first.
    ///
    /// Others' records are told only to the bootstrap token, and those of keys that the caller's token
    /// may read. What happened just now is there within a second or so.
    pub async fn audit(&self, query: AuditQuery) -> Result<Vec<AuditRecord>, ApiError> {
        let message = v1::ListAuditRequest::from(query);
        let answer = unary!(self.audit, list(message)).await?;
        answer.convert(|list| list.records.into_iter().map(TryInto::try_into).collect())
    }

    /// Watches the selected keys; `last` is a state that the caller holds and wants the changes of.
    ///
    /// Nothing is sent before the first [`Watch::next`].
    pub fn watch(
        &self,
        selection: &Selection,
        last: Option<Stamp>,
        identity: Option<Identity>,
    ) -> Watch {
        Watch::new(Arc::clone(&self.servers), selection, last, identity)
    }
}

/// Rounded up, so that nothing ends early.
fn millis(duration: Duration) -> u64 {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis).unwrap_or(u64::MAX)
}

/// A message, and the server that sent it.
struct Answer<M> {
    message: M,
    server: String,
}

impl<M> Answer<M> {
    fn convert<T>(
        self,
        convert: impl FnOnce(M) -> Result<T, chameleon_proto::Invalid>,
    ) -> Result<T, ApiError> {
        convert(self.message).map_err(|invalid| ApiError::Protocol {
            server: self.server,
            reason: invalid.to_string(),
        })
    }
}

fn commit_effects(
    mut response: v1::CommitResponse,
    server: String,
) -> Result<CommitEffects, ApiError> {
    let (held, released, skipped) = (
        std::mem::take(&mut response.held),
        std::mem::take(&mut response.released),
        std::mem::take(&mut response.skipped),
    );
    let parsed = || -> Result<_, chameleon_proto::Invalid> {
        let keys = |holds: Vec<v1::Hold>| {
            let keys = holds.into_iter().map(HeldKey::try_from);
            keys.collect::<Result<Vec<_>, _>>()
        };
        let released = released.iter().map(|key| parse_key("released", key));
        Ok((
            keys(held)?,
            released.collect::<Result<_, _>>()?,
            keys(skipped)?,
        ))
    };
    let (held, released, skipped) = parsed().map_err(|invalid| ApiError::Protocol {
        server: server.clone(),
        reason: invalid.to_string(),
    })?;
    Ok(CommitEffects {
        outcome: commit_outcome(response, server)?,
        held,
        released,
        skipped,
    })
}

fn commit_outcome(response: v1::CommitResponse, server: String) -> Result<CommitOutcome, ApiError> {
    use v1::commit_response::Outcome;
    match response.outcome {
        Some(Outcome::Committed(stamp)) => Ok(CommitOutcome::Committed(stamp.into())),
        Some(Outcome::Unchanged(stamp)) => Ok(CommitOutcome::Unchanged(stamp.into())),
        Some(Outcome::Refused(refused)) => Ok(CommitOutcome::Refused {
            reasons: refused.reasons,
            conflict: refused.conflict,
        }),
        None => Err(ApiError::Protocol {
            server,
            reason: "the answer to a commit has no outcome".to_owned(),
        }),
    }
}

/// Reads the chunks of one complete state.
async fn collect(mut chunks: tonic::Streaming<v1::State>, server: &str) -> Result<State, Failure> {
    let broken = |broken: Broken| Failure::broken(&broken, server);
    let mut assembly = Assembly::default();
    let mut whole = None;
    while let Some(chunk) =
        (chunks.message().await).map_err(|status| Failure::of(status, server))?
    {
        whole = assembly.push(chunk).map_err(broken)?;
    }
    if let Some(stamp) = assembly.unfinished() {
        return Err(broken(Broken::Partial(stamp)));
    }
    let update = whole.ok_or_else(|| broken(Broken::Empty))?;
    let mut mirror = Mirror::default();
    mirror.accept(&update).map_err(broken)?;
    Ok(State {
        stamp: update.stamp,
        entries: mirror.entries().values().cloned().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_send<T: Send>(_: &T) {}

    #[test]
    fn calls_may_move_between_threads() {
        let api = Api::connect(ApiSettings {
            servers: vec!["127.0.0.1:1".into()],
            ..ApiSettings::default()
        })
        .unwrap();
        is_send(&api.read(&Selection::all(), None));
        is_send(&api.commit(Transaction::default()));
        is_send(&api.history(HistoryQuery::default()));
        is_send(&api.diff(Revision(1), None, &Selection::all()));
        is_send(&api.roll_back(Revision(1), &Selection::all(), Origin::default()));
        is_send(&api.fleet(None, None));
        is_send(&api.sources());
        is_send(&api.holds());
        is_send(&api.status());
        is_send(&api.audit(AuditQuery::default()));
        let mut watch = api.watch(&Selection::all(), None, None);
        is_send(&watch.next());
        is_send(&watch.into_stream());
    }
}
