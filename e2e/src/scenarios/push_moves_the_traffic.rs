//! A push moves all searches to the other vendor, and the pusher is told so.

use anyhow::ensure;

use crate::play::Stage;
use crate::seed::{ALL_TO_B, SHARES};

pub(super) async fn play(stage: &Stage<'_>) -> anyhow::Result<()> {
    let Stage {
        stack,
        story,
        searches,
    } = stage;
    let ada = stack.engineer("Ada").await?;

    story.tell("Ada pushes: all traffic to `b`");
    let push = ada
        .push_change(SHARES, ALL_TO_B, "All traffic to vendor B")
        .await?;
    story.tell(&push.told);
    ensure!(
        push.told.contains("is in force on 2 instances"),
        "the pusher was not told that the push is in force on both instances"
    );

    let since = searches.go_to("b").await?;
    searches.go_on().await?;
    searches.stayed_at("b", since)?;
    story.tell("every search is served by vendor `b`");
    Ok(())
}
