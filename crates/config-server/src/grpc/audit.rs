//! The method that reads the audit.

use std::sync::Arc;

use chameleon_model::AuditQuery;
use chameleon_proto::v1;
use tonic::{Request, Response, Status};

use super::{caller, counted};
use crate::app::App;
use crate::app::error::Error;

/// The service as tonic calls it.
pub(super) struct Audit {
    app: Arc<App>,
}

impl Audit {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app }
    }

    async fn listed(
        &self,
        request: Request<v1::ListAuditRequest>,
    ) -> Result<v1::ListAuditResponse, Error> {
        let caller = caller(&request);
        let query = AuditQuery::try_from(request.into_inner())?;
        let records = self.app.audit(&caller, query).await?;
        Ok(v1::ListAuditResponse {
            records: records.into_iter().map(Into::into).collect(),
        })
    }
}

#[tonic::async_trait]
impl v1::audit_server::Audit for Audit {
    async fn list(
        &self,
        request: Request<v1::ListAuditRequest>,
    ) -> Result<Response<v1::ListAuditResponse>, Status> {
        let answer = self.listed(request).await;
        counted(&self.app, "ListAudit", answer.map_err(Status::from))
    }
}
