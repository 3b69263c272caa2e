//! Hears of commits by anybody: LISTEN, proven by a probe, with a poll beside it.

use std::pin::pin;
use std::time::Duration;

use chameleon_model::Stamp;
use futures::StreamExt as _;
use sqlx::postgres::{PgListener, PgPool};
use sqlx::{AssertSqlSafe, Executor as _};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::pooler;
use crate::Notifications;
use crate::news::News;
use crate::rows::stamp;

const CHANGED: &str = "chameleon_changed";
const PROBE: &str = "chameleon_probe";

/// How long a probe may take from this process through the database and back.
const PROBE_LIMIT: Duration = Duration::from_secs(3);
/// A silent connection is probed after so long; networks drop idle ones without a word.
const PROBE_AFTER: Duration = Duration::from_secs(30);
/// The poll that stands in for notices where they do not arrive.
const DEAF_POLL: Duration = Duration::from_millis(250);
/// When listening is tried again where notices did not arrive.
const DEAF_RETRY: Duration = Duration::from_mins(1);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// The one listening task of a store; ends with it.
pub(super) struct Listener {
    news: News,
    _task: JoinSet<()>,
}

impl Listener {
    /// Listens on the one connection of `listening`, and probes through `pool`.
    pub(super) fn start(listening: PgPool, pool: PgPool, poll_interval: Duration) -> Self {
        let news = News::default();
        let told = news.clone();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let ear = Ear {
                listening,
                pool,
                news: told,
                deaf: watch::channel(false).0,
            };
            tokio::join!(ear.listen(), ear.poll(poll_interval));
        });
        Self { news, _task: task }
    }

    pub(super) fn follow(&self) -> Notifications {
        self.news.follow().boxed()
    }
}

struct Ear {
    listening: PgPool,
    pool: PgPool,
    news: News,
    /// Notices do not arrive, so the poll has to be quick.
    deaf: watch::Sender<bool>,
}

/// Why listening ended.
enum Lost {
    /// The connection is there, but notices do not arrive.
    Deaf,
    Failed(sqlx::Error),
}

impl From<sqlx::Error> for Lost {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error)
    }
}

impl Ear {
    async fn poll(&self, interval: Duration) {
        let mut deafness = self.deaf.subscribe();
        loop {
            let deaf = *deafness.borrow_and_update();
            let pause = if deaf {
                DEAF_POLL.min(interval)
            } else {
                interval
            };
            tokio::select! {
                () = sleep(pause) => {
                    self.news.look();
                }
                _ = deafness.changed() => {}
            }
        }
    }

    async fn listen(&self) {
        let mut retry = FIRST_RETRY;
        loop {
            let (lost, heard) = self.listen_once().await;
            if heard {
                retry = FIRST_RETRY;
            }
            // Whatever was committed since the last notice is found by looking.
            self.news.look();
            match lost {
                Lost::Deaf => {
                    if !self.deaf.send_replace(true) {
                        tracing::warn!(
                            "the database's notices do not arrive, so it is polled every \
                             {DEAF_POLL:?}; a pooler in transaction mode drops LISTEN: give the \
                             database's own address by `--store-listen`"
                        );
                    }
                    sleep(DEAF_RETRY).await;
                }
                Lost::Failed(error) => {
                    tracing::warn!("failed to listen for commits: {error}");
                    sleep(retry.mul_f64(rand::random_range(0.5..1.0))).await;
                    retry = (retry * 2).min(LAST_RETRY);
                }
            }
        }
    }

    /// Listens until the connection is lost; says whether notices arrived at first.
    async fn listen_once(&self) -> (Lost, bool) {
        let mut listener = match self.connect().await {
            Ok(listener) => listener,
            Err(lost) => return (lost, false),
        };
        if self.deaf.send_replace(false) {
            tracing::info!("the database's notices arrive again");
        }
        // Whatever was committed before LISTEN took effect.
        self.news.look();
        (self.hear(&mut listener).await, true)
    }

    async fn connect(&self) -> Result<PgListener, Lost> {
        let limit = self.listening.options().get_acquire_timeout();
        let options = self.listening.connect_options();
        let keeps_sessions = timeout(limit, pooler::keeps_sessions(&options));
        if !keeps_sessions
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)??
        {
            return Err(Lost::Deaf);
        }
        let mut listener = PgListener::connect_with(&self.listening).await?;
        listener.eager_reconnect(false);
        listener.listen_all([CHANGED, PROBE]).await?;
        self.prove(&mut listener).await?;
        Ok(listener)
    }

    /// Passes notices on until the connection is lost.
    async fn hear(&self, listener: &mut PgListener) -> Lost {
        loop {
            match timeout(PROBE_AFTER, listener.try_recv()).await {
                Ok(Ok(Some(notice))) => {
                    if notice.channel() == CHANGED {
                        self.tell(notice.payload());
                    }
                }
                Ok(Ok(None)) => return Lost::Failed(closed()),
                Ok(Err(error)) => return Lost::Failed(error),
                Err(_) => match self.prove(listener).await {
                    Ok(()) => {}
                    // It worked before: rather the connection died than a pooler came in.
                    Err(Lost::Deaf) => return Lost::Failed(closed()),
                    Err(lost) => return lost,
                },
            }
        }
    }

    fn tell(&self, payload: &str) {
        match head(payload) {
            Some(head) => self.news.head(head),
            None => self.news.look(),
        }
    }

    /// Sends a notice over another connection and waits until it has come.
    async fn prove(&self, listener: &mut PgListener) -> Result<(), Lost> {
        let probe = Uuid::new_v4().to_string();
        // Not prepared, which a pooler in between would not bear; made of nothing from outside.
        let notify = AssertSqlSafe(format!("NOTIFY {PROBE}, '{probe}'"));
        self.pool.execute(notify).await?;
        let mut limit = pin!(sleep(PROBE_LIMIT));
        loop {
            let notice = tokio::select! {
                notice = listener.try_recv() => notice?.ok_or_else(closed)?,
                () = &mut limit => return Err(Lost::Deaf),
            };
            if notice.channel() == CHANGED {
                self.tell(notice.payload());
            } else if notice.payload() == probe {
                return Ok(());
            }
        }
    }
}

/// The head that a notice names as `epoch/revision/tag`. Previous versions name none.
fn head(payload: &str) -> Option<Stamp> {
    let mut numbers = payload.split('/').map(str::parse::<i64>);
    let (Some(Ok(epoch)), Some(Ok(revision)), Some(Ok(tag)), None) = (
        numbers.next(),
        numbers.next(),
        numbers.next(),
        numbers.next(),
    ) else {
        return None;
    };
    stamp(epoch, revision, tag).ok()
}

fn closed() -> sqlx::Error {
    std::io::Error::from(std::io::ErrorKind::ConnectionAborted).into()
}

#[cfg(test)]
mod tests {
    use chameleon_model::{Epoch, Revision, Stamp, Tag};

    #[test]
    fn a_notice_names_its_head_or_asks_for_a_look() {
        let head = Stamp {
            epoch: Epoch(2),
            revision: Revision(7),
            tag: Tag(u64::MAX),
        };
        assert_eq!(super::head("2/7/-1"), Some(head));
        for unclear in ["", "2", "2/7", "2/7/x", "2/7/-1/0", "-2/7/1"] {
            assert_eq!(super::head(unclear), None, "{unclear}");
        }
    }
}
