//! Two engineers push at once: both changes are applied, each whole, and none is lost.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use chameleon_client::{Selection, Watch};
use chameleon_model::Prefix;
use tokio::time::timeout;

use crate::cure::Cure;
use crate::engineer::Engineer;
use crate::play::Stage;
use crate::seed::{SHARES, VENDORS};
use crate::stack::Role;
use crate::story::Story;

const THIRDS: &str = "aMapPercentage: 30\nbMapPercentage: 70\n";

/// Each engineer adds a file beside changing one, so that half a push could be told.
const ADAS: &str = "config/ada.yml";
const BENS: &str = "config/ben.yml";

/// Time for both pushes to reach a watch.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a push that comes second is tried again.
const TRIES: usize = 5;

pub(super) async fn play(stage: &Stage<'_>) -> anyhow::Result<()> {
    let Stage {
        stack,
        story,
        searches,
    } = stage;
    let ada = stack.engineer("Ada").await?;
    ada.write(SHARES, THIRDS)?;
    ada.write(ADAS, "by: ada\n")?;
    ada.commit("Spread the traffic").await?;
    let ben = stack.engineer("Ben").await?;
    let vendors = stack.vendors().replace("deadline: 6s", "deadline: 7s");
    ben.write(VENDORS, &vendors)?;
    ben.write(BENS, "by: ben\n")?;
    ben.commit("Give searches more time").await?;

    let api = stack.api(Role::Config2).await?;
    let mut watch = api.watch(&Selection::prefix(Prefix::new("config/")), None, None);
    let before = seen(&mut watch).await?;
    ensure!(before.is_empty(), "a file is there already: {before:?}");

    story.tell("Ada spreads the traffic, Ben raises the deadline, and both push at once");
    let by_force = stack.lacks(Cure::Rebase);
    let (states, ..) = tokio::try_join!(
        states_until_both(&mut watch),
        push(&ada, "Ada", by_force, story),
        push(&ben, "Ben", by_force, story),
    )?;
    for state in &states {
        let halves = [(SHARES, ADAS), (VENDORS, BENS)];
        let half = halves
            .iter()
            .find(|(one, other)| state.contains(one) != state.contains(other));
        ensure!(half.is_none(), "a watch has seen half a push: {state:?}");
    }
    story.tell(format!(
        "a watch has seen {} states, each of whole pushes",
        states.len()
    ));

    stack.shares_become(30.0, 70.0).await;
    for instance in Role::LOCATIONS {
        let routing = stack.routing(instance).await?;
        ensure!(
            routing.deadline_ms == 7000,
            "the deadline is {} ms",
            routing.deadline_ms
        );
    }
    searches.go_on().await?;
    story.tell("both changes are in force on both instances");
    Ok(())
}

/// Pushes, and again on top of the other's commit if the other was first.
async fn push(
    engineer: &Engineer,
    name: &str,
    by_force: bool,
    story: &Story,
) -> anyhow::Result<()> {
    let flags: &[&str] = if by_force { &["--force"] } else { &[] };
    for _ in 0..TRIES {
        if let Ok(pushed) = engineer.push(flags).await? {
            story.tell(format!("{name} is told: {}", pushed.told));
            return Ok(());
        }
        // Of two at the very same moment git refuses one, by force or not.
        if by_force {
            story.tell(format!("{name} was second, and pushes again"));
            continue;
        }
        story.tell(format!("{name} was second, and rebases"));
        engineer.rebase().await?;
    }
    bail!("git has refused {name}'s push {TRIES} times")
}

/// The states that the watch is sent, up to the first one with both pushes.
async fn states_until_both(watch: &mut Watch) -> anyhow::Result<Vec<BTreeSet<&'static str>>> {
    let mut states = Vec::new();
    let all = async {
        loop {
            let state = seen(watch).await?;
            let is_last = state.contains(ADAS) && state.contains(BENS);
            states.push(state);
            if is_last {
                return anyhow::Ok(());
            }
        }
    };
    timeout(PATIENCE, all)
        .await
        .context("one of the pushes has not arrived in time")??;
    Ok(states)
}

/// Which files of the pushes are in the next state that the watch is sent.
async fn seen(watch: &mut Watch) -> anyhow::Result<BTreeSet<&'static str>> {
    watch.next().await.context("watch the configuration")?;
    let marks = [
        (SHARES, "bMapPercentage: 70"),
        (ADAS, "by: ada"),
        (VENDORS, "deadline: 7s"),
        (BENS, "by: ben"),
    ];
    let texts = watch.entries().values();
    let texts: Vec<_> = texts
        .map(|entry| (entry.key.as_str(), String::from_utf8_lossy(&entry.value)))
        .collect();
    let is_seen = |file: &str, mark: &str| {
        texts
            .iter()
            .any(|(key, text)| *key == file && text.contains(mark))
    };
    Ok(marks
        .into_iter()
        .filter(|(file, mark)| is_seen(file, mark))
        .map(|(file, _)| file)
        .collect())
}
