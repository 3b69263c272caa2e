//! Conversions between the wire and what the calls take and answer.

use std::time::Duration;

use chameleon_model::{Revision, RuleError, Timestamp, TokenName};
use chameleon_proto::{Invalid, v1};

use super::state::parse_key;
use super::types::{
    CommitRecord, Delivery, Difference, EntryDiff, Fleet, HeldKey, HistoryQuery, HoldChange,
    Identity, Instance, IssuedToken, KeyChange, Secret, ServerStatus, Source, SyncReport,
    TokenInfo,
};

impl From<Identity> for v1::Identity {
    fn from(identity: Identity) -> Self {
        Self {
            service: identity.service,
            profile: identity.profile,
            instance: identity.instance,
            version: identity.version,
            host: identity.host,
            prefix: identity.prefix,
        }
    }
}

impl From<v1::Identity> for Identity {
    fn from(identity: v1::Identity) -> Self {
        Self {
            service: identity.service,
            profile: identity.profile,
            instance: identity.instance,
            version: identity.version,
            host: identity.host,
            prefix: identity.prefix,
        }
    }
}

impl From<HistoryQuery> for v1::HistoryRequest {
    fn from(query: HistoryQuery) -> Self {
        Self {
            key: query.key.map(|key| key.to_string()).unwrap_or_default(),
            prefix: (query.prefix)
                .map(|prefix| prefix.to_string())
                .unwrap_or_default(),
            before: query.before.map_or(0, |revision| revision.0),
            limit: query.limit.unwrap_or(0),
        }
    }
}

impl TryFrom<v1::Commit> for CommitRecord {
    type Error = Invalid;

    fn try_from(commit: v1::Commit) -> Result<Self, Invalid> {
        let changes =
            (commit.changes.into_iter()).map(|change| key_change("commit.changes.key", &change));
        let holds = commit.holds.into_iter().map(|change| {
            Ok(HoldChange {
                key: parse_key("commit.holds.key", &change.key)?,
                ended: change.ended,
            })
        });
        Ok(Self {
            stamp: commit.stamp.unwrap_or_default().into(),
            at: Timestamp(commit.at_us),
            origin: commit.origin.unwrap_or_default().try_into()?,
            source: text(commit.source).map(|name| name.as_str().into()),
            changes: changes.collect::<Result<_, Invalid>>()?,
            deliveries: commit.deliveries.into_iter().map(Into::into).collect(),
            holds: holds.collect::<Result<_, Invalid>>()?,
        })
    }
}

impl TryFrom<v1::Hold> for HeldKey {
    type Error = Invalid;

    fn try_from(hold: v1::Hold) -> Result<Self, Invalid> {
        Ok(Self {
            key: parse_key("hold.key", &hold.key)?,
            source: hold.source.as_str().into(),
            author: hold.author,
            reason: hold.reason,
            since: Timestamp(hold.since_us),
            expires: Timestamp(hold.expires_us),
            revision: Revision(hold.revision),
        })
    }
}

/// A changed key; `field` is where it stands.
pub(super) fn key_change(
    field: &'static str,
    change: &v1::KeyChange,
) -> Result<KeyChange, Invalid> {
    Ok(KeyChange {
        key: parse_key(field, &change.key)?,
        deleted: change.deleted,
    })
}

impl From<v1::Delivery> for Delivery {
    fn from(delivery: v1::Delivery) -> Self {
        Self {
            service: delivery.service,
            profile: delivery.profile,
            instance: delivery.instance,
            delivered: Duration::from_micros(delivery.delivered_us),
            applied: Duration::from_micros(delivery.applied_us),
            rejected: text(delivery.rejected),
        }
    }
}

impl TryFrom<v1::DiffResponse> for Difference {
    type Error = Invalid;

    fn try_from(response: v1::DiffResponse) -> Result<Self, Invalid> {
        let entries = response.entries.into_iter().map(|entry| {
            Ok(EntryDiff {
                key: parse_key("diff.entries.key", &entry.key)?,
                before: entry.before,
                after: entry.after,
            })
        });
        Ok(Self {
            from: response.from.unwrap_or_default().into(),
            to: response.to.unwrap_or_default().into(),
            entries: entries.collect::<Result<_, Invalid>>()?,
        })
    }
}

