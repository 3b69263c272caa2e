use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chameleon_model::{
    AuditAction, AuditId, AuditOutcome, AuditQuery, AuditReader, AuditRecord, AuditTarget,
    AuditVerdict, Prefix, Revision, Scope, Timestamp,
};
use chameleon_store::Store;
use uuid::{NoContext, Uuid};

use crate::place::Place;
use crate::write::*;

const HOUR: Duration = Duration::from_hours(1);

/// In microseconds.
const SECOND: i64 = 1_000_000;

/// Records in the order of their ids, each a second after the one before, the last one now.
fn records<const N: usize>(of: [(&str, AuditTarget, AuditVerdict); N]) -> [AuditRecord; N] {
    let Timestamp(now) = SystemTime::now().into();
    let mut age = i64::try_from(N).unwrap();
    of.map(|(who, target, verdict)| {
        age -= 1;
        AuditRecord {
            who: who.to_owned(),
            target,
            outcome: verdict.into(),
            ..record(Timestamp(now - age * SECOND))
        }
    })
}

/// So many records, in the order of their ids.
pub(crate) fn many(count: i64) -> Vec<AuditRecord> {
    let Timestamp(now) = SystemTime::now().into();
    (0..count)
        .map(|n| record(Timestamp(now + n * 1_000)))
        .collect()
}

fn record(at: Timestamp) -> AuditRecord {
    AuditRecord {
        id: id(at),
        at,
        who: "ada".to_owned(),
        dialect: "grpc".to_owned(),
        peer: Some([10, 0, 0, 7].into()),
        action: AuditAction::Put,
        target: self::at("a/x"),
        outcome: AuditVerdict::Done.into(),
        times: 1,
        detail: String::new(),
    }
}

/// An id of that time.
fn id(at: Timestamp) -> AuditId {
    let since = SystemTime::from(at).duration_since(UNIX_EPOCH).unwrap();
    let at = uuid::Timestamp::from_unix(NoContext, since.as_secs(), since.subsec_nanos());
    AuditId(Uuid::new_v7(at))
}

fn at(text: &str) -> AuditTarget {
    AuditTarget::Key(key(text))
}

fn under(text: &str) -> AuditTarget {
    AuditTarget::Prefix(Prefix::new(text))
}

async fn all(store: &dyn Store) -> Vec<AuditRecord> {
    let query = AuditQuery {
        limit: 10_000,
        ..AuditQuery::default()
    };
    store.audit(&query, &AuditReader::All).await.unwrap()
}

/// Says which of `records` an answer holds, by their places.
async fn found(
    store: &dyn Store,
    records: &[AuditRecord],
    query: AuditQuery,
    reader: &AuditReader,
) -> Vec<usize> {
    let query = AuditQuery {
        limit: 100,
        ..query
    };
    let found = store.audit(&query, reader).await.unwrap();
    let place = |one: &AuditRecord| records.iter().position(|record| record == one);
    found.iter().map(|one| place(one).unwrap()).collect()
}

pub(crate) async fn a_record_is_kept_as_it_was_and_once(place: &impl Place) {
    let store = place.open().await;
    let before = store.load().await.unwrap().stamp();
    let mut written = records([
        ("", AuditTarget::Nothing, AuditVerdict::TurnedAway),
        ("team-a", at("a/x"), AuditVerdict::Committed),
    ]);
    written[0].peer = Some("fe80::1".parse().unwrap());
    written[0].times = 340;
    written[0].detail = String::from("the token is not \0 valid");
    written[1].peer = None;
    written[1].outcome.revision = Some(Revision(12));
    store.append_audit(&[]).await.unwrap();
    store.append_audit(&written[..1]).await.unwrap();
    // Again, as after a lost answer.
    store.append_audit(&written).await.unwrap();
    store.append_audit(&written).await.unwrap();
    written[0].detail = String::from("the token is not \u{fffd} valid");
    written.reverse();
    assert_eq!(all(&*place.open().await).await, written);
    assert_eq!(store.load().await.unwrap().stamp(), before);
}

