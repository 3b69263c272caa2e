//! A push whose shares do not add up changes nothing, and the pusher is told where and why.

use anyhow::{Context as _, ensure};

use crate::play::Stage;
use crate::seed::{ALL_TO_B, SHARES};
use crate::stack::Role;

const BAD: &str = "aMapPercentage: 0\nbMapPercentage: 90\n";

pub(super) async fn play(stage: &Stage<'_>) -> anyhow::Result<()> {
    let Stage {
        stack,
        story,
        searches,
    } = stage;
    let ada = stack.engineer("Ada").await?;
    let before = stack.head(Role::Config1).await?;

    story.tell("Ada pushes shares that add up to 90");
    let push = ada
        .push_change(SHARES, BAD, "All traffic to vendor B, nearly")
        .await?;
    story.tell(&push.told);
    for part in [
        "rejected; what was live stays live",
        SHARES,
        "is 90, must be 100",
    ] {
        ensure!(push.told.contains(part), "the pusher was not told `{part}`");
    }

    let source = stack.source(Role::Config1).await?;
    ensure!(
        source
            .commit
            .is_some_and(|commit| *commit.0 != *push.commit),
        "the bad commit is recorded as applied"
    );
    let since = searches.go_to("a").await?;
    searches.go_on().await?;
    searches.stayed_at("a", since)?;
    story.tell("every search is still served by vendor `a`");

    story.tell("Ada corrects it: all traffic to `b`");
    let push = ada
        .push_change(SHARES, ALL_TO_B, "All traffic to vendor B")
        .await?;
    story.tell(&push.told);
    stack.shares_become(0.0, 100.0).await;
    searches.go_to("b").await?;
    let after = stack.head(Role::Config1).await?;
    let applied = after
        .0
        .checked_sub(before.0)
        .context("the revision has fallen")?;
    ensure!(
        applied == 1,
        "two pushes, one of them bad, have made {applied} revisions"
    );
    story.tell("the good push is the next revision after the first configuration's");
    Ok(())
}
