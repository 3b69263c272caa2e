//! Postgres stops: reads, watches and searches go on; a push waits, and is applied once it is back.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use chameleon_client::{Selection, Watch};
use chameleon_model::Key;
use test_kit::eventually;
use tokio::time::timeout;

use crate::cure::Cure;
use crate::play::Stage;
use crate::seed::{ALL_TO_B, SHARES};
use crate::stack::Role;

/// Time for a state to arrive at a watch; git-sync's pauses between tries grow to 30 s.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) async fn play(stage: &Stage<'_>) -> anyhow::Result<()> {
    let Stage {
        stack,
        story,
        searches,
    } = stage;
    let ada = stack.engineer("Ada").await?;
    let before = stack.head(Role::Config1).await?;
    let index = stack.value(Role::Config1, SHARES).await?.index;
    let mut watch = watch(stage).await?;
    next(&mut watch).await?;

    story.tell("Postgres is stopped");
    stack.part(Role::Postgres)?.stop().await?;
    eventually(
        "both config-servers know that the store is away",
        async || {
            for server in Role::CONFIG_SERVERS {
                let status = stack.api(server).await.ok()?.status().await.ok()?;
                if status.store_available {
                    return None;
                }
            }
            Some(())
        },
    )
    .await;
    for server in Role::CONFIG_SERVERS {
        let value = stack.long_poll(server, SHARES, index).await?;
        ensure!(
            value.index == index,
            "a long poll came back with index {}",
            value.index
        );
    }
    next(&mut self::watch(stage).await?).await?;
    searches.go_on().await?;
    story.tell("both config-servers serve reads, long polls and new watches");

    story.tell("Ada pushes: all traffic to `b`");
    let push = ada
        .push_change(SHARES, ALL_TO_B, "All traffic to vendor B")
        .await?;
    story.tell(&push.told);
    ensure!(
        push.told.contains("git-sync tries on"),
        "the pusher was not told that it waits"
    );
    ensure!(
        stack.head(Role::Config1).await? == before,
        "a revision was made without Postgres"
    );
    if stack.lacks(Cure::Retries) {
        stack.part(Role::GitSync)?.stop().await?;
    }
    let since = searches.go_to("a").await?;
    searches.stayed_at("a", since)?;
    story.tell("every search is still served by vendor `a`");

    stack
        .part(Role::Postgres)?
        .start_again(stack.http())
        .await?;
    story.tell("Postgres is back");
    let value = next(&mut watch)
        .await
        .context("the watch that was open all the while")?;
    ensure!(value == ALL_TO_B, "the watch was sent `{value}`");
    stack.shares_become(0.0, 100.0).await;
    searches.go_to("b").await?;
    story.tell("the push is applied; every search is served by vendor `b`");
    Ok(())
}

/// A watch of the shares at the first config server.
async fn watch(stage: &Stage<'_>) -> anyhow::Result<Watch> {
    let api = stage.stack.api(Role::Config1).await?;
    Ok(api.watch(&Selection::key(Key::new(SHARES)?), None, None))
}

/// The shares by the next state that the watch is sent; an error if its stream is lost before.
async fn next(watch: &mut Watch) -> anyhow::Result<String> {
    let update = timeout(PATIENCE, watch.next()).await;
    update
        .context("no state has arrived in time")?
        .context("the stream was lost")?;
    let entry = watch
        .entries()
        .values()
        .next()
        .context("the watched key is gone")?;
    Ok(String::from_utf8_lossy(&entry.value).into_owned())
}
