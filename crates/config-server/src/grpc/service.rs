//! The methods of `chameleon.v1`.

use std::sync::Arc;

use chameleon_model::{Key, Prefix, Revision, SourceName};
use chameleon_proto::v1::config_server::Config;
use chameleon_proto::{state_chunks, v1};
use chameleon_store::HistoryQuery;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use prost::Message as _;
use tonic::{Request, Response, Status, Streaming};

use super::error::invalid;
use super::{caller, commit, convert, counted};
use crate::app::App;
use crate::app::access::Caller;
use crate::app::error::Error;
use crate::app::rollback::{Rollback, RolledBack};
use crate::app::selection::Selection;
use crate::metrics::Face;

/// How large an answer in one message may become, below what clients take by default.
const MAX_ANSWER_BYTES: usize = 3 * 1024 * 1024;

/// How many keys of a rollback are told by name.
const TOLD_CHANGES: usize = 1_000;
/// How many held keys of one source are told.
const MAX_HELD: usize = 1_000;

/// The service as tonic calls it.
pub(super) struct Service {
    app: Arc<App>,
}

impl Service {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app }
    }

    fn counted<T>(
        &self,
        method: &'static str,
        answer: Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        counted(&self.app, method, answer)
    }

    async fn read_states(
        &self,
        caller: &Caller,
        request: v1::ReadRequest,
    ) -> Result<Vec<v1::State>, Status> {
        let selection = convert::selection("read", &request.keys, &request.prefixes)?;
        let snapshot = match (revision(request.revision), request.consistent) {
            (Some(_), true) => {
                let reason = "only the newest state is read consistently; leave out `revision`";
                return Err(invalid("consistent", reason).into());
            }
            (None, true) => self.app.read_confirmed(caller, &selection).await?,
            (at, false) => self.app.read(caller, &selection, at).await?,
        };
        let entries = selection
            .entries(&snapshot)
            .map(|entry| v1::Entry::from(&**entry));
        Ok(state_chunks(snapshot.stamp(), None, entries, Vec::new()))
    }

    async fn past_commits(
        &self,
        caller: &Caller,
        request: v1::HistoryRequest,
    ) -> Result<v1::HistoryResponse, Status> {
        let key = match request.key.as_str() {
            "" => None,
            key => Some(Key::new(key).map_err(|error| invalid("key", error))?),
        };
        let query = HistoryQuery {
            key,
            prefix: (!request.prefix.is_empty()).then(|| Prefix::new(&request.prefix)),
            before: revision(request.before),
            limit: request.limit,
            within: None,
        };
        let mut response = v1::HistoryResponse::default();
        let mut bytes = 0;
        for (commit, journey) in self.app.history(caller, query).await? {
            let commit = convert::commit(&commit, &journey);
            bytes += commit.encoded_len();
            // The rest is asked for with `before`; one commit alone is always answered.
            if bytes > MAX_ANSWER_BYTES && !response.commits.is_empty() {
                break;
            }
            response.commits.push(commit);
        }
        Ok(response)
    }

    async fn difference(
        &self,
        caller: &Caller,
        request: v1::DiffRequest,
    ) -> Result<v1::DiffResponse, Status> {
        let selection = if request.keys.is_empty() && request.prefixes.is_empty() {
            Selection::prefix(Prefix::all())
        } else {
            convert::selection("diff", &request.keys, &request.prefixes)?
        };
        let (from, to) = (Revision(request.from), revision(request.to));
        let (from, to, differences) = self.app.diff(caller, from, to, &selection).await?;
        let response = v1::DiffResponse {
            from: Some(from.into()),
            to: Some(to.into()),
            entries: differences.iter().map(convert::difference).collect(),
        };
        if response.encoded_len() > MAX_ANSWER_BYTES {
            return Err(Error::TooLarge(format!(
                "the difference has more than {MAX_ANSWER_BYTES} bytes; ask for a longer prefix"
            ))
            .into());
        }
        Ok(response)
    }

    async fn rolled_back(
        &self,
        caller: &Caller,
        request: v1::RollbackRequest,
    ) -> Result<v1::RollbackResponse, Status> {
        let selection = convert::selection("rollback", &request.keys, &request.prefixes)?;
        let header = v1::CommitHeader {
            request_id: request.request_id,
            origin: request.origin,
            ..v1::CommitHeader::default()
        };
        let header = chameleon_proto::transaction(header, Vec::new()).map_err(Error::from)?;
        let rollback = Rollback {
            to: Revision(request.to),
            selection,
            request_id: header.request_id,
            origin: header.origin,
        };
        let RolledBack {
            differences,
            effects,
        } = match self.app.roll_back(Face::Grpc, caller, rollback).await {
            Err(Error::Faulty(faults)) => {
                return Ok(v1::RollbackResponse {
                    outcome: Some(convert::faulty(&faults)),
                    ..v1::RollbackResponse::default()
                });
            }
            done => done?,
        };
        Ok(v1::RollbackResponse {
            outcome: Some(commit::response(&effects)),
            changes: (differences.iter().take(TOLD_CHANGES))
                .map(convert::change)
                .collect(),
            changed: differences.len() as u64,
        })
    }
}