pub(crate) async fn a_large_batch_is_kept_whole_and_once(place: &impl Place) {
    let store = place.open().await;
    let mut many = many(1_234);
    // Some of it alone at first, and in sizes that come again.
    for size in [500, 500, 1_000, 1_234, 1_234] {
        store.append_audit(&many[..size]).await.unwrap();
        assert_eq!(all(&*store).await.len(), size.max(500));
    }
    many.reverse();
    assert_eq!(all(&*store).await, many);
}

/// Also where the clock was set between an id and its time.
pub(crate) async fn a_time_is_a_sharp_border(place: &impl Place) {
    let store = place.open().await;
    let Timestamp(now) = SystemTime::now().into();
    // As exact as the clock of any database.
    let border = now / 1_000 * 1_000 - 3_600 * SECOND;
    let mut kept: Vec<_> = [
        (border - 1, 0),
        (border - 1, 30 * SECOND),
        (border - 1, -30 * SECOND),
        (border, 0),
        (border, 30 * SECOND),
        (border, -30 * SECOND),
        (border + 1, 0),
    ]
    .map(|(at, skew)| AuditRecord {
        id: id(Timestamp(at + skew)),
        ..record(Timestamp(at))
    })
    .into();
    kept.sort_unstable_by_key(|record| record.id);
    store.append_audit(&kept).await.unwrap();
    let query = AuditQuery {
        since: Some(Timestamp(border)),
        ..AuditQuery::default()
    };
    kept.reverse();
    let (young, old): (Vec<_>, Vec<_>) =
        (kept.iter().cloned()).partition(|record| record.at >= Timestamp(border));
    let found = found(&*store, &kept, query, &AuditReader::All).await;
    let found: Vec<_> = found.iter().map(|place| kept[*place].clone()).collect();
    assert_eq!(found, young);

    // The database's clock has moved on by less than its tests may take.
    let half = Duration::from_mins(30);
    assert_eq!(store.prune_audit(HOUR + half).await.unwrap(), 0);
    assert_eq!(all(&*store).await, kept);
    let later = AuditRecord {
        id: id(Timestamp(border - SECOND)),
        ..record(Timestamp(border + 1_800 * SECOND))
    };
    store
        .append_audit(std::slice::from_ref(&later))
        .await
        .unwrap();
    let gone = store.prune_audit(HOUR).await.unwrap();
    assert!(gone >= u64::try_from(old.len()).unwrap(), "{gone}");
    let left = all(&*store).await;
    assert!(
        left.contains(&later) && !left.iter().any(|one| old.contains(one)),
        "{left:?}"
    );
}

pub(crate) async fn records_are_found_by_what_they_tell(place: &impl Place) {
    let store = place.open().await;
    let kept = records([
        ("ada", at("a/x"), AuditVerdict::Committed),
        ("bob", at("a/xy"), AuditVerdict::Refused),
        ("ada", under("a/"), AuditVerdict::Committed),
        ("ada", under(""), AuditVerdict::Refused),
        ("bob", at("b/x"), AuditVerdict::NotMet),
        ("", AuditTarget::Nothing, AuditVerdict::TurnedAway),
        ("", AuditTarget::Nothing, AuditVerdict::Lost),
        ("bob", AuditTarget::Source("a/x".into()), AuditVerdict::Done),
    ]);
    store.append_audit(&kept).await.unwrap();
    let all = AuditQuery::default;
    let prefix = |text: &str| AuditQuery {
        prefix: Some(Prefix::new(text)),
        ..all()
    };
    let by_key = |text: &str| AuditQuery {
        key: Some(key(text)),
        ..all()
    };
    let refused = |refused| AuditQuery {
        refused: Some(refused),
        ..all()
    };
    for (query, expected) in [
        (all(), &[7, 6, 5, 4, 3, 2, 1, 0][..]),
        (by_key("a/x"), &[3, 2, 0]),
        (by_key("b/x"), &[4, 3]),
        (by_key("c"), &[3]),
        (prefix("a/"), &[3, 2, 1, 0]),
        (prefix("a/x"), &[3, 2, 1, 0]),
        (prefix("a/xy"), &[3, 2, 1]),
        (prefix("b"), &[4, 3]),
        (prefix(""), &[4, 3, 2, 1, 0]),
        (prefix("a\0"), &[3]),
        (refused(true), &[6, 5, 3, 1]),
        (refused(false), &[7, 6, 4, 2, 0]),
        (
            AuditQuery {
                who: Some("ada".to_owned()),
                ..prefix("a/x")
            },
            &[3, 2, 0],
        ),
        (
            AuditQuery {
                since: Some(kept[5].at),
                ..all()
            },
            &[7, 6, 5],
        ),
        (
            AuditQuery {
                before: Some(kept[2].id),
                ..all()
            },
            &[1, 0],
        ),
    ] {
        let found = found(&*store, &kept, query.clone(), &AuditReader::All).await;
        // A prefix without a name of its own covers every key, and so does what begins with it.
        assert_eq!(found, expected, "{query:?}");
    }
    let newest = AuditQuery { limit: 2, ..all() };
    let newest = store.audit(&newest, &AuditReader::All).await.unwrap();
    assert_eq!(newest, [kept[7].clone(), kept[6].clone()]);
}

