//! Messages that only this server writes or reads.

use std::time::{Duration, SystemTime};

use chameleon_model::document::Fault;
use chameleon_model::{
    Change, Commit, HoldChange, Key, Prefix, SourceMarker, SourceName, Timestamp,
};
use chameleon_proto::{source_name, v1};

use super::error::invalid;
use crate::app::diff::Difference;
use crate::app::error::Error;
use crate::app::fleet::{Delivery, Identity, Instance, Journey, Verdict, VerdictResult};
use crate::app::selection::Selection;
use crate::app::{Status, SyncReport};

/// How many keys and prefixes one call may name.
const MAX_SELECTED: usize = 1_000;

/// The longest name in an identity, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// The selection of `keys` and `prefixes`; `field` is told to callers, such as `subscribe`.
pub(super) fn selection(
    field: &str,
    keys: &[String],
    prefixes: &[String],
) -> Result<Selection, Error> {
    let named = keys.len() + prefixes.len();
    if named == 0 {
        let reason = "name a key or a prefix; the empty prefix means all keys";
        return Err(invalid(field, reason));
    }
    if named > MAX_SELECTED {
        let reason = format!("{named} keys and prefixes are named, {MAX_SELECTED} are allowed");
        return Err(invalid(field, reason));
    }
    let keys: Vec<Key> = (keys.iter())
        .map(|key| Key::new(key).map_err(|error| invalid(&format!("{field}.keys"), error)))
        .collect::<Result<_, _>>()?;
    Ok(Selection::new(
        keys,
        prefixes.iter().map(|prefix| Prefix::new(prefix)),
    ))
}

pub(super) fn identity(identity: v1::Identity) -> Result<Identity, Error> {
    let fields = [
        ("service", &identity.service),
        ("profile", &identity.profile),
        ("instance", &identity.instance),
        ("version", &identity.version),
        ("host", &identity.host),
        ("prefix", &identity.prefix),
    ];
    if let Some((field, _)) = fields.iter().find(|(_, text)| text.len() > MAX_NAME_BYTES) {
        let reason = format!("is longer than {MAX_NAME_BYTES} bytes");
        return Err(invalid(&format!("subscribe.identity.{field}"), reason));
    }
    Ok(Identity {
        service: identity.service,
        profile: identity.profile,
        instance: identity.instance,
        version: identity.version,
        host: identity.host,
        prefix: identity.prefix,
    })
}

pub(super) fn verdict(outcome: v1::Outcome) -> Result<Verdict, Error> {
    use v1::outcome::Verdict as Wire;
    let missing = |field| invalid(field, "is missing");
    let stamp = outcome.stamp.ok_or_else(|| missing("outcome.stamp"))?;
    let result = match outcome.verdict.ok_or_else(|| missing("outcome.verdict"))? {
        Wire::Applied(_) => VerdictResult::Applied,
        Wire::Rejected(rejected) => VerdictResult::Rejected(rejected.reason),
        Wire::Received(_) => VerdictResult::Received,
    };
    Ok(Verdict {
        stamp: stamp.into(),
        result,
        apply: Duration::from_micros(outcome.apply_us),
        jitter: Duration::from_micros(outcome.jitter_us),
    })
}

pub(super) fn commit(commit: &Commit, journey: &Journey) -> v1::Commit {
    let mut origin = commit.origin.clone();
    origin.stages.extend(journey.stored);
    v1::Commit {
        stamp: Some(commit.stamp.into()),
        at_us: commit.at.0,
        origin: Some(origin.into()),
        source: (commit.source.as_ref())
            .map(|update| update.name.to_string())
            .unwrap_or_default(),
        changes: (commit.changes.iter())
            .map(|change| v1::KeyChange {
                key: change.key().to_string(),
                deleted: matches!(change, Change::Delete(_)),
            })
            .collect(),
        deliveries: journey.deliveries.iter().map(delivery).collect(),
        holds: (commit.holds.iter())
            .map(|change| v1::HoldChange {
                key: change.key().to_string(),
                ended: matches!(change, HoldChange::Ended(_)),
            })
            .collect(),
    }
}

fn delivery(delivery: &Delivery) -> v1::Delivery {
    v1::Delivery {
        service: delivery.identity.service.clone(),
        profile: delivery.identity.profile.clone(),
        instance: delivery.identity.instance.clone(),
        delivered_us: micros(delivery.delivered),
        applied_us: micros(delivery.applied),
        rejected: delivery.rejected.as_deref().unwrap_or_default().to_owned(),
    }
}

