//! One config server is killed: everybody goes on with the other, and it catches up afterwards.

use anyhow::ensure;
use test_kit::eventually;

use crate::play::Stage;
use crate::seed::{ALL_TO_B, SHARES};
use crate::stack::Role;

pub(super) async fn play(stage: &Stage<'_>) -> anyhow::Result<()> {
    let Stage {
        stack,
        story,
        searches,
    } = stage;
    let ada = stack.engineer("Ada").await?;

    let watches = stack.api(Role::Config1).await?.status().await?.watches;
    ensure!(
        watches > 0,
        "nobody watches at the server that is to be killed"
    );
    story.tell(format!(
        "config-1, at which {watches} instances watch, is killed"
    ));
    stack.part(Role::Config1)?.kill().await?;
    searches.go_on().await?;

    story.tell("Ada pushes: all traffic to `b`");
    let push = ada
        .push_change(SHARES, ALL_TO_B, "All traffic to vendor B")
        .await?;
    story.tell(&push.told);
    stack.shares_become(0.0, 100.0).await;
    searches.go_to("b").await?;
    story.tell("every search is served by vendor `b`");

    stack.part(Role::Config1)?.start_again(stack.http()).await?;
    let newest = stack.head(Role::Config2).await?;
    eventually("config-1 serves what was pushed meanwhile", async || {
        let head = stack.head(Role::Config1).await.ok()?;
        (head >= newest).then_some(())
    })
    .await;
    let value = stack.value(Role::Config1, SHARES).await?;
    ensure!(value.text == ALL_TO_B, "config-1 serves `{}`", value.text);
    story.tell("config-1 is back and has caught up");
    Ok(())
}
