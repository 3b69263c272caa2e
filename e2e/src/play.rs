//! Plays the scenarios one after the other, and keeps what tells why one failed.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;

use anyhow::anyhow;
use clap::ValueEnum as _;
use futures::FutureExt as _;

use crate::run::Run;
use crate::scenarios::Scenario;
use crate::searches::Searches;
use crate::stack::Stack;
use crate::story::Story;

/// What is to be played.
pub(crate) struct Plan {
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) keep: bool,
    /// Where the evidence of failures goes, a folder for each scenario.
    pub(crate) folder: PathBuf,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// How to reach the containers, if they were left running.
    pub(crate) left: Option<String>,
}

/// Where a scenario plays.
pub(crate) struct Stage<'a> {
    pub(crate) stack: &'a Stack,
    pub(crate) story: &'a Story,
    /// They run from the scenario's beginning to its end, and none of them may fail.
    pub(crate) searches: Searches,
}

/// Plays the scenarios. They share a stack as long as none fails, because each leaves it whole.
///
/// # Errors
/// If the evidence of a failure cannot be kept. Then, and after a cancellation, containers may be
/// left behind, which [`Run::sweep`] removes.
pub(crate) async fn all(plan: &Plan, run: &Run) -> anyhow::Result<Outcome> {
    tell_waits_in_one_line();
    let mut outcome = Outcome::default();
    let mut shared = None;
    let count = plan.scenarios.len();
    for (at, scenario) in plan.scenarios.iter().enumerate() {
        let name = scenario.to_possible_value().expect("no scenario is hidden");
        let name = name.get_name();
        println!("\n{}/{count} {name}", at + 1);
        let story = Story::begin(plan.folder.join(name))?;
        let is_new = shared.is_none();
        let mut stack = match shared.take() {
            Some(stack) => stack,
            None => Stack::new(run)?,
        };
        let played = caught(Box::pin(one(*scenario, &mut stack, is_new, &story))).await;
        let took = story.took().as_secs_f64();
        match played {
            Ok(()) => {
                outcome.passed += 1;
                println!("  passed in {took:.1} s");
                shared = Some(stack);
            }
            Err(error) => {
                outcome.failed += 1;
                story.tell(format!("failed: {error:#}"));
                let folder = story.keep()?;
                stack.keep_logs(folder).await?;
                println!("  failed after {took:.1} s; see {}", folder.display());
                if plan.keep {
                    outcome.left = Some(stack.leave().await);
                    return Ok(outcome);
                }
                stack.remove().await;
            }
        }
    }
    if let Some(stack) = shared {
        if plan.keep {
            outcome.left = Some(stack.leave().await);
        } else {
            stack.remove().await;
        }
    }
    Ok(outcome)
}

async fn one(
    scenario: Scenario,
    stack: &mut Stack,
    is_new: bool,
    story: &Story,
) -> anyhow::Result<()> {
    if is_new {
        stack.start(story).await?;
    }
    stack.settle().await?;
    let searches = Searches::start(stack.location_urls().await?)?;
    let stage = Stage {
        stack,
        story,
        searches,
    };
    let played = caught(async {
        stage.searches.go_to("a").await?;
        story.tell("searches run at both instances, all served by vendor `a`");
        scenario.play(&stage).await
    })
    .await;
    let tally = stage.searches.stop().await?;
    story.tell(tally.to_string());
    let played = played.and_then(|()| tally.none_failed());
    if played.is_err() {
        tally.keep(story.keep()?)?;
    }
    played
}

/// A panic, such as of a wait that was in vain, is the end of one scenario only.
async fn caught<T>(play: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let played = AssertUnwindSafe(play).catch_unwind().await;
    played.unwrap_or_else(|panic| Err(anyhow!("{}", text(&*panic).unwrap_or("a panic"))))
}

fn text(panic: &(dyn Any + Send)) -> Option<&str> {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied())
}

/// A wait that was in vain is told as a step of the story; where it stands in the code says nothing.
fn tell_waits_in_one_line() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let is_wait = panic
            .payload_as_str()
            .is_some_and(|text| text.starts_with("not true after"));
        if !is_wait {
            usual(panic);
        }
    }));
}