pub(super) fn instance(instance: &Instance) -> v1::Instance {
    let identity = &instance.identity;
    v1::Instance {
        identity: Some(v1::Identity {
            service: identity.service.clone(),
            profile: identity.profile.clone(),
            instance: identity.instance.clone(),
            version: identity.version.clone(),
            host: identity.host.clone(),
            prefix: identity.prefix.clone(),
        }),
        applied: instance.applied.map(Into::into),
        sent: instance.sent.map(Into::into),
        rejected: instance.rejected.as_deref().unwrap_or_default().to_owned(),
        connected_ms: millis(instance.connected),
        current: instance.current,
        replica: instance.replica.to_string(),
    }
}

pub(super) fn difference(difference: &Difference) -> v1::EntryDiff {
    let value = |entry: &Option<_>| {
        (entry.as_ref()).map(|entry: &std::sync::Arc<chameleon_model::Entry>| entry.value.clone())
    };
    v1::EntryDiff {
        key: difference.key.to_string(),
        before: value(&difference.before),
        after: value(&difference.after),
    }
}

/// What a rollback has made of a key.
pub(super) fn change(difference: &Difference) -> v1::KeyChange {
    v1::KeyChange {
        key: difference.key.to_string(),
        deleted: difference.after.is_none(),
    }
}

/// The answer to a transaction whose documents would be broken.
pub(super) fn faulty(faults: &[Fault]) -> v1::CommitResponse {
    v1::CommitResponse {
        outcome: Some(v1::commit_response::Outcome::Refused(v1::Refused {
            reasons: faults.iter().map(ToString::to_string).collect(),
            conflict: false,
        })),
        ..v1::CommitResponse::default()
    }
}

pub(super) fn source(
    name: &SourceName,
    marker: Option<SourceMarker>,
    report: Option<SyncReport>,
) -> v1::Source {
    let report = report.map(|report| v1::SyncReport {
        source: name.to_string(),
        commit: report.commit,
        accepted: report.accepted,
        faults: report.faults,
        at_us: report.at.0,
    });
    let mut source = v1::Source {
        name: name.to_string(),
        report,
        ..v1::Source::default()
    };
    if let Some(marker) = marker {
        source.commit = marker.commit.to_string();
        source.stamp = Some(marker.stamp.into());
        source.at_us = marker.at.0;
        source.profiles = marker.profiles;
    }
    source
}

/// A report with the source it is about; without a time of its own it is of now.
pub(super) fn sync_report(report: v1::SyncReport) -> Result<(SourceName, SyncReport), Error> {
    let name = source_name("report.source", &report.source)?;
    let at = match report.at_us {
        0 => SystemTime::now().into(),
        at => Timestamp(at),
    };
    let report = SyncReport {
        commit: report.commit,
        accepted: report.accepted,
        faults: report.faults,
        at,
        by: String::new(),
    };
    Ok((name, report))
}

pub(super) fn status(status: &Status) -> v1::StatusResponse {
    v1::StatusResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        head: Some(status.head.into()),
        entries: status.entries as u64,
        watches: status.watches as u64,
        store_available: status.store_available,
        store_age_ms: millis(status.store_age),
        store: status.store.to_owned(),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_a_rule_is_named() {
        let refused = |keys: &[&str]| {
            let keys: Vec<_> = keys.iter().map(|&key| key.to_owned()).collect();
            selection("subscribe", &keys, &[]).unwrap_err().to_string()
        };
        assert_eq!(
            refused(&[]),
            "subscribe: name a key or a prefix; the empty prefix means all keys"
        );
        assert_eq!(
            refused(&["a/../b"]),
            "subscribe.keys: key `a/../b` has a `..` segment; write the path without it"
        );
        assert_eq!(
            refused(&["k"; 1001]),
            "subscribe: 1001 keys and prefixes are named, 1000 are allowed"
        );
        let long = v1::Identity {
            host: "h".repeat(257),
            ..v1::Identity::default()
        };
        assert_eq!(
            identity(long).unwrap_err().to_string(),
            "subscribe.identity.host: is longer than 256 bytes"
        );
        let error = verdict(v1::Outcome::default()).unwrap_err();
        assert_eq!(error.to_string(), "outcome.stamp: is missing");
        let error = sync_report(v1::SyncReport::default()).unwrap_err();
        assert_eq!(error.to_string(), "report.source: is missing");
        let long = v1::SyncReport {
            source: "n".repeat(257),
            ..v1::SyncReport::default()
        };
        assert_eq!(
            sync_report(long).unwrap_err().to_string(),
            "report.source: is longer than 256 bytes"
        );
    }
}