pub(crate) async fn a_token_sees_its_acts_and_its_keys(place: &impl Place) {
    let store = place.open().await;
    let kept = records([
        ("team-a", at("b/x"), AuditVerdict::Refused),
        ("team-b", at("a/x"), AuditVerdict::Refused),
        ("team-b", at("b/x"), AuditVerdict::Committed),
        ("bootstrap", under("a/tree/"), AuditVerdict::Committed),
        ("bootstrap", under("a"), AuditVerdict::Committed),
        ("bootstrap", under("one.yml"), AuditVerdict::Committed),
        ("bootstrap", at("one.yml"), AuditVerdict::Committed),
        (
            "bootstrap",
            AuditTarget::Source("a/x".into()),
            AuditVerdict::Committed,
        ),
        ("", AuditTarget::Nothing, AuditVerdict::Lost),
        ("team-a", AuditTarget::Nothing, AuditVerdict::TurnedAway),
    ]);
    store.append_audit(&kept).await.unwrap();
    let reader = |name: &str, scopes: &[&str]| AuditReader::Token {
        name: name.to_owned(),
        scopes: (scopes.iter())
            .map(|text| Scope::new(text).unwrap())
            .collect(),
    };
    for (reader, expected) in [
        (reader("team-a", &["a/", "one.yml"]), &[9, 6, 3, 1, 0][..]),
        (reader("team-b", &["b/"]), &[2, 1, 0]),
        (reader("nobody", &[]), &[]),
    ] {
        let seen = found(&*store, &kept, AuditQuery::default(), &reader).await;
        assert_eq!(seen, expected, "{reader:?}");
        // What is asked for narrows it, and never widens it.
        let query = AuditQuery {
            key: Some(key("b/x")),
            ..AuditQuery::default()
        };
        let narrowed = found(&*store, &kept, query, &reader).await;
        assert!(
            narrowed.iter().all(|one| expected.contains(one)),
            "{narrowed:?}"
        );
    }
}

pub(crate) async fn old_records_are_pruned(place: &impl Place) {
    let store = place.open().await;
    let mut kept = records([
        ("ada", at("a"), AuditVerdict::Done),
        ("ada", at("b"), AuditVerdict::Done),
    ]);
    let Timestamp(now) = SystemTime::now().into();
    kept[0].at = Timestamp(now - 2 * 3_600 * SECOND);
    kept[0].id = id(kept[0].at);
    store.append_audit(&kept).await.unwrap();
    assert_eq!(store.prune_audit(3 * HOUR).await.unwrap(), 0);
    assert_eq!(store.prune_audit(HOUR).await.unwrap(), 1);
    assert_eq!(all(&*store).await, [kept[1].clone()]);
    assert_eq!(store.prune_audit(Duration::MAX).await.unwrap(), 0);
}

pub(crate) async fn what_a_later_version_wrote_can_be_read(place: &impl Place) {
    let store = place.open().await;
    let kept = records([("ada", at("a"), AuditVerdict::Done)]);
    store.append_audit(&kept).await.unwrap();
    let later = "UPDATE audit SET action = 'fly', outcome = 'flown', target_kind = 'moon'";
    place.execute(&[later.to_owned()]).await;
    let [record] = <[_; 1]>::try_from(all(&*store).await).unwrap();
    assert_eq!(
        (record.action, record.outcome, record.target),
        (
            AuditAction::Unknown,
            AuditOutcome::from(AuditVerdict::Unknown),
            AuditTarget::Nothing
        )
    );
}
