//! git-sync is cut off: the pusher is told, and the push is applied once the network is back.

use anyhow::ensure;

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
    let before = stack.head(Role::Config1).await?;

    story.tell("git-sync is cut off from the network");
    stack.part(Role::GitSync)?.disconnect().await?;

    story.tell("Ada pushes: all traffic to `b`");
    let push = ada
        .push_change(SHARES, ALL_TO_B, "All traffic to vendor B")
        .await?;
    story.tell(&push.told);
    ensure!(
        push.told
            .contains("git-sync does not answer, its poll will"),
        "the pusher was not told that git-sync does not answer"
    );
    ensure!(
        stack.head(Role::Config1).await? == before,
        "a revision was made all the same"
    );
    let since = searches.go_to("a").await?;
    searches.stayed_at("a", since)?;
    story.tell("every search is still served by vendor `a`");

    stack.part(Role::GitSync)?.connect().await?;
    story.tell("git-sync is connected again");
    stack.shares_become(0.0, 100.0).await;
    searches.go_to("b").await?;
    story.tell("the push is applied; every search is served by vendor `b`");
    Ok(())
}
