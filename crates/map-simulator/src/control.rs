//! The control port: faults, statistics, health and metrics.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::faults::{Fault, FaultError, Faults};
use crate::traffic::{Stats, Traffic};
use crate::vendor::{UnknownVendor, Vendor};

#[derive(Clone)]
struct Control {
    faults: Faults,
    traffic: Traffic,
}

/// `/faults`, `/faults/{vendor}` and `/stats`.
pub(crate) fn router(faults: Faults, traffic: Traffic) -> Router {
    Router::new()
        .route("/faults", get(list))
        .route("/faults/{vendor}", get(show).put(put).delete(delete))
        .route("/stats", get(stats))
        .with_state(Control { faults, traffic })
}

/// What is wrong with a request, in one line.
#[derive(Debug, thiserror::Error)]
enum ControlError {
    #[error(transparent)]
    Vendor(#[from] UnknownVendor),
    #[error(transparent)]
    Fault(#[from] FaultError),
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Vendor(_) => StatusCode::NOT_FOUND,
            Self::Fault(_) => StatusCode::BAD_REQUEST,
        };
        (status, Json(json!({"error": self.to_string()}))).into_response()
    }
}

async fn list(State(control): State<Control>) -> Json<Value> {
    let faults: Map<String, Value> = Vendor::ALL
        .into_iter()
        .map(|vendor| (vendor.name().to_owned(), told(&control.faults, vendor)))
        .collect();
    Json(Value::Object(faults))
}

async fn show(
    State(control): State<Control>,
    Path(vendor): Path<String>,
) -> Result<Json<Value>, ControlError> {
    Ok(Json(told(&control.faults, vendor.parse()?)))
}

async fn put(
    State(control): State<Control>,
    Path(vendor): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, ControlError> {
    let vendor = vendor.parse()?;
    control.faults.set(vendor, Fault::from_json(&body)?);
    Ok(Json(told(&control.faults, vendor)))
}

async fn delete(
    State(control): State<Control>,
    Path(vendor): Path<String>,
) -> Result<StatusCode, ControlError> {
    control.faults.clear(vendor.parse()?);
    Ok(StatusCode::NO_CONTENT)
}

async fn stats(State(control): State<Control>) -> Json<Stats> {
    Json(control.traffic.stats())
}

/// The fault at `vendor`, or null.
fn told(faults: &Faults, vendor: Vendor) -> Value {
    faults
        .get(vendor)
        .map_or(Value::Null, |fault| fault.to_json())
}
