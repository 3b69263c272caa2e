//! The board in unlogged tables. Every statement is in a transaction that begins and ends within its verb:
//! there may be a pooler in between.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chameleon_model::{Epoch, Revision, SourceName, Stamp, Timestamp};
use sqlx::postgres::{PgArguments, PgPool, PgRow};
use sqlx::query::Query;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Postgres, Row as _, Transaction};

use crate::board::{
    BOARD_DELIVERIES, BOARD_INSTANCES, BOARD_SOURCES, Board, BoardInstance, BoardWays, Posted,
    PostedDelivery, PostedIdentity, PostedInstance, PostedStored, PostedSync, ReplicaId, Report,
    Watched,
};
use crate::failure::within;
use crate::records::{epoch_number, number};
use crate::rows::{revision, stamp};
use crate::{StoreError, clean};

/// The board of one database.
pub(super) struct PostgresBoard {
    pub(super) pool: PgPool,
    /// How its transactions begin, of constants and numbers only.
    pub(super) begin: String,
    /// Whether statements stay prepared.
    pub(super) keep: bool,
    /// How long a verb may take.
    pub(super) patience: Duration,
}

impl PostgresBoard {
    async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let begin = AssertSqlSafe(self.begin.clone());
        self.pool.begin_with(begin).await
    }

    fn query(&self, sql: &'static str) -> Query<'static, Postgres, PgArguments> {
        sqlx::query(sql).persistent(self.keep)
    }
}

macro_rules! now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    };
}

/// All else rests on the first part: it holds the server's row, so that its reports come one after the
/// other, and a late one finds a later number and writes nothing.
///
/// A row is touched by one part only: what is new or changed is told apart from what has ended. Nothing
/// of another server's is deleted, so that two of them never wait for each other.
const POST: &str = concat!(
    "WITH posted AS ( \
     INSERT INTO replicas AS held (replica, name, report, until_micros) \
     VALUES ($1, $2, $3, ",
    now!(),
    " + $4) \
     ON CONFLICT (replica) DO UPDATE SET name = excluded.name, report = excluded.report, \
     before = held.report, until_micros = excluded.until_micros \
     WHERE held.report < excluded.report \
     RETURNING before, ",
    now!(),
    " AS now_micros \
     ), put_instances AS ( \
     INSERT INTO instances (replica, report, connection, service, profile, instance, version, host, \
     prefix, watched, connected_micros, sent_epoch, sent_revision, sent_tag, applied_epoch, \
     applied_revision, applied_tag, rejected) \
     SELECT $1, $3, connection, service, profile, instance, version, host, prefix, watched, \
     now_micros - connected, sent_epoch, sent_revision, sent_tag, applied_epoch, applied_revision, \
     applied_tag, rejected \
     FROM posted, UNNEST($5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], \
     $11::text[], $12::text[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], \
     $17::bigint[], $18::bigint[], $19::bigint[], $20::text[]) \
     AS rows (connection, service, profile, instance, version, host, prefix, watched, connected, \
     sent_epoch, sent_revision, sent_tag, applied_epoch, applied_revision, applied_tag, rejected) \
     ON CONFLICT (replica, connection) DO UPDATE SET report = excluded.report, \
     sent_epoch = excluded.sent_epoch, sent_revision = excluded.sent_revision, \
     sent_tag = excluded.sent_tag, applied_epoch = excluded.applied_epoch, \
     applied_revision = excluded.applied_revision, applied_tag = excluded.applied_tag, \
     rejected = excluded.rejected \
     ), ended AS ( \
     DELETE FROM instances USING posted WHERE replica = $1 AND connection <> ALL($5) \
     AND (connection = ANY($21::bigint[]) OR report < $22) \
     ), put_deliveries AS ( \
     INSERT INTO deliveries (replica, epoch, revision, connection, service, profile, instance, \
     watched, delivered_nanos, applied_nanos, rejected) \
     SELECT $1, rows.* \
     FROM posted, UNNEST($23::bigint[], $24::bigint[], $25::bigint[], $26::text[], $27::text[], \
     $28::text[], $29::text[], $30::bigint[], $31::bigint[], $32::text[]) AS rows \
     ON CONFLICT DO NOTHING \
     ), forgotten AS ( \
     DELETE FROM deliveries USING posted WHERE replica = $1 AND (epoch, revision) < ($33, $34) \
     ), put_syncs AS ( \
     INSERT INTO sync_reports (source, git_commit, accepted, faults, at_micros, reported_by, \
     received_micros) \
     SELECT source, git_commit, accepted, faults, at, reported_by, now_micros - age \
     FROM posted, UNNEST($35::text[], $36::text[], $37::boolean[], $38::jsonb[], $39::bigint[], \
     $40::text[], $41::bigint[]) AS rows (source, git_commit, accepted, faults, at, reported_by, age) \
     ON CONFLICT (source) DO UPDATE SET git_commit = excluded.git_commit, \
     accepted = excluded.accepted, faults = excluded.faults, at_micros = excluded.at_micros, \
     reported_by = excluded.reported_by, received_micros = excluded.received_micros \
     WHERE sync_reports.received_micros <= excluded.received_micros \
     ), put_stored AS ( \
     INSERT INTO stored_times (replica, epoch, revision, took_nanos) \
     SELECT $1, rows.* FROM posted, UNNEST($42::bigint[], $43::bigint[], $44::bigint[]) AS rows \
     ON CONFLICT DO NOTHING \
     ), forgotten_stored AS ( \
     DELETE FROM stored_times USING posted WHERE replica = $1 AND (epoch, revision) < ($33, $34)) \
     SELECT before FROM posted"
);

