//! The stories, each in a module of its own. Each leaves the stack as whole as it found it.

mod bad_push_moves_nothing;
mod config_server_killed;
mod network_cut;
mod postgres_stopped;
mod push_moves_the_traffic;
mod two_pushes_at_once;
mod vendor_down;

use clap::ValueEnum as _;

use crate::cure::Cure;
use crate::play::Stage;

/// The stories, in the order in which they are played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scenario {
    PushMovesTheTraffic,
    BadPushMovesNothing,
    ConfigServerKilled,
    PostgresStopped,
    NetworkCut,
    VendorDown,
    TwoPushesAtOnce,
}

impl Scenario {
    /// The scenarios that were asked for: by name, or by the cure that is taken out, or all.
    pub(crate) fn chosen(only: &[Self], without: Option<Cure>) -> Vec<Self> {
        match (only, without) {
            ([], None) => Self::value_variants().to_vec(),
            ([], Some(cure)) => vec![cure.scenario()],
            (only, _) => {
                let all = Self::value_variants().iter().copied();
                all.filter(|scenario| only.contains(scenario)).collect()
            }
        }
    }

    /// Plays the scenario on a stack where all searches are served by `a`.
    ///
    /// # Errors
    /// With the first thing that is not as it should be.
    pub(crate) async fn play(self, stage: &Stage<'_>) -> anyhow::Result<()> {
        match self {
            Self::PushMovesTheTraffic => push_moves_the_traffic::play(stage).await,
            Self::BadPushMovesNothing => bad_push_moves_nothing::play(stage).await,
            Self::ConfigServerKilled => config_server_killed::play(stage).await,
            Self::PostgresStopped => postgres_stopped::play(stage).await,
            Self::NetworkCut => network_cut::play(stage).await,
            Self::VendorDown => vendor_down::play(stage).await,
            Self::TwoPushesAtOnce => two_pushes_at_once::play(stage).await,
        }
    }
}
