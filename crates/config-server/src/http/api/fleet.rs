//! `/api/v1/fleet` and `/api/v1/sources`: who runs what, and where it comes from.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chameleon_model::{SourceMarker, SourceName};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Admitted, NoParameters, Parameters};
use super::problem::Problem;
use super::words::{Stamp, millis, moment};
use crate::app::fleet::Instance;
use crate::app::{App, SyncReport};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FleetParameters {
    /// Only instances of this service.
    service: Option<String>,
    /// Only instances of this profile.
    profile: Option<String>,
}

/// The running instances.
#[derive(Serialize, ToSchema)]
pub(super) struct FleetAnswer {
    /// The newest state.
    head: Stamp,
    instances: Vec<InstanceAnswer>,
}

/// One running instance and what it holds.
#[derive(Serialize, ToSchema)]
struct InstanceAnswer {
    service: String,
    profile: String,
    instance: String,
    version: String,
    host: String,
    /// The prefix of its documents.
    prefix: String,
    /// The newest state that it has applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<Stamp>,
    /// The newest state that it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    sent: Option<Stamp>,
    /// Why it rejected the newest state that it has judged; absent if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<String>,
    /// How long its stream has been open.
    connected_ms: u64,
    /// True if it holds the newest state of what it watches.
    current: bool,
    /// The server that it is connected to.
    server: String,
}

/// List running instances
///
/// Those that watch only what the token may read, at all servers of the store.
#[utoipa::path(
    get, path = "/api/v1/fleet", tag = "fleet", operation_id = "list_instances",
    params(FleetParameters),
    responses(
        (status = 200, description = "The instances", body = FleetAnswer),
        (status = "default", description = "Not served", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn fleet(
    State(app): State<Arc<App>>,
    Admitted(caller): Admitted,
    Parameters(asked): Parameters<FleetParameters>,
) -> Json<FleetAnswer> {
    let (service, profile) = (
        asked.service.unwrap_or_default(),
        asked.profile.unwrap_or_default(),
    );
    let (head, instances) = app.instances(&caller, &service, &profile).await;
    Json(FleetAnswer {
        head: head.into(),
        instances: instances.iter().map(Into::into).collect(),
    })
}

impl From<&Instance> for InstanceAnswer {
    fn from(instance: &Instance) -> Self {
        let identity = &instance.identity;
        Self {
            service: identity.service.clone(),
            profile: identity.profile.clone(),
            instance: identity.instance.clone(),
            version: identity.version.clone(),
            host: identity.host.clone(),
            prefix: identity.prefix.clone(),
            applied: instance.applied.map(Into::into),
            sent: instance.sent.map(Into::into),
            rejected: instance.rejected.as_deref().map(str::to_owned),
            connected_ms: millis(instance.connected),
            current: instance.current,
            server: instance.replica.to_string(),
        }
    }
}

/// The git sources.
#[derive(Serialize, ToSchema)]
pub(super) struct SourcesAnswer {
    sources: Vec<SourceAnswer>,
}

/// A git source with its applied commit.
#[derive(Serialize, ToSchema)]
struct SourceAnswer {
    name: String,
    /// What is in force; absent before the first commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<AppliedAnswer>,
    /// What git-sync last said; absent if no server has heard of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<ReportAnswer>,
}

#[derive(Serialize, ToSchema)]
struct AppliedAnswer {
    /// The git commit.
    commit: String,
    /// The state that it led to.
    stamp: Stamp,
    at: String,
    /// The profiles that the source declares.
    profiles: Vec<String>,
}

#[derive(Serialize, ToSchema)]
struct ReportAnswer {
    /// The newest git commit.
    commit: String,
    /// False if it was rejected.
    accepted: bool,
    /// File, line and reason of each fault of a rejected commit.
    faults: Vec<String>,
    at: String,
}

/// List git sources
///
/// Those whose keys the token may read.
#[utoipa::path(
    get, path = "/api/v1/sources", tag = "fleet", operation_id = "list_sources",
    responses(
        (status = 200, description = "The sources", body = SourcesAnswer),
        (status = "default", description = "Not served", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn sources(
    State(app): State<Arc<App>>,
    Admitted(caller): Admitted,
    _: Parameters<NoParameters>,
) -> Json<SourcesAnswer> {
    let sources = app.sources(&caller).await;
    Json(SourcesAnswer {
        sources: sources.into_iter().map(Into::into).collect(),
    })
}

impl From<(SourceName, Option<SourceMarker>, Option<SyncReport>)> for SourceAnswer {
    fn from(
        (name, marker, report): (SourceName, Option<SourceMarker>, Option<SyncReport>),
    ) -> Self {
        Self {
            name: name.to_string(),
            applied: marker.map(|marker| AppliedAnswer {
                commit: marker.commit.to_string(),
                stamp: marker.stamp.into(),
                at: moment(marker.at),
                profiles: marker.profiles,
            }),
            report: report.map(|report| ReportAnswer {
                commit: report.commit,
                accepted: report.accepted,
                faults: report.faults,
                at: moment(report.at),
            }),
        }
    }
}