const LEAVE: &str = "WITH gone AS (DELETE FROM replicas WHERE replica = $1) \
     DELETE FROM instances WHERE replica = $1";

/// A server that reports at the same moment holds its row: it is either renewed and stays, or finds
/// itself forgotten and tells everything again.
const FORGET_LOST: &str = concat!(
    "WITH lost AS (DELETE FROM replicas WHERE until_micros < ",
    now!(),
    " RETURNING replica), gone AS (DELETE FROM instances USING lost \
     WHERE instances.replica = lost.replica), pruned AS (DELETE FROM sync_reports WHERE source IN ( \
     SELECT source FROM sync_reports ORDER BY received_micros DESC OFFSET $1)) \
     SELECT count(*) FROM lost"
);

/// What servers that are gone have left of the ways of old revisions. It waits for nobody, so that two
/// servers that do this, or one that has come back, can't block each other.
const FORGET_OLD: &str = "WITH gone AS (DELETE FROM deliveries \
     WHERE (epoch, revision, replica, connection) IN ( \
     SELECT epoch, revision, replica, connection FROM deliveries \
     WHERE (epoch, revision) < ($1, $2) AND replica NOT IN (SELECT replica FROM replicas) \
     FOR UPDATE SKIP LOCKED)) \
     DELETE FROM stored_times WHERE (epoch, revision, replica) IN ( \
     SELECT epoch, revision, replica FROM stored_times \
     WHERE (epoch, revision) < ($1, $2) AND replica NOT IN (SELECT replica FROM replicas) \
     FOR UPDATE SKIP LOCKED)";

const INSTANCES: &str = concat!(
    "SELECT name, connection, service, profile, instance, version, host, prefix, watched, ",
    now!(),
    " - connected_micros AS connected, sent_epoch, sent_revision, sent_tag, applied_epoch, \
     applied_revision, applied_tag, rejected \
     FROM replicas JOIN instances USING (replica) \
     WHERE replica <> $1 AND until_micros >= ",
    now!(),
    " LIMIT $2"
);

const STORED: &str = "SELECT revision, took_nanos FROM stored_times \
     WHERE epoch = $2 AND revision = ANY($3::bigint[]) AND replica <> $1";

const DELIVERIES: &str = "SELECT revision, connection, service, profile, instance, watched, \
     delivered_nanos, applied_nanos, rejected \
     FROM (SELECT wanted FROM UNNEST($3::bigint[]) AS given (wanted) ORDER BY wanted DESC) AS asked, \
     LATERAL (SELECT * FROM deliveries WHERE epoch = $2 AND revision = asked.wanted AND replica <> $1 \
     LIMIT $4) AS found ORDER BY wanted DESC LIMIT $5";

