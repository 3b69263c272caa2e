//! The audit's conversions between the wire and the model.

use chameleon_model::{
    AuditAction, AuditId, AuditOutcome, AuditQuery, AuditRecord, AuditTarget, AuditVerdict, Key,
    Prefix, Revision, Timestamp,
};

use crate::convert::{Invalid, invalid};
use crate::v1;
use crate::v1::list_audit_request::Access;

impl From<AuditQuery> for v1::ListAuditRequest {
    fn from(query: AuditQuery) -> Self {
        let access = match query.refused {
            None => Access::Any,
            Some(false) => Access::Allowed,
            Some(true) => Access::Refused,
        };
        Self {
            who: query.who.unwrap_or_default(),
            key: query.key.map(|key| key.to_string()).unwrap_or_default(),
            prefix: (query.prefix)
                .map(|prefix| prefix.to_string())
                .unwrap_or_default(),
            access: access.into(),
            since_us: query.since.map_or(0, |since| since.0),
            before: query.before.map(|id| id.to_string()).unwrap_or_default(),
            limit: query.limit,
        }
    }
}

impl TryFrom<v1::ListAuditRequest> for AuditQuery {
    type Error = Invalid;

    fn try_from(request: v1::ListAuditRequest) -> Result<Self, Invalid> {
        let refused = match Access::try_from(request.access) {
            Ok(Access::Any) => None,
            Ok(Access::Allowed) => Some(false),
            Ok(Access::Refused) => Some(true),
            Err(_) => return Err(invalid("access", "is none of ANY, ALLOWED and REFUSED")),
        };
        let key = some(request.key).map(|key| Key::new(&key));
        let before = some(request.before).map(|id| id.parse().map(AuditId));
        Ok(Self {
            who: some(request.who),
            key: key.transpose().map_err(|error| invalid("key", error))?,
            prefix: some(request.prefix).map(|prefix| Prefix::new(&prefix)),
            refused,
            since: (request.since_us != 0).then_some(Timestamp(request.since_us)),
            before: before
                .transpose()
                .map_err(|_| invalid("before", "is no record's id, which is a UUID"))?,
            limit: request.limit,
        })
    }
}

impl From<AuditRecord> for v1::AuditRecord {
    fn from(record: AuditRecord) -> Self {
        let (target_kind, target) = record.target.parts();
        Self {
            id: record.id.to_string(),
            at_us: record.at.0,
            who: record.who,
            dialect: record.dialect,
            peer: record.peer.map(|peer| peer.to_string()).unwrap_or_default(),
            action: record.action.to_string(),
            target_kind: target_kind.to_owned(),
            target,
            outcome: record.outcome.verdict.to_string(),
            revision: record.outcome.revision.map_or(0, |revision| revision.0),
            times: record.times,
            detail: record.detail,
        }
    }
}

impl TryFrom<v1::AuditRecord> for AuditRecord {
    type Error = Invalid;

    fn try_from(record: v1::AuditRecord) -> Result<Self, Invalid> {
        let id = (record.id.parse()).map_err(|error| invalid("records.id", error))?;
        let peer = some(record.peer).map(|peer| peer.parse()).transpose();
        Ok(Self {
            id: AuditId(id),
            at: Timestamp(record.at_us),
            who: record.who,
            dialect: record.dialect,
            peer: peer.map_err(|error| invalid("records.peer", error))?,
            action: AuditAction::from_name(&record.action),
            target: AuditTarget::from_parts(&record.target_kind, &record.target),
            outcome: AuditOutcome {
                verdict: AuditVerdict::from_name(&record.outcome),
                revision: (record.revision != 0).then_some(Revision(record.revision)),
            },
            times: record.times,
            detail: record.detail,
        })
    }
}

/// Empty on the wire is absent here.
fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_and_records_are_the_same_after_the_wire() {
        let id = AuditId(uuid::Uuid::from_u128(7));
        let full = AuditQuery {
            who: Some("team-a".to_owned()),
            key: Some(Key::new("a/x").unwrap()),
            prefix: Some(Prefix::new("a/")),
            refused: Some(true),
            since: Some(Timestamp(5)),
            before: Some(id),
            limit: 9,
        };
        for query in [full, AuditQuery::default()] {
            let sent = v1::ListAuditRequest::from(query.clone());
            assert_eq!(AuditQuery::try_from(sent), Ok(query));
        }
        let record = AuditRecord {
            id,
            at: Timestamp(5),
            who: "team-a".to_owned(),
            dialect: "grpc".to_owned(),
            peer: Some([10, 0, 0, 7].into()),
            action: AuditAction::Put,
            target: AuditTarget::Key(Key::new("a/x").unwrap()),
            outcome: AuditOutcome {
                verdict: AuditVerdict::Committed,
                revision: Some(Revision(3)),
            },
            times: 2,
            detail: "two".to_owned(),
        };
        let sent = v1::AuditRecord::from(record.clone());
        assert_eq!(AuditRecord::try_from(sent), Ok(record));
    }

    #[test]
    fn what_is_no_query_is_named() {
        let fault =
            |request: v1::ListAuditRequest| AuditQuery::try_from(request).unwrap_err().field;
        let good = v1::ListAuditRequest::default;
        let id = "x".to_owned();
        assert_eq!(
            fault(v1::ListAuditRequest {
                before: id,
                ..good()
            }),
            "before"
        );
        let key = "a/../b".to_owned();
        assert_eq!(fault(v1::ListAuditRequest { key, ..good() }), "key");
        assert_eq!(
            fault(v1::ListAuditRequest {
                access: 7,
                ..good()
            }),
            "access"
        );
    }
}
