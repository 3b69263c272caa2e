//! A vendor takes requests and never answers: the other one serves, until it is back.

use crate::play::Stage;

pub(super) async fn play(stage: &Stage<'_>) -> anyhow::Result<()> {
    let Stage {
        stack,
        story,
        searches,
    } = stage;

    story.tell("TMAP, which is `a`, goes silent");
    stack.silence("tmap").await?;
    let since = searches.go_to("b").await?;
    searches.go_on().await?;
    searches.stayed_at("b", since)?;
    story.tell("every search is served by vendor `b`, without any push");

    stack.heal("tmap").await?;
    story.tell("TMAP answers again");
    let since = searches.go_to("a").await?;
    searches.stayed_at("a", since)?;
    story.tell("every search is served by vendor `a`");
    Ok(())
}