impl TryFrom<v1::Token> for TokenInfo {
    type Error = Invalid;

    fn try_from(token: v1::Token) -> Result<Self, Invalid> {
        let invalid = |field, reason| Invalid { field, reason };
        let rules = token.rules.iter().map(|rule| {
            let rule = rule.parse();
            rule.map_err(|error: RuleError| invalid("token.rules", error.to_string()))
        });
        let moment = |at: i64| (at != 0).then_some(Timestamp(at));
        Ok(Self {
            name: TokenName::new(&token.name)
                .map_err(|error| invalid("token.name", error.to_string()))?,
            rules: rules.collect::<Result<_, _>>()?,
            created: Timestamp(token.created_us),
            created_by: token.created_by,
            expires: moment(token.expires_us),
            replaced_until: moment(token.replaced_until_us),
        })
    }
}

impl TryFrom<v1::CreateTokenResponse> for IssuedToken {
    type Error = Invalid;

    fn try_from(response: v1::CreateTokenResponse) -> Result<Self, Invalid> {
        Ok(Self {
            token: response.token.unwrap_or_default().try_into()?,
            secret: Secret(response.secret),
        })
    }
}

impl TryFrom<v1::RotateTokenResponse> for IssuedToken {
    type Error = Invalid;

    fn try_from(response: v1::RotateTokenResponse) -> Result<Self, Invalid> {
        Ok(Self {
            token: response.token.unwrap_or_default().try_into()?,
            secret: Secret(response.secret),
        })
    }
}

impl From<v1::FleetResponse> for Fleet {
    fn from(response: v1::FleetResponse) -> Self {
        Self {
            instances: response.instances.into_iter().map(Into::into).collect(),
            head: response.head.unwrap_or_default().into(),
        }
    }
}

impl From<v1::Instance> for Instance {
    fn from(instance: v1::Instance) -> Self {
        Self {
            identity: instance.identity.unwrap_or_default().into(),
            applied: instance.applied.map(Into::into),
            sent: instance.sent.map(Into::into),
            rejected: text(instance.rejected),
            connected: Duration::from_millis(instance.connected_ms),
            current: instance.current,
            replica: instance.replica,
        }
    }
}

impl TryFrom<v1::Source> for Source {
    type Error = Invalid;

    fn try_from(source: v1::Source) -> Result<Self, Invalid> {
        let held = (source.held.iter()).map(|key| parse_key("source.held", key));
        Ok(Self {
            held: held.collect::<Result<_, _>>()?,
            name: source.name.as_str().into(),
            commit: text(source.commit).map(|id| id.as_str().into()),
            stamp: source.stamp.map(Into::into),
            at: (source.at_us != 0).then_some(Timestamp(source.at_us)),
            profiles: source.profiles,
            report: source.report.map(Into::into),
        })
    }
}

impl From<v1::SyncReport> for SyncReport {
    fn from(report: v1::SyncReport) -> Self {
        Self {
            source: report.source.as_str().into(),
            commit: report.commit.as_str().into(),
            accepted: report.accepted,
            faults: report.faults,
            at: Timestamp(report.at_us),
        }
    }
}

impl From<SyncReport> for v1::SyncReport {
    fn from(report: SyncReport) -> Self {
        Self {
            source: report.source.to_string(),
            commit: report.commit.to_string(),
            accepted: report.accepted,
            faults: report.faults,
            at_us: report.at.0,
        }
    }
}

impl From<v1::StatusResponse> for ServerStatus {
    fn from(status: v1::StatusResponse) -> Self {
        Self {
            version: status.version,
            head: status.head.unwrap_or_default().into(),
            entries: status.entries,
            watches: status.watches,
            store_available: status.store_available,
            store_age: Duration::from_millis(status.store_age_ms),
            store: status.store,
        }
    }
}

/// Empty on the wire is absent here.
fn text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