const SYNC_REPORTS: &str = concat!(
    "SELECT source, git_commit, accepted, faults, at_micros, reported_by, ",
    now!(),
    " - received_micros AS age FROM sync_reports ORDER BY received_micros DESC LIMIT $1"
);

#[async_trait]
impl Board for PostgresBoard {
    async fn post(&self, report: &Report) -> Result<Posted, StoreError> {
        within(self.patience, post(self, report)).await
    }

    async fn leave(&self, replica: ReplicaId) -> Result<(), StoreError> {
        within(self.patience, async {
            let mut tx = self.begin().await?;
            let leave = self.query(LEAVE).bind(replica.0);
            leave.execute(&mut *tx).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    async fn forget_lost(&self, oldest: (Epoch, Revision)) -> Result<u64, StoreError> {
        within(self.patience, async {
            let mut tx = self.begin().await?;
            let forget = self.query(FORGET_LOST).bind(i64::from(BOARD_SOURCES));
            let lost: i64 = forget.fetch_one(&mut *tx).await?.try_get(0)?;
            tx.commit().await?;
            let mut tx = self.begin().await?;
            let forget = self.query(FORGET_OLD).bind(epoch_number(oldest.0));
            forget.bind(number(oldest.1)).execute(&mut *tx).await?;
            tx.commit().await?;
            Ok(lost.unsigned_abs())
        })
        .await
    }

    async fn instances(&self, own: ReplicaId) -> Result<Vec<BoardInstance>, StoreError> {
        within(self.patience, async {
            let limit = i64::try_from(BOARD_INSTANCES).unwrap_or(i64::MAX);
            let mut tx = self.begin().await?;
            let query = self.query(INSTANCES).bind(own.0).bind(limit);
            let rows = query.fetch_all(&mut *tx).await?;
            tx.commit().await?;
            let mut shared = Shared::default();
            rows.iter().map(|row| instance(row, &mut shared)).collect()
        })
        .await
    }

    async fn ways(
        &self,
        own: ReplicaId,
        epoch: Epoch,
        revisions: &[Revision],
        limit: u32,
    ) -> Result<BoardWays, StoreError> {
        within(self.patience, async {
            let revisions: Vec<i64> = revisions.iter().copied().map(number).collect();
            let asked = |sql| {
                (self.query(sql).bind(own.0).bind(epoch_number(epoch))).bind(revisions.clone())
            };
            let mut tx = self.begin().await?;
            let stored = asked(STORED).fetch_all(&mut *tx).await?;
            let deliveries = asked(DELIVERIES).bind(i64::from(limit));
            let deliveries = deliveries.bind(i64::from(BOARD_DELIVERIES));
            let deliveries = deliveries.fetch_all(&mut *tx).await?;
            tx.commit().await?;
            let mut shared = Shared::default();
            Ok(BoardWays {
                stored: (stored.iter())
                    .map(|row| {
                        Ok(PostedStored {
                            epoch,
                            revision: revision(row.try_get("revision")?)?,
                            took: took(row.try_get("took_nanos")?),
                        })
                    })
                    .collect::<Result<_, StoreError>>()?,
                deliveries: (deliveries.iter())
                    .map(|row| delivery(row, epoch, &mut shared))
                    .collect::<Result<_, _>>()?,
            })
        })
        .await
    }

    async fn sync_reports(&self, limit: u32) -> Result<Vec<PostedSync>, StoreError> {
        within(self.patience, async {
            let mut tx = self.begin().await?;
            let query = self.query(SYNC_REPORTS).bind(i64::from(limit));
            let rows = query.fetch_all(&mut *tx).await?;
            tx.commit().await?;
            rows.iter().map(sync).collect()
        })
        .await
    }
}

async fn post(board: &PostgresBoard, report: &Report) -> Result<Posted, StoreError> {
    let instances = &report.instances;
    let text = |field: fn(&PostedIdentity) -> &String| -> Vec<String> {
        (instances.iter())
            .map(|one| clean::cleaned(field(&one.identity)))
            .collect()
    };
    let sent: Stamps = instances.iter().map(|one| one.sent).collect();
    let applied: Stamps = instances.iter().map(|one| one.applied).collect();
    let deliveries = &report.deliveries;
    let told = |field: fn(&PostedDelivery) -> &String| -> Vec<String> {
        (deliveries.iter())
            .map(|one| clean::cleaned(field(one)))
            .collect()
    };
    let syncs = &report.syncs;
    let connections = |numbers: &mut dyn Iterator<Item = u64>| -> Vec<i64> {
        numbers.map(u64::cast_signed).collect()
    };
    let query = board
        .query(POST)
        .bind(report.replica.0)
        .bind(clean::cleaned(&report.name))
        .bind(report.number.cast_signed())
        .bind(micros(report.lease))
        .bind(connections(&mut instances.iter().map(|one| one.connection)))
        .bind(text(|identity| &identity.service))
        .bind(text(|identity| &identity.profile))
        .bind(text(|identity| &identity.instance))
        .bind(text(|identity| &identity.version))
        .bind(text(|identity| &identity.host))
        .bind(text(|identity| &identity.prefix))
        .bind(each(instances, |one| one.watched.as_str()))
        .bind(each(instances, |one| micros(one.connected)))
        .bind(sent.epochs)
        .bind(sent.revisions)
        .bind(sent.tags)
        .bind(applied.epochs)
        .bind(applied.revisions)
        .bind(applied.tags)
        .bind(each(instances, |one| {
            one.rejected.as_deref().map(clean::cleaned)
        }))
        .bind(connections(&mut report.left.iter().copied()))
        .bind(report.complete_since.map(u64::cast_signed))
        .bind(each(deliveries, |one| epoch_number(one.epoch)))
        .bind(each(deliveries, |one| number(one.revision)))
        .bind(connections(
            &mut deliveries.iter().map(|one| one.connection),
        ))
        .bind(told(|one| &one.service))
        .bind(told(|one| &one.profile))
        .bind(told(|one| &one.instance))
        .bind(each(deliveries, |one| one.watched.as_str()))
        .bind(each(deliveries, |one| nanos(one.delivered)))
        .bind(each(deliveries, |one| nanos(one.applied)))
        .bind(each(deliveries, |one| {
            one.rejected.as_deref().map(clean::cleaned)
        }))
        .bind(epoch_number(report.oldest.0))
        .bind(number(report.oldest.1))
        .bind(each(syncs, |one| clean::cleaned(&one.source.0)))
        .bind(each(syncs, |one| clean::cleaned(&one.commit)))
        .bind(each(syncs, |one| one.accepted))
        .bind(each(syncs, |one| {
            Json(
                one.faults
                    .iter()
                    .map(|fault| clean::cleaned(fault))
                    .collect::<Vec<_>>(),
            )
        }))
        .bind(each(syncs, |one| one.at.0))
        .bind(each(syncs, |one| clean::cleaned(&one.by)))
        .bind(each(syncs, |one| micros(one.age)))
        .bind(each(&report.stored, |one| epoch_number(one.epoch)))
        .bind(each(&report.stored, |one| number(one.revision)))
        .bind(each(&report.stored, |one| nanos(one.took)));
    let mut tx = board.begin().await?;
    let row = query.fetch_optional(&mut *tx).await?;
    tx.commit().await?;
    let Some(row) = row else {
        return Ok(Posted::Late);
    };
    let before: Option<i64> = row.try_get("before")?;
    Ok(before.map_or(Posted::Anew, |before| Posted::After(before.cast_unsigned())))
}

fn each<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

/// Stamps as three columns.
#[derive(Default)]
struct Stamps {
    epochs: Vec<Option<i64>>,
    revisions: Vec<Option<i64>>,
    tags: Vec<Option<i64>>,
}

impl FromIterator<Option<Stamp>> for Stamps {
    fn from_iter<T: IntoIterator<Item = Option<Stamp>>>(stamps: T) -> Self {
        let mut columns = Self::default();
        for stamp in stamps {
            columns.epochs.push(stamp.map(|at| epoch_number(at.epoch)));
            columns.revisions.push(stamp.map(|at| number(at.revision)));
            columns.tags.push(stamp.map(|at| at.tag.0.cast_signed()));
        }
        columns
    }
}

/// Texts that many rows have in common, each in memory once.
#[derive(Default)]
struct Shared {
    names: HashMap<String, Arc<str>>,
    watched: HashMap<String, Watched>,
}

impl Shared {
    fn name(&mut self, text: String) -> Arc<str> {
        let shared = self.names.entry(text);
        Arc::clone(shared.or_insert_with_key(|text| text.as_str().into()))
    }

    fn watched(&mut self, text: String) -> Watched {
        let shared = self.watched.entry(text);
        shared
            .or_insert_with_key(|text| Watched::stored(text.clone()))
            .clone()
    }
}

fn instance(row: &PgRow, shared: &mut Shared) -> Result<BoardInstance, StoreError> {
    Ok(BoardInstance {
        replica: shared.name(row.try_get("name")?),
        instance: PostedInstance {
            connection: row.try_get::<i64, _>("connection")?.cast_unsigned(),
            identity: PostedIdentity {
                service: row.try_get("service")?,
                profile: row.try_get("profile")?,
                instance: row.try_get("instance")?,
                version: row.try_get("version")?,
                host: row.try_get("host")?,
                prefix: row.try_get("prefix")?,
            },
            watched: shared.watched(row.try_get("watched")?),
            connected: age(row.try_get("connected")?),
            sent: stamp_of(row, ["sent_epoch", "sent_revision", "sent_tag"])?,
            applied: stamp_of(row, ["applied_epoch", "applied_revision", "applied_tag"])?,
            rejected: row
                .try_get::<Option<String>, _>("rejected")?
                .map(Into::into),
        },
    })
}

fn stamp_of(row: &PgRow, columns: [&str; 3]) -> Result<Option<Stamp>, StoreError> {
    let [epoch, revision, tag] = columns.map(|column| row.try_get::<Option<i64>, _>(column));
    match (epoch?, revision?, tag?) {
        (Some(epoch), Some(revision), Some(tag)) => stamp(epoch, revision, tag).map(Some),
        _ => Ok(None),
    }
}

fn delivery(row: &PgRow, epoch: Epoch, shared: &mut Shared) -> Result<PostedDelivery, StoreError> {
    Ok(PostedDelivery {
        epoch,
        revision: revision(row.try_get("revision")?)?,
        connection: row.try_get::<i64, _>("connection")?.cast_unsigned(),
        service: row.try_get("service")?,
        profile: row.try_get("profile")?,
        instance: row.try_get("instance")?,
        watched: shared.watched(row.try_get("watched")?),
        delivered: took(row.try_get("delivered_nanos")?),
        applied: took(row.try_get("applied_nanos")?),
        rejected: row
            .try_get::<Option<String>, _>("rejected")?
            .map(Into::into),
    })
}

fn took(nanos: i64) -> Duration {
    Duration::from_nanos(nanos.max(0).unsigned_abs())
}

fn sync(row: &PgRow) -> Result<PostedSync, StoreError> {
    Ok(PostedSync {
        source: SourceName(row.try_get::<String, _>("source")?.into()),
        commit: row.try_get("git_commit")?,
        accepted: row.try_get("accepted")?,
        faults: row.try_get::<Json<Vec<String>>, _>("faults")?.0,
        at: Timestamp(row.try_get("at_micros")?),
        by: row.try_get("reported_by")?,
        age: age(row.try_get("age")?),
    })
}

/// The database's clock may have been set back.
fn age(micros: i64) -> Duration {
    Duration::from_micros(micros.max(0).unsigned_abs())
}

fn micros(duration: Duration) -> i64 {
    // A century, so that no sum overflows.
    const MOST: i64 = 100 * 366 * 86_400 * 1_000_000;
    i64::try_from(duration.as_micros()).map_or(MOST, |micros| micros.min(MOST))
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