#[tonic::async_trait]
impl Config for Service {
    type WatchStream = stream::Empty<Result<v1::State, Status>>;
    type ReadStream = BoxStream<'static, Result<v1::State, Status>>;
    type HoldsStream = BoxStream<'static, Result<v1::Hold, Status>>;

    /// No call comes here: [`Face`](super::face::Face) answers watches with states that are encoded
    /// once for all, which this signature has no room for.
    async fn watch(
        &self,
        _request: Request<Streaming<v1::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("watches are answered elsewhere"))
    }

    async fn read(
        &self,
        request: Request<v1::ReadRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let caller = caller(&request);
        let states = self.read_states(&caller, request.into_inner()).await;
        let stream = states.map(|states| stream::iter(states.into_iter().map(Ok)).boxed());
        self.counted("Read", stream)
    }

    async fn commit(
        &self,
        request: Request<Streaming<v1::CommitRequest>>,
    ) -> Result<Response<v1::CommitResponse>, Status> {
        let caller = caller(&request);
        let mut requests = request.into_inner();
        let response = commit::commit(&self.app, &caller, &mut requests).await;
        self.counted("Commit", response)
    }

    async fn history(
        &self,
        request: Request<v1::HistoryRequest>,
    ) -> Result<Response<v1::HistoryResponse>, Status> {
        let caller = caller(&request);
        let response = self.past_commits(&caller, request.into_inner()).await;
        self.counted("History", response)
    }

    async fn diff(
        &self,
        request: Request<v1::DiffRequest>,
    ) -> Result<Response<v1::DiffResponse>, Status> {
        let caller = caller(&request);
        let response = self.difference(&caller, request.into_inner()).await;
        self.counted("Diff", response)
    }

    async fn rollback(
        &self,
        request: Request<v1::RollbackRequest>,
    ) -> Result<Response<v1::RollbackResponse>, Status> {
        let caller = caller(&request);
        let response = self.rolled_back(&caller, request.into_inner()).await;
        self.counted("Rollback", response)
    }

    async fn fleet(
        &self,
        request: Request<v1::FleetRequest>,
    ) -> Result<Response<v1::FleetResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let instances = (self.app).instances(&caller, &request.service, &request.profile);
        let (head, instances) = instances.await;
        let response = v1::FleetResponse {
            instances: instances.iter().map(convert::instance).collect(),
            head: Some(head.into()),
        };
        self.counted("Fleet", Ok(response))
    }

    async fn sources(
        &self,
        request: Request<v1::SourcesRequest>,
    ) -> Result<Response<v1::SourcesResponse>, Status> {
        let caller = caller(&request);
        let holds = self.app.holds(&caller);
        let held = |source: &SourceName| {
            let own = holds.iter().filter(|hold| hold.source == *source);
            own.take(MAX_HELD)
                .map(|hold| hold.key.to_string())
                .collect()
        };
        let sources = (self.app.sources(&caller).await.into_iter())
            .map(|(name, marker, report)| v1::Source {
                held: held(&name),
                ..convert::source(&name, marker, report)
            })
            .collect();
        self.counted("Sources", Ok(v1::SourcesResponse { sources }))
    }

    async fn holds(
        &self,
        request: Request<v1::HoldsRequest>,
    ) -> Result<Response<Self::HoldsStream>, Status> {
        let holds = self.app.holds(&caller(&request));
        let messages = holds.into_iter().map(|hold| Ok(v1::Hold::from(&*hold)));
        self.counted("Holds", Ok(stream::iter(messages).boxed()))
    }

    async fn report_sync(
        &self,
        request: Request<v1::ReportSyncRequest>,
    ) -> Result<Response<v1::ReportSyncResponse>, Status> {
        let caller = caller(&request);
        let report = (request.into_inner().report)
            .ok_or_else(|| invalid("report", "is missing"))
            .and_then(convert::sync_report);
        let taken = report.and_then(|(name, report)| self.app.report_sync(&caller, name, report));
        let response = taken.map(|()| v1::ReportSyncResponse {});
        self.counted("ReportSync", response.map_err(Status::from))
    }

    async fn status(
        &self,
        _request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        self.counted("Status", Ok(convert::status(&self.app.status())))
    }
}

/// On the wire 0 means none.
fn revision(number: u64) -> Option<Revision> {
    (number != 0).then_some(Revision(number))
}
